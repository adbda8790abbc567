import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { after, test } from 'node:test';

import { ADA_ID } from '../../local/authkit/index.mjs';
import { BROWSER_USER_AGENT } from './support/actors.mjs';
import { assertDetail } from './support/assertions.mjs';
import { openSession } from './support/sealed.mjs';
import { portOf, present } from './support/values.mjs';
import { AUTHENTICATE_PATH, CLIENT_ID, SESSION_COOKIE, startWorld } from './support/world.mjs';

const AUTHORIZE_PATH = '/user_management/authorize';

const world = await startWorld();
const { authkit } = world;

/** `GET /login` as curl sees it: where it leads, without going there. */
async function beginSignIn(query = '') {
  const answer = await world.anonymous().request('GET', `/login${query}`);
  assert.equal(answer.status, 302, `${answer}`);
  return answer.location;
}

/**
 * Signs Ada in up to AuthKit's redirect to the Worker, and answers with that address.
 *
 * @param {import('./support/actors.mjs').Browser} browser
 */
async function callbackUrl(browser, path = '/login') {
  const until = (/** @type {URL} */ url) => url.pathname === '/callback';
  const page = await browser.open(path, { until });
  return page.answer.status === 302 ? page.next : (await browser.submit(page, 'Ada', { until })).next;
}

/** Starts a server; its origin. @param {import('node:http').RequestListener} respond */
async function startServer(respond) {
  const server = createServer(respond).listen(0, '127.0.0.1');
  await once(server, 'listening');
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${portOf(server)}`;
}

/** @param {import('./support/http.mjs').Answer} answer @param {import('./support/actors.mjs').Browser} browser */
function assertNotSignedIn(answer, browser) {
  assert.ok(!answer.setCookie(SESSION_COOKIE)?.value, `${answer} sets a session`);
  assert.ok(!browser.cookies().has(SESSION_COOKIE));
}

test('a browser signs in and returns to its page', async () => {
  const browser = world.browser();
  const asked = await browser.open('/me?tab=2');
  assert.deepEqual(
    asked.hops.map(({ status, request }) => `${status} ${request.url.pathname}`),
    ['302 /me', '302 /login', `200 ${AUTHORIZE_PATH}`],
  );
  assert.equal(asked.hops[0].headers.location, '/login?return_to=%2Fme%3Ftab%3D2');

  const page = await browser.submit(asked, 'Ada');
  assert.deepEqual(
    page.hops.map(({ status, request }) => `${status} ${request.url.pathname}`),
    [`302 ${AUTHORIZE_PATH}`, '302 /callback', '200 /me'],
  );
  assert.equal(page.url.href, `${world.worker.origin}/me?tab=2`);
  assert.equal(page.answer.json.user.email, 'ada@example.com');
  assert.deepEqual(browser.droppedCookies, []);
});

test('a sign-in that began nowhere ends at the expenses', async () => {
  const browser = world.browser();
  const page = await browser.signIn('Ada', '/login');
  assert.equal(page.status, 200);
  assert.equal(page.url.href, `${world.worker.origin}/expenses`);
});

test('a person signs in with a typed e-mail address', async () => {
  const browser = world.browser();
  const page = await browser.submit(await browser.open('/login?return_to=/me'), 'Continue', {
    fill: { email: 'katherine@example.com' },
  });
  assert.equal(page.answer.json.user.email, 'katherine@example.com');
});

test("the authorization request has WorkOS's and PKCE's parameters", async () => {
  const url = await beginSignIn();
  assert.equal(url.origin + url.pathname, authkit.url + AUTHORIZE_PATH);
  const { state, code_challenge: challenge, ...rest } = Object.fromEntries(url.searchParams);
  assert.deepEqual(rest, {
    client_id: CLIENT_ID,
    redirect_uri: world.worker.url('/callback'),
    response_type: 'code',
    code_challenge_method: 'S256',
    provider: 'authkit',
  });
  assert.match(challenge, /^[A-Za-z0-9_-]{43}$/);
  assert.ok(state.length >= 16, state);
});

test('no two sign-ins share a state or a challenge', async () => {
  const [first, second] = [await beginSignIn(), await beginSignIn()];
  for (const name of ['state', 'code_challenge']) {
    assert.notEqual(first.searchParams.get(name), second.searchParams.get(name), name);
  }
});

test('hints are passed on, and unknown parameters are ignored', async () => {
  const url = await beginSignIn(
    '?screen_hint=sign-up&login_hint=ada%40example.com&domain_hint=example.com&utm_source=x&state=mine',
  );
  assert.equal(url.searchParams.get('screen_hint'), 'sign-up');
  assert.equal(url.searchParams.get('login_hint'), 'ada@example.com');
  assert.equal(url.searchParams.get('domain_hint'), 'example.com');
  assert.equal(url.searchParams.get('provider'), 'authkit');
  assert.equal(url.searchParams.has('utm_source'), false);
  assert.notEqual(url.searchParams.get('state'), 'mine');
  assert.equal(url.searchParams.getAll('state').length, 1);
});

for (const [name, value] of [
  ['organization_id', 'org_1'],
  ['connection_id', 'conn_1'],
  ['provider', 'GoogleOAuth'],
]) {
  test(`${name} takes the place of AuthKit's own provider`, async () => {
    const url = await beginSignIn(`?${name}=${value}`);
    assert.deepEqual(url.searchParams.getAll(name), [value]);
    assert.notEqual(url.searchParams.get('provider'), 'authkit');
  });
}

