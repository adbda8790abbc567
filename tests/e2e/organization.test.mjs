/** `POST /organization`: the session goes on in another organization, or the answer says what AuthKit wants first. */

import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import { COMPILERS_ORG_ID, ENGINES_ORG_ID, GRACE_ID } from '../../local/authkit/index.mjs';
import {
  assertDetail,
  assertInvalidToken,
  assertProblems,
  assertUnauthorized,
  assertUnavailable,
} from './support/assertions.mjs';
import { present } from './support/values.mjs';
import { AUTHENTICATE_PATH, SESSION_COOKIE, startWorld } from './support/world.mjs';

const world = await startWorld();
const { authkit } = world;
const compilers = present(authkit.organizations.find(({ id }) => id === COMPILERS_ORG_ID));
const grace = present(authkit.findUser(GRACE_ID));
// A refused refresh polls for another isolate's session, and these tests have no other isolate.
await world.worker.limitTimers(20);

beforeEach(() => {
  compilers.requirement = null;
  grace.requirement = null;
  authkit.hooks.clear();
});

/**
 * @param {import('./support/actors.mjs').Actor} actor
 * @param {string} organizationId
 * @param {import('./support/actors.mjs').RequestOptions} [options]
 */
function switchTo(actor, organizationId, options) {
  return actor.request('POST', '/organization', { json: { organization_id: organizationId }, ...options });
}

/**
 * `/me` as that browser sees it, without what changes at every refresh.
 *
 * @param {import('./support/actors.mjs').Browser} browser
 */
async function me(browser) {
  const { expires_at: _, ...rest } = (await browser.request('GET', '/me')).json;
  return rest;
}

/**
 * The answer refuses, names the reason and where to go; browser and session are as they were.
 *
 * @param {import('./support/http.mjs').Answer} answer
 * @param {import('./support/actors.mjs').Browser} browser
 * @param {string} reason
 * @param {Awaited<ReturnType<typeof me>>} before
 * @param {string} [organization]
 */
async function assertRefused(answer, browser, reason, before, organization = COMPILERS_ORG_ID) {
  assertDetail(answer, 403, new RegExp(`\\b${reason}\\b`));
  assert.ok(answer.json.detail.includes(`/login?organization_id=${organization}`), `${answer}`);
  assert.deepEqual(answer.setCookies, []);
  assert.deepEqual(await me(browser), before);
}

test('a user switches to another organization and back', async () => {
  const browser = await world.signedIn('Grace');
  const before = await me(browser);
  assert.equal(before.organization_id, ENGINES_ORG_ID);
  assert.deepEqual(before.role, 'member');
  const refreshes = world.refreshes();

  const answer = await switchTo(browser, COMPILERS_ORG_ID);
  assert.equal(answer.status, 200, `${answer}`);
  assert.equal(answer.json.organization_id, COMPILERS_ORG_ID);
  assert.ok(answer.setCookie(SESSION_COOKIE)?.value);
  assert.match(answer.header('cache-control'), /\bno-store\b/);
  assert.equal(world.refreshes() - refreshes, 1);

  const there = await me(browser);
  assert.deepEqual(there, {
    ...before,
    user: there.user,
    organization_id: COMPILERS_ORG_ID,
    role: 'admin',
    roles: ['admin'],
    permissions: ['expenses:read', 'expenses:write'],
  });
  assert.equal(there.user.id, GRACE_ID);
  assert.equal((await switchTo(browser, ENGINES_ORG_ID)).status, 200);
  assert.deepEqual(await me(browser), { ...before, user: (await me(browser)).user });
});

test('the organization stays through renewals', async () => {
  const browser = await world.signedIn('Grace');
  assert.equal((await switchTo(browser, COMPILERS_ORG_ID)).status, 200);
  for (let renewal = 0; renewal < 2; renewal += 1) {
    await world.expire();
    assert.equal((await me(browser)).organization_id, COMPILERS_ORG_ID);
  }
});

test('a session that has expired switches too', async () => {
  const browser = await world.expired('Grace');
  const answer = await switchTo(browser, COMPILERS_ORG_ID);
  assert.equal(answer.status, 200, `${answer}`);
  assert.equal((await me(browser)).organization_id, COMPILERS_ORG_ID);
});

test('two concurrent switches succeed and keep the session', async () => {
  const browser = await world.signedIn('Grace');
  const answers = await Promise.all([switchTo(browser, COMPILERS_ORG_ID), switchTo(browser, ENGINES_ORG_ID)]);
  assert.deepEqual(
    answers.map(({ status }) => status),
    [200, 200],
    `${answers}`,
  );
  assert.deepEqual(
    answers.map(({ json }) => json.organization_id),
    [COMPILERS_ORG_ID, ENGINES_ORG_ID],
  );
  const { organization_id: organization } = await me(browser);
  await world.expire();
  assert.equal((await me(browser)).organization_id, organization);
});

