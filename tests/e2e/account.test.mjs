/** The account: organizations by name, the permissions of a role, and the way to the Admin Portal. */

import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import { COMPILERS_ORG_ID, ENGINES_ORG_ID } from '../../local/authkit/index.mjs';
import { MEMBERSHIPS_PATH, PORTAL_LINK_PATH } from '../../local/authkit/organizations.mjs';
import { assertDetail, assertProblems, assertUnauthorized, assertUnavailable } from './support/assertions.mjs';
import { startWorld } from './support/world.mjs';

const world = await startWorld();
const { authkit } = world;
const PORTAL = '/organization/portal';
const LUNCH = { description: 'Lunch', amount: '10.00' };

beforeEach(() => authkit.hooks.clear());

/** How often WorkOS was asked for memberships. */
function asked() {
  return authkit.requests.count({ method: 'GET', path: MEMBERSHIPS_PATH });
}

/** @param {import('./support/actors.mjs').Actor} actor @param {string} organizationId */
async function switchTo(actor, organizationId) {
  const answer = await actor.request('POST', '/organization', { json: { organization_id: organizationId } });
  assert.equal(answer.status, 200, `${answer}`);
}

test('organizations have names, roles and the current one', async () => {
  const browser = await world.signedIn('Ada');
  const expected = (/** @type {string} */ current) => [
    { id: ENGINES_ORG_ID, name: 'Analytical Engines', role: 'admin', is_current: current === ENGINES_ORG_ID },
    { id: COMPILERS_ORG_ID, name: 'Compilers Company', role: 'member', is_current: current === COMPILERS_ORG_ID },
  ];
  assert.deepEqual((await browser.request('GET', '/organizations')).json, expected(ENGINES_ORG_ID));
  await switchTo(browser, COMPILERS_ORG_ID);
  assert.deepEqual((await browser.request('GET', '/organizations')).json, expected(COMPILERS_ORG_ID));
  assertUnauthorized(await world.anonymous().request('GET', '/organizations'));
});

test('WorkOS is asked once a minute, and by no list', async () => {
  const browser = await world.signedIn('Grace');
  const before = asked();
  for (const path of ['/expenses', '/', '/account', '/account']) assert.equal((await browser.open(path)).status, 200);
  await browser.request('GET', '/organizations');
  assert.equal(asked() - before, 1);
  await world.advanceClock(61);
  await browser.request('GET', '/organizations');
  assert.equal(asked() - before, 2);
});

test('account page switches by a button with a name', async () => {
  const browser = await world.signedIn('Ada');
  const page = await browser.submit(await browser.open('/account'), 'Switch');
  assert.equal(`${page.url.pathname}${page.url.search}`, '/account', `${page}`);
  assert.match(page.text, /Organization switched\./);
  assert.equal((await browser.request('GET', '/me')).json.organization_id, COMPILERS_ORG_ID);
});

for (const [what, hook] of Object.entries({ 'is down': { status: 503 }, 'refuses the key': { status: 401 } })) {
  test(`account page has no list while WorkOS ${what}`, async () => {
    const browser = await world.signedIn('Ada');
    await world.advanceClock(61);
    authkit.hooks.add({ method: 'GET', path: MEMBERSHIPS_PATH, ...hook });
    const page = await browser.open('/account');
    assert.equal(page.status, 200, `${page}`);
    assert.match(page.text, /Your organizations cannot be shown right now/);
    assertUnavailable(await browser.request('GET', '/organizations'));
    authkit.hooks.clear();
    assert.equal((await browser.request('GET', '/organizations')).json.length, 2);
  });
}

test('a role that may only read is held to it', async () => {
  const browser = await world.signedIn('Ada');
  const created = await browser.request('POST', '/expenses', { json: LUNCH });
  assert.equal(created.status, 201, `${created}`);
  await switchTo(browser, COMPILERS_ORG_ID);
  const path = `/expenses/${created.json.id}`;
  assert.equal((await browser.request('GET', path)).status, 200);
  const token = authkit.mintToken({ claims: { permissions: ['expenses:read'] } });
  for (const actor of [browser, world.bearer(token)]) {
    for (const [method, at, json] of /** @type {[string, string, object | undefined][]} */ ([
      ['POST', '/expenses', LUNCH],
      ['PUT', path, LUNCH],
      ['PATCH', path, { amount: '1.00' }],
      ['DELETE', path, undefined],
    ])) {
      const answer = await actor.request(method, at, { json });
      assertDetail(answer, 403, /Your role lacks the permission expenses:write/);
      assert.match(answer.headers['www-authenticate'] ?? '', /error="insufficient_scope", scope="expenses:write"/);
    }
  }
  const page = await browser.open('/expenses');
  assert.match(page.text, /You can see your expenses, but not add or change any/);
  assert.doesNotMatch(page.text, /Add expense|>Edit<|>Delete</);
  await switchTo(browser, ENGINES_ORG_ID);
  assert.equal((await browser.request('DELETE', path)).status, 204);
});

test('administrators are led to the portal and back', async () => {
  const browser = await world.signedIn('Ada');
  for (const [button, purpose] of /** @type {[string, RegExp][]} */ ([
    ['Set up single sign-on', /set up single sign-on/],
    ['Directory sync', /connect a directory/],
    ['Domain verification', /verify a domain/],
    ['Audit logs', /read the audit log/],
  ])) {
    const page = await browser.submit(await browser.open('/account'), button);
    assert.equal(page.url.origin, authkit.url, `${page}`);
    assert.match(page.text, purpose);
    assert.match(page.text, /Analytical Engines/);
    assert.ok(page.text.includes(`href="${world.worker.origin}/account"`), page.text);
  }
  const answer = await browser.request('POST', PORTAL, { json: { intent: 'dsync' } });
  assert.deepEqual([answer.status, Object.keys(answer.json)], [200, ['link']], `${answer}`);
  assert.ok(answer.json.link.startsWith(`${authkit.url}/portal/dsync/${ENGINES_ORG_ID}`), answer.json.link);
});

test('others are not led to the portal', async () => {
  const browser = await world.signedIn('Grace');
  const before = authkit.requests.count({ path: PORTAL_LINK_PATH });
  assert.doesNotMatch((await browser.open('/account')).text, /Set up single sign-on/);
  assertDetail(await browser.request('POST', PORTAL, { json: { intent: 'sso' } }), 403, /role or permission admin/);
  assert.equal(authkit.requests.count({ path: PORTAL_LINK_PATH }), before);
  // Grace is an administrator of the other organization.
  await switchTo(browser, COMPILERS_ORG_ID);
  assertProblems(await browser.request('POST', PORTAL, { json: { intent: 'log_streams' } }), [
    ['literal_error', 'body', 'intent'],
  ]);
  assert.equal((await browser.request('POST', PORTAL, { json: { intent: 'sso' } })).status, 200);
});

test('the portal is 503 while WorkOS is down', async () => {
  const browser = await world.signedIn('Ada');
  authkit.hooks.add({ method: 'POST', path: PORTAL_LINK_PATH, status: 503 });
  assertUnavailable(await browser.request('POST', PORTAL, { json: { intent: 'sso' } }));
});

test('no answer and no log line holds a secret', () => world.assertNothingLeaked());
