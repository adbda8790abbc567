/** A session whose access token has expired: renewed on the way, kept through an outage, ended by AuthKit alone. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ADA_ID, ENGINES_ORG_ID, GRACE_ID } from '../../local/authkit/index.mjs';
import { BROWSER_USER_AGENT } from './support/actors.mjs';
import { assertDetail, assertInvalidToken, assertUnauthorized, assertUnavailable } from './support/assertions.mjs';
import { startRelay } from './support/relay.mjs';
import { openSession, sealSession } from './support/sealed.mjs';
import { cases } from './support/values.mjs';
import { AUTHENTICATE_PATH, CLIENT_ID, SESSION_COOKIE, startWorld } from './support/world.mjs';

const UNKNOWN_EXPENSE = '/expenses/7YBQTSVWGKVQGMH7Y926XY65Q7';

const world = await startWorld();
const { authkit } = world;
// A refused refresh polls for another isolate's session, and these tests have no other isolate.
await world.worker.limitTimers(20);

/** @typedef {ReturnType<typeof openSession>} Session */
/** @typedef {import('./support/actors.mjs').Browser} Browser */

/**
 * Makes AuthKit answer every request for tokens as the hook says, until the test is over.
 *
 * @param {import('node:test').TestContext} t
 * @param {Omit<import('../../local/authkit/hooks.mjs').HookInput, 'method' | 'path'>} hook
 */
function hookRefresh(t, hook) {
  const { id } = authkit.hooks.add({ method: 'POST', path: AUTHENTICATE_PATH, ...hook });
  t.after(() => authkit.hooks.remove(id));
  return { remove: () => authkit.hooks.remove(id) };
}

/** @param {Session} session */
function expiryOf(session) {
  return JSON.parse(Buffer.from(session.access_token.split('.')[1], 'base64url').toString()).exp;
}

/**
 * The answer brings the browser a session that is newer than the one it had, with a sound cookie.
 *
 * @param {import('./support/http.mjs').Answer} answer
 * @param {Session} before
 * @param {import('./support/actors.mjs').Browser} browser
 */
function assertCarries(answer, before, browser) {
  const cookie = answer.setCookie(SESSION_COOKIE);
  assert.ok(cookie?.value, `${answer} carries no session`);
  assert.deepEqual(cookie.attributes, { path: '/', 'max-age': '34560000', samesite: 'Lax', httponly: true });
  assert.match(answer.header('cache-control'), /\bno-store\b/);
  const session = world.sessionOf(browser);
  assert.equal(openSession(cookie.value, world.cookiePassword).refresh_token, session.refresh_token);
  assert.notEqual(session.refresh_token, before.refresh_token);
  assert.ok(expiryOf(session) > expiryOf(before));
}

test('an expired session is renewed once per expiry', async () => {
  const browser = await world.signedIn('Ada');
  const { session_id: id } = (await browser.request('GET', '/me')).json;
  const before = world.refreshes();
  for (let renewal = 1; renewal <= 3; renewal += 1) {
    const old = world.sessionOf(browser);
    await world.expire();
    const answer = await browser.request('GET', '/me');
    assert.equal(answer.status, 200, `${answer}`);
    assert.equal(answer.json.user.email, 'ada@example.com');
    assert.equal(answer.json.session_id, id);
    assertCarries(answer, old, browser);
    assert.equal(world.refreshes() - before, renewal);
    const next = await browser.request('GET', '/me');
    assert.equal(next.status, 200);
    assert.deepEqual(next.setCookies, []);
    assert.equal(world.refreshes() - before, renewal);
  }
});

test('a session is not renewed before its last second', async () => {
  const browser = await world.signedIn('Ada');
  const before = world.refreshes();
  await world.advanceClock(authkit.settings.accessTokenTtlSecs - 5);
  const answer = await browser.request('GET', '/me');
  assert.equal(answer.status, 200);
  assert.deepEqual(answer.setCookies, []);
  assert.equal(world.refreshes(), before);
});

test('a session that slept for a week is renewed', async () => {
  const browser = await world.signedIn('Ada');
  await world.advanceClock(7 * 86_400);
  assert.equal((await browser.request('GET', '/me')).json.user.id, ADA_ID);
});

/**
 * Every way that a protected path can answer.
 *
 * @type {Record<string, { method: string, path: string | ((browser: Browser) => Promise<string>), options?: object, status: number, kv?: import('./support/worker.mjs').KvOperation[] }>}
 */