test('AuthKit is told which browser signs in, from where', async () => {
  const browser = await world.signedIn('Ada');
  const { session_id: id } = (await browser.request('GET', '/me')).json;
  const { userAgent, ipAddress } = present(authkit.sessions.find((session) => session.id === id));
  assert.deepEqual({ userAgent, ipAddress }, { userAgent: BROWSER_USER_AGENT, ipAddress: '127.0.0.1' });
});

test('on https both cookies are HttpOnly, Secure and Lax', async () => {
  const worker = await world.startWorker({ https: true });
  const browser = world.browser(worker);
  const begun = await browser.open('/login?return_to=/me');
  const [line] = begun.to('/login')[0].setCookies;
  assert.equal(begun.to('/login')[0].setCookies.length, 1);
  const signIn = present(begun.to('/login')[0].setCookie(line.split('=')[0]));
  const { 'max-age': signInMaxAge, path: _, ...signInAttributes } = signIn.attributes;
  assert.deepEqual(signInAttributes, { httponly: true, secure: true, samesite: 'Lax' });
  assert.ok(Number(signInMaxAge) > 0 && Number(signInMaxAge) <= 3600, `a sign-in is not kept for ${signInMaxAge} s`);

  const page = await browser.submit(begun, 'Ada');
  assert.deepEqual(page.to('/callback')[0].setCookie(`__Host-${SESSION_COOKIE}`)?.attributes, {
    httponly: true,
    secure: true,
    samesite: 'Lax',
    path: '/',
    'max-age': '34560000',
  });
  assert.equal(page.answer.json.user.email, 'ada@example.com');
});

test('curl signs in on http with its own jar', async () => {
  // Step by step, with nothing that only a browser sends: no Sec-Fetch-*, no Accept: text/html.
  const curl = world.anonymous();
  const begun = await curl.request('GET', '/login?return_to=/me');
  const jar = begun.setCookies.map((line) => line.split(';')[0]).join('; ');
  const authorized = await fetch(begun.location, {
    redirect: 'manual',
    headers: { 'x-local-authkit-user': 'grace@example.com' },
  });
  const callback = new URL(present(authorized.headers.get('location')));
  const signedIn = await curl.request('GET', callback.pathname + callback.search, { headers: { cookie: jar } });
  assert.equal(signedIn.status, 302, `${signedIn}`);
  assert.equal(signedIn.location.pathname, '/me');
  const { value } = present(signedIn.setCookie(SESSION_COOKIE));
  const me = await curl.request('GET', '/me', { headers: { cookie: `${SESSION_COOKIE}=${value}` } });
  assert.equal(me.json.user.email, 'grace@example.com');
});

