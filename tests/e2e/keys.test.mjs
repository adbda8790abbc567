/** AuthKit's keys: kept past the isolate, found when new, gone when retired, and never a reason to sign anybody out. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ADA_ID, GRACE_ID } from '../../local/authkit/index.mjs';
import { assertInvalidToken, assertUnavailable } from './support/assertions.mjs';
import { present } from './support/values.mjs';
import { CLIENT_ID, SESSION_COOKIE, startWorld } from './support/world.mjs';

const JWKS_PATH = `/sso/jwks/${CLIENT_ID}`;
const KEY_SET_PREFIX = 'authkit:jwks:';

const world = await startWorld();
const { authkit } = world;

/**
 * The Worker ends, and another begins on the same KV: a cold isolate.
 *
 * @param {import('./support/worker.mjs').Worker} worker
 */
async function restarted(worker) {
  await worker.stop();
  return world.startWorker({ kvFolder: worker.kvFolder });
}

/**
 * The same browser at a Worker on another port.
 *
 * @param {import('./support/actors.mjs').Browser} browser
 * @param {import('./support/worker.mjs').Isolate} worker
 */
function onTo(browser, worker) {
  return browser.at({ origin: worker.origin });
}

/** How often the keys are fetched while `body` runs. @param {() => Promise<unknown>} body */
async function fetchesDuring(body) {
  const before = world.keyFetches();
  await body();
  return world.keyFetches() - before;
}

test('a cold isolate starts with cached keys', async () => {
  const worker = await world.startWorker();
  const browser = await world.signedIn('Ada', worker);
  const cold = await restarted(worker);
  const fetches = await fetchesDuring(async () => {
    assert.equal((await onTo(browser, cold).request('GET', '/me')).json.user.id, ADA_ID);
    const bearer = world.bearer(undefined, cold);
    const answers = await Promise.all(Array.from({ length: 20 }, () => bearer.request('GET', '/me')));
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
  });
  assert.equal(fetches, 0);
});

test('session survives long outage in warm and cold isolates', async (t) => {
  t.after(() => (authkit.settings.accessTokenTtlSecs = 300));
  authkit.settings.accessTokenTtlSecs = 7 * 86_400;
  const worker = await world.startWorker();
  const browser = await world.signedIn('Ada', worker);
  await world.withoutAuthKit(async () => {
    for (const hours of [0, 2, 24, 72]) {
      await world.advanceClock(hours * 3600);
      assert.equal((await browser.request('GET', '/me')).json.user.id, ADA_ID, `after ${hours} more hours`);
    }
    const cold = await restarted(worker);
    const again = onTo(browser, cold);
    for (const hours of [0, 24]) {
      await world.advanceClock(hours * 3600);
      assert.equal((await again.request('GET', '/me')).json.user.id, ADA_ID, `in a cold isolate, ${hours} hours later`);
      assert.equal((await again.request('POST', '/expenses', { json: { description: 'x', amount: 1 } })).status, 201);
    }
  });
});

test('several isolates fetch the keys once', async () => {
  const worker = await world.startWorker({ isolates: [{}, {}, {}, {}] });
  const bearer = (/** @type {import('./support/worker.mjs').Isolate} */ isolate) =>
    world.bearer(undefined, isolate).request('GET', '/me');
  const fetches = await fetchesDuring(async () => {
    for (const isolate of worker.isolates) assert.equal((await bearer(isolate)).status, 200);
    // An hour later the set is asked for again, once for all of them.
    await world.advanceClock(3601);
    for (const isolate of worker.isolates) assert.equal((await bearer(isolate)).status, 200);
  });
  assert.equal(fetches, 2);
});

test('sessions of a new and old key both work', async () => {
  const worker = await world.startWorker();
  const [ada, idle] = [await world.signedIn('Ada', worker), await world.signedIn('Ada', worker)];
  await world.advanceClock(31);
  authkit.rotateKeys();
  const fetches = await fetchesDuring(async () => {
    const grace = await world.signedIn('Grace', worker);
    assert.equal((await grace.request('GET', '/me')).json.user.id, GRACE_ID);
    assert.equal((await ada.request('GET', '/me')).json.user.id, ADA_ID);
    await world.expire();
    // Renewed by the new key.
    assert.equal((await idle.request('GET', '/me')).json.user.id, ADA_ID);
  });
  assert.equal(fetches, 1);
});

test('key change just before a renewal keeps the session', async () => {
  // The set has just been fetched, so that it may not be fetched again yet.
  const worker = await world.startWorker();
  const browser = await world.expired('Ada', worker);
  await world.advanceClock(3600);
  assert.equal((await world.bearer(undefined, worker).request('GET', '/me')).status, 200);
  authkit.rotateKeys();
  const cookie = browser.cookies().get(SESSION_COOKIE);
  assertUnavailable(await browser.request('GET', '/me'));
  assert.equal(browser.cookies().get(SESSION_COOKIE), cookie);
  await world.advanceClock(31);
  const answer = await browser.request('GET', '/me');
  assert.equal(answer.status, 200, `${answer}`);
  assert.ok(answer.setCookie(SESSION_COOKIE)?.value);
});