const PROTECTED = {
  'GET /me': { method: 'GET', path: '/me', status: 200 },
  'HEAD /me': { method: 'HEAD', path: '/me', status: 200 },
  'GET /expenses': { method: 'GET', path: '/expenses', status: 200 },
  'POST /expenses': {
    method: 'POST',
    path: '/expenses',
    options: { json: { description: 'x', amount: 1 } },
    status: 201,
  },
  'GET an expense': { method: 'GET', path: newExpense, status: 200 },
  'DELETE an expense': { method: 'DELETE', path: newExpense, status: 204 },
  'POST /organization': {
    method: 'POST',
    path: '/organization',
    options: { json: { organization_id: ENGINES_ORG_ID } },
    status: 200,
  },
  'GET an expense that is not there': { method: 'GET', path: UNKNOWN_EXPENSE, status: 404 },
  'DELETE an expense that is not there': { method: 'DELETE', path: UNKNOWN_EXPENSE, status: 404 },
  'GET /expenses with a bad limit': { method: 'GET', path: '/expenses?limit=0', status: 422 },
  'POST /expenses with nothing in it': { method: 'POST', path: '/expenses', options: { json: {} }, status: 422 },
  'POST /expenses with no JSON': {
    method: 'POST',
    path: '/expenses',
    options: { body: '{', headers: { 'content-type': 'application/json' } },
    status: 422,
  },
  'POST /expenses with a text': {
    method: 'POST',
    path: '/expenses',
    options: { body: 'x', headers: { 'content-type': 'text/plain' } },
    status: 415,
  },
  'POST /expenses with too much': {
    method: 'POST',
    path: '/expenses',
    options: { json: { description: 'x'.repeat(70_000), amount: 1 } },
    status: 413,
  },
  'POST /organization with nothing in it': {
    method: 'POST',
    path: '/organization',
    options: { json: {} },
    status: 422,
  },
  'POST /organization with a text': {
    method: 'POST',
    path: '/organization',
    options: { body: 'x', headers: { 'content-type': 'text/plain' } },
    status: 415,
  },
  'GET /expenses while KV fails': {
    method: 'GET',
    path: '/expenses',
    status: 503,
    kv: ['get', 'put', 'list', 'delete'],
  },
  'POST /expenses while KV fails': {
    method: 'POST',
    path: '/expenses',
    options: { json: { description: 'x', amount: 1 } },
    status: 201,
    kv: ['get', 'put', 'list', 'delete'],
  },
  'GET /me while KV fails': { method: 'GET', path: '/me', status: 200, kv: ['get', 'put', 'list', 'delete'] },
};

/** @param {import('./support/actors.mjs').Browser} browser */
async function newExpense(browser) {
  return (await browser.request('POST', '/expenses', { json: { description: 'x', amount: 1 } })).header('location');
}

for (const [what, { method, path, options, status, kv = [] }] of Object.entries(PROTECTED)) {
  test(`${what} renews the session, and its ${status} carries it`, async (t) => {
    const browser = await world.signedIn('Ada');
    const target = typeof path === 'string' ? path : await path(browser);
    const before = world.sessionOf(browser);
    await world.expire();
    t.after(() => world.worker.failKv());
    await world.worker.failKv(...kv);
    const answer = await browser.request(method, target, options);
    await world.worker.failKv();
    assert.equal(answer.status, status, `${answer}`);
    assertCarries(answer, before, browser);
    const next = await browser.request('GET', '/me');
    assert.equal(next.status, 200, `${next}`);
    assert.deepEqual(next.setCookies, []);
  });
}

for (const [path, status] of cases([
  ['/', 200],
  ['/me', 200],
  ['/expenses', 200],
  [UNKNOWN_EXPENSE, 404],
])) {
  test(`page at ${path.slice(0, 14)} renews an expired session in place`, async () => {
    const browser = await world.expired('Ada');
    const before = world.sessionOf(browser);
    const page = await browser.open(path);
    assert.equal(page.hops.length, 1, `${page}`);
    assert.equal(page.status, status, `${page}`);
    assertCarries(page.answer, before, browser);
    if (path === '/') assert.match(page.text, /ada@example\.com/);
  });
}

test('paths that are public renew nothing', async () => {
  const browser = await world.expired('Ada');
  const cookie = browser.cookies().get(SESSION_COOKIE);
  const before = world.refreshes();
  assert.equal((await browser.request('GET', '/health')).status, 200);
  assertDetail(await browser.request('GET', '/nowhere'), 404);
  assert.equal((await browser.open('/login', { until: () => true })).status, 302);
  assert.equal(browser.cookies().get(SESSION_COOKIE), cookie);
  assert.equal(world.refreshes(), before);
});

