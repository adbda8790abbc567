/** A panic in one request, with others in flight. The requests run in an isolate of their own, the objects in the first one. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { build } from '../../../local/build.mjs';
import { send } from '../../../tests/e2e/support/http.mjs';
import { Worker } from '../../../tests/e2e/support/worker.mjs';
import { TEST_BUNDLE, TEST_WORKER, TEST_WORKER_MODE } from './worker.mjs';

const IN_FLIGHT = 20;

await build('quiet', { worker: TEST_WORKER, mode: TEST_WORKER_MODE });
const folder = mkdtempSync(join(tmpdir(), 'edge-host-panic-'));
const worker = await Worker.start({
  vars: {},
  kvFolder: join(folder, 'kv'),
  bundle: TEST_BUNDLE,
  isolates: [{}, {}],
});
after(async () => {
  await worker.stop();
  rmSync(folder, { recursive: true });
});
const [, isolate] = worker.isolates;

/** @param {string} path @param {unknown} [operation] */
function post(path, operation) {
  return send({ method: 'POST', url: isolate.origin + path, body: JSON.stringify(operation) });
}

test('panic fails its request, and others get 503', async () => {
  await worker.holdKv('get');
  const others = Array.from({ length: IN_FLIGHT }, (_, number) => post('/kv/0', { get: { key: `key ${number}` } }));
  const written = post('/kv/0', { put: { key: 'written', value: 'before the panic' } });
  assert.equal((await written).status, 200);
  await worker.busyWith(IN_FLIGHT, isolate);
  const panicking = post('/panic');
  await worker.busyWith(IN_FLIGHT + 1, isolate);
  // The operation of the request that panics goes on first: it is the only one that fails.
  await worker.releaseKv('read before the panic');
  assert.equal((await panicking).status, 500);
  for (const answer of await Promise.all(others)) {
    assert.equal(answer.status, 503, `${answer}`);
    assert.equal(answer.header('retry-after'), '1');
    assert.match(answer.json.detail, /may have taken effect/);
  }

  await worker.holdKv();
  const again = await post('/kv/0', { get: { key: 'written' } });
  assert.equal(again.status, 200);
  assert.match(again.text, /before the panic/);
  assert.deepEqual(withoutObjects((await worker.use(isolate)).live), []);
});

test('panic is in the log once from each hook', async () => {
  await worker.flushLog();
  // This crate's line, and that of `worker`, by whose hook worker-build's entry learns of a panic.
  assert.match(worker.log, /^\{"event":"panicked",[^\n]*"location":"[^"]+\.rs:\d+:\d+"\}$/m);
  assert.match(worker.log, /Critical[^\n]*Rust panic: panicked at/);
});

/** The kinds of items that an isolate keeps, but for objects. @param {Record<string, number>} live */
function withoutObjects({ objects: _, ...live }) {
  return Object.entries(live).filter(([, count]) => count > 0);
}
