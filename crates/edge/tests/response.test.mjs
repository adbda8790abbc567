/** Responses that are under way at the same time. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { build } from '../../../local/build.mjs';
import { send } from '../../../tests/e2e/support/http.mjs';
import { Worker } from '../../../tests/e2e/support/worker.mjs';
import { TEST_BUNDLE, TEST_WORKER, TEST_WORKER_MODE } from './worker.mjs';

/** More sets of headers than an isolate keeps. */
const OTHERS = 70;

await build('quiet', { worker: TEST_WORKER, mode: TEST_WORKER_MODE });
const folder = mkdtempSync(join(tmpdir(), 'edge-host-response-'));
const worker = await Worker.start({ vars: {}, kvFolder: join(folder, 'kv'), bundle: TEST_BUNDLE });
after(async () => {
  await worker.stop();
  rmSync(folder, { recursive: true });
});

test('response that waits for its body keeps its own headers', async () => {
  const tagged = (/** @type {number | string} */ tag) =>
    send({ method: 'POST', url: worker.url(`/tagged/${tag}`), body: '' });
  await worker.holdKv('get');
  const waiting = tagged('waiting');
  await worker.busyWith(1);
  const others = Array.from({ length: OTHERS }, (_, tag) => tagged(tag));
  await worker.busyWith(1 + OTHERS);
  for (let tag = 0; tag < OTHERS; tag += 1) await worker.releaseKv(String(tag));
  for (const [tag, answer] of (await Promise.all(others)).entries()) assert.equal(answer.header('x-tag'), String(tag));
  await worker.holdKv();
  const answer = await waiting;
  assert.deepEqual([answer.header('x-tag'), answer.text], ['waiting', 'later']);
});
