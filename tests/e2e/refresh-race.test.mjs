/** Many requests with one expired session, at an AuthKit that takes each refresh token exactly once. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ADA_ID, ENGINES_ORG_ID, COMPILERS_ORG_ID, GRACE_ID } from '../../local/authkit/index.mjs';
import { assertUnauthorized, assertUnavailable } from './support/assertions.mjs';
import { openSession } from './support/sealed.mjs';
import { cases, present } from './support/values.mjs';
import { AUTHENTICATE_PATH, SESSION_COOKIE, eventually, startWorld } from './support/world.mjs';

const PARALLEL = 50;
const ISOLATES = 5;

const world = await startWorld({ isolates: Array.from({ length: ISOLATES }, () => ({})) });
const { authkit } = world;
const { isolates } = world.worker;
assert.equal(authkit.settings.allowRefreshReuseSecs, 0);

/** @typedef {import('./support/actors.mjs').Browser} Browser */
/** @typedef {import('./support/http.mjs').Answer} Answer */

/**
 * Sends as many requests at the same time, in turn to each of the isolates, all with the cookies of now.
 *
 * @param {Browser} browser
 * @param {number} count
 * @param {import('./support/worker.mjs').Isolate[]} [where]
 * @param {(at: Browser, index: number) => Promise<Answer>} [request]
 */
function atOnce(browser, count, where = isolates, request = (at) => at.request('GET', '/me')) {
  return Promise.all(
    Array.from({ length: count }, (_, index) => request(browser.at(where[index % where.length]), index)),
  );
}

/**
 * AuthKit answers late, so that every isolate has asked before the first has its answer.
 *
 * @param {import('node:test').TestContext} t
 */
function slowAuthKit(t, delayMs = 100) {
  const { id } = authkit.hooks.add({ method: 'POST', path: AUTHENTICATE_PATH, delay_ms: delayMs });
  t.after(() => authkit.hooks.remove(id));
}

/** @param {Answer[]} answers @param {number} status */
function assertStatuses(answers, status) {
  const others = answers.filter((answer) => answer.status !== status);
  assert.equal(others.length, 0, `${others.length} of ${answers.length} are not ${status}: ${others[0]}`);
}

/**
 * All of these answers bring one and the same session, and it is the browser's now.
 *
 * @param {Answer[]} answers
 * @param {Browser} browser
 */
function assertOneSession(answers, browser) {
  const tokens = answers.map(
    (answer) => openSession(answer.setCookie(SESSION_COOKIE)?.value ?? '', world.cookiePassword).refresh_token,
  );
  assert.deepEqual([...new Set(tokens)], [world.sessionOf(browser).refresh_token]);
}

/**
 * The browser's session works in every isolate, and can be renewed again.
 *
 * @param {Browser} browser
 */
async function assertGoesOn(browser, userId = ADA_ID) {
  for (const isolate of isolates) {
    const answer = await browser.at(isolate).request('GET', '/me');
    assert.equal(answer.status, 200, `${answer}`);
    assert.equal(answer.json.user.id, userId);
    assert.deepEqual(answer.setCookies, []);
  }
  await world.expire();
  const before = world.refreshes();
  for (const isolate of isolates.toReversed()) {
    const answer = await browser.at(isolate).request('GET', '/me');
    assert.equal(answer.status, 200, `${answer}`);
    assert.equal(answer.json.user.id, userId);
  }
  assert.equal(world.refreshes() - before, 1);
}

for (const [what, delayMs] of cases([
  ['a quick', 0],
  ['a slow', 100],
])) {
  test(`one isolate's ${PARALLEL} requests cost ${what} AuthKit one refresh`, async (t) => {
    const browser = await world.expired('Ada');
    const before = world.refreshes();
    slowAuthKit(t, delayMs);
    const answers = await atOnce(browser, PARALLEL, [isolates[0]]);
    assertStatuses(answers, 200);
    assertOneSession(answers, browser);
    t.diagnostic(`AuthKit calls: ${world.refreshes() - before}`);
    assert.equal(world.refreshes() - before, 1);
    await assertGoesOn(browser);
  });

  test(`${ISOLATES} isolates cost ${what} AuthKit one refresh`, async (t) => {
    const browser = await world.expired('Ada');
    const before = world.refreshes();
    slowAuthKit(t, delayMs);
    const answers = await atOnce(browser, PARALLEL);
    assertStatuses(answers, 200);
    assertOneSession(answers, browser);
    const calls = world.refreshes() - before;
    t.diagnostic(`AuthKit calls: ${calls}`);
    assert.equal(calls, 1);
    await assertGoesOn(browser);
  });
}

