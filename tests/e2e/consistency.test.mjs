/** Five locations share the objects and a KV that shows writes of the others a minute late. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ADA_ID } from '../../local/authkit/index.mjs';
import { newSub } from './support/expenses.mjs';
import { AUTHENTICATE_PATH, startWorld } from './support/world.mjs';

const LOCATIONS = 5;
const PARALLEL = 50;
const KV_LAG_MS = 60_000;
const HOUR_SECS = 3_600;
const DAY_SECS = 24 * HOUR_SECS;
/** A step of the clock that is longer than any delay between two attempts to write to KV. */
const STEP_SECS = 360;
const LUNCH = { description: 'lunch', amount: 12.5 };

const world = await startWorld({
  isolates: Array.from({ length: LOCATIONS }, () => ({})),
  kvLagMs: KV_LAG_MS,
});
const { authkit, worker } = world;
const { isolates } = worker;

/** @typedef {import('./support/http.mjs').Answer} Answer */
/** @typedef {import('./support/actors.mjs').Bearer} Bearer */

/** A client of each location, all with a token of one user without expenses. @returns {Bearer[]} */
function clients() {
  const token = authkit.mintToken({ claims: { sub: newSub() }, expSecs: DAY_SECS });
  return isolates.map((isolate) => world.bearer(token, isolate));
}

/** @param {Bearer} client @param {object} body @param {Record<string, string>} [headers] */
async function add(client, body, headers = {}) {
  const answer = await client.request('POST', '/expenses', { json: body, headers });
  assert.equal(answer.status, 201, `${answer}`);
  return answer.json;
}

/** What each location lists. @param {Bearer[]} all @returns {Promise<object[][]>} */
async function lists(all) {
  const answers = await Promise.all(all.map((client) => client.request('GET', '/expenses')));
  for (const answer of answers) assert.equal(answer.status, 200, `${answer}`);
  return answers.map(({ json }) => json);
}

/** Every location lists these expenses, in this order. @param {Bearer[]} all @param {object[]} expected */
async function assertAllList(all, expected) {
  for (const list of await lists(all)) assert.deepEqual(list, expected);
}

/** Lets time pass, with every alarm on the way. @param {number} secs */
async function pass(secs) {
  for (let passed = 0; passed < secs; passed += STEP_SECS) {
    await world.advanceClock(Math.min(STEP_SECS, secs - passed));
    await worker.settle();
  }
}

/** The amounts that KV itself has for the owner of these expenses. @param {{ id: string }[]} expenses */
async function stored(expenses) {
  const kv = await worker.kv();
  return Promise.all(
    expenses.map(async ({ id }) => {
      const { keys } = await kv.list({ prefix: 'expense:' });
      const name = keys.map((key) => key.name).find((key) => key.endsWith(id));
      return name && JSON.parse((await kv.get(name)) ?? '{}').amount;
    }),
  );
}

for (const { what, delayMs } of [
  { what: 'at once', delayMs: 0 },
  { what: 'after 8 s', delayMs: 8_000 },
]) {
  test(`${PARALLEL} requests cost one exchange, answered ${what}`, async (t) => {
    const browser = await world.expired('Ada');
    const before = world.refreshes();
    if (delayMs > 0) {
      const { id } = authkit.hooks.add({ method: 'POST', path: AUTHENTICATE_PATH, delay_ms: delayMs });
      t.after(() => authkit.hooks.remove(id));
    }
    const answers = await Promise.all(
      Array.from({ length: PARALLEL }, (_, index) => browser.at(isolates[index % LOCATIONS]).request('GET', '/me')),
    );
    for (const answer of answers) {
      assert.equal(answer.status, 200, `${answer}`);
      assert.equal(answer.json.user.id, ADA_ID);
    }
    assert.equal(world.refreshes() - before, 1);
  });
}

test('late requests get the session after the object is evicted', async () => {
  const browser = await world.expired('Ada');
  const late = browser.twin();
  const before = world.refreshes();
  assert.equal((await browser.request('GET', '/me')).status, 200);
  await worker.evictObjects();
  const answers = await Promise.all(
    Array.from({ length: PARALLEL - 1 }, (_, index) => late.at(isolates[index % LOCATIONS]).request('GET', '/me')),
  );
  for (const answer of answers) assert.equal(answer.status, 200, `${answer}`);
  assert.equal(world.refreshes() - before, 1);
});

