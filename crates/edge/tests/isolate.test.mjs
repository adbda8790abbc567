/**
 * The JavaScript half of a Worker with a module that the test makes. The runtime ends calls midway only rarely, and a
 * local runtime never does.
 */

import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import vm from 'node:vm';

import {
  connect,
  deliver,
  describeHeaders,
  entry,
  environment,
  readBody,
  respond,
  runSoon,
} from '../src/workers/isolate.js';
import { kvGet } from '../src/workers/kv.js';
import { countCall } from '../src/workers/rate_limit.js';

/** Longer than any event may take. */
const TOO_LONG_MS = 21 * 60 * 1000;
/** The outcome of an operation that did not end in time. */
const TIMED_OUT = 3;
/** One event in so many looks for overdue ones. */
const EVENTS_PER_LOOK = 64;

const OK = () => (/** @type {number} */ id) => {
  describeHeaders(0, '');
  respond(id, 200, 0, undefined, new Uint8Array());
  return 1;
};

/**
 * Starts an instance of a module with some functions of its own.
 *
 * @param {Record<string, (...given: number[]) => number | void>} functions
 * @returns its memory
 */
function start(functions) {
  const names = [
    'prepare',
    'receive',
    'message',
    'alarm',
    'settle',
    'run',
    'abandon',
    'current',
    'pull',
    'cancel',
    'renewInbox',
    'live',
  ];
  const memory = new WebAssembly.Memory({ initial: 1 });
  const table = { get: (/** @type {number} */ at) => functions[names[at]] ?? (() => 0) };
  connect(memory, /** @type {any} */ (table), Uint32Array.from(names.keys()));
  return memory;
}

/** @type {any} */
const CONTEXT = { waitUntil() {} };
const REQUEST = /** @type {any} */ (new Request('http://localhost/'));
/** What a module sees where compatibility flags keep the environment from it. */
const NO_ENVIRONMENT = {};

test('call that the runtime ends starts a new instance', async (t) => {
  t.mock.method(console, 'error', () => {});
  let instances = 0;
  const worker = entry(
    {
      __wbg_reset_state() {
        instances += 1;
        start({ receive: OK() });
      },
    },
    NO_ENVIRONMENT,
  );
  start({
    receive() {
      for (;;);
    },
  });
  // As with a limit of CPU time: no `catch` and no `finally` runs.
  const context = vm.createContext({ run: () => worker.fetch(REQUEST, {}, CONTEXT) });
  assert.throws(() => vm.runInContext('run()', context, { timeout: 50 }), { code: 'ERR_SCRIPT_EXECUTION_TIMEOUT' });

  const response = await worker.fetch(REQUEST, {}, CONTEXT);
  assert.equal(response.status, 200);
  assert.equal(instances, 1);
  await worker.fetch(REQUEST, {}, CONTEXT);
  assert.equal(instances, 1);
});

test('event that the runtime has cancelled is dropped later', async (t) => {
  const abandon = mock.fn();
  const TASK = 7;
  let isAnswered = false;
  start({ abandon, receive: (id) => (isAnswered ? OK()(id) : TASK) });
  const worker = entry({ __wbg_reset_state: () => assert.fail('no panic') }, NO_ENVIRONMENT);
  const cancelled = worker.fetch(REQUEST, {}, CONTEXT);
  isAnswered = true;
  const now = Date.now();
  t.mock.method(Date, 'now', () => now + TOO_LONG_MS);
  for (let event = 0; event < EVENTS_PER_LOOK; event += 1) await worker.fetch(REQUEST, {}, CONTEXT);
  await assert.rejects(async () => cancelled, /too long/);
  assert.deepEqual(
    abandon.mock.calls.map(({ arguments: [task] }) => task),
    [TASK],
  );
});

