/** Memberships and the Admin Portal, read by WorkOS's own SDK. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { WorkOS } from '@workos-inc/node';

import { jsonOf } from '../../tests/e2e/support/values.mjs';
import {
  ADA_ID,
  COMPILERS_ORG_ID,
  createAuthKit,
  DEFAULT_API_KEY,
  DEFAULT_CLIENT_ID,
  ENGINES_ORG_ID,
  GRACE_ID,
} from './index.mjs';
import { PORTAL_INTENTS } from './organizations.mjs';

const RETURN_URL = 'http://localhost:8787/account';

/**
 * A listening AuthKit, closed when the test ends, and WorkOS's client of it.
 *
 * @param {import('node:test').TestContext} t
 */
async function start(t) {
  const authkit = createAuthKit();
  t.after(() => authkit.close());
  const { url } = await authkit.listen();
  const { hostname, port } = new URL(url);
  const options = { apiHostname: hostname, port: Number(port), https: false, clientId: DEFAULT_CLIENT_ID };
  return { authkit, workos: new WorkOS(DEFAULT_API_KEY, options) };
}

/** @param {string} url @param {RequestInit} [options] */
function withKey(url, options = {}) {
  const headers = { authorization: `Bearer ${DEFAULT_API_KEY}`, 'content-type': 'application/json' };
  return fetch(url, { ...options, headers });
}

test('the SDK lists the memberships of a user with names', async (t) => {
  const { workos } = await start(t);
  for (const [userId, roles] of /** @type {[string, string[]][]} */ ([
    [ADA_ID, ['admin', 'member']],
    [GRACE_ID, ['member', 'admin']],
  ])) {
    const { data } = await workos.userManagement.listOrganizationMemberships({ userId, statuses: ['active'] });
    assert.deepEqual(
      data.map(({ organizationId, organizationName, role, status }) => [
        organizationId,
        organizationName,
        role.slug,
        status,
      ]),
      [
        [ENGINES_ORG_ID, 'Analytical Engines', roles[0], 'active'],
        [COMPILERS_ORG_ID, 'Compilers Company', roles[1], 'active'],
      ],
    );
    for (const membership of data) {
      assert.match(membership.id, /^om_\w{20,}$/);
      assert.equal(membership.userId, userId);
    }
  }
});

test('the SDK follows the pages of the list', async (t) => {
  const { authkit, workos } = await start(t);
  const organizations = Array.from({ length: 12 }, (_, index) => authkit.addOrganization({ name: `Number ${index}` }));
  const user = authkit.addUser({
    email: 'many@example.com',
    memberships: organizations.map(({ id }) => ({ organizationId: id })),
  });
  const names = (/** @type {{organizationName: string}[]} */ data) => data.map((each) => each.organizationName);
  const expected = organizations.map(({ name }) => name);
  const whole = await workos.userManagement.listOrganizationMemberships({ userId: user.id });
  assert.deepEqual(names(whole.data), expected.slice(0, 10));
  assert.deepEqual(names(await whole.autoPagination()), expected);
  const first = await workos.userManagement.listOrganizationMemberships({ userId: user.id, limit: 3 });
  const second = await workos.userManagement.listOrganizationMemberships({
    userId: user.id,
    limit: 3,
    after: first.listMetadata.after,
  });
  assert.deepEqual(names(second.data), expected.slice(3, 6));
  const before = await workos.userManagement.listOrganizationMemberships({
    userId: user.id,
    limit: 3,
    before: second.data[0].id,
  });
  assert.deepEqual(names(before.data), expected.slice(0, 3));
});

test('a list may be of one organization or of other states', async (t) => {
  const { workos } = await start(t);
  const of = async (/** @type {import('@workos-inc/node').ListOrganizationMembershipsOptions} */ options) =>
    (await workos.userManagement.listOrganizationMemberships(options)).data.map(({ userId }) => userId);
  assert.deepEqual(await of({ organizationId: COMPILERS_ORG_ID }), [ADA_ID, GRACE_ID]);
  assert.deepEqual(await of({ userId: ADA_ID, statuses: ['inactive', 'pending'] }), []);
  assert.deepEqual(await of({ userId: 'user_nobody' }), []);
});

test('the SDK gets a link to a page that says what it stands for', async (t) => {
  const { workos } = await start(t);
  for (const [intent, purpose] of Object.entries(PORTAL_INTENTS)) {
    const { link } = await workos.portal.generateLink({
      organization: ENGINES_ORG_ID,
      intent: /** @type {import('@workos-inc/node').GeneratePortalLinkIntent} */ (intent),
      returnUrl: RETURN_URL,
    });
    const page = await (await fetch(link)).text();
    for (const text of ['This is not WorkOS', 'Analytical Engines', purpose.slice(0, 12), `href="${RETURN_URL}"`])
      assert.ok(page.includes(text), `${text} is not in ${page}`);
  }
});

test('a link needs an organization, an intent and a local return URL', async (t) => {
  const { authkit } = await start(t);
  for (const [body, status] of /** @type {[Record<string, string>, number][]} */ ([
    [{ intent: 'sso' }, 422],
    [{ organization: ENGINES_ORG_ID }, 422],
    [{ organization: ENGINES_ORG_ID, intent: 'billing' }, 422],
    [{ organization: 'org_nowhere', intent: 'sso' }, 404],
    [{ organization: ENGINES_ORG_ID, intent: 'sso', return_url: 'https://evil.example/' }, 400],
    [{ organization: ENGINES_ORG_ID, intent: 'sso' }, 200],
  ])) {
    const answer = await withKey(`${authkit.url}/portal/generate_link`, { method: 'POST', body: JSON.stringify(body) });
    assert.equal(answer.status, status, JSON.stringify(body));
  }
  assert.equal((await fetch(`${authkit.url}/portal/billing/${ENGINES_ORG_ID}`)).status, 404);
});

test('the paths of the server need its key', async (t) => {
  const { authkit } = await start(t);
  for (const [method, path] of [
    ['GET', '/user_management/organization_memberships'],
    ['POST', '/portal/generate_link'],
  ]) {
    for (const authorization of ['', 'Bearer sk_other']) {
      const answer = await fetch(`${authkit.url}${path}`, { method, headers: { authorization } });
      assert.deepEqual([answer.status, (await jsonOf(answer)).code], [401, 'unauthorized'], path);
    }
  }
});

test('a page of the list has from 1 to 100 members', async (t) => {
  const { authkit } = await start(t);
  for (const limit of ['0', '101', 'x', '-1']) {
    const answer = await withKey(`${authkit.url}/user_management/organization_memberships?limit=${limit}`);
    assert.equal(answer.status, 422, limit);
  }
  const foreign = await withKey(`${authkit.url}/user_management/organization_memberships?after=om_foreign`);
  assert.equal(foreign.status, 422);
});
