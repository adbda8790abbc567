/** API keys: users create and revoke them on the page, programs use them, and WorkOS is asked once a minute. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ADA_ID, ENGINES_ORG_ID } from '../../local/authkit/index.mjs';
import { assertDetail, assertInvalidToken, assertUnauthorized, assertUnavailable } from './support/assertions.mjs';
import { present } from './support/values.mjs';
import { startWorld } from './support/world.mjs';

const world = await startWorld({ vars: { WORKOS_API_KEYS: 'on' }, isolates: [{}, {}] });
const { authkit } = world;
const BOTH = ['expenses:read', 'expenses:write'];
const LUNCH = { description: 'Team lunch', amount: 42.5 };
/** How long an isolate relies on an accepted key. */
const ACCEPTED_SECS = 60;

/** How often WorkOS has checked a key. */
function validations() {
  return authkit.requests.count({ method: 'POST', path: '/api_keys/validations' });
}

/** The value on the page that shows a new key. @param {{ text: string }} page */
function valueOn({ text }) {
  return present(/<code class="secret">(sk_[\w-]+)</.exec(text)?.[1]);
}

/** @param {string[]} [permissions] */
function adasKey(permissions = BOTH) {
  const owner = { type: /** @type {const} */ ('user'), id: ADA_ID, organization_id: ENGINES_ORG_ID };
  return authkit.createApiKey({ owner, name: 'Laptop', permissions });
}

/** @param {import('./support/actors.mjs').Actor} actor */
async function descriptions(actor) {
  const answer = await actor.request('GET', '/expenses');
  assert.equal(answer.status, 200, `${answer}`);
  return answer.json.map((/** @type {{ description: string }} */ { description }) => description);
}

test('a user creates a key on the page, uses it, and revokes it', async () => {
  const browser = await world.signedIn('Ada');
  const empty = await browser.open('/api-keys');
  assert.equal(empty.status, 200, `${empty}`);
  const created = await browser.submit(empty, 'Create key', { fill: { name: 'Laptop', read: 'on', write: 'on' } });
  assert.equal(created.status, 201, `${created}`);
  assert.match(created.answer.header('cache-control'), /\bno-store\b/);
  assert.equal(created.url.search, '');
  const value = valueOn(created);

  const program = world.bearer(value);
  const before = validations();
  const added = await program.request('POST', '/expenses', { json: LUNCH });
  assert.equal(added.status, 201, `${added}`);
  assert.deepEqual(await descriptions(program), ['Team lunch']);
  assert.deepEqual(await descriptions(browser), ['Team lunch']);
  assert.equal(validations() - before, 1);

  const listed = await browser.open('/api-keys');
  assert.ok(listed.text.includes('Laptop') && !listed.text.includes(value), listed.text);
  const revoked = await browser.submit(listed, 'Revoke this key');
  assert.equal(revoked.status, 200, `${revoked}`);
  assert.ok(revoked.text.includes('The key is revoked.') && revoked.text.includes('You have no API keys.'));
  assertInvalidToken(await program.request('GET', '/expenses'));
});

test('a key that was revoked elsewhere works for a minute in each isolate', async () => {
  const { id, value } = adasKey();
  const programs = world.worker.isolates.map((isolate) => world.bearer(value, isolate));
  const before = validations();
  for (const program of [...programs, ...programs]) await descriptions(program);
  assert.equal(validations() - before, programs.length);
  assert.ok(authkit.deleteApiKey(id));
  for (const program of programs) await descriptions(program);
  await world.advanceClock(ACCEPTED_SECS);
  for (const program of programs) assertInvalidToken(await program.request('GET', '/expenses'));
  assert.equal(validations() - before, 2 * programs.length);
});

test('a program manages the keys of its user by the session token', async () => {
  const program = world.bearer();
  const made = await program.request('POST', '/api-keys', { json: { name: 'Cron', permissions: ['expenses:read'] } });
  // The token of no session has no organization, in which WorkOS would keep the key.
  assertDetail(made, 403, /organization/);
  const browser = await world.signedIn('Ada');
  const created = await browser.request('POST', '/api-keys', {
    json: { name: 'Cron', permissions: ['expenses:read'] },
  });
  assert.equal(created.status, 201, `${created}`);
  const { id, value } = created.json;
  const list = await program.request('GET', '/api-keys');
  assert.deepEqual(
    list.json.map((/** @type {{ id: string, name: string }} */ key) => [key.id, key.name]),
    [[id, 'Cron']],
  );
  const reader = world.bearer(value);
  await descriptions(reader);
  assertDetail(await reader.request('POST', '/expenses', { json: LUNCH }), 403, /lacks the permission expenses:write/);
  assertDetail(await reader.request('DELETE', `/api-keys/${id}`), 403);
  assert.equal((await browser.request('DELETE', `/api-keys/${id}`)).status, 204);
  assertDetail(await browser.request('DELETE', `/api-keys/${id}`), 404);
});

test('a key of an organization has its own expenses', async () => {
  const owner = { type: /** @type {const} */ ('organization'), id: ENGINES_ORG_ID };
  const { value } = authkit.createApiKey({ owner, name: 'Robot', permissions: BOTH });
  const robot = world.bearer(value);
  assert.deepEqual(await descriptions(robot), []);
  assert.equal((await robot.request('POST', '/expenses', { json: { ...LUNCH, description: 'Oil' } })).status, 201);
  assert.deepEqual(await descriptions(robot), ['Oil']);
  assert.ok(!(await descriptions(world.bearer(adasKey().value))).includes('Oil'));
  const me = await robot.request('GET', '/me');
  assert.deepEqual([me.json.user, me.json.organization_id], [null, ENGINES_ORG_ID]);
});

test('an agent uses the tools with a key', async () => {
  const program = world.bearer(adasKey().value);
  const call = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'list_expenses', arguments: {} } };
  const reply = await program.request('POST', '/mcp', { json: call });
  assert.equal(reply.status, 200, `${reply}`);
  assert.ok(Array.isArray(reply.json.result.structuredContent.expenses), `${reply}`);
});

test('a refusal of WorkOS is told on the page', async () => {
  const browser = await world.signedIn('Grace');
  const page = await browser.open('/api-keys');
  const body = { code: 'forbidden', message: 'User API keys are not enabled.' };
  authkit.hooks.add({ method: 'POST', path: '/user_management/*', status: 403, body, count: 1 });
  const refused = await browser.submit(page, 'Create key', { fill: { name: 'Laptop', read: 'on' } });
  assert.equal(refused.status, 403, `${refused}`);
  assert.ok(refused.text.includes('WorkOS does not allow this (forbidden: User API keys are not enabled.)'));
});

test('an outage of WorkOS is 503 for a key that is not known', async () => {
  const known = world.bearer(adasKey().value);
  await descriptions(known);
  const unknown = world.bearer(adasKey().value);
  await world.withoutAuthKit(async () => {
    assertUnavailable(await unknown.request('GET', '/expenses'));
    await descriptions(known);
  });
});

test('a key is no credential of a Worker that takes none', async () => {
  const worker = await world.startWorker();
  const before = validations();
  assertUnauthorized(await world.bearer(adasKey().value, worker).request('GET', '/expenses'));
  assert.equal(validations(), before);
  const browser = await world.signedIn('Ada', worker);
  assert.equal((await browser.open('/api-keys')).status, 404);
});

test('no answer and no log holds a key, except the one that creates it', async () => {
  await world.assertNothingLeaked();
});