test('stale session reaches the new organization after it expires', async () => {
  const browser = await world.signedIn('Grace');
  const tab = browser.twin();
  assert.equal((await switchTo(browser, COMPILERS_ORG_ID)).status, 200);
  assert.equal((await me(tab)).organization_id, ENGINES_ORG_ID);
  await world.advanceClock(authkit.settings.accessTokenTtlSecs - 2);
  const refreshes = world.refreshes();
  await world.advanceClock(1);
  await me(tab);
  await world.advanceClock(2);
  assert.equal((await me(tab)).organization_id, COMPILERS_ORG_ID);
  assert.ok(world.refreshes() - refreshes <= 1);
});

for (const reason of [
  'sso_required',
  'mfa_enrollment',
  'mfa_challenge',
  'email_verification_required',
  'organization_authentication_methods_required',
]) {
  test(`${reason} is reported with a link and keeps session`, async () => {
    const browser = await world.signedIn('Grace');
    const before = await me(browser);
    compilers.requirement = reason;
    await assertRefused(await switchTo(browser, COMPILERS_ORG_ID), browser, reason, before);
    // The refused switch spent no token: the session can still be renewed, and the switch made.
    await world.expire();
    assert.equal((await me(browser)).organization_id, ENGINES_ORG_ID);
    compilers.requirement = null;
    assert.equal((await switchTo(browser, COMPILERS_ORG_ID)).status, 200);
  });
}

test('the reported link signs in to the organization', async () => {
  const browser = await world.signedIn('Grace');
  compilers.requirement = 'sso_required';
  const answer = await switchTo(browser, COMPILERS_ORG_ID);
  const [path] = present(/\/login\?[^\s.]*/.exec(answer.json.detail));
  const page = await browser.open(path, { until: (url) => url.origin === authkit.url });
  assert.equal(page.next.searchParams.get('organization_id'), COMPILERS_ORG_ID);
  const signedIn = await browser.signIn('Grace', path);
  assert.equal(signedIn.url.pathname, '/expenses', `${signedIn}`);
  assert.equal((await me(browser)).organization_id, COMPILERS_ORG_ID);
});

test('a refused switch keeps the session it renewed', async () => {
  const browser = await world.expired('Grace');
  compilers.requirement = 'sso_required';
  const answer = await switchTo(browser, COMPILERS_ORG_ID);
  assertDetail(answer, 403, /sso_required/);
  assert.ok(answer.setCookie(SESSION_COOKIE)?.value);
  const next = await browser.request('GET', '/me');
  assert.equal(next.status, 200);
  assert.deepEqual(next.setCookies, []);
});

test('an unknown or foreign organization is refused', async () => {
  const browser = await world.signedIn('Ada');
  const before = await me(browser);
  const { id: foreign } = authkit.addOrganization({ name: 'Foreign' });
  await assertRefused(await switchTo(browser, foreign), browser, 'organization_membership_not_found', before, foreign);
  for (const organizationId of ['org_nowhere', '../../etc/passwd', '<script>alert(1)</script>', 'ä', 'x'.repeat(255)]) {
    const answer = await switchTo(browser, organizationId);
    assertDetail(answer, 403);
    assert.deepEqual(answer.setCookies, []);
  }
  assert.deepEqual(await me(browser), before);
});

test("AuthKit's words are escaped on a page", async () => {
  const browser = await world.signedIn('Grace');
  authkit.hooks.add({
    method: 'POST',
    path: AUTHENTICATE_PATH,
    status: 403,
    body: { code: 'sso_required', message: '<script>alert(1)</script>' },
    count: 1,
  });
  const answer = await switchTo(browser, COMPILERS_ORG_ID, { headers: { accept: 'text/html' } });
  assert.equal(answer.status, 403);
  assert.ok(!answer.text.includes('<script'), answer.text);
});

