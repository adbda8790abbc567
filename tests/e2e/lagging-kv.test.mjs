/** The harness itself: KV that lags between locations, and a quota that is used up. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { TEST_BUNDLE, TEST_WORKER, TEST_WORKER_MODE } from '../../crates/edge/tests/worker.mjs';
import { build } from '../../local/build.mjs';
import { Worker } from './support/worker.mjs';

const LAG_SECS = 60;

await build('quiet', { worker: TEST_WORKER, mode: TEST_WORKER_MODE });
const folder = mkdtempSync(join(tmpdir(), 'lagging-kv-'));
const worker = await Worker.start({
  vars: {},
  kvFolder: join(folder, 'kv'),
  kvLagMs: LAG_SECS * 1000,
  bundle: TEST_BUNDLE,
  isolates: [{}, {}],
});
after(async () => {
  await worker.stop();
  rmSync(folder, { recursive: true });
});

/** Runs an operation of KV in one of the isolates. @param {0 | 1} isolate @param {object} operation @returns {Promise<any>} */
async function run(isolate, operation) {
  const { origin } = worker.isolates[isolate];
  const response = await fetch(`${origin}/kv/0`, { method: 'POST', body: JSON.stringify(operation) });
  return response.json();
}

/** @param {0 | 1} isolate @param {string} key */
const get = async (isolate, key) => (await run(isolate, { get: { key } })).value;
/** @param {0 | 1} isolate @param {string} prefix @param {number} [limit] */
const list = async (isolate, prefix, limit = 10) => (await run(isolate, { list: { prefix, limit } })).pages;

test('location sees the writes of another one after the lag', async () => {
  await (await worker.kv()).put('a:old', 'seeded');
  assert.equal(await run(0, { put: { key: 'a:new', value: '1', metadata: '{"m":1}' } }), 'done');
  assert.equal(await run(0, { put: { key: 'a:old', value: '2' } }), 'done');
  assert.equal(await get(0, 'a:new'), '1');
  assert.equal(await get(0, 'a:old'), '2');
  assert.equal(await get(1, 'a:new'), null);
  assert.equal(await get(1, 'a:old'), 'seeded');
  assert.deepEqual(await list(0, 'a:'), [
    [
      ['a:new', { m: 1 }],
      ['a:old', null],
    ],
  ]);
  assert.deepEqual(await list(1, 'a:'), [[['a:old', null]]]);

  await worker.advanceClock(LAG_SECS);
  assert.equal(await get(1, 'a:new'), '1');
  assert.equal(await get(1, 'a:old'), '2');
  assert.deepEqual(await list(1, 'a:', 1), [[['a:new', { m: 1 }]], [['a:old', null]]]);
});

test('deleted key stays in another location until the lag is over', async () => {
  await run(0, { put: { key: 'b:1', value: '1' } });
  await worker.advanceClock(LAG_SECS);
  await run(1, { delete: { key: 'b:1' } });
  assert.equal(await get(1, 'b:1'), null);
  assert.equal(await get(0, 'b:1'), '1');
  assert.deepEqual(await list(0, 'b:'), [[['b:1', null]]]);
  await worker.advanceClock(LAG_SECS);
  assert.equal(await get(0, 'b:1'), null);
  assert.deepEqual(await list(0, 'b:'), [[]]);
});

test('operation fails once its quota of the day is used up', async () => {
  const before = (await worker.counts()).kv;
  await worker.exhaustKv('put');
  const put = { put: { key: 'c', value: '1' } };
  assert.equal((await run(0, put)).error, 'quota_exceeded');
  assert.equal(await get(0, 'c'), null);
  await worker.exhaustKv();
  assert.equal(await run(1, put), 'done');
  const { get: gets, put: puts } = (await worker.counts()).kv;
  assert.deepEqual([gets - before.get, puts - before.put], [1, 1]);
});