test('a sign-out in one location ends the session in all', async () => {
  const browser = await world.signedIn('Ada');
  const copies = isolates.slice(1).map((isolate) => browser.twin().at(isolate));
  assert.equal(
    (await browser.request('POST', '/logout', { headers: { 'sec-fetch-site': 'same-origin' } })).status,
    303,
  );
  await world.expire();
  for (const copy of copies) assert.equal((await copy.request('GET', '/me')).status, 401);
});

test('creates with one key in five locations make one expense', async () => {
  const all = clients();
  const made = await Promise.all(all.map((client) => add(client, LUNCH, { 'idempotency-key': 'one' })));
  assert.deepEqual(
    made,
    all.map(() => made[0]),
  );
  await worker.evictObjects();
  assert.deepEqual(await add(all[3], LUNCH, { 'idempotency-key': 'one' }), made[0]);
  await assertAllList(all, [made[0]]);
});

test('every location sees a write of another at once', async () => {
  const all = clients();
  await assertAllList(all, []);
  const first = await add(all[0], LUNCH);
  const second = await add(all[1], { ...LUNCH, description: 'dinner' });
  await assertAllList(all, [second, first]);
  const path = `/expenses/${first.id}`;
  // Two changes within a second, where KV takes one write per second of a key.
  const changes = [{ amount: 20 }, { category: 'meals' }];
  const changed = await Promise.all(changes.map((json, index) => all[2 + index].request('PATCH', path, { json })));
  for (const answer of changed) assert.equal(answer.status, 200, `${answer}`);
  const answer = await all[4].request('GET', path);
  assert.equal(answer.json.amount, 20);
  assert.equal(answer.json.category, 'meals');
  assert.equal((await all[1].request('DELETE', path)).status, 204);
  for (const client of all) assert.equal((await client.request('GET', path)).status, 404);
  await assertAllList(all, [second]);
  await pass(2 * STEP_SECS);
  await assertAllList(all, [second]);
  await pass(HOUR_SECS);
  await assertAllList(all, [second]);
});

for (const { what, impair } of [
  { what: 'without writes', impair: () => worker.failKv('put', 'delete') },
  { what: 'over quota', impair: () => worker.exhaustKv('put', 'delete') },
]) {
  test(`KV has everything after an hour ${what}`, async () => {
    const all = clients();
    const old = await add(all[0], LUNCH);
    await pass(HOUR_SECS);
    await impair();
    const added = [];
    for (let index = 0; index < 2 * LOCATIONS; index += 1) {
      added.unshift(await add(all[index % LOCATIONS], { ...LUNCH, amount: index + 1 }));
      await pass(HOUR_SECS / (2 * LOCATIONS));
      await assertAllList(all, [...added, old]);
    }
    assert.equal((await all[1].request('DELETE', `/expenses/${old.id}`)).status, 204);
    await worker.evictObjects();
    await assertAllList(all, added);
    assert.deepEqual(
      await stored(added),
      added.map(() => undefined),
    );
    await worker.failKv();
    await pass(2 * STEP_SECS);
    assert.deepEqual(
      await stored(added),
      added.map(({ amount }) => amount.toFixed(2)),
    );
    assert.deepEqual(await stored([old]), [undefined]);
    await pass(HOUR_SECS);
    await assertAllList(all, added);
  });
}

test('a read without the ledger says that it may lag', async (t) => {
  const all = clients();
  const first = await add(all[0], LUNCH);
  await pass(2 * STEP_SECS);
  await worker.failObjects('LEDGER');
  t.after(() => worker.failObjects());
  const list = await all[1].request('GET', '/expenses');
  assert.deepEqual(list.json, [first]);
  assert.equal(list.header('expenses-consistency'), 'eventual');
  const refused = await all[1].request('POST', '/expenses', { json: LUNCH });
  assert.equal(refused.status, 503, `${refused}`);
  assert.ok(refused.header('retry-after'));
});

test('no answer and no log line holds a secret', () => world.assertNothingLeaked());