test("the session has the official SDK's seal format", async () => {
  const browser = await world.signedIn('Ada');
  const session = openSession(present(browser.cookies().get(SESSION_COOKIE)), world.cookiePassword);
  assert.equal(session.user.email, 'ada@example.com');
  assert.match(session.access_token, /^[\w-]+\.[\w-]+\.[\w-]+$/);
  assert.ok(session.refresh_token.length > 0);
  assert.deepEqual(
    Object.keys(session).filter((key) => !['access_token', 'refresh_token', 'user', 'impersonator'].includes(key)),
    [],
  );
});

test('a finished sign-in leaves only the session cookie', async () => {
  const browser = await world.signedIn('Ada');
  assert.deepEqual([...browser.cookies('/callback').keys()], [SESSION_COOKIE]);
});

test('two tabs finish concurrent sign-ins in either order', async () => {
  const browser = world.browser();
  const first = await browser.open('/login?return_to=/me?tab=1');
  const second = await browser.open('/login?return_to=/me?tab=2');
  const secondDone = await browser.submit(second, 'Ada');
  const firstDone = await browser.submit(first, 'Ada');
  assert.equal(secondDone.url.href, world.worker.url('/me?tab=2'), `${secondDone}`);
  assert.equal(firstDone.url.href, world.worker.url('/me?tab=1'), `${firstDone}`);
  assert.equal(
    secondDone.to('/callback').length + firstDone.to('/callback').length,
    2,
    'one of the tabs had to begin again',
  );
});

test('a repeated callback exchanges no code', async () => {
  const browser = world.browser();
  const url = await callbackUrl(browser, '/login?return_to=/me');
  assert.equal((await browser.open(url)).url.pathname, '/me');
  const exchanges = world.codeExchanges();

  const again = await browser.open(url, { until: () => true });
  assert.equal(again.status, 302, `${again}`);
  assert.equal(again.next.pathname, '/login');
  assert.equal(world.codeExchanges(), exchanges);
  // A code that has been used, sent again by a browser that was never asked to sign in.
  const stranger = world.browser();
  const answer = (await stranger.open(url, { until: () => true })).answer;
  assert.equal(answer.status, 302);
  assertNotSignedIn(answer, stranger);
  assert.equal(world.codeExchanges(), exchanges);
});

test('HEAD /callback is refused and keeps the sign-in', async () => {
  const browser = world.browser();
  const url = await callbackUrl(browser, '/login?return_to=/me');
  const exchanges = world.codeExchanges();
  const answer = await browser.request('HEAD', url.pathname + url.search, {
    headers: { cookie: browser.cookieHeader(url.href, 'lax') },
  });
  assert.equal(answer.status, 405, `${answer}`);
  assert.equal(answer.headers.allow, 'GET');
  assert.deepEqual(answer.setCookies, []);
  assert.equal(world.codeExchanges(), exchanges);
  const page = await browser.open(url);
  assert.equal(page.url.pathname, '/me', `${page}`);
  assert.equal(page.hops.length, 2, `${page}`);
});

test('a used state with a fresh code exchanges nothing', async () => {
  const browser = world.browser();
  const used = await callbackUrl(browser);
  await browser.open(used);
  const fresh = await callbackUrl(browser);
  const exchanges = world.codeExchanges();
  fresh.searchParams.set('state', present(used.searchParams.get('state')));
  const page = await browser.open(fresh, { until: () => true });
  assert.equal(page.status, 302);
  assert.equal(page.next.pathname, '/login');
  assert.equal(world.codeExchanges(), exchanges);
});

test("a callback without this browser's state signs nobody in", async () => {
  const attacker = world.browser();
  for (const change of [
    (/** @type {URL} */ url) => url.searchParams.delete('state'),
    (/** @type {URL} */ url) => url.searchParams.set('state', ''),
    () => {},
  ]) {
    const victim = world.browser();
    await victim.open('/login');
    const url = await callbackUrl(attacker);
    change(url);
    const exchanges = world.codeExchanges();
    const { answer } = await victim.open(url, { from: 'https://evil.example', until: () => true });
    assert.equal(answer.status, 302, `${answer}`);
    assert.equal(answer.location.pathname, '/login');
    assert.equal(answer.location.origin, world.worker.origin);
    assertNotSignedIn(answer, victim);
    assert.equal(world.codeExchanges(), exchanges);
  }
});