test('body without bytes arrives in memory that has grown', async () => {
  const WAITER = 5;
  /** @type {(outcome: number[]) => void} */
  let arrive = () => {};
  const arrived = new Promise((resolve) => (arrive = resolve));
  const memory = start({
    receive(id) {
      // An allocation of the module's may do so at any time. The views of the memory are empty then.
      memory.grow(1);
      readBody(WAITER, id);
      return 1;
    },
    settle: (...outcome) => arrive(outcome),
  });
  const worker = entry({ __wbg_reset_state: () => assert.fail('no panic') }, NO_ENVIRONMENT);
  const request = new Request('http://localhost/', { method: 'POST', body: '', headers: { 'content-length': '0' } });
  void worker.fetch(/** @type {any} */ (request), {}, CONTEXT);
  const [waiter, , length] = await arrived;
  assert.deepEqual([waiter, length], [WAITER, 0]);
});

test('rate limit without a response ends the wait', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const settle = mock.fn();
  start({ settle });
  countCall(5, /** @type {any} */ ({ limit: () => new Promise(() => {}) }), 'a key');
  for (const millis of [1_000, 999]) t.mock.timers.tick(millis);
  assert.equal(settle.mock.callCount(), 0);
  t.mock.timers.tick(1);
  assert.deepEqual(settle.mock.calls[0].arguments, [5, TIMED_OUT, 0]);
});

/** A namespace of KV whose operations end when the test ends them. */
function slowKv() {
  /** @type {((value: string) => void)[]} */
  const ends = [];
  return { ends, get: () => new Promise((/** @type {(value: string) => void} */ end) => ends.push(end)) };
}

const KV_MAX_MS = 5_000;

/** The panic of a later test ends an event that has no response. @param {unknown} response */
function ignored(response) {
  Promise.resolve(response).catch(() => {});
}

test('operation that ends late ends its own wait alone', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const settle = mock.fn();
  const kv = /** @type {any} */ (slowKv());
  start({
    settle,
    receive() {
      for (const waiter of [1, 2]) kvGet(waiter, kv, 'a key', KV_MAX_MS);
      return 1;
    },
  });
  const worker = entry({ __wbg_reset_state: () => assert.fail('no panic') }, NO_ENVIRONMENT);
  ignored(worker.fetch(REQUEST, {}, CONTEXT));
  t.mock.timers.tick(1_000);
  kv.ends[0]('');
  await new Promise(setImmediate);
  t.mock.timers.tick(KV_MAX_MS - 1_001);
  assert.deepEqual(
    settle.mock.calls.map(({ arguments: [waiter, kind] }) => [waiter, kind]),
    [[1, 0]],
  );
  t.mock.timers.tick(1);
  assert.deepEqual(settle.mock.calls[1]?.arguments, [2, TIMED_OUT, 0]);
});

test('operation that begins before the look has its whole time', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const settle = mock.fn();
  const kv = /** @type {any} */ (slowKv());
  let waiter = 0;
  const begin = () => {
    waiter += 1;
    kvGet(waiter, kv, 'a key', KV_MAX_MS);
    return 1;
  };
  start({ receive: begin, settle: (...outcome) => void (outcome[0] === 1 ? begin() : settle(...outcome)) });
  const worker = entry({ __wbg_reset_state: () => assert.fail('no panic') }, NO_ENVIRONMENT);
  ignored(worker.fetch(REQUEST, {}, CONTEXT));
  t.mock.timers.tick(999);
  kv.ends[0]('');
  await new Promise(setImmediate);
  for (const millis of [1, KV_MAX_MS - 2]) t.mock.timers.tick(millis);
  assert.equal(settle.mock.callCount(), 0);
  t.mock.timers.tick(1);
  assert.deepEqual(settle.mock.calls[0]?.arguments, [2, TIMED_OUT, 0]);
});

