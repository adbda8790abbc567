/** API keys, read by WorkOS's own SDK. */

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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

const USER_KEYS_PATH = `/user_management/users/${ADA_ID}/api_keys`;
const ADAS_KEY = { name: 'Laptop', organization_id: ENGINES_ORG_ID, permissions: ['expenses:read'] };

/**
 * A listening AuthKit, closed when the test ends, and WorkOS's client of it.
 *
 * @param {import('node:test').TestContext} t
 * @param {import('./index.mjs').Options} [options]
 */
async function start(t, options) {
  const authkit = createAuthKit(options);
  t.after(() => authkit.close());
  const { url } = await authkit.listen();
  const { hostname, port } = new URL(url);
  const sdkOptions = { apiHostname: hostname, port: Number(port), https: false, clientId: DEFAULT_CLIENT_ID };
  return { authkit, url, workos: new WorkOS(DEFAULT_API_KEY, sdkOptions) };
}

/** @param {string} url @param {{method?: string, json?: unknown, key?: string}} [options] */
async function call(url, { method = 'GET', json, key = DEFAULT_API_KEY } = {}) {
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  const answer = await fetch(url, { method, headers, body: json === undefined ? undefined : JSON.stringify(json) });
  return { status: answer.status, body: answer.status === 204 ? null : await jsonOf(answer) };
}

test('the SDK validates the key of a user', async (t) => {
  const { url, workos } = await start(t);
  const { status, body: created } = await call(url + USER_KEYS_PATH, { method: 'POST', json: ADAS_KEY });
  assert.equal(status, 201);
  assert.match(created.value, /^sk_\w/);
  assert.equal(created.obfuscated_value, `sk_...${created.value.slice(-4)}`);

  const { apiKey } = await workos.apiKeys.validateApiKey({ value: created.value });
  assert.equal(apiKey?.id, created.id);
  assert.deepEqual(apiKey?.owner, { type: 'user', id: ADA_ID, organization_id: ENGINES_ORG_ID });
  assert.deepEqual([apiKey?.name, apiKey?.permissions], ['Laptop', ['expenses:read']]);
  assert.deepEqual(await workos.apiKeys.validateApiKey({ value: 'sk_unknown' }), { apiKey: null });
});

test('the SDK creates and lists the keys of an organization', async (t) => {
  const { workos } = await start(t);
  const created = await workos.organizations.createOrganizationApiKey({
    organizationId: ENGINES_ORG_ID,
    name: 'Robot',
    permissions: ['expenses:write'],
  });
  assert.deepEqual(created.owner, { type: 'organization', id: ENGINES_ORG_ID });
  const listed = async (/** @type {string} */ organizationId) =>
    (await workos.organizations.listOrganizationApiKeys({ organizationId })).data.map(({ id }) => id);
  assert.deepEqual(await listed(ENGINES_ORG_ID), [created.id]);
  assert.deepEqual(await listed(COMPILERS_ORG_ID), []);
  await assert.rejects(listed('org_nowhere'), { status: 404 });
});

test('a deleted key is unknown', async (t) => {
  const { url, workos } = await start(t);
  const { body: created } = await call(url + USER_KEYS_PATH, { method: 'POST', json: ADAS_KEY });
  await workos.apiKeys.deleteApiKey(created.id);
  assert.deepEqual(await workos.apiKeys.validateApiKey({ value: created.value }), { apiKey: null });
  await assert.rejects(workos.apiKeys.deleteApiKey(created.id), { status: 404 });
});

test('the list of a user has the newest key first and no values', async (t) => {
  const { authkit, url } = await start(t);
  const owner = { type: /** @type {const} */ ('user'), id: ADA_ID, organization_id: ENGINES_ORG_ID };
  const made = ['a', 'b', 'c'].map((name) => authkit.createApiKey({ owner, name }));
  authkit.createApiKey({ owner: { ...owner, id: GRACE_ID }, name: 'of Grace' });
  const { body: first } = await call(`${url}${USER_KEYS_PATH}?limit=2`);
  assert.deepEqual(
    first.data.map((/** @type {{name: string}} */ { name }) => name),
    ['c', 'b'],
  );
  const { body: second } = await call(`${url}${USER_KEYS_PATH}?limit=2&after=${first.list_metadata.after}`);
  assert.equal(second.data[0].name, 'a');
  assert.equal(second.list_metadata.after, null);
  for (const { value } of made) assert.ok(!JSON.stringify([first, second]).includes(value));
  const { body: others } = await call(`${url}${USER_KEYS_PATH}?organization_id=${COMPILERS_ORG_ID}`);
  assert.deepEqual(others.data, []);
});

test('an expired key is unknown', async (t) => {
  let now = Date.now();
  const { url, workos } = await start(t, { now: () => now });
  const expires_at = new Date(now + 60_000).toISOString();
  const { body } = await call(url + USER_KEYS_PATH, { method: 'POST', json: { ...ADAS_KEY, expires_at } });
  assert.ok((await workos.apiKeys.validateApiKey({ value: body.value })).apiKey);
  now += 60_000;
  assert.deepEqual(await workos.apiKeys.validateApiKey({ value: body.value }), { apiKey: null });
});

test('a key needs a name, a membership and sound fields', async (t) => {
  const { url } = await start(t);
  for (const [fields, status] of /** @type {[object, number][]} */ ([
    [{ name: '' }, 422],
    [{ name: undefined }, 422],
    [{ organization_id: undefined }, 422],
    [{ organization_id: 'org_nowhere' }, 422],
    [{ permissions: 'expenses:read' }, 422],
    [{ permissions: [5] }, 422],
    [{ expires_at: '2020-01-01T00:00:00Z' }, 422],
    [{}, 201],
  ])) {
    const { status: actual } = await call(url + USER_KEYS_PATH, { method: 'POST', json: { ...ADAS_KEY, ...fields } });
    assert.equal(actual, status, JSON.stringify(fields));
  }
  const unknown = await call(`${url}/user_management/users/user_nobody/api_keys`);
  assert.equal(unknown.status, 404);
});

test('the keys of a deleted user are unknown', async (t) => {
  const { authkit, url, workos } = await start(t);
  const { body } = await call(url + USER_KEYS_PATH, { method: 'POST', json: ADAS_KEY });
  authkit.deleteUser(ADA_ID);
  assert.deepEqual(await workos.apiKeys.validateApiKey({ value: body.value }), { apiKey: null });
});

test('keys survive a restart without their values in the file', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'local-authkit-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const stateFile = join(folder, 'state.json');
  const first = await start(t, { stateFile });
  const { body } = await call(first.url + USER_KEYS_PATH, { method: 'POST', json: ADAS_KEY });
  await first.authkit.close();
  assert.ok(!readFileSync(stateFile, 'utf8').includes(body.value));
  const { workos } = await start(t, { stateFile });
  assert.equal((await workos.apiKeys.validateApiKey({ value: body.value })).apiKey?.id, body.id);
});

test("the paths of keys need the server's key", async (t) => {
  const { url } = await start(t);
  for (const [method, path] of [
    ['POST', '/api_keys/validations'],
    ['DELETE', '/api_keys/api_key_1'],
    ['GET', `/organizations/${ENGINES_ORG_ID}/api_keys`],
    ['GET', USER_KEYS_PATH],
    ['POST', USER_KEYS_PATH],
  ]) {
    const { status } = await call(url + path, { method, key: 'sk_other' });
    assert.equal(status, 401, `${method} ${path}`);
  }
});