test('a similar state signs nobody in', async () => {
  const browser = world.browser();
  const url = await callbackUrl(browser);
  const state = present(url.searchParams.get('state'));
  const last = state.at(-1) === 'A' ? 'B' : 'A';
  for (const near of [`${state}x`, `${state} `, state.slice(0, -1), state.slice(0, -1) + last, state.slice(0, 12)]) {
    const exchanges = world.codeExchanges();
    const changed = new URL(url);
    changed.searchParams.set('state', near);
    const answer = await browser.request('GET', changed.pathname + changed.search, {
      headers: { cookie: browser.cookieHeader(url.href, 'lax') },
    });
    assert.equal(answer.status, 302, `${near}: ${answer}`);
    assert.equal(answer.location.pathname, '/login');
    assertNotSignedIn(answer, browser);
    assert.equal(world.codeExchanges(), exchanges, near);
  }
});

test('a sign-in begun by AuthKit finishes with own state', async () => {
  // Impersonation from the dashboard, or an identity provider's own start page.
  const browser = world.browser();
  const foreign = await callbackUrl(browser);
  foreign.searchParams.delete('state');
  const page = await browser.open(foreign, { from: authkit.url });
  assert.equal(page.status, 200, `${page}`);
  assert.equal(page.url.pathname, '/expenses');
  assert.equal(page.to('/login').length, 1, 'asked AuthKit exactly once');
  assert.ok(browser.cookies().has(SESSION_COOKIE));
});