test('concurrent writes are each done once during a renewal', async () => {
  const browser = await world.expired('Grace');
  const before = world.refreshes();
  const answers = await atOnce(browser, PARALLEL, isolates, (at, index) =>
    at.request('POST', '/expenses', { json: { description: `number ${index}`, amount: 1 } }),
  );
  assertStatuses(answers, 201);
  assert.equal(world.refreshes() - before, 1);
  const kept = (await browser.request('GET', '/expenses')).json.map(
    (/** @type {import('./support/expenses.mjs').Expense} */ { description }) => description,
  );
  assert.deepEqual(kept.toSorted(), Array.from({ length: PARALLEL }, (_, index) => `number ${index}`).toSorted());
});

test('concurrent renewals of two users stay separate', async () => {
  const ada = await world.signedIn('Ada');
  const grace = await world.expired('Grace');
  const before = world.refreshes();
  const [adas, graces] = await Promise.all([atOnce(ada, 20, [isolates[1]]), atOnce(grace, 20, [isolates[1]])]);
  assert.deepEqual([...new Set(adas.map(({ json }) => json.user.id))], [ADA_ID]);
  assert.deepEqual([...new Set(graces.map(({ json }) => json.user.id))], [GRACE_ID]);
  assert.equal(world.refreshes() - before, 2);
  assertOneSession(adas, ada);
  assertOneSession(graces, grace);
});

test('an old cookie works minutes later in any isolate', async () => {
  const browser = await world.expired('Ada');
  const late = isolates.map((isolate) => browser.twin().at(isolate));
  assert.equal((await browser.request('GET', '/me')).status, 200);
  await world.worker.settle();
  const before = world.refreshes();
  await world.advanceClock(240);
  for (const tab of late) {
    const answer = await tab.request('GET', '/me');
    assert.equal(answer.status, 200, `${answer}`);
    assert.equal(world.sessionOf(tab).refresh_token, world.sessionOf(browser).refresh_token);
  }
  assert.equal(world.refreshes(), before);
});

test('a cookie several renewals behind gets the newest session', async () => {
  const browser = await world.expired('Ada');
  const [here, elsewhere] = [browser.twin().at(isolates[0]), browser.twin().at(isolates[1])];
  for (let renewal = 1; renewal <= 3; renewal += 1) {
    assert.equal((await browser.request('GET', '/me')).status, 200);
    if (renewal < 3) await world.expire();
  }
  await world.worker.settle();
  const before = world.refreshes();
  for (const tab of [here, elsewhere]) {
    const answer = await tab.request('GET', '/me');
    assert.equal(answer.status, 200, `${answer}`);
    assert.equal(world.sessionOf(tab).refresh_token, world.sessionOf(browser).refresh_token);
  }
  assert.equal(world.refreshes(), before);
});

test('client that leaves during a refresh keeps its session', async (t) => {
  const browser = await world.expired('Ada');
  const before = world.refreshes();
  slowAuthKit(t, 200);
  for (const isolate of isolates.slice(0, 2)) {
    const tab = browser.at(isolate);
    const began = world.refreshes();
    const gone = new AbortController();
    const lost = tab.request('GET', '/me', { signal: gone.signal }).catch((error) => error.name);
    await eventually(() => world.refreshes() === began + 1);
    gone.abort();
    assert.equal(await lost, 'AbortError');
    const asked = present(authkit.requests.entries.at(-1));
    await eventually(() => asked.status !== null);
    assert.equal(asked.status, 200);

    const again = await tab.request('GET', '/me');
    assert.equal(again.status, 200, `${again}`);
    assert.equal(world.refreshes(), began + 1);
    await world.expire();
  }
  t.diagnostic(`AuthKit calls: ${world.refreshes() - before} for two`);
});

