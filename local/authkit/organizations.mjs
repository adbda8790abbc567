/** Organizations for the application's server: whose members users are, and links to the Admin Portal. */

import express from 'express';

import { ApiError } from './errors.mjs';
import { digest } from './ids.mjs';
import { portalPage, sendPage } from './pages.mjs';
import { loopbackUrl, parametersOf } from './parameters.mjs';
import { requireServerKey } from './server-key.mjs';
import { userResponse } from './users.mjs';

export const MEMBERSHIPS_PATH = '/user_management/organization_memberships';
export const PORTAL_LINK_PATH = '/portal/generate_link';

/** WorkOS's default for a list, and the most that it gives at once. */
const DEFAULT_LIMIT = 10;
const MAX_LIMIT = 100;
/** Every membership here is active. */
const STATUS = 'active';

/** What each page of the Admin Portal is for, by the intent that WorkOS's API names it with. */
export const PORTAL_INTENTS = {
  sso: 'set up single sign-on',
  dsync: 'connect a directory of users',
  domain_verification: 'verify a domain',
  audit_logs: 'read the audit log',
  log_streams: 'stream the audit log elsewhere',
  certificate_renewal: 'renew a certificate',
};

/**
 * @param {import('./index.mjs').Context} context
 * @returns {import('express').Router}
 */
export function organizationRoutes({ clients, directory }) {
  const router = express.Router();

  router.get(MEMBERSHIPS_PATH, requireServerKey(clients), (req, res) => {
    const { 'statuses[]': repeated, ...query } = req.query;
    const { user_id, organization_id, statuses, limit = String(DEFAULT_LIMIT), after, before } = parametersOf(query);
    if (!/^\d+$/.test(limit) || Number(limit) < 1 || Number(limit) > MAX_LIMIT) {
      throw new ApiError(422, 'invalid_request_parameters', `limit must be from 1 to ${MAX_LIMIT}`);
    }
    const wanted = [statuses?.split(',') ?? [], repeated ?? []].flat(2);
    const matching = directory.users
      .filter((user) => !user_id || user.id === user_id)
      .flatMap((user) => user.memberships.map((membership) => membershipResponse(directory, user, membership)))
      .filter((membership) => !organization_id || membership.organization_id === organization_id)
      .filter((membership) => wanted.length === 0 || wanted.includes(membership.status));
    res.json(pageOf(matching, { limit: Number(limit), after, before }));
  });

  router.post(PORTAL_LINK_PATH, requireServerKey(clients), express.json(), (req, res) => {
    const { organization, intent, return_url } = parametersOf(req.body);
    const missing = [!organization && 'organization', !intent && 'intent'].filter(Boolean);
    if (!organization || !intent) {
      const errors = missing.map((field) => ({ field, code: 'required' }));
      throw new ApiError(422, 'unprocessable_entity', `${missing.join(' and ')} must be given`, { errors });
    }
    if (!Object.hasOwn(PORTAL_INTENTS, intent)) {
      throw new ApiError(
        422,
        'unprocessable_entity',
        `intent must be one of ${Object.keys(PORTAL_INTENTS).join(', ')}`,
      );
    }
    if (!directory.organization(organization)) {
      throw new ApiError(404, 'entity_not_found', `Organization not found: '${organization}'.`);
    }
    const link = new URL(`/portal/${intent}/${encodeURIComponent(organization)}`, `http://${req.get('host')}`);
    if (return_url) link.searchParams.set('return_url', loopbackUrl('return_url', return_url).href);
    res.json({ link: link.href });
  });

  router.get('/portal/:intent/:organization', (req, res) => {
    const organization = directory.organization(req.params.organization);
    const purpose = Object.entries(PORTAL_INTENTS).find(([intent]) => intent === req.params.intent)?.[1];
    if (!organization || !purpose) throw new ApiError(404, 'not_found', 'There is no such page of the Admin Portal.');
    const { return_url } = parametersOf(req.query);
    const returnUrl = return_url ? loopbackUrl('return_url', return_url).href : null;
    sendPage(res, 200, portalPage({ organization: organization.name, purpose, returnUrl }));
  });

  return router;
}

/**
 * @param {import('./users.mjs').Directory} directory
 * @param {import('./users.mjs').User} user
 * @param {import('./users.mjs').Membership} membership
 * @returns the membership object of WorkOS's API
 */
function membershipResponse(directory, user, { organizationId, role = 'member' }) {
  return {
    object: 'organization_membership',
    // The directory keeps no ids of memberships: user and organization make one that stays.
    id: `om_${digest(`${user.id} ${organizationId}`).replace(/[-_]/g, '').slice(0, 26).toUpperCase()}`,
    user_id: user.id,
    organization_id: organizationId,
    organization_name: directory.organization(organizationId)?.name ?? organizationId,
    status: STATUS,
    role: { slug: role },
    roles: [{ slug: role }],
    directory_managed: false,
    custom_attributes: {},
    user: userResponse(user),
    created_at: user.createdAt,
    updated_at: user.createdAt,
  };
}

/**
 * @template {{id: string}} T
 * @param {T[]} all
 * @param {{limit: number, after?: string, before?: string}} options
 * @returns {{object: 'list', data: T[], list_metadata: {before: string | null, after: string | null}}}
 */
export function pageOf(all, { limit, after, before }) {
  const indexOf = (/** @type {string} */ id) => {
    const index = all.findIndex((item) => item.id === id);
    if (index < 0) throw new ApiError(422, 'invalid_request_parameters', 'the cursor is not of this list');
    return index;
  };
  const end = before ? indexOf(before) : all.length;
  const start = after ? indexOf(after) + 1 : before ? Math.max(0, end - limit) : 0;
  const data = all.slice(start, Math.min(end, start + limit));
  const last = start + data.length;
  return {
    object: 'list',
    data,
    list_metadata: {
      before: start > 0 && data.length > 0 ? data[0].id : null,
      after: last < all.length && data.length > 0 ? data[data.length - 1].id : null,
    },
  };
}
