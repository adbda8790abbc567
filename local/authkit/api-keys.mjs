/**
 * API keys of users and of organizations, for the application's server: it checks a key that a caller sent, and
 * lists, creates and deletes keys. A value is told once and kept as a digest.
 */

import express from 'express';

import { ApiError } from './errors.mjs';
import { digest, newId, newSecret } from './ids.mjs';
import { pageOf } from './organizations.mjs';
import { parametersOf } from './parameters.mjs';
import { requireServerKey } from './server-key.mjs';
import { membershipOf } from './users.mjs';

export const VALIDATIONS_PATH = '/api_keys/validations';

/** WorkOS's default for a list, and the most that it gives at once. */
const DEFAULT_LIMIT = 10;
const MAX_LIMIT = 100;

/**
 * @typedef {{type: 'user', id: string, organization_id: string} | {type: 'organization', id: string}} Owner
 *
 * @typedef {object} ApiKey
 * @property {string} id
 * @property {Owner} owner
 * @property {string} name
 * @property {string} obfuscatedValue
 * @property {string[]} permissions
 * @property {string} createdAt
 * @property {string | null} lastUsedAt
 * @property {string | null} expiresAt
 */

/**
 * @typedef {object} NewApiKey
 * @property {Owner} owner
 * @property {string} name
 * @property {string[]} [permissions]
 * @property {string | null} [expiresAt]
 */

export class ApiKeyStore {
  /** @type {Map<string, ApiKey>} by the digest of the value, the oldest first */
  #keys;
  #now;
  #onChange;

  /**
   * @param {object} options
   * @param {() => number} options.now milliseconds
   * @param {() => void} options.onChange
   * @param {[string, ApiKey][]} [options.saved] as `toJSON` gave them
   */
  constructor({ now, onChange, saved = [] }) {
    this.#now = now;
    this.#onChange = onChange;
    this.#keys = new Map(saved);
  }

  /**
   * @param {NewApiKey} fields
   * @returns {{key: ApiKey, value: string}}
   */
  create({ owner, name, permissions = [], expiresAt = null }) {
    const value = `sk_local_${newSecret()}`;
    const now = this.#now();
    /** @type {ApiKey} */
    const key = {
      id: newId('api_key', now),
      owner,
      name,
      obfuscatedValue: `sk_...${value.slice(-4)}`,
      permissions,
      createdAt: new Date(now).toISOString(),
      lastUsedAt: null,
      expiresAt,
    };
    this.#keys.set(digest(value), key);
    this.#onChange();
    return { key, value };
  }