for (const [where, other] of cases([
  ['in the same isolate', isolates[0]],
  ['in another isolate', isolates[1]],
])) {
  test(`late response restores no session that was spent ${where}`, async (t) => {
    const browser = await world.expired('Ada');
    const before = world.refreshes();
    t.after(() => world.worker.holdKv());
    await world.worker.holdKv('list');
    const slow = browser.request('GET', '/expenses');
    await eventually(() => world.refreshes() === before + 1);

    // Another tab goes on, and its session is renewed once more before the first answer is there.
    assert.equal((await browser.request('GET', '/me')).status, 200);
    await world.expire();
    await world.worker.settle();
    assert.equal((await browser.at(other).request('GET', '/me')).status, 200);
    assert.equal(world.refreshes(), before + 2);
    await world.worker.settle();
    const newest = world.sessionOf(browser);

    await world.worker.holdKv();
    assert.equal((await slow).status, 200);
    assert.equal(world.sessionOf(browser).refresh_token, newest.refresh_token);
    await assertGoesOn(browser);
  });
}

for (const [where, other] of cases([
  ['in the same isolate', isolates[0]],
  ['in another isolate', isolates[1]],
])) {
  test(`late response restores no organization that was left ${where}`, async (t) => {
    const browser = await world.expired('Grace');
    const before = world.refreshes();
    t.after(() => world.worker.holdKv());
    await world.worker.holdKv('list');
    const slow = browser.request('GET', '/expenses');
    await eventually(() => world.refreshes() === before + 1);
    await world.worker.settle();
    const switched = await browser
      .at(other)
      .request('POST', '/organization', { json: { organization_id: COMPILERS_ORG_ID } });
    assert.equal(switched.status, 200, `${switched}`);
    await world.worker.settle();
    await world.worker.holdKv();
    assert.equal((await slow).status, 200);
    assert.equal((await browser.request('GET', '/me')).json.organization_id, COMPILERS_ORG_ID);
  });
}

test('a switch among concurrent requests keeps everyone signed in', async (t) => {
  const browser = await world.expired('Grace');
  const before = world.refreshes();
  slowAuthKit(t, 50);
  const answers = await atOnce(browser, 20, isolates.slice(0, 1), (at, index) =>
    index === 10
      ? at.request('POST', '/organization', { json: { organization_id: COMPILERS_ORG_ID } })
      : at.request('GET', '/me'),
  );
  assertStatuses(answers, 200);
  assert.equal(answers[10].json.organization_id, COMPILERS_ORG_ID);
  for (const { json } of answers) assert.ok([ENGINES_ORG_ID, COMPILERS_ORG_ID].includes(json.organization_id));
  assert.equal(world.refreshes() - before, 2);
  assert.equal((await browser.request('GET', '/me')).json.organization_id, COMPILERS_ORG_ID);
});

test(`${PARALLEL} requests during outage ask AuthKit once per isolate`, async (t) => {
  const browser = await world.expired('Ada');
  const cookie = browser.cookies().get(SESSION_COOKIE);
  const before = world.refreshes();
  const { id } = authkit.hooks.add({ method: 'POST', path: AUTHENTICATE_PATH, status: 503, delay_ms: 50 });
  t.after(() => authkit.hooks.remove(id));
  const answers = await atOnce(browser, PARALLEL);
  answers.forEach(assertUnavailable);
  assert.equal(browser.cookies().get(SESSION_COOKIE), cookie);
  t.diagnostic(`AuthKit calls: ${world.refreshes() - before}`);
  assert.ok(world.refreshes() - before <= ISOLATES);

  authkit.hooks.remove(id);
  await world.advanceClock(5);
  assertStatuses(await atOnce(browser, PARALLEL), 200);
  await assertGoesOn(browser);
});

test(`${PARALLEL} requests of ended session ask once per isolate`, async (t) => {
  t.after(() => world.worker.limitTimers(Infinity));
  await world.worker.limitTimers(20);
  const browser = await world.signedIn('Ada');
  const { session_id: id } = (await browser.request('GET', '/me')).json;
  await world.expire();
  authkit.revokeSession(id);
  const before = world.refreshes();
  const answers = await atOnce(browser, PARALLEL);
  for (const answer of answers) {
    assertUnauthorized(answer);
    assert.equal(answer.setCookie(SESSION_COOKIE)?.value, '');
  }
  t.diagnostic(`AuthKit calls: ${world.refreshes() - before}`);
  assert.ok(world.refreshes() - before <= ISOLATES);
  assert.ok(!browser.cookies().has(SESSION_COOKIE));
});

test('no answer and no log line holds a secret', () => world.assertNothingLeaked());
