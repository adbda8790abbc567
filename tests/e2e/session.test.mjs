import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';

import { ADA_ID, ENGINES_ORG_ID, GRACE_ID } from '../../local/authkit/index.mjs';
import { assertDetail, assertUnauthorized, assertUnavailable } from './support/assertions.mjs';
import { openSession, sealSession } from './support/sealed.mjs';
import { present } from './support/values.mjs';
import { SESSION_COOKIE, startWorld } from './support/world.mjs';

const LOGOUT_PATH = '/user_management/sessions/logout';

const world = await startWorld();
const { authkit } = world;

/** `GET /me` with exactly that session cookie. @param {string} value */
function askWithCookie(value, worker = world.worker) {
  return world.anonymous(worker).request('GET', '/me', { headers: { cookie: `${SESSION_COOKIE}=${value}` } });
}

/** A browser that is signed in, and its session cookie's value. @param {'Ada' | 'Grace'} name */
async function sessionCookieOf(name, worker = world.worker) {
  const browser = await world.signedIn(name, worker);
  return present(browser.cookies().get(SESSION_COOKIE), 'the session cookie');
}

/** @param {import('./support/actors.mjs').Browser} browser */
function parts(browser) {
  return [...browser.cookies().keys()].filter((name) => name.startsWith(`${SESSION_COOKIE}.`)).sort();
}