test('operation after a promise of other code has a timer of its own', async (t) => {
  const begun = t.mock.method(globalThis, 'setTimeout', () => 1);
  const kv = /** @type {any} */ (slowKv());
  const read = (/** @type {number} */ waiter) => () => void kvGet(waiter, kv, 'a key', KV_MAX_MS);
  start({ receive: read(1), run: read(2) });
  const worker = entry({ __wbg_reset_state: () => assert.fail('no panic') }, NO_ENVIRONMENT);
  ignored(worker.fetch(REQUEST, {}, CONTEXT));
  // The promise may be of an event whose context is another.
  runSoon();
  await new Promise(setImmediate);
  assert.equal(begun.mock.callCount(), 2);
});

test('operations of a request share a timer, and none outlives those of an object', async (t) => {
  const begun = t.mock.method(globalThis, 'setTimeout', () => begun.mock.callCount() + 1);
  const ended = t.mock.method(globalThis, 'clearTimeout', () => {});
  const kv = /** @type {any} */ (slowKv());
  const read = () => {
    for (const waiter of [1, 2, 3]) kvGet(waiter, kv, 'a key', KV_MAX_MS);
    return 1;
  };
  start({ receive: read, message: read });
  const worker = entry({ __wbg_reset_state: () => assert.fail('no panic') }, NO_ENVIRONMENT);
  ignored(worker.fetch(REQUEST, {}, CONTEXT));
  assert.equal(begun.mock.callCount(), 1);
  for (const end of kv.ends.splice(0)) end('');
  await new Promise(setImmediate);

  ignored(deliver(1, new Request('http://localhost/', { method: 'POST', body: 'a message' })));
  await new Promise(setImmediate);
  assert.equal(begun.mock.callCount(), 2);
  for (const end of kv.ends.splice(0, 2)) end('');
  await new Promise(setImmediate);
  const lasting = ended.mock.calls.filter(({ arguments: [timer] }) => timer !== null);
  assert.deepEqual(lasting, []);
  kv.ends[0]('');
  await new Promise(setImmediate);
  assert.deepEqual(ended.mock.calls.at(-1)?.arguments, [begun.mock.calls[1].result]);
});

test('application is built when the isolate starts', async () => {
  const env = { NAME: 'a variable' };
  /** @type {unknown[]} */
  const built = [];
  start({ prepare: (id) => built.push(environment(id)), receive: OK() });
  const worker = entry({ __wbg_reset_state: () => assert.fail('no panic') }, env);
  assert.deepEqual(built, [env]);
  assert.equal((await worker.fetch(REQUEST, env, CONTEXT)).status, 200);
  assert.deepEqual(built, [env]);
});

test('application that is not configured is built again', async () => {
  const prepare = mock.fn(() => 0);
  start({ prepare, receive: OK() });
  const worker = entry({ __wbg_reset_state: () => assert.fail('no panic') }, { NAME: 'a variable' });
  assert.equal(prepare.mock.callCount(), 1);
  for (let event = 0; event < 2; event += 1) await worker.fetch(REQUEST, {}, CONTEXT);
  assert.equal(prepare.mock.callCount(), 2);
});

test('application without an environment is built later', async () => {
  const prepare = mock.fn();
  start({ prepare, receive: OK() });
  const worker = entry({ __wbg_reset_state: () => assert.fail('no panic') }, NO_ENVIRONMENT);
  assert.equal(prepare.mock.callCount(), 0);
  await worker.fetch(REQUEST, { NAME: 'a variable' }, CONTEXT);
  assert.equal(prepare.mock.callCount(), 1);
});

test('application that needs randomness is built later', async (t) => {
  t.mock.method(console, 'error', () => {});
  const prepare = mock.fn();
  start({
    prepare() {
      throw new WebAssembly.RuntimeError('there is no randomness yet');
    },
    receive: () => assert.fail('this instance has panicked'),
  });
  const env = { NAME: 'a variable' };
  const worker = entry({ __wbg_reset_state: () => start({ prepare, receive: OK() }) }, env);
  assert.equal((await worker.fetch(REQUEST, env, CONTEXT)).status, 200);
  assert.equal(prepare.mock.callCount(), 1);
});
