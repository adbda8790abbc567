/** KV that gives no answer, and one `Idempotency-Key` sent twice, on workerd. */

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';

import { assertProblems, assertUnavailable } from './support/assertions.mjs';
import { LOG_SECS } from './support/expenses.mjs';
import { startWorld } from './support/world.mjs';

const LUNCH = { description: 'Team lunch', amount: 42.5 };

const world = await startWorld({ isolates: [{}, {}] });
const { authkit, worker } = world;

/** @typedef {import('./support/actors.mjs').RequestOptions} RequestOptions */
/** @typedef {import('./support/worker.mjs').KvOperation} KvOperation */

/** A user without expenses, at the Worker's first isolate and at its second. */
function newcomer() {
  const token = authkit.mintToken({ claims: { sub: `user_${randomUUID()}` }, expSecs: 3_600 });
  return worker.isolates.map((isolate) => world.bearer(token, isolate));
}

/** @param {import('./support/actors.mjs').Bearer} actor @param {string} key @param {RequestOptions} [options] */
function create(actor, key, { json = LUNCH, signal } = {}) {
  return actor.request('POST', '/expenses', { json, signal, headers: { 'idempotency-key': key } });
}

/**
 * @param {import('./support/actors.mjs').Actor} actor
 * @returns {Promise<import('./support/expenses.mjs').Expense[]>}
 */
async function expensesOf(actor) {
  const answer = await actor.request('GET', '/expenses');
  assert.equal(answer.status, 200, `${answer}`);
  return answer.json;
}

/**
 * Lets the operations go on after the test, if it has not.
 *
 * @param {import('node:test').TestContext} t
 * @param {KvOperation[]} operations
 */
function holding(t, ...operations) {
  t.after(() => worker.holdKv());
  return worker.holdKv(...operations);
}

test('hanging KV gets 503 for reads and delays no write', async (t) => {
  t.after(() => worker.limitKv(Infinity));
  const [actor] = newcomer();
  const made = (await actor.request('POST', '/expenses', { json: LUNCH })).json;
  // From then on the ledger does not know the expense.
  await worker.settle();
  await world.advanceClock(LOG_SECS);
  await worker.settle();
  await worker.limitKv(50);
  /** @type {[KvOperation, string, string][]} */
  const requests = [
    ['list', 'GET', '/expenses'],
    ['get', 'GET', `/expenses/${made.id}`],
    ['get', 'DELETE', `/expenses/${made.id}`],
  ];
  for (const [operation, method, path] of requests) {
    await holding(t, operation);
    const answer = await actor.request(method, path);
    await worker.holdKv();
    assertUnavailable(answer);
    // The harness cuts the ledger's time too, so the isolate cannot tell what became of a deletion.
    if (method === 'GET') assert.doesNotMatch(answer.json.detail, /may or may not have been saved/);
  }
  await holding(t, 'put', 'delete');
  const added = await actor.request('POST', '/expenses', { json: LUNCH });
  assert.equal(added.status, 201, `${added}`);
  assert.equal((await actor.request('DELETE', `/expenses/${added.json.id}`)).status, 204);
  await worker.holdKv();
  await worker.limitKv(Infinity);
  assert.deepEqual(
    (await expensesOf(actor)).map(({ id }) => id),
    [made.id],
  );
  await worker.flushLog();
  assert.match(worker.log, /KV list failed: no response within 5 s/);
});

test('a session is renewed while KV gives no answer', async (t) => {
  t.after(() => worker.limitKv(Infinity));
  const browser = await world.expired('Ada');
  await worker.limitKv(50);
  await holding(t, 'get', 'put');
  const answer = await browser.request('GET', '/me');
  await worker.holdKv();
  assert.equal(answer.status, 200, `${answer}`);
  assert.equal(world.refreshes(), 1);
});

test('five concurrent requests with one key make one expense', async () => {
  const [actor] = newcomer();
  const answers = await Promise.all(Array.from({ length: 5 }, () => create(actor, 'key')));
  for (const answer of answers) {
    assert.equal(answer.status, 201, `${answer}`);
    assert.deepEqual(answer.json, answers[0].json);
  }
  assert.deepEqual(await expensesOf(actor), [answers[0].json]);
  assertProblems(await create(actor, 'key', { json: { ...LUNCH, amount: 1 } }), [
    ['value_error', 'header', 'idempotency-key'],
  ]);
});

test('create of a departed client is finished and found', async (t) => {
  const actors = newcomer();
  t.after(() => worker.holdObjects());
  await worker.holdObjects('LEDGER');
  const client = new AbortController();
  const gone = create(actors[0], 'key', { signal: client.signal });
  await worker.untilObjectIsHeld();
  client.abort();
  await assert.rejects(gone);
  await worker.holdObjects();
  const again = await create(actors[0], 'key');
  assert.equal(again.status, 201, `${again}`);
  // Elsewhere too it is the same expense.
  assert.deepEqual((await create(actors[1], 'key')).json, again.json);
  assert.deepEqual(await expensesOf(actors[0]), [again.json]);
});

test('no answer and no log line holds a secret', () => world.assertNothingLeaked());
