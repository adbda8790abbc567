import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';

import { assertDetail } from './support/assertions.mjs';
import { cases, present } from './support/values.mjs';
import { startWorld } from './support/world.mjs';

const world = await startWorld();
const { authkit } = world;

test('/health is public, asks nobody and needs nothing', async () => {
  authkit.requests.clear();
  const answer = await world.anonymous().request('GET', '/health');
  assert.equal(answer.status, 200);
  assert.deepEqual(answer.json, { status: 'ok' });
  assert.equal(authkit.requests.count(), 0);
});

test('HEAD answers as GET does, without a body', async () => {
  const answer = await world.anonymous().request('HEAD', '/health');
  assert.equal(answer.status, 200);
  assert.equal(answer.text, '');
});

for (const path of [
  '/nowhere',
  '/expenses/',
  '/Expenses',
  '/me/',
  '/login/x',
  '//',
  '/.env',
  '/%2e%2e/etc/passwd',
  '/expenses/a/b',
]) {
  test(`there is nothing at ${path}`, async () => {
    assertDetail(await world.anonymous().request('GET', path), 404);
    assertDetail(await world.bearer().request('POST', path, { json: {} }), 404);
  });
}

for (const [method, path, allowed] of cases([
  ['DELETE', '/expenses', ['GET', 'POST']],
  ['POST', '/expenses/7YBQTSVWGKVQGMH7Y926XY65Q7', ['GET', 'DELETE']],
  ['DELETE', '/expenses/7YBQTSVWGKVQGMH7Y926XY65Q7/delete', ['GET', 'POST']],
  ['POST', '/me', ['GET']],
  ['POST', '/health', ['GET']],
  ['PUT', '/login', ['GET']],
  ['POST', '/callback', ['GET']],
  ['DELETE', '/logout', ['GET', 'POST']],
])) {
  test(`${method} ${path.slice(0, 14)} gets 405 with the allowed methods`, async () => {
    for (const actor of [world.bearer(), world.anonymous()]) {
      const answer = await actor.request(method, path);
      assertDetail(answer, 405);
      const offered = (answer.headers.allow ?? '').split(',').map((name) => name.trim());
      for (const name of allowed) assert.ok(offered.includes(name), `Allow: ${answer.headers.allow}`);
      assert.ok(!offered.includes(method), `Allow: ${answer.headers.allow}`);
    }
  });
}

test('browser gets errors as pages, a script as JSON', async () => {
  const browser = world.browser();
  const page = await browser.open('/nowhere');
  assert.equal(page.status, 404);
  assert.match(page.answer.header('content-type'), /^text\/html; ?charset=utf-8/i);
  assert.match(page.text, /Not found/);
  assertDetail(await browser.request('GET', '/nowhere'), 404);
});

test('every response forbids caching, sniffing and sharing', async () => {
  const browser = await world.signedIn('Ada');
  const created = await browser.request('POST', '/expenses', { json: { description: 'x', amount: 1 } });
  const answers = [
    created,
    await browser.request('GET', '/me'),
    await browser.request('GET', '/expenses'),
    await browser.request('GET', created.header('location')),
    await browser.request('DELETE', created.header('location')),
    await browser.request('GET', '/nowhere'),
    await browser.request('POST', '/expenses', { json: {} }),
    await world.anonymous().request('GET', '/me'),
    await world.anonymous().request('GET', '/login'),
    await world.anonymous().request('GET', '/callback?code=x'),
    await world.anonymous().request('GET', '/callback?error=x'),
    (await world.browser().open('/me', { until: () => true })).answer,
    (await browser.open('/')).answer,
    (await browser.open('/nowhere')).answer,
    await browser.request('POST', '/logout'),
  ];
  for (const answer of answers) {
    assert.match(answer.headers['cache-control'] ?? '', /\bno-store\b/, `${answer}`);
    assert.equal(answer.headers['x-content-type-options'], 'nosniff', `${answer}`);
    assert.match(
      answer.headers['referrer-policy'] ?? '',
      /^(same-origin|no-referrer|strict-origin(-when-cross-origin)?)$/,
      `${answer}`,
    );
    for (const name of ['opener', 'resource'])
      assert.equal(answer.headers[`cross-origin-${name}-policy`], 'same-origin', `${answer}`);
    for (const name of ['server', 'x-powered-by']) assert.equal(answer.headers[name], undefined, `${answer}`);
    assert.equal(answer.headers['access-control-allow-origin'], undefined, `${answer}`);
  }
});

test('static files have the same cross-origin headers', async () => {
  const answer = await world.anonymous().request('GET', '/docs/swagger-ui.css');
  assert.equal(answer.status, 200, `${answer}`);
  for (const name of ['opener', 'resource'])
    assert.equal(answer.headers[`cross-origin-${name}-policy`], 'same-origin', `${answer}`);
});