test('/me shows user, session, organization and permissions', async () => {
  const browser = await world.signedIn('Ada');
  const answer = await browser.request('GET', '/me');
  assert.equal(answer.status, 200);
  const { user, session_id: sessionId, expires_at: expiresAt, ...rest } = answer.json;
  assert.equal(user.id, ADA_ID);
  assert.equal(user.email, 'ada@example.com');
  assert.equal(user.first_name, 'Ada');
  assert.ok(authkit.sessions.some(({ id, userId }) => id === sessionId && userId === ADA_ID));
  assert.match(expiresAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
  assert.ok(Date.parse(expiresAt) > Date.now() && Date.parse(expiresAt) <= Date.now() + 301_000, expiresAt);
  assert.deepEqual(rest, {
    organization_id: ENGINES_ORG_ID,
    role: 'admin',
    roles: ['admin'],
    permissions: ['expenses:read', 'expenses:write', 'members:manage'],
    entitlements: [],
    feature_flags: [],
    impersonator: null,
  });
});

test('/me shows entitlements, feature flags and the impersonator', async (t) => {
  const grace = present(authkit.findUser(GRACE_ID));
  const organization = present(authkit.organizations.find(({ id }) => id === ENGINES_ORG_ID));
  t.after(() => {
    grace.impersonator = null;
    Object.assign(organization, { entitlements: [], featureFlags: [] });
  });
  grace.impersonator = { email: 'support@example.com', reason: 'ticket 7' };
  Object.assign(organization, { entitlements: ['audit-logs'], featureFlags: ['beta'] });

  const browser = await world.signedIn('Grace');
  const me = (await browser.request('GET', '/me')).json;
  assert.deepEqual(me.impersonator, { email: 'support@example.com', reason: 'ticket 7' });
  assert.deepEqual(me.entitlements, ['audit-logs']);
  assert.deepEqual(me.feature_flags, ['beta']);
  // Who sees the user's pages is to see that it is not the user.
  assert.match((await browser.open('/')).text, /support@example\.com/);
});

test('the home page names the user or offers sign-in', async () => {
  const stranger = await world.browser().open('/');
  assert.equal(stranger.status, 200);
  assert.match(stranger.text, /<a [^>]*href="\/login/);
  const page = await (await world.signedIn('Grace')).open('/');
  assert.equal(page.status, 200);
  assert.match(page.text, /grace@example\.com/);
});

test('a session cookie with a flipped bit is refused', async () => {
  const sealed = await sessionCookieOf('Ada');
  const bytes = Buffer.from(sealed, 'base64');
  const positions = {
    nonce: 0,
    'nonce, last': 11,
    ciphertext: 12,
    middle: bytes.length >> 1,
    'tag, first': bytes.length - 16,
    'tag, last': bytes.length - 1,
  };
  for (const [where, position] of Object.entries(positions)) {
    const changed = Buffer.from(bytes);
    changed[position] ^= 1;
    const answer = await askWithCookie(changed.toString('base64'));
    assertUnauthorized(answer);
    assert.ok(!answer.text.includes(ADA_ID), where);
  }
  assert.equal((await askWithCookie(sealed)).status, 200, 'it was a good one');
});

test('a cut, garbled or foreign session cookie is refused', async () => {
  const sealed = await sessionCookieOf('Ada');
  const browser = world.browser();
  await browser.open('/login');
  const [[, signInCookie]] = browser.cookies('/callback');
  const values = {
    empty: '',
    'one character': 'A',
    'not base64': '%%%',
    'a nonce alone': randomBytes(12).toString('base64'),
    'a nonce and a tag': randomBytes(28).toString('base64'),
    noise: randomBytes(500).toString('base64'),
    'cut at its end': sealed.slice(0, -4),
    'cut at its start': sealed.slice(4),
    twice: sealed + sealed,
    'sealed, but no session': sealSession({ hello: 'world' }, world.cookiePassword),
    'sealed, with a token that is none': sealSession(
      { access_token: 'x', refresh_token: 'y', user: { id: ADA_ID } },
      world.cookiePassword,
    ),
    'sealed, with an empty token': sealSession({ access_token: '', refresh_token: '' }, world.cookiePassword),
    'sealed for a sign-in': signInCookie,
  };
  for (const [what, value] of Object.entries(values)) {
    const answer = await askWithCookie(value);
    assert.equal(answer.status, 401, `${what}: ${answer}`);
    assertUnauthorized(answer);
  }
});

test('a session cookie is no sign-in cookie', async () => {
  const sealed = await sessionCookieOf('Ada');
  const browser = world.browser();
  await browser.open('/login');
  const [[name]] = browser.cookies('/callback');
  const exchanges = world.codeExchanges();
  const state = new URL((await browser.open('/login')).url).searchParams.get('state');
  const answer = await world
    .anonymous()
    .request('GET', `/callback?code=x&state=${state}`, { headers: { cookie: `${name}=${sealed}` } });
  assert.equal(answer.status, 302, `${answer}`);
  assert.equal(answer.location.pathname, '/login');
  assert.equal(world.codeExchanges(), exchanges);
});

test("another password's session cookie is no session", async () => {
  const other = await world.startWorker({ vars: { WORKOS_COOKIE_PASSWORD: randomBytes(32).toString('hex') } });
  const sealed = await sessionCookieOf('Ada', other);
  assert.equal((await askWithCookie(sealed, other)).status, 200, 'it was a good one');
  assertUnauthorized(await askWithCookie(sealed));
});

test('passphrase seals and opens sessions like a hex key', async () => {
  const worker = await world.startWorker({ vars: { WORKOS_COOKIE_PASSWORD: 'a passphrase, 32 characters long.' } });
  const sealed = await sessionCookieOf('Ada', worker);
  assert.equal((await askWithCookie(sealed, worker)).json.user.id, ADA_ID);
  assertUnauthorized(await askWithCookie(sealed));
});

test('a previous password opens sessions but seals none', async () => {
  const sealed = await sessionCookieOf('Ada');
  const password = randomBytes(32).toString('hex');
  const rotated = await world.startWorker({
    vars: { WORKOS_COOKIE_PASSWORD: password, WORKOS_COOKIE_PASSWORD_PREVIOUS: world.cookiePassword },
  });
  assert.equal((await askWithCookie(sealed, rotated)).json.user.id, ADA_ID);

  const fresh = await sessionCookieOf('Grace', rotated);
  assert.equal(openSession(fresh, password).user.id, GRACE_ID);
  assertUnauthorized(await askWithCookie(fresh));
});

test('a session sealed by the official SDK opens here', async () => {
  const accessToken = authkit.mintToken();
  world.keepSecret(accessToken, 'an access token');
  const session = { access_token: accessToken, refresh_token: 'rt_1', user: null, impersonator: null };
  assert.equal((await askWithCookie(sealSession(session, world.cookiePassword))).json.user.id, ADA_ID);

  // Whatever the cookie says of the user, the signed `sub` is who it is.
  const graces = { ...session, user: { object: 'user', id: GRACE_ID, email: 'grace@example.com' } };
  const answer = await askWithCookie(sealSession(graces, world.cookiePassword));
  assert.ok(answer.status === 401 || answer.json.user.id === ADA_ID, `${answer}`);
  assert.ok(!answer.text.includes('grace'), `${answer}`);
});

test('session with a token of foreign key is refused', async () => {
  for (const key of /** @type {const} */ (['stranger', 'none', 'hs256-public'])) {
    const session = { access_token: authkit.mintToken({ key }), refresh_token: 'rt_1', user: null, impersonator: null };
    assertUnauthorized(await askWithCookie(sealSession(session, world.cookiePassword)));
  }
});

test('session of 9 KB is split and shrinks cleanly', async (t) => {
  t.after(() => (authkit.settings.minAccessTokenBytes = 0));
  const browser = await world.signedIn('Ada');
  assert.deepEqual(parts(browser), []);

  authkit.settings.minAccessTokenBytes = 9_000;
  const long = await browser.open('/login?return_to=/me');
  assert.equal(long.status, 200, `${long}`);
  assert.deepEqual(browser.droppedCookies, []);
  assert.ok(parts(browser).length > 1);
  assert.deepEqual(
    parts(browser),
    parts(browser).map((_, index) => `${SESSION_COOKIE}.${index}`),
  );
  assert.ok(!browser.cookies().has(SESSION_COOKIE), 'the short form is gone');
  assert.ok(long.answer.json.permissions.length > 300);
  for (const line of long.to('/callback')[0].setCookies.filter((cookie) => cookie.startsWith(`${SESSION_COOKIE}.`))) {
    assert.match(line, /; HttpOnly/i);
    assert.match(line, /; SameSite=Lax/i);
    assert.match(line, /; Path=\/(;|$)/i);
  }

  authkit.settings.minAccessTokenBytes = 5_500;
  const countBefore = parts(browser).length;
  assert.equal((await browser.open('/login?return_to=/me')).status, 200);
  assert.ok(parts(browser).length > 1 && parts(browser).length < countBefore, `${parts(browser)}`);
  assert.equal((await browser.request('GET', '/me')).status, 200);

  authkit.settings.minAccessTokenBytes = 0;
  assert.equal((await browser.open('/login?return_to=/me')).status, 200);
  assert.deepEqual(parts(browser), []);
  assert.equal((await browser.request('GET', '/me')).json.permissions.length, 3);
});

test('missing, swapped or mixed session parts are refused', async (t) => {
  t.after(() => (authkit.settings.minAccessTokenBytes = 0));
  authkit.settings.minAccessTokenBytes = 9_000;
  const [ada, grace] = [await world.signedIn('Ada'), await world.signedIn('Grace')];
  const adas = [...ada.cookies()].filter(([name]) => parts(ada).includes(name));
  const graces = new Map(grace.cookies());
  const [[first, a], [second, b], ...rest] = adas;
  const tail = rest.map(([name, value]) => `${name}=${value}`);
  const cookies = {
    'the last missing': adas.slice(0, -1).map(([name, value]) => `${name}=${value}`),
    'the first missing': [`${second}=${b}`, ...tail],
    swapped: [`${first}=${b}`, `${second}=${a}`, ...tail],
    mixed: [`${first}=${a}`, `${second}=${graces.get(second)}`, ...tail],
  };
  for (const [what, pairs] of Object.entries(cookies)) {
    const answer = await world.anonymous().request('GET', '/me', { headers: { cookie: pairs.join('; ') } });
    assert.equal(answer.status, 401, `${what}: ${answer}`);
  }
});

test('signing out clears every part of a long session', async (t) => {
  t.after(() => (authkit.settings.minAccessTokenBytes = 0));
  authkit.settings.minAccessTokenBytes = 9_000;
  const browser = await world.signedIn('Ada');
  assert.ok(parts(browser).length > 1);
  await browser.submit(await browser.open('/'), 'Sign out');
  assert.deepEqual([...browser.cookies().keys()], []);
});

test('sign-out button ends the session here and at AuthKit', async () => {
  const browser = await world.signedIn('Ada');
  const { session_id: id } = (await browser.request('GET', '/me')).json;
  const page = await browser.submit(await browser.open('/'), 'Sign out');

  const [signOut] = page.to('/logout');
  assert.equal(signOut.status, 303);
  assert.equal(signOut.location.origin + signOut.location.pathname, authkit.url + LOGOUT_PATH);
  assert.equal(signOut.location.searchParams.get('session_id'), id);
  assert.equal(signOut.location.searchParams.get('return_to'), world.worker.url('/'));
  const cleared = present(signOut.setCookie(SESSION_COOKIE));
  assert.equal(cleared.value, '');
  assert.equal(cleared.attributes['max-age'], '0');
  assert.equal(cleared.attributes.path, '/');

  assert.equal(page.url.href, world.worker.url('/'));
  assert.match(page.text, /<a [^>]*href="\/login/);
  assert.ok(!browser.cookies().has(SESSION_COOKIE));
  assert.ok(!authkit.sessions.some((session) => session.id === id));
  assertUnauthorized(await browser.request('GET', '/me'));
  // AuthKit asks who it is: it has forgotten this browser too.
  assert.equal((await browser.open('/login')).url.origin, authkit.url);
});

test('/logout, typed into the address bar, signs out', async () => {
  const browser = await world.signedIn('Ada');
  const { session_id: id } = (await browser.request('GET', '/me')).json;
  const page = await browser.open('/logout');
  assert.equal(page.hops[0].status, 302);
  assert.equal(page.hops[0].location.searchParams.get('session_id'), id);
  assert.equal(page.url.href, world.worker.url('/'));
  assert.ok(!browser.cookies().has(SESSION_COOKIE));
  assert.ok(!authkit.sessions.some((session) => session.id === id));
});

test('HEAD /logout is not allowed, and signs nobody out', async () => {
  const browser = await world.signedIn('Ada');
  const { session_id: id } = (await browser.request('GET', '/me')).json;
  const answer = await browser.request('HEAD', '/logout');
  assert.equal(answer.status, 405, `${answer}`);
  assert.deepEqual(answer.header('allow').split(/, ?/).toSorted(), ['GET', 'POST']);
  assert.deepEqual(answer.setCookies, []);
  assert.equal((await browser.request('GET', '/me')).json.session_id, id);
});

test("another site's link or form signs nobody out", async () => {
  const browser = await world.signedIn('Ada');
  const linked = await browser.open('/logout', { from: 'https://evil.example', until: () => true });
  assert.equal(linked.status, 403, `${linked}`);
  // SameSite keeps the cookie from another site's form, but not from another port of this host.
  for (const headers of [
    { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' },
    { 'sec-fetch-site': 'same-site', origin: 'http://localhost:1' },
    { 'sec-fetch-site': undefined, origin: 'https://evil.example' },
    { 'sec-fetch-site': undefined, origin: 'null' },
  ]) {
    const answer = await browser.request('POST', '/logout', { headers });
    assertDetail(answer, 403);
    assert.equal(answer.setCookie(SESSION_COOKIE), undefined);
  }
  assert.equal((await browser.request('GET', '/me')).status, 200);
});

test('sign-out without a session leads to the home page', async () => {
  const answer = await world.browser().request('POST', '/logout');
  assert.equal(answer.status, 303, `${answer}`);
  assert.equal(answer.location.href, world.worker.url('/'));
});

test('signing out works while AuthKit is away', async () => {
  const fresh = await world.startWorker();
  const browser = world.browser(fresh);
  browser.plantCookie(`${SESSION_COOKIE}=${await sessionCookieOf('Ada')}; Path=/`);
  await world.withoutAuthKit(async () => {
    const answer = await browser.request('POST', '/logout');
    assert.equal(answer.status, 303, `${answer}`);
    assert.equal(answer.location.pathname, LOGOUT_PATH);
    assert.ok(!browser.cookies().has(SESSION_COOKIE));
  });
});

test('WORKOS_LOGOUT_REDIRECT sets the return address of sign-out', async () => {
  const worker = await world.startWorker({ vars: { WORKOS_LOGOUT_REDIRECT: 'http://localhost:1/bye' } });
  const browser = await world.signedIn('Ada', worker);
  const answer = await browser.request('POST', '/logout');
  assert.equal(answer.location.searchParams.get('return_to'), 'http://localhost:1/bye');
});

for (const [method, path] of [
  ['GET', '/me'],
  ['GET', '/expenses'],
  ['POST', '/expenses'],
  ['GET', '/expenses/7YBQTSVWGKVQGMH7Y926XY65Q7'],
  ['DELETE', '/expenses/7YBQTSVWGKVQGMH7Y926XY65Q7'],
]) {
  test(`${method} ${path.slice(0, 13)} answers curl without credentials with 401`, async () => {
    const json = method === 'POST' ? { description: 'x', amount: 1 } : undefined;
    const answer = await world.anonymous().request(method, path, { json });
    assertUnauthorized(answer);
    assert.ok(!answer.header('www-authenticate').includes('error='), 'no token was given');
    assert.equal(answer.headers.location, undefined);
  });
}

test('browser without session is redirected, a script is not', async () => {
  const browser = world.browser();
  for (const [path, returnTo] of [
    ['/expenses', '/expenses'],
    ['/me', '/me'],
    ['/expenses?limit=5&cursor=a%26b', '/expenses?limit=5&cursor=a%26b'],
  ]) {
    const page = await browser.open(path, { until: () => true });
    assert.equal(page.status, 302);
    assert.equal(page.next.origin + page.next.pathname, world.worker.url('/login'));
    assert.equal(page.next.searchParams.get('return_to'), returnTo);
    assertUnauthorized(await browser.request('GET', path));
  }
});

test('browser with an invalid session is redirected to sign-in', async () => {
  const browser = world.browser();
  browser.plantCookie(`${SESSION_COOKIE}=${randomBytes(500).toString('base64')}; Path=/`);
  const page = await browser.signIn('Grace', '/me');
  assert.equal(page.url.pathname, '/me', `${page}`);
  assert.equal(page.answer.json.user.id, GRACE_ID);
});

test('a bearer token overrides the cookie beside it', async () => {
  const browser = await world.signedIn('Ada');
  const ask = (/** @type {string} */ authorization) => browser.request('GET', '/me', { headers: { authorization } });
  const graces = authkit.mintToken({ claims: { sub: GRACE_ID } });
  world.keepSecret(graces, 'an access token');
  assert.equal((await ask(`Bearer ${graces}`)).json.user.id, GRACE_ID);
  assertUnauthorized(await ask('Bearer nonsense'));
  assertUnauthorized(await ask(`Bearer ${authkit.mintToken({ expSecs: -1 })}`));
});

test("another site's page changes nothing with this browser's cookie", async () => {
  const browser = await world.signedIn('Ada');
  const created = await browser.request('POST', '/expenses', { json: { description: 'mine', amount: 1 } });
  assert.equal(created.status, 201, `${created}`);
  const path = created.header('location');
  for (const headers of [
    { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' },
    { 'sec-fetch-site': 'same-site', origin: 'http://localhost:1' },
    { 'sec-fetch-site': 'cross-site', origin: undefined },
    { 'sec-fetch-site': undefined, origin: 'https://evil.example' },
    { 'sec-fetch-site': undefined, origin: `${world.worker.origin}.evil.example` },
    { 'sec-fetch-site': undefined, origin: 'null' },
  ]) {
    assertDetail(
      await browser.request('POST', '/expenses', { json: { description: 'theirs', amount: 1 }, headers }),
      403,
    );
    assertDetail(await browser.request('DELETE', path, { headers }), 403);
  }
  const expenses = (await browser.request('GET', '/expenses')).json;
  assert.deepEqual(
    expenses.map((/** @type {import('./support/expenses.mjs').Expense} */ { description }) => description),
    ['mine'],
  );
  // What only reads may come from elsewhere: a link on another site's page.
  assert.equal((await browser.open('/me', { from: 'https://example.com' })).status, 200);
  // An old browser's page and curl with a cookie send no Sec-Fetch-Site and are accepted.
  for (const headers of [{ 'sec-fetch-site': undefined }, { 'sec-fetch-site': undefined, origin: undefined }]) {
    const answer = await browser.request('POST', '/expenses', { json: { description: 'old', amount: 1 }, headers });
    assert.equal(answer.status, 201, `${answer}`);
  }
});

test('a session works during an outage with cached keys', async () => {
  const browser = await world.signedIn('Grace');
  await world.withoutAuthKit(async () => {
    assert.equal((await browser.request('GET', '/me')).json.user.id, GRACE_ID);
    const created = await browser.request('POST', '/expenses', { json: { description: 'on my own', amount: 2 } });
    assert.equal(created.status, 201, `${created}`);
    assert.equal((await browser.request('GET', '/expenses')).json[0].description, 'on my own');
  });
});

test('an undecidable session gets 503 and is kept', async () => {
  const sealed = await sessionCookieOf('Ada');
  const fresh = await world.startWorker();
  const browser = world.browser(fresh);
  browser.plantCookie(`${SESSION_COOKIE}=${sealed}; Path=/`);
  await world.withoutAuthKit(async () => {
    assertUnavailable(await browser.request('GET', '/me'));
    assertUnavailable(await browser.request('POST', '/expenses', { json: { description: 'x', amount: 1 } }));
    assertUnavailable(await world.bearer(undefined, fresh).request('GET', '/expenses'));
    for (const path of ['/me', '/']) {
      const page = await browser.open(path, { until: () => true });
      assert.equal(page.status, 503, `${page}`);
      assert.match(page.answer.header('retry-after'), /^[1-9]\d*$/);
    }
    assert.equal(browser.cookies().get(SESSION_COOKIE), sealed);
    // Requests that need nothing of AuthKit still succeed.
    assert.equal((await browser.request('GET', '/health')).status, 200);
    assertUnauthorized(await world.anonymous(fresh).request('GET', '/me'));
  });
  await fresh.advanceClock(31);
  assert.equal((await browser.request('GET', '/me')).json.user.id, ADA_ID);
});

test('no answer and no log line holds a secret', () => world.assertNothingLeaked());
