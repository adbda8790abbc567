/** Bindings that an application takes from the environment itself. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { build } from '../../../local/build.mjs';
import { send } from '../../../tests/e2e/support/http.mjs';
import { Worker } from '../../../tests/e2e/support/worker.mjs';
import { TEST_BUNDLE, TEST_WORKER, TEST_WORKER_MODE } from './worker.mjs';

await build('quiet', { worker: TEST_WORKER, mode: TEST_WORKER_MODE });
const folder = mkdtempSync(join(tmpdir(), 'edge-host-environment-'));
const worker = await Worker.start({ vars: {}, kvFolder: join(folder, 'kv'), bundle: TEST_BUNDLE });
after(async () => {
  await worker.stop();
  rmSync(folder, { recursive: true });
});

test('handler awaits an operation of a binding by the crate worker', async () => {
  const post = (/** @type {string} */ path, body = '') => send({ method: 'POST', url: worker.url(path), body });
  await post('/kv/0', JSON.stringify({ put: { key: 'a', value: 'one' } }));
  for (const [key, value] of [
    ['a', 'one'],
    ['b', 'absent'],
  ]) {
    const answer = await post(`/worker/${key}`);
    assert.deepEqual([answer.status, answer.text], [200, value], key);
  }
});