  /**
   * @param {string} value
   * @returns {ApiKey | undefined} nothing for an unknown, deleted or expired one
   */
  use(value) {
    const key = this.#keys.get(digest(value));
    if (!key || (key.expiresAt !== null && Date.parse(key.expiresAt) <= this.#now())) return undefined;
    key.lastUsedAt = new Date(this.#now()).toISOString();
    this.#onChange();
    return key;
  }

  /**
   * @param {(key: ApiKey) => boolean} matches
   * @returns {ApiKey[]} the newest first
   */
  list(matches) {
    return [...this.#keys.values()].filter(matches).reverse();
  }

  /**
   * @param {(key: ApiKey) => boolean} matches
   * @returns {boolean} whether there was one
   */
  delete(matches) {
    const deleted = [...this.#keys].filter(([, key]) => matches(key));
    for (const [hash] of deleted) this.#keys.delete(hash);
    if (deleted.length > 0) this.#onChange();
    return deleted.length > 0;
  }

  toJSON() {
    return [...this.#keys];
  }
}

/**
 * @param {import('./index.mjs').Context} context
 * @returns {import('express').Router}
 */
export function apiKeyRoutes({ apiKeys, clients, directory, now }) {
  const router = express.Router();
  const forServer = [requireServerKey(clients), express.json()];

  router.post(VALIDATIONS_PATH, ...forServer, (req, res) => {
    const { value } = parametersOf(req.body);
    const key = value === undefined ? undefined : apiKeys.use(value);
    res.json({ api_key: key ? response(key) : null });
  });

  router.delete('/api_keys/:id', ...forServer, (req, res) => {
    if (!apiKeys.delete(({ id }) => id === req.params.id)) throw notFound('ApiKey', String(req.params.id));
    res.status(204).end();
  });

  router
    .route('/organizations/:id/api_keys')
    .all(...forServer, (req, _res, next) => {
      if (!directory.organization(req.params.id)) throw notFound('Organization', req.params.id);
      next();
    })
    .get((req, res) => {
      const isOf = (/** @type {Owner} */ owner) => (owner.type === 'user' ? owner.organization_id : owner.id);
      res.json(page(req, ({ owner }) => isOf(owner) === req.params.id));
    })
    .post((req, res) => {
      create(req, res, { type: 'organization', id: req.params.id });
    });

  router
    .route('/user_management/users/:id/api_keys')
    .all(...forServer, (req, _res, next) => {
      if (directory.find(req.params.id)?.id !== req.params.id) throw notFound('User', req.params.id);
      next();
    })
    .get((req, res) => {
      const { organization_id } = parametersOf(req.query);
      const matches = (/** @type {Owner} */ owner) =>
        owner.type === 'user' &&
        owner.id === req.params.id &&
        (!organization_id || owner.organization_id === organization_id);
      res.json(page(req, ({ owner }) => matches(owner)));
    })
    .post((req, res) => {
      const user = directory.find(req.params.id);
      const organization_id = req.body?.organization_id;
      if (typeof organization_id !== 'string' || !user || !membershipOf(user, organization_id))
        throw invalid('organization_id', 'The user is no active member of the organization.');
      create(req, res, { type: 'user', id: user.id, organization_id });
    });

  /**
   * @param {import('express').Request} req
   * @param {(key: ApiKey) => boolean} matches
   */
  function page(req, matches) {
    const { limit = String(DEFAULT_LIMIT), after, before } = parametersOf(req.query);
    if (!/^\d+$/.test(limit) || Number(limit) < 1 || Number(limit) > MAX_LIMIT) {
      throw new ApiError(422, 'invalid_request_parameters', `limit must be from 1 to ${MAX_LIMIT}`);
    }
    return pageOf(apiKeys.list(matches).map(response), { limit: Number(limit), after, before });
  }

  /** @param {import('express').Request} req @param {import('express').Response} res @param {Owner} owner */
  function create(req, res, owner) {
    const { name, permissions = [], expires_at: expiresAt = null } = req.body ?? {};
    if (typeof name !== 'string' || name.trim() === '') throw invalid('name', 'A key needs a name.');
    const areTexts = Array.isArray(permissions) && permissions.every((permission) => typeof permission === 'string');
    if (!areTexts) throw invalid('permissions', 'The permissions are no list of slugs.');
    if (expiresAt !== null && !(Date.parse(expiresAt) > now())) throw invalid('expires_at', 'The time has passed.');
    const { key, value } = apiKeys.create({ owner, name, permissions, expiresAt });
    res.status(201).json({ ...response(key), value });
  }

  return router;
}

/** @param {string} kind @param {string} id */
function notFound(kind, id) {
  return new ApiError(404, 'entity_not_found', `${kind} not found: '${id}'.`);
}

/** @param {string} field @param {string} message */
function invalid(field, message) {
  return new ApiError(422, 'unprocessable_entity', message, { errors: [{ field, code: 'invalid' }] });
}

/** The object of WorkOS's API, without the value. @param {ApiKey} key */
function response(key) {
  return {
    object: 'api_key',
    id: key.id,
    owner: key.owner,
    name: key.name,
    obfuscated_value: key.obfuscatedValue,
    permissions: key.permissions,
    last_used_at: key.lastUsedAt,
    expires_at: key.expiresAt,
    created_at: key.createdAt,
    updated_at: key.createdAt,
  };
}