test("another site's page renews nothing by its writes", async () => {
  const browser = await world.expired('Ada');
  const before = world.refreshes();
  const headers = { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' };
  assertDetail(await browser.request('POST', '/expenses', { json: { description: 'x', amount: 1 }, headers }), 403);
  assert.equal(world.refreshes(), before);
});

test('a bearer token is never renewed', async () => {
  const browser = await world.signedIn('Ada');
  const token = authkit.mintToken();
  world.keepSecret(token, 'an access token');
  await world.expire();
  const before = world.refreshes();
  const answer = await browser.request('GET', '/me', { headers: { authorization: `Bearer ${token}` } });
  assertInvalidToken(answer);
  assert.deepEqual(answer.setCookies, []);
  assert.equal(world.refreshes(), before);
});

test('refresh sends AuthKit the browser and the token only', async () => {
  const relay = await startRelay(authkit.url);
  const worker = await world.startWorker({ vars: { WORKOS_BASE_URL: relay.url } });
  const browser = await world.expired('Ada', worker);
  const { refresh_token: token } = world.sessionOf(browser);
  assert.equal((await browser.request('GET', '/me')).status, 200);
  assert.deepEqual(relay.bodies.at(-1), {
    grant_type: 'refresh_token',
    refresh_token: token,
    client_id: CLIENT_ID,
    client_secret: world.apiKey,
    ip_address: '127.0.0.1',
    user_agent: BROWSER_USER_AGENT,
  });
});

for (const [what, hook] of Object.entries({
  'is down': { status: 503 },
  fails: { status: 500 },
  'has had too many requests': { status: 429 },
  'does not answer': { delay_ms: 60_000 },
  'answers with a page of something else': { status: 200, body: { hello: 'world' } },
  "does not take this Worker's own secret": { status: 401, body: { error: 'invalid_client', error_description: 'x' } },
  'gives tokens that nobody has signed': {
    status: 200,
    body: {
      user: { object: 'user', id: ADA_ID, email: 'ada@example.com' },
      access_token: 'a.b.c',
      refresh_token: 'another refresh token',
    },
  },
})) {
  test(`while AuthKit ${what}, expired session gets 503 and stays`, async (t) => {
    const worker = await world.startWorker();
    const browser = await world.expired('Ada', worker);
    const cookie = browser.cookies().get(SESSION_COOKIE);
    await worker.limitTimeouts(100);
    const { remove } = hookRefresh(t, hook);
    const answers = [
      await browser.request('GET', '/me'),
      await browser.request('GET', '/expenses'),
      await browser.request('POST', '/expenses', { json: { description: 'x', amount: 1 } }),
    ];
    for (const answer of answers) {
      assertUnavailable(answer);
      assert.deepEqual(answer.setCookies, []);
    }
    for (const path of ['/me', '/']) {
      const page = await browser.open(path, { until: () => true });
      assert.equal(page.status, 503, `${page}`);
      assert.match(page.answer.header('retry-after'), /^[1-9]\d*$/);
      assert.match(page.answer.header('content-type'), /^text\/html/);
    }
    assert.equal(browser.cookies().get(SESSION_COOKIE), cookie);

    remove();
    if (what.startsWith('gives')) return;
    await world.advanceClock(5);
    const answer = await browser.request('GET', '/me');
    assert.equal(answer.status, 200, `${answer}`);
    assert.equal(answer.json.user.id, ADA_ID);
  });
}

test('an unreachable AuthKit gets 503 and keeps the session', async () => {
  const browser = await world.expired('Ada');
  const cookie = browser.cookies().get(SESSION_COOKIE);
  await world.withoutAuthKit(async () => {
    for (let hour = 0; hour < 5; hour += 1) {
      assertUnavailable(await browser.request('GET', '/me'));
      await world.advanceClock(3600);
    }
    assert.equal(browser.cookies().get(SESSION_COOKIE), cookie);
  });
  assert.equal((await browser.request('GET', '/me')).json.user.id, ADA_ID);
});

test('already expired tokens are not requested endlessly', async (t) => {
  const browser = await world.expired('Ada');
  const cookie = browser.cookies().get(SESSION_COOKIE);
  t.after(() => (authkit.settings.accessTokenTtlSecs = 300));
  const before = world.refreshes();
  authkit.settings.accessTokenTtlSecs = -60;
  assertUnavailable(await browser.request('GET', '/me'));
  assert.equal(browser.cookies().get(SESSION_COOKIE), cookie);
  assert.equal(world.refreshes() - before, 1);
});

test('a session recovers once AuthKit sends valid tokens', async (t) => {
  const browser = await world.expired('Ada');
  t.after(() => (authkit.settings.accessTokenTtlSecs = 300));
  authkit.settings.accessTokenTtlSecs = -60;
  assertUnavailable(await browser.request('GET', '/me'));
  authkit.settings.accessTokenTtlSecs = 300;
  await world.advanceClock(30);
  const answer = await browser.request('GET', '/me');
  assert.equal(answer.status, 200, `${answer}`);
});

test('a session ended by AuthKit loses its cookie', async () => {
  const signIn = async () => {
    const browser = await world.signedIn('Ada');
    return { browser, id: (await browser.request('GET', '/me')).json.session_id };
  };
  const sessions = [await signIn(), await signIn(), await signIn()];
  for (const { browser, id } of sessions) {
    authkit.revokeSession(id);
    // Until it expires its token is as good as it was.
    assert.equal((await browser.request('GET', '/me')).status, 200);
  }
  await world.expire();
  const [curl, page, home] = sessions.map(({ browser }) => browser);
  const [answer, asked, shown] = await Promise.all([
    curl.request('GET', '/expenses'),
    page.open('/expenses?limit=3', { until: () => true }),
    home.open('/'),
  ]);
  assertUnauthorized(answer);
  assert.equal(asked.status, 302, `${asked}`);
  assert.equal(asked.next.pathname, '/login');
  assert.equal(asked.next.searchParams.get('return_to'), '/expenses?limit=3');
  assert.match(shown.text, /<a [^>]*href="\/login/);
  for (const { browser } of sessions) {
    assert.deepEqual([...browser.cookies().keys()], []);
    assertUnauthorized(await browser.request('GET', '/me'));
    const again = await browser.signIn('Ada', '/me');
    assert.equal(again.answer.json.user.id, ADA_ID, `${again}`);
  }
});

test('an unknown refresh token ends the session at expiry', async () => {
  const accessToken = authkit.mintToken({ expSecs: -1 });
  const session = {
    access_token: accessToken,
    refresh_token: 'a made-up refresh token',
    user: null,
    impersonator: null,
  };
  const cookie = `${SESSION_COOKIE}=${sealSession(session, world.cookiePassword)}`;
  const answer = await world.anonymous().request('GET', '/me', { headers: { cookie } });
  assertUnauthorized(answer);
  assert.equal(answer.setCookie(SESSION_COOKIE)?.value, '');
});

test('required step is left to sign-in and keeps cookie', async (t) => {
  const browser = await world.expired('Ada');
  const cookie = browser.cookies().get(SESSION_COOKIE);
  const { remove } = hookRefresh(t, {
    status: 403,
    body: { code: 'mfa_enrollment', message: 'The sign-in needs a further step.' },
  });
  assertUnauthorized(await browser.request('GET', '/me'));
  const page = await browser.open('/me', { until: () => true });
  assert.equal(page.status, 302);
  assert.equal(page.next.pathname, '/login');
  assert.equal(browser.cookies().get(SESSION_COOKIE), cookie);
  remove();
  // What AuthKit has said is remembered for a second.
  await world.expire();
  assert.equal((await browser.request('GET', '/me')).json.user.id, ADA_ID);
});

test('tokens of another user do not replace a session', async (t) => {
  const browser = await world.expired('Ada');
  const graces = authkit.mintToken({ claims: { sub: GRACE_ID } });
  world.keepSecret(graces, 'an access token');
  hookRefresh(t, {
    status: 200,
    body: {
      user: { object: 'user', id: GRACE_ID, email: 'grace@example.com' },
      access_token: graces,
      refresh_token: "Grace's refresh token",
    },
  });
  const answer = await browser.request('GET', '/me');
  assert.ok(answer.status >= 400, `${answer}`);
  assert.ok(!answer.text.includes('grace'), `${answer}`);
  assert.ok(!answer.setCookie(SESSION_COOKIE)?.value);
});

test('sign-out ends an expired session at AuthKit without refresh', async () => {
  const browser = await world.signedIn('Ada');
  const { session_id: id } = (await browser.request('GET', '/me')).json;
  await world.expire();
  const before = world.refreshes();
  const page = await browser.open('/logout');
  assert.equal(page.hops[0].location.searchParams.get('session_id'), id);
  assert.ok(!authkit.sessions.some((session) => session.id === id));
  assert.deepEqual([...browser.cookies().keys()], []);
  assert.equal(world.refreshes(), before);
});

test('no answer and no log line holds a secret', () => world.assertNothingLeaked());