/** @type {Record<string, { options: object, problems: [string, ...(string | number)[]][] }>} */
const INVALID = {
  nothing: { options: {}, problems: [['missing', 'body']] },
  'an empty body': {
    options: { body: '', headers: { 'content-type': 'application/json' } },
    problems: [['missing', 'body']],
  },
  'no JSON': {
    options: { body: '{]', headers: { 'content-type': 'application/json' } },
    problems: [['json_invalid', 'body', 1]],
  },
  'a list': { options: { json: [] }, problems: [['model_attributes_type', 'body']] },
  'no organization': { options: { json: {} }, problems: [['missing', 'body', 'organization_id']] },
  'an organization that is null': {
    options: { json: { organization_id: null } },
    problems: [['string_type', 'body', 'organization_id']],
  },
  'an organization that is a number': {
    options: { json: { organization_id: 7 } },
    problems: [['string_type', 'body', 'organization_id']],
  },
  'an empty organization': {
    options: { json: { organization_id: '' } },
    problems: [['string_too_short', 'body', 'organization_id']],
  },
  'an organization of spaces': {
    options: { json: { organization_id: '  ' } },
    problems: [['string_too_short', 'body', 'organization_id']],
  },
  'an organization that is too long': {
    options: { json: { organization_id: 'x'.repeat(256) } },
    problems: [['string_too_long', 'body', 'organization_id']],
  },
  'a member that is not known': {
    options: { json: { organization: ENGINES_ORG_ID } },
    problems: [
      ['missing', 'body', 'organization_id'],
      ['extra_forbidden', 'body', 'organization'],
    ],
  },
  'a member too many': {
    options: { json: { organization_id: COMPILERS_ORG_ID, tip: 1 } },
    problems: [['extra_forbidden', 'body', 'tip']],
  },
};

for (const [what, { options, problems }] of Object.entries(INVALID)) {
  test(`a switch with ${what} is refused without asking AuthKit`, async () => {
    const browser = await world.signedIn('Grace');
    const refreshes = world.refreshes();
    const answer = await browser.request('POST', '/organization', options);
    assertProblems(answer, problems);
    assert.equal(world.refreshes(), refreshes);
    assert.equal((await me(browser)).organization_id, ENGINES_ORG_ID);
  });
}

test("another site's page switches nothing", async () => {
  const browser = await world.signedIn('Grace');
  const refreshes = world.refreshes();
  for (const headers of [
    { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' },
    { 'sec-fetch-site': 'same-site', origin: 'http://localhost:1' },
    { 'sec-fetch-site': undefined, origin: 'https://evil.example' },
    { 'sec-fetch-site': undefined, origin: 'null' },
  ]) {
    const answer = await switchTo(browser, COMPILERS_ORG_ID, { headers });
    assertDetail(answer, 403);
    assert.deepEqual(answer.setCookies, []);
  }
  assert.equal(world.refreshes(), refreshes);
  assert.equal((await me(browser)).organization_id, ENGINES_ORG_ID);
});

test('a bearer token cannot switch its organization', async () => {
  const refreshes = world.refreshes();
  assertDetail(await switchTo(world.bearer(), COMPILERS_ORG_ID), 403, /token/);
  assertInvalidToken(await switchTo(world.bearer('nonsense'), COMPILERS_ORG_ID));
  assertUnauthorized(await switchTo(world.anonymous(), COMPILERS_ORG_ID));
  assert.equal(world.refreshes(), refreshes);
});

for (const method of ['GET', 'HEAD', 'PUT', 'DELETE']) {
  test(`${method} /organization is not allowed`, async () => {
    const answer = await (await world.signedIn('Grace')).request(method, '/organization');
    assert.equal(answer.status, 405, `${answer}`);
    assert.equal(answer.headers.allow, 'POST');
  });
}

for (const [what, hook] of Object.entries({
  'is down': { status: 503 },
  'has had too many requests': { status: 429 },
  'does not answer': { delay_ms: 60_000 },
})) {
  test(`while AuthKit ${what}, switch gets 503 and changes nothing`, async () => {
    const worker = await world.startWorker();
    const browser = await world.signedIn('Grace', worker);
    const before = await me(browser);
    await worker.limitTimeouts(100);
    const { id } = authkit.hooks.add({ method: 'POST', path: AUTHENTICATE_PATH, ...hook });
    const answer = await switchTo(browser, COMPILERS_ORG_ID);
    assertUnavailable(answer);
    assert.deepEqual(answer.setCookies, []);
    assert.deepEqual(await me(browser), before);
    authkit.hooks.remove(id);
    await world.advanceClock(5);
    assert.equal((await switchTo(browser, COMPILERS_ORG_ID)).status, 200);
  });
}

test('switch of ended session gets 401 and clears cookies', async () => {
  const browser = await world.signedIn('Grace');
  authkit.revokeSession((await me(browser)).session_id);
  assertUnauthorized(await switchTo(browser, COMPILERS_ORG_ID));
  assert.deepEqual([...browser.cookies().keys()], []);
});

test('no answer and no log line holds a secret', () => world.assertNothingLeaked());