test('page allows one script by hash and no frame', async () => {
  for (const page of [
    await world.browser().open('/'),
    await (await world.signedIn('Ada')).open('/'),
    await world.browser().open('/nowhere'),
    await world.browser().open('/callback?error=x'),
  ]) {
    const policy = page.answer.headers['content-security-policy'] ?? '';
    assert.match(policy, /default-src 'none'/, `${page}`);
    assert.match(policy, /frame-ancestors 'none'/);
    assert.doesNotMatch(policy, /unsafe-|\*/);
    const [, allowed] = present(/script-src ([^;]*)/.exec(policy));
    const scripts = [...page.text.matchAll(/<script>(.*?)<\/script>/gs)].map(([, script]) => script);
    assert.equal(scripts.length, page.text.includes('Sign out') ? 1 : 0, page.text);
    for (const script of scripts)
      assert.equal(allowed, `'sha256-${createHash('sha256').update(script).digest('base64')}'`);
    assert.doesNotMatch(page.text.replace(/<script>.*?<\/script>/s, ''), /<script|\son[a-z]+=|javascript:/i);
  }
});

test('the icon and robots.txt come from this origin', async () => {
  const icon = await world.anonymous().request('GET', '/favicon.ico');
  assert.equal(icon.status, 200);
  assert.match(icon.header('content-type'), /^image\//);
  const robots = await world.anonymous().request('GET', '/robots.txt');
  assert.equal(robots.status, 200);
  assert.match(robots.header('content-type'), /^text\/plain/);
  // Without a session only the first page and the documentation are of use.
  assert.match(robots.text, /^User-agent: \*\nAllow: \/\$\nAllow: \/docs\nDisallow: \/\n$/);
});

/** Names of the variables in a response or a page. @param {{ text: string }} answer */
function namesIn(answer) {
  return [...new Set(answer.text.match(/\b(WORKOS_\w+|EXPENSES)\b/g) ?? [])].sort();
}

test('an unconfigured Worker names every missing variable', async () => {
  const worker = await world.startWorker({
    vars: { WORKOS_API_KEY: undefined, WORKOS_CLIENT_ID: undefined, WORKOS_COOKIE_PASSWORD: undefined },
  });
  for (const path of ['/', '/login', '/callback?code=x', '/me', '/expenses', '/nowhere']) {
    const answer = await world.anonymous(worker).request('GET', path);
    assertDetail(answer, 500);
    assert.deepEqual(namesIn(answer), ['WORKOS_API_KEY', 'WORKOS_CLIENT_ID', 'WORKOS_COOKIE_PASSWORD'], path);
  }
  const page = await world.browser(worker).open('/');
  assert.equal(page.status, 500);
  assert.match(page.answer.header('content-type'), /^text\/html/);
  assert.deepEqual(namesIn(page), ['WORKOS_API_KEY', 'WORKOS_CLIENT_ID', 'WORKOS_COOKIE_PASSWORD']);
  await worker.flushLog();
  for (const name of namesIn(page)) assert.ok(worker.log.includes(name), worker.log);
});

test('wrong values are named but never shown or logged', async () => {
  const password = `short-${randomBytes(4).toString('hex')}`;
  const vars = {
    WORKOS_COOKIE_PASSWORD: password,
    WORKOS_COOKIE_PASSWORD_PREVIOUS: `also-${randomBytes(4).toString('hex')}`,
    WORKOS_BASE_URL: 'hunter2 is no address',
    WORKOS_REDIRECT_URI: 'javascript:hunter3',
    WORKOS_COOKIE_SAMESITE: 'hunter4',
    WORKOS_COOKIE_MAX_AGE: 'hunter5',
    WORKOS_LOGOUT_REDIRECT: 'hunter6',
    WORKOS_COOKIE_NAME: 'hunter;7',
  };
  const worker = await world.startWorker({ vars });
  const answer = await world.anonymous(worker).request('GET', '/expenses');
  assertDetail(answer, 500);
  assert.deepEqual(namesIn(answer), Object.keys(vars).sort());
  await worker.flushLog();
  for (const [name, value] of Object.entries(vars)) {
    assert.ok(!answer.text.includes(value), name);
    assert.ok(!worker.log.includes(value), name);
  }
});

test('a single wrong variable is the only one named', async () => {
  const worker = await world.startWorker({ vars: { WORKOS_CLIENT_ID: '' } });
  assert.deepEqual(namesIn(await world.anonymous(worker).request('GET', '/login')), ['WORKOS_CLIENT_ID']);
});

test('a Worker without KV names the missing binding', async () => {
  const worker = await world.startWorker({ bindKv: false });
  const answer = await world.anonymous(worker).request('GET', '/expenses');
  assertDetail(answer, 500);
  assert.deepEqual(namesIn(answer), ['EXPENSES']);
});

test('no answer and no log line holds a secret', () => world.assertNothingLeaked());
