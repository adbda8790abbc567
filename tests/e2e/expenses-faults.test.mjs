/** KV failures and corrupt records: no expense is lost, and no other expense is hidden. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { assertUnavailable } from './support/assertions.mjs';
import { parseCsv } from './support/csv.mjs';
import {
  LOG_SECS,
  add,
  descriptions,
  idAt,
  list,
  newSub,
  newcomer,
  nextPath,
  pages,
  stored,
} from './support/expenses.mjs';
import { eventsOf } from './support/events.mjs';
import { present } from './support/values.mjs';
import { startWorld } from './support/world.mjs';

const NOON = 1_700_000_000_000;
const LARGE = { description: '🍜'.repeat(200), category: '🍜'.repeat(50) };

const world = await startWorld();
const { worker } = world;

/** @typedef {{ value?: string, record?: Record<string, unknown> }} Corrupt a value, or fields of a record */

/** Values that are not an expense, stored under an expense's key. @type {Corrupt[]} */
const CORRUPT = [
  { value: '' },
  { value: '{' },
  { value: 'null' },
  { value: '[]' },
  { value: '{}' },
  { value: '{"description":"secret-in-kv"}' },
  { record: { amount: 'secret-in-kv' } },
  { record: { amount: '-5.00' } },
  { record: { amount: 5 } },
  { record: { date: '2026-02-30' } },
  { record: { date: null } },
  { record: { created_at: 1e18 } },
  { record: { updated_at: '2026-01-01' } },
  { record: { description: undefined } },
];

/**
 * Two sound expenses of one user, with a corrupt one before, between and after them.
 *
 * @param {Corrupt} corrupt
 * @param {number} index
 */
async function damaged({ value, record }, index) {
  const sub = newSub();
  const ids = [0, 1, 2].map((hour) => idAt(NOON + index * 10_000_000 + hour * 3_600_000));
  const good = [1, 2].map((hour) =>
    stored(sub, idAt(NOON + index * 10_000_000 + hour * 3_600_000 + 1), { description: `good ${hour}` }),
  );
  const bad = ids.map((id) => ({ ...stored(sub, id, record), ...(value === undefined ? {} : { value }) }));
  // The value is read where the metadata is missing or invalid.
  await worker.seedKv([
    ...good,
    ...bad.map((entry, at) => (at === 0 && record ? entry : { ...entry, metadata: undefined })),
  ]);
  return { sub, ids, actor: newcomer(world, sub) };
}

for (const [index, corrupt] of CORRUPT.entries()) {
  test(`corrupt record ${JSON.stringify(corrupt)} is skipped and logged by id`, async () => {
    const { actor, sub, ids } = await damaged(corrupt, index);
    assert.deepEqual(await descriptions(actor), ['good 2', 'good 1']);
    assert.deepEqual(
      (await pages(actor, '/expenses?limit=1')).flat().map(({ description }) => description),
      ['good 2', 'good 1'],
    );
    assert.deepEqual(await descriptions(actor, 'category=other'), ['good 2', 'good 1']);
    const csv = await actor.request('GET', '/expenses', { headers: { accept: 'text/csv' } });
    assert.deepEqual(
      parseCsv(csv.text).map((row) => row[2]),
      ['description', 'good 2', 'good 1'],
    );
    assert.match((await actor.request('GET', '/expenses/summary')).text, /"total":20\.00,"count":2/);
    await worker.flushLog();
    for (const id of ids) {
      assert.ok(worker.log.includes(id), `${id} is not in the log`);
      // It is no expense, and it goes when it is told to.
      assert.ok((await actor.request('GET', `/expenses/${id}`)).status >= 400);
      assert.ok((await actor.request('PATCH', `/expenses/${id}`, { json: { amount: 1 } })).status >= 400);
      assert.equal((await actor.request('DELETE', `/expenses/${id}`)).status, 204);
    }
    const kv = await worker.kv();
    assert.equal((await kv.list({ prefix: `expense:${sub}:` })).keys.length, 2);
    await worker.flushLog();
    assert.doesNotMatch(worker.log, /secret-in-kv/);
  });
}

test('key without a valid id is reported and skipped', async () => {
  const sub = newSub();
  const actor = newcomer(world, sub);
  const expense = await add(actor);
  await worker.seedKv(
    ['', 'x', expense.id.toLowerCase(), `${expense.id}0`, `${expense.id}:x`, '8ZZZZZZZZZZZZZZZZZZZZZZZZZ'].map((name) =>
      stored(sub, name),
    ),
  );
  assert.deepEqual(await list(actor), [expense]);
  assert.deepEqual((await pages(actor, '/expenses?limit=2')).flat(), [expense]);
  await worker.flushLog();
  assert.ok(eventsOf(worker).some((event) => event.event === 'key_malformed'));
});

