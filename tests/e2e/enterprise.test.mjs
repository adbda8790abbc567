/** Signing in to an organization and through its identity provider: what `/login` is given reaches AuthKit. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { COMPILERS_ORG_ID, ENGINES_ORG_ID, GRACE_ID } from '../../local/authkit/index.mjs';
import { SESSION_COOKIE, startWorld } from './support/world.mjs';

const CHOOSERS = ['organization_id', 'connection_id', 'provider'];

const world = await startWorld();
const { authkit } = world;

/** @param {Record<string, string>} parameters */
function login(parameters, returnTo = '/me') {
  return `/login?${new URLSearchParams({ ...parameters, return_to: returnTo })}`;
}

/** Where `/login` leads, without going there. @returns {Promise<URL>} @param {Record<string, string>} parameters */
async function authorizeUrl(parameters) {
  const answer = await world.anonymous().request('GET', login(parameters));
  assert.equal(answer.status, 302, `${answer}`);
  return answer.location;
}

/** @type {Record<string, string>[]} */
const CHOICES = [
  { organization_id: COMPILERS_ORG_ID, domain_hint: 'example.com' },
  { connection_id: 'conn_01JM0CK', domain_hint: 'example.com', login_hint: 'grace@example.com' },
  { organization_id: COMPILERS_ORG_ID, provider: 'authkit', domain_hint: 'example.com' },
  { organization_id: COMPILERS_ORG_ID, connection_id: 'conn_01JM0CK', provider: 'GoogleOAuth' },
  { organization_id: 'org_&provider=authkit#x', domain_hint: 'bücher.example', connection_id: 'conn 1+1=2%20' },
];
for (const parameters of CHOICES) {
  test(`${Object.keys(parameters).join(' and ')} reach AuthKit as given: ${Object.values(parameters).join(', ')}`, async () => {
    const url = await authorizeUrl(parameters);
    for (const name of [...CHOOSERS, 'domain_hint', 'login_hint']) {
      assert.deepEqual(url.searchParams.getAll(name), name in parameters ? [parameters[name]] : [], name);
    }
    assert.equal(url.hash, '');
  });
}

test('an empty value is none', async () => {
  const url = await authorizeUrl({ organization_id: '', connection_id: '', domain_hint: '', provider: '' });
  assert.deepEqual(url.searchParams.getAll('provider'), ['authkit']);
  for (const name of ['organization_id', 'connection_id', 'domain_hint'])
    assert.equal(url.searchParams.has(name), false, name);
});

for (const [organization, role] of [
  [ENGINES_ORG_ID, 'member'],
  [COMPILERS_ORG_ID, 'admin'],
]) {
  test(`sign-in to ${organization} gives a session with its role`, async () => {
    const browser = world.browser();
    const page = await browser.signIn('Grace', login({ organization_id: organization }));
    assert.equal(page.status, 200, `${page}`);
    const { user, organization_id: organizationId, role: shown, roles } = page.answer.json;
    assert.deepEqual([user.id, organizationId, shown, roles], [GRACE_ID, organization, role, [role]]);
    await world.expire();
    assert.equal((await browser.request('GET', '/me')).json.organization_id, organization);
  });
}

test("a user's expenses are the same in every organization", async () => {
  const browser = world.browser();
  await browser.signIn('Grace', login({ organization_id: ENGINES_ORG_ID }));
  const created = await browser.request('POST', '/expenses', { json: { description: 'Conference', amount: '99.00' } });
  await browser.open(login({ organization_id: COMPILERS_ORG_ID }));
  const me = await browser.request('GET', '/me');
  assert.equal(me.json.organization_id, COMPILERS_ORG_ID, `${me}`);
  assert.deepEqual((await browser.request('GET', '/expenses')).json, [created.json]);
});

/** @type {[string, Record<string, string>, string][]} */
const SIGN_INS = [
  ['a connection', { connection_id: 'conn_01JM0CK' }, 'SSO'],
  ['a provider', { provider: 'GoogleOAuth' }, 'GoogleOAuth'],
];
for (const [what, parameters, method] of SIGN_INS) {
  test(`sign-in through ${what} makes a session of that kind`, async () => {
    const browser = world.browser();
    const page = await browser.signIn('Grace', login(parameters));
    assert.equal(page.status, 200, `${page}`);
    const { session_id: id } = page.answer.json;
    assert.equal(authkit.sessions.find((session) => session.id === id)?.authenticationMethod, method);
  });
}

test('organization of others is refused and the session stays', async () => {
  const browser = await world.signedIn('Ada');
  const before = browser.cookies().get(SESSION_COOKIE);
  const { id: foreign } = authkit.addOrganization({ name: 'Foreign' });
  for (const organization of [foreign, 'org_unknown', 'org_<script>alert(1)</script>']) {
    const page = await browser.submit(await browser.open(login({ organization_id: organization })), 'Ada');
    assert.equal(page.url.pathname, '/callback', `${page}`);
    assert.ok(page.status >= 400 && page.status < 500, `${page}`);
    assert.match(page.text, /not a member of the organization/);
    assert.doesNotMatch(page.text, /<script>/);
    assert.equal(browser.cookies().get(SESSION_COOKIE), before);
  }
  assert.equal((await browser.request('GET', '/me')).json.organization_id, ENGINES_ORG_ID);
});

test('an unknown, repeated or oversized hint is ignored', async () => {
  for (const query of [
    'domain_hint=no.such.example',
    'domain_hint=a.example&domain_hint=b.example',
    `domain_hint=${'x'.repeat(2000)}`,
    'domain_hint=%FF%00',
    'unknown=1',
  ]) {
    const browser = world.browser();
    const page = await browser.signIn('Ada', `/login?${query}&return_to=/me`);
    assert.equal(page.url.pathname, '/me', `${query}: ${page}`);
    assert.equal(page.status, 200, query);
  }
});

test('no answer and no log line holds a secret', () => world.assertNothingLeaked());