test('a browser without cookies gets a message, no loop', async () => {
  const browser = world.browser(world.worker, { keepsCookies: false });
  const page = await browser.submit(await browser.open('/login'), 'Ada').then((page) =>
    // It has no cookie of AuthKit's either, so it is asked once more.
    page.url.origin === authkit.url ? browser.submit(page, 'Ada') : page,
  );
  assert.equal(page.url.origin, world.worker.origin, `${page}`);
  assert.equal(page.status, 400);
  assert.match(page.text, /cookie/i);
  assert.match(page.text, /href="\/login/);
});

test('a sign-in older than ten minutes begins again', async () => {
  const worker = await world.startWorker();
  const browser = world.browser(worker);
  const url = await callbackUrl(browser);
  await worker.advanceClock(601);
  const exchanges = world.codeExchanges();
  const { answer } = await browser.open(url, { until: () => true });
  assert.equal(answer.status, 302);
  assert.equal(answer.location.pathname, '/login');
  assertNotSignedIn(answer, browser);
  assert.equal(world.codeExchanges(), exchanges);
});

test('a changed sign-in cookie is no sign-in', async () => {
  const browser = world.browser();
  const url = await callbackUrl(browser);
  const [[name, value]] = browser.cookies('/callback');
  const bytes = Buffer.from(value, 'base64');
  bytes[20] ^= 1;
  const exchanges = world.codeExchanges();
  const answer = await world
    .anonymous()
    .request('GET', url.pathname + url.search, { headers: { cookie: `${name}=${bytes.toString('base64')}` } });
  assert.equal(answer.status, 302);
  assert.equal(answer.location.pathname, '/login');
  assert.ok(!answer.setCookie(SESSION_COOKIE)?.value);
  assert.equal(world.codeExchanges(), exchanges);
});

test('return_to leads to a page of this Worker', async () => {
  const browser = await world.signedIn('Ada');
  for (const path of ['/', '/me', '/expenses?limit=3', '/me?next=https%3A%2F%2Fexample.com%2F', '/expenses?a=b&c=d']) {
    const page = await browser.open(`/login?return_to=${encodeURIComponent(path)}`);
    assert.equal(page.url.href, world.worker.url(path), `${page}`);
    assert.equal(page.status, 200);
  }
});

test('return_to never leads to another site', async () => {
  const browser = await world.signedIn('Ada');
  const { host } = new URL(world.worker.origin);
  for (const target of [
    'https://evil.example/',
    'http://evil.example/',
    '//evil.example',
    '///evil.example',
    '////evil.example',
    '/\\evil.example',
    '\\\\evil.example',
    '\\/evil.example',
    '/\t/evil.example',
    '/\n/evil.example',
    '/\r/evil.example',
    '\t//evil.example',
    ' //evil.example',
    '/\u0000/evil.example',
    '/..//evil.example',
    '/.//evil.example',
    '/x/..//evil.example',
    '/%2e%2e//evil.example',
    'https:evil.example',
    'https:/evil.example',
    'evil.example',
    '.evil.example',
    '@evil.example',
    `http://${host}@evil.example/`,
    `${world.worker.origin}.evil.example/`,
    `//${host}.evil.example/`,
    'javascript:alert(1)',
    'data:text/html,<script>alert(1)</script>',
    '/me\r\nLocation: https://evil.example/',
    '/me\r\nSet-Cookie: planted=1',
    '',
  ]) {
    const page = await browser.open(`/login?return_to=${encodeURIComponent(target)}`, {
      until: (url) => url.pathname !== '/login' && url.pathname !== '/callback' && url.origin !== authkit.url,
    });
    assert.equal(page.answer.request.url.pathname, '/callback', `${target}: ${page}`);
    assert.equal(page.next.href, world.worker.url('/expenses'), `return_to ${JSON.stringify(target)}`);
    assert.ok(!browser.cookies().has('planted'));
  }
});

test('an oversized return_to does not prevent the sign-in', async () => {
  const browser = world.browser();
  const page = await browser.signIn('Ada', `/login?return_to=/me?x=${'x'.repeat(6_000)}`);
  assert.equal(page.status, 200, `${page}`);
  assert.ok(browser.cookies().has(SESSION_COOKIE));
});

test('no return_to makes a cookie too long', async () => {
  for (const length of [1_000, 3_000, 6_000]) {
    const browser = world.browser();
    const page = await browser.signIn('Ada', `/login?return_to=/me?x=${'x'.repeat(length)}`);
    assert.deepEqual(browser.droppedCookies, [], `a return_to of ${length} characters`);
    assert.equal(page.to('/callback').length, 1);
  }
});

test('return_to does not lead back into the sign-in', async () => {
  const browser = await world.signedIn('Ada');
  for (const path of ['/login', '/login?return_to=/me', '/callback?code=x', '/logout']) {
    const page = await browser.open(`/login?return_to=${encodeURIComponent(path)}`);
    assert.equal(page.url.pathname, '/expenses', path);
    assert.equal(page.status, 200);
    assert.ok(browser.cookies().has(SESSION_COOKIE), path);
  }
});

test('a cancelled sign-in gets a page with a link', async () => {
  const browser = world.browser();
  const page = await browser.submit(await browser.open('/login'), 'Cancel');
  assert.equal(page.url.pathname, '/callback');
  assert.equal(page.status, 400);
  assert.match(page.answer.header('content-type'), /^text\/html/);
  assert.match(page.text, /access_denied/);
  assert.match(page.text, /The sign-in was cancelled\./);
  assert.match(page.text, /<a [^>]*href="\/login/);
  assertNotSignedIn(page.answer, browser);
});

test('curl gets the error of its sign-in as JSON', async () => {
  const curl = world.anonymous();
  const begun = await curl.request('GET', '/login');
  const cookie = begun.setCookies.map((line) => line.split(';')[0]).join('; ');
  const error = {
    error: 'access_denied',
    error_description: 'Not today',
    state: present(begun.location.searchParams.get('state')),
  };
  const path = `/callback?${new URLSearchParams(error)}`;
  assertDetail(await curl.request('GET', path, { headers: { cookie } }), 400, /cancelled.*access_denied: Not today/);
  const unasked = await curl.request('GET', path);
  assertDetail(unasked, 400, /\/login/);
  assert.doesNotMatch(unasked.text, /access_denied|Not today/);
});

test('an error parameter is escaped on the page', async () => {
  const browser = world.browser();
  const script = '<script>alert(1)</script><img src=x onerror=alert(1)>';
  const state = present((await browser.open('/login')).url.searchParams.get('state'));
  const page = await browser.open(
    `/callback?${new URLSearchParams({ error: script, error_description: script, state })}`,
  );
  assert.equal(page.status, 400);
  assert.ok(page.text.includes('&lt;script&gt;'), page.text);
  assert.ok(!page.text.includes('<script') && !page.text.includes('<img'), page.text);
  assert.match(page.answer.header('content-security-policy'), /default-src 'none'/);
});

test('a refused code begins the sign-in again', async () => {
  const browser = world.browser();
  const url = await callbackUrl(browser);
  url.searchParams.set('code', 'not-a-code-of-authkit');
  const page = await browser.open(url);
  assert.equal(page.url.pathname, '/expenses', `${page}`);
  assert.equal(page.status, 200);
});

test('a reload finishes a sign-in after an AuthKit outage', async () => {
  const browser = world.browser();
  const url = await callbackUrl(browser, '/login?return_to=/me');
  await world.withoutAuthKit(async () => {
    const { answer } = await browser.open(url);
    assert.equal(answer.status, 503, `${answer}`);
    assert.match(answer.header('retry-after'), /^[1-9]\d*$/);
    assertNotSignedIn(answer, browser);
  });
  const page = await browser.open(url);
  assert.equal(page.url.pathname, '/me', `${page}`);
  assert.equal(page.status, 200);
});

for (const status of [429, 500, 503]) {
  test(`status ${status} from AuthKit postpones the exchange`, async () => {
    const browser = world.browser();
    const url = await callbackUrl(browser);
    authkit.hooks.add({ method: 'POST', path: AUTHENTICATE_PATH, status, count: 1 });
    const { answer } = await browser.open(url);
    assert.equal(answer.status, 503, `${answer}`);
    assert.match(answer.header('retry-after'), /^[1-9]\d*$/);
    assertNotSignedIn(answer, browser);
  });
}

test('code exchange follows no redirect', async () => {
  /** @type {string[]} */
  const reached = [];
  const elsewhere = await startServer((request, response) => {
    reached.push(`${request.method} ${request.url}`);
    response.writeHead(503).end();
  });
  // 307 repeats the request with its body, which holds the API key.
  const redirecting = await startServer((_, response) => {
    response.writeHead(307, { location: elsewhere + AUTHENTICATE_PATH }).end();
  });
  const browser = world.browser(await world.startWorker({ vars: { WORKOS_BASE_URL: redirecting } }));
  const login = await browser.open('/login', { until: ({ origin }) => origin === redirecting });
  const callback = new URLSearchParams({ code: 'code_1', state: present(login.next.searchParams.get('state')) });
  const { answer } = await browser.open(`/callback?${callback}`);
  assert.equal(answer.status, 503, `${answer}`);
  assertNotSignedIn(answer, browser);
  assert.deepEqual(reached, []);
});

test('unusable session is never set, and has an id', async () => {
  const browser = world.browser();
  const url = await callbackUrl(browser);
  const forged = authkit.mintToken({ key: 'stranger' });
  world.keepSecret(forged, 'a token of the answer');
  authkit.hooks.add({
    method: 'POST',
    path: AUTHENTICATE_PATH,
    status: 200,
    body: {
      user: { object: 'user', id: 'user_x', email: 'x@example.com' },
      access_token: forged,
      refresh_token: 'a refresh token',
    },
    count: 1,
  });
  const answer = await browser.request('GET', url.pathname + url.search, {
    headers: { 'cf-ray': '9a2b3c4d5e6f7a8b-TST', cookie: browser.cookieHeader(url.href, 'lax') },
  });
  assertDetail(answer, 500, /9a2b3c4d5e6f7a8b-TST/);
  assertNotSignedIn(answer, browser);
  await world.worker.flushLog();
  assert.match(world.worker.log, /9a2b3c4d5e6f7a8b-TST/);
});

test('a callback with many codes has one exchanged', async () => {
  const browser = world.browser();
  const url = await callbackUrl(browser);
  const cookie = browser.cookieHeader(url.href, 'lax');
  const exchanges = world.codeExchanges();
  for (let index = 0; index < 20; index += 1) {
    url.searchParams.set('code', `invented-${index}`);
    const answer = await world.anonymous().request('GET', url.pathname + url.search, { headers: { cookie } });
    assert.equal(answer.status, 302, `${answer}`);
    assert.equal(answer.location.pathname, '/login');
  }
  assert.equal(world.codeExchanges(), exchanges + 1);
});

test('a callback submitted twice exchanges its code once', async () => {
  const browser = world.browser();
  const url = await callbackUrl(browser, '/login?return_to=/me');
  const headers = { cookie: browser.cookieHeader(url.href, 'lax') };
  const exchanges = world.codeExchanges();
  const submit = () => world.anonymous().request('GET', url.pathname + url.search, { headers });
  const locations = (await Promise.all([submit(), submit()])).map(({ location }) => location.pathname);
  assert.deepEqual(locations.sort(), ['/login', '/me']);
  assert.equal(world.codeExchanges(), exchanges + 1);
});

test('dropped session cookie gets the name of its setting', async () => {
  for (const name of ['__Host-session', '__Secure-session']) {
    const worker = await world.startWorker({ vars: { WORKOS_COOKIE_NAME: name } });
    const browser = world.browser(worker);
    const page = await browser.submit(await browser.open('/expenses'), 'Ada');
    assert.equal(page.status, 400, `${page}`);
    assert.equal(page.to('/callback').length, 1, `${page}`);
    for (const words of [name, 'WORKOS_COOKIE_NAME', 'https']) assert.ok(page.text.includes(words), page.text);
    const answer = await browser.open('/login', { until: () => true });
    assert.equal(answer.status, 302, 'the next sign-in is a try');
  }
});

test('an oversized token gets advice about whom to ask', async (t) => {
  const { settings } = authkit;
  t.after(() => delete settings.extraClaims[ADA_ID]);
  settings.extraClaims[ADA_ID] = { template: 'x'.repeat(30_000) };
  const page = await world.browser().signIn('Ada');
  assert.equal(page.status, 502, `${page}`);
  assert.match(page.text, /administrator.*JWT template/s);
});

test('/login passes prompts and invitations to AuthKit', async () => {
  const browser = await world.signedIn('Ada');
  for (const query of ['prompt=login', 'max_age=0']) {
    const page = await browser.open(`/login?${query}&return_to=/me`);
    assert.equal(page.url.origin, authkit.url, `${query}: ${page}`);
  }
  const page = await browser.submit(
    await browser.open('/login?prompt=login&invitation_token=an-invitation&return_to=/me'),
    'Ada',
  );
  const { session_id: id } = page.answer.json;
  assert.equal(authkit.sessions.find((session) => session.id === id)?.invitationToken, 'an-invitation');
});

test('prompt=none without a session ends on a page', async () => {
  const page = await world.browser().open('/login?prompt=none');
  assert.equal(page.status, 400, `${page}`);
  assert.match(page.text, /login_required/);
});

test('variables set redirect URI, cookie name and attributes', async () => {
  const worker = await world.startWorker({
    vars: {
      WORKOS_REDIRECT_URI: 'http://localhost:1/elsewhere/callback',
      WORKOS_COOKIE_NAME: 'mine',
      WORKOS_COOKIE_MAX_AGE: '600',
      WORKOS_COOKIE_SAMESITE: 'none',
    },
  });
  const browser = world.browser(worker);
  const page = await browser.submit(await browser.open('/login'), 'Ada', { until: (url) => url.port === '1' });
  assert.equal(page.next.pathname, '/elsewhere/callback');
  const done = await browser.open(`/callback${page.next.search}`, { until: () => true });
  const cookie = done.answer.setCookie('mine');
  assert.ok(cookie?.value, `${done}`);
  assert.equal(cookie.attributes['max-age'], '600');
  // On plain http: browsers drop `None` without `Secure`.
  assert.equal(cookie.attributes.samesite, 'Lax');
  assert.equal(done.answer.setCookie(SESSION_COOKIE), undefined);
});

test('no answer and no log line holds a secret', () => world.assertNothingLeaked());
