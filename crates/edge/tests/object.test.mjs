/**
 * The steps of `object-steps.json` on the Durable Objects of a Workers runtime, through the crate's own adapter.
 * `object.rs` runs the same steps on the memory host, so the two agree. Then rate limits, and the
 * harness's controls of objects.
 */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { build } from '../../../local/build.mjs';
import { Worker } from '../../../tests/e2e/support/worker.mjs';
import { readScenarios, testScenarios } from './scenarios.mjs';
import { TEST_BUNDLE, TEST_WORKER, TEST_WORKER_MODE } from './worker.mjs';

/**
 * @typedef {[message: unknown, response: unknown]} Exchange
 * @typedef {'evict' | 'settle' | { send: Exchange } | { send_to_other: Exchange } | { send_together: Exchange[] }
 *   | { send_and_evict: Exchange } | { advance_secs: number }} Step
 * @type {{ name: string, steps: Step[] }[]}
 */
const SCENARIOS = readScenarios('object-steps.json');
const BINDING = 'STEPPERS';

await build('quiet', { worker: TEST_WORKER, mode: TEST_WORKER_MODE });
const folder = mkdtempSync(join(tmpdir(), 'edge-host-objects-'));
const OPTIONS = {
  vars: {},
  kvFolder: join(folder, 'kv'),
  bundle: TEST_BUNDLE,
  isolates: [{}, {}],
  rateLimits: true,
};
let worker = await Worker.start(OPTIONS);
after(async () => {
  await worker.stop();
  rmSync(folder, { recursive: true });
});

/** Sends a message by the first or the second isolate. @param {string} name of the object @param {unknown} message @param {0 | 1} [isolate] */
async function send(name, message, isolate = 0) {
  const body = JSON.stringify(message);
  const { origin } = worker.isolates[isolate];
  const response = await fetch(`${origin}/objects/${name}`, { method: 'POST', body });
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return JSON.parse(text);
}

testScenarios('objects', SCENARIOS, (number) => {
  const [object, other] = [`${number}-a`, `${number}-b`];
  return async (step, place) => {
    if (step === 'evict') {
      await worker.evictObjects();
    } else if (step === 'settle') {
      await worker.settle();
    } else if ('advance_secs' in step) {
      await worker.advanceClock(step.advance_secs);
      await worker.settle();
    } else if ('send' in step) {
      assert.deepEqual(await send(object, step.send[0]), step.send[1], place);
    } else if ('send_to_other' in step) {
      assert.deepEqual(await send(other, step.send_to_other[0]), step.send_to_other[1], place);
    } else if ('send_together' in step) {
      const sent = step.send_together.map(([message], turn) => send(object, message, turn === 0 ? 0 : 1));
      assert.deepEqual(
        await Promise.all(sent),
        step.send_together.map(([, response]) => response),
        place,
      );
    } else {
      const [message, response] = step.send_and_evict;
      const messages = (await worker.counts()).messages;
      const sent = send(object, message);
      while ((await worker.counts()).messages === messages);
      await worker.evictObjects();
      assert.deepEqual(await sent, response, place);
    }
  };
});

test('isolates share the objects', async () => {
  assert.equal(await send('shared', { put: ['a', '1'] }, 0), null);
  assert.equal(await send('shared', { get: 'a' }, 1), '1');
});

test('unreachable object fails before, and a lost response after it has the message', async () => {
  await worker.failObjects(BINDING);
  assert.deepEqual(await send('unreachable', { put: ['a', '1'] }), { error: 'disconnected' });
  await worker.loseObjectResponses(BINDING);
  assert.deepEqual(await send('unreachable', { put: ['b', '2'] }), { error: 'disconnected' });
  await worker.failObjects();
  assert.deepEqual(await send('unreachable', { list: '' }), [['b', '2']]);
});

test('message waits while objects are held', async () => {
  await worker.holdObjects(BINDING);
  const sent = send('held', 'count', 1);
  await worker.untilObjectIsHeld();
  await worker.holdObjects();
  assert.equal(await sent, 1);
});

test('counts have the messages, alarms and rows written', async () => {
  const before = await worker.counts();
  await send('counted', { put: ['a', '1'] }, 0);
  await send('counted', { delete: 'a' }, 1);
  await send('counted', { set_alarm: 60 });
  await worker.advanceClock(60);
  await worker.settle();
  const counts = await worker.counts();
  assert.equal(counts.messages - before.messages, 3);
  assert.equal(counts.alarms - before.alarms, 1);
  // The alarm writes a row too.
  assert.equal(counts.rowsWritten - before.rowsWritten, 4);
});

test('alarm that keeps failing runs again after its retries', async () => {
  const before = (await worker.use()).live.calls;
  await send('failing', { fail_alarms: 9 });
  await send('failing', { set_alarm: 60 });
  for (let time = 0; time < 10; time += 1) {
    await worker.advanceClock(600);
    await worker.settle();
  }
  assert.equal(await send('failing', { get: 'alarms' }), '1');
  assert.equal((await worker.use()).live.calls, before);
});

test('panic fails every message that the isolate has, and rows last', async () => {
  const panicked = { error: 'disconnected' };
  await send('panicking', { put: ['a', '1'] });
  const { messages } = await worker.counts();
  const others = [send('panicking', { wait_for: 'b' }, 1), send('beside', { wait_for: 'b' }, 1)];
  while ((await worker.counts()).messages < messages + 2);
  assert.deepEqual(await send('panicking', 'panic', 1), panicked);
  assert.deepEqual(await Promise.all(others), [panicked, panicked]);
  assert.equal(await send('panicking', { get: 'a' }, 1), '1');
  assert.equal(await send('beside', 'count', 1), 1);
  assert.equal(await send('panicking', 'count', 1), 2);
});

/** Counts a call; whether the rate limit allows it. @param {string} key */
async function call(key) {
  const response = await fetch(`${worker.origin}/limits/${key}`, { method: 'POST' });
  return response.json();
}

test('rate limit allows so many calls for each key', async () => {
  // Miniflare counts in fixed minutes, so a new one may begin once meanwhile.
  const allowed = [];
  for (let calls = 0; calls < 8; calls += 1) allowed.push(await call('a'));
  const sum = allowed.filter(Boolean).length;
  assert.ok(sum === 3 || sum === 6, `${allowed}`);
  assert.equal(await call('b'), true);
});

test('rate limit that fails allows every call and says so once', async (t) => {
  t.after(() => worker.failRateLimits());
  const reports = async () => {
    await worker.flushLog();
    return worker.log.match(/"event":"rate_limit_failed","binding":"LIMIT"/g)?.length ?? 0;
  };
  for (const error of ['TimeoutError', 'Error']) {
    await worker.failRateLimits(error);
    // More calls than the limit allows.
    for (let calls = 0; calls < 5; calls += 1) assert.equal(await call('c'), true, error);
    assert.equal(await reports(), 1);
  }
});

test('rows outlive the Worker', async () => {
  await send('lasting', { put: ['a', '1'] });
  await worker.stop();
  worker = await Worker.start(OPTIONS);
  assert.equal(await send('lasting', { get: 'a' }), '1');
});