test('a KV failure changes nothing and loses nothing', async (t) => {
  t.after(() => worker.failKv());
  const sub = newSub();
  const expense = await add(newcomer(world, sub), LARGE);
  // From then on the ledger does not know the expense, and reads KV before a change.
  await worker.settle();
  await world.advanceClock(LOG_SECS);
  await worker.settle();
  const actor = newcomer(world, sub);
  const path = `/expenses/${expense.id}`;
  const json = { description: 'changed', amount: 1 };
  for (const method of ['PUT', 'PATCH', 'DELETE']) {
    await worker.failKv('get');
    const answer = await actor.request(method, path, { json: method === 'DELETE' ? undefined : json });
    assertUnavailable(answer);
    assert.doesNotMatch(answer.text, /KV|500|user_/, 'nothing of the inside');
    await worker.failKv();
    assert.deepEqual(await list(actor), [expense], method);
  }
  assert.equal((await actor.request('PUT', path, { json })).status, 200);
});

test('writes succeed while KV writes fail', async (t) => {
  t.after(() => worker.failKv());
  const actor = newcomer(world);
  const kept = await add(actor, LARGE);
  const removed = await add(actor, LARGE);
  await worker.failKv('put', 'delete');
  const json = { description: 'changed', amount: 1 };
  const changed = await actor.request('PUT', `/expenses/${kept.id}`, { json });
  assert.equal(changed.status, 200, `${changed}`);
  assert.equal((await actor.request('DELETE', `/expenses/${removed.id}`)).status, 204);
  const added = await add(actor, { description: 'new' });
  assert.deepEqual(await list(actor), [added, changed.json]);
});

test('a write without the ledger gets 503 and changes nothing', async (t) => {
  t.after(() => worker.failObjects());
  const actor = newcomer(world);
  const expense = await add(actor, LARGE);
  const path = `/expenses/${expense.id}`;
  const json = { description: 'changed', amount: 1 };
  for (const [method, target] of [
    ['POST', '/expenses'],
    ['PUT', path],
    ['PATCH', path],
    ['DELETE', path],
  ]) {
    await worker.failObjects('LEDGER');
    const answer = await actor.request(method, target, { json: method === 'DELETE' ? undefined : json });
    assertUnavailable(answer);
    assert.match(answer.json.detail, /may or may not have been saved/);
    assert.doesNotMatch(answer.text, /KV|Object|500|user_/, 'nothing of the inside');
    await worker.failObjects();
    assert.deepEqual(await list(actor), [expense], method);
  }
});

test('a list with unreadable long records gets 503', async (t) => {
  t.after(() => worker.failKv());
  const actor = newcomer(world);
  await add(actor, LARGE);
  await add(actor, { description: 'short' });
  await worker.failKv('get');
  for (const path of ['/expenses', '/expenses?category=other', '/expenses/summary']) {
    assertUnavailable(await actor.request('GET', path));
  }
  assertUnavailable(await actor.request('GET', '/expenses', { headers: { accept: 'text/csv' } }));
  await worker.failKv();
  assert.deepEqual(await descriptions(actor), ['short', LARGE.description]);
});

test('a failed page can be requested again', async (t) => {
  t.after(() => worker.failKv());
  const actor = newcomer(world);
  const added = [];
  for (let number = 1; number <= 5; number += 1) added.unshift(await add(actor, { description: `${number}` }));
  for (const query of ['limit=2', 'limit=2&category=other']) {
    const first = await actor.request('GET', `/expenses?${query}`);
    await worker.failKv('list');
    assertUnavailable(await actor.request('GET', present(nextPath(first))));
    await worker.failKv();
    assert.deepEqual((await pages(actor, present(nextPath(first)))).flat(), added.slice(2));
  }
});

test('KV failure keeps the session and is reported once', async (t) => {
  t.after(() => worker.failKv());
  const browser = await world.signedIn('Grace');
  await add(browser, { description: 'mine' });
  await worker.flushLog();
  const before = worker.streams;
  await worker.failKv('list');
  const answer = await browser.request('GET', '/expenses');
  assertUnavailable(answer);
  assert.deepEqual(answer.setCookies, []);
  await worker.failKv();
  assert.deepEqual(await descriptions(browser), ['mine']);
  await worker.flushLog();
  const log = worker.streams.map((text, index) => text.slice(before[index].length)).join('');
  const reported = eventsOf({ log });
  const failed = reported.filter((event) => event.event === 'request_failed');
  assert.equal(failed.length, 1, JSON.stringify(reported));
  const { request, version, cause, ...fields } = failed[0];
  assert.deepEqual(fields, { event: 'request_failed', method: 'GET', route: '/expenses', status: 503 });
  assert.match(String(cause), /^KV list failed/);
  assert.equal(reported.filter((event) => event.event === 'kv_failed').length, 1);
});

test('no answer and no log line holds a secret', () => world.assertNothingLeaked());