test('a key change during sign-in postpones it at most', async () => {
  const worker = await world.startWorker();
  assert.equal((await world.bearer(undefined, worker).request('GET', '/me')).status, 200);
  authkit.rotateKeys();
  const page = await world.browser(worker).signIn('Ada');
  assert.ok([200, 503].includes(page.status), `${page}`);
});

test('a session of a retired key is renewed', async () => {
  const worker = await world.startWorker();
  const browser = await world.signedIn('Ada', worker);
  const page = browser.twin();
  authkit.rotateKeys({ retireOld: true });
  await world.advanceClock(3601);
  const before = world.refreshes();
  const answer = await browser.request('GET', '/me');
  assert.equal(answer.status, 200, `${answer}`);
  assert.equal(answer.json.user.id, ADA_ID);
  assert.equal((await page.open('/me')).answer.json.user.id, ADA_ID);
  assert.equal(world.refreshes() - before, 1);
  assert.deepEqual((await browser.request('GET', '/me')).setCookies, []);
});

test('session of retired key ends if AuthKit ended it', async () => {
  const worker = await world.startWorker();
  await worker.limitTimers(20);
  const browser = await world.signedIn('Ada', worker);
  authkit.revokeSession((await browser.request('GET', '/me')).json.session_id);
  authkit.rotateKeys({ retireOld: true });
  await world.advanceClock(3601);
  assert.equal((await browser.request('GET', '/me')).status, 401);
  assert.deepEqual([...browser.cookies().keys()], []);
});

test('a retired key stops working within an hour', async () => {
  const worker = await world.startWorker();
  const old = world.bearer(authkit.mintToken({ expSecs: 86_400 }), worker);
  assert.equal((await old.request('GET', '/me')).status, 200);
  authkit.rotateKeys({ retireOld: true });
  await world.advanceClock(3601);
  assertInvalidToken(await old.request('GET', '/me'));
});

test('unknown kids cost AuthKit one request in 30 seconds', async (t) => {
  const worker = await world.startWorker({ isolates: [{}, {}, {}] });
  const flood = () =>
    fetchesDuring(async () => {
      for (const isolate of worker.isolates) {
        const answers = await Promise.all(
          Array.from({ length: 20 }, (_, index) =>
            world.bearer(authkit.mintToken({ header: { kid: `made-up-${index}` } }), isolate).request('GET', '/me'),
          ),
        );
        answers.forEach(assertInvalidToken);
      }
    });
  const counts = [await flood(), await flood()];
  await world.advanceClock(31);
  counts.push(await flood(), await flood());
  t.diagnostic(`AuthKit calls: ${counts}`);
  assert.deepEqual(counts, [1, 0, 1, 0]);
  assert.equal((await world.bearer(undefined, worker).request('GET', '/me')).status, 200);
});

test('unknown kids during an outage cost one request too', async (t) => {
  const worker = await world.startWorker();
  const { id } = authkit.hooks.add({ method: 'GET', path: JWKS_PATH, status: 503 });
  t.after(() => authkit.hooks.remove(id));
  const flood = () =>
    fetchesDuring(() =>
      Promise.all(
        Array.from({ length: 20 }, (_, index) =>
          world
            .bearer(authkit.mintToken({ header: { kid: `made-up-${index}` } }), worker)
            .request('GET', '/me')
            .then(assertUnavailable),
        ),
      ),
    );
  assert.deepEqual([await flood(), await flood()], [1, 0]);
  await world.advanceClock(31);
  assert.equal(await flood(), 1);
});

for (const operations of /** @type {const} */ ([['get'], ['put'], ['get', 'put']])) {
  test(`keys are fetched where KV cannot ${operations.join(' or ')} them`, async () => {
    const worker = await world.startWorker();
    await worker.failKv(...operations);
    const fetches = await fetchesDuring(async () => {
      const bearer = world.bearer(undefined, worker);
      for (let count = 0; count < 3; count += 1) assert.equal((await bearer.request('GET', '/me')).status, 200);
    });
    assert.equal(fetches, 1);
  });
}

test('key set in KV is trusted only when sealed', async () => {
  const worker = await world.startWorker({ isolates: Array.from({ length: 5 }, () => ({})) });
  const browser = await world.signedIn('Ada', worker);
  const kv = await worker.kv();
  const { keys } = await kv.list({ prefix: KEY_SET_PREFIX });
  assert.deepEqual(
    keys.map(({ name }) => name),
    [`${KEY_SET_PREFIX}${CLIENT_ID}`],
  );
  const none = JSON.stringify({ fetched_at: Math.floor(Date.now() / 1000) + 1_000_000, keys: { keys: [] } });
  const values = [
    none,
    Buffer.from(none).toString('base64'),
    'nonsense',
    present(browser.cookies().get(SESSION_COOKIE)),
  ];
  for (const [index, value] of values.entries()) {
    await kv.put(keys[0].name, value);
    const fetches = await fetchesDuring(async () => {
      assert.equal((await browser.at(worker.isolates[index + 1]).request('GET', '/me')).status, 200, value);
    });
    assert.equal(fetches, 1);
  }
});

test('no answer and no log line holds a secret', () => world.assertNothingLeaked());
