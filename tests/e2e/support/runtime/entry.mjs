/**
 * Stands between workerd and the bundle, and runs in the isolate. The paths in `controls.mjs` set the
 * isolate's clock forward, cut timers and the timeouts of outgoing requests, so that no test waits for time
 * to pass; write a mark to the log, so that a test knows which lines stand before it; wait for `waitUntil`
 * promises to settle, or for requests to arrive; write to KV, four times as fast as through Miniflare; and
 * make KV's operations, messages to objects and rate limits fail or stand still, and end objects. Every other request
 * goes to the bundle unchanged.
 */

import { WorkerEntrypoint } from 'cloudflare:workers';

// First, because the bundle makes its memory when it loads.
import { countersAt, hostCalls, memoryBytes } from './module.mjs';
import { advance } from './clock.mjs';
import {
  BUSY_PATH,
  COUNTERS_PATH,
  CLOCK_PATH,
  COLLECT_PATH,
  COUNTS_PATH,
  DISTURB_PATH,
  EVICT_PATH,
  HARNESS,
  KV_BINDINGS,
  KV_HELD_PATH,
  KV_PATH,
  LIMITS_PATH,
  LOG_PATH,
  OBJECTS_PATH,
  OBJECT_HELD_PATH,
  POINTS_PATH,
  SETTLE_PATH,
  USE_PATH,
  WAITS_PATH,
} from './controls.mjs';
import { counts } from './counts.mjs';
import { limitFaults, points, testEnv } from './env.mjs';
import { faults as kvFaults, lists } from './kv.mjs';
import { faults as objectFaults } from './namespaces.mjs';
import { evictAll, isBusy, moveAlarms } from './objects.mjs';
import Bundle from './index.js';

/** The Worker limits KV with timers of this length or longer, and has no others so long. */
const KV_LIMIT_MIN_MS = 4_000;
/** The timer after which limits get timers of their own. */
const LOOK_MS = 1_000;
/** How many keys the entry module writes to KV at a time. */
const SEED_WIDTH = 16;
/** How often a request looks again for a condition: it may not wait for another request's promise. */
const POLL_MS = 5;

/** So much garbage makes V8 collect all of the isolate's. */
const GARBAGE_BUFFERS = 32;
const GARBAGE_BUFFER_BYTES = 4 * 1024 * 1024;

/** @typedef {{ key: string, value: string, metadata?: unknown }} SeedEntry */

/** @type {(ms: number) => AbortSignal} */
const timeout = AbortSignal.timeout.bind(AbortSignal);
let timeoutMaxMs = Infinity;
AbortSignal.timeout = (/** @type {number} */ ms) => timeout(Math.min(ms, timeoutMaxMs));

/** @type {(run: (...given: unknown[]) => void, ms: number, ...given: unknown[]) => number} */
const setTimer = globalThis.setTimeout.bind(globalThis);
let timerMaxMs = Infinity;
let kvLimitMaxMs = Infinity;
/** @type {typeof setTimer} */
const setShortTimer = (run, ms, ...given) =>
  setTimer(run, Math.min(ms, ms < KV_LIMIT_MIN_MS && ms !== LOOK_MS ? timerMaxMs : kvLimitMaxMs), ...given);
Object.defineProperty(globalThis, 'setTimeout', { value: setShortTimer, configurable: true, writable: true });

/** The share of outgoing requests that fail before they are sent, from 0 to 1. */
let failingFetchShare = 0;
const realFetch = globalThis.fetch.bind(globalThis);
globalThis.fetch = async (...given) => {
  if (Math.random() < failingFetchShare) throw new TypeError('Network connection lost.');
  return realFetch(...given);
};

/** Promises given to `waitUntil` that have not settled, but for the responses that clients wait for. */
const leftToRun = new Set();

/** @param {ExecutionContext} ctx */
function counted(ctx) {
  const waitUntil = ctx.waitUntil.bind(ctx);
  ctx.waitUntil = (promise) => {
    leftToRun.add(promise);
    waitUntil(Promise.resolve(promise).finally(() => leftToRun.delete(promise)));
  };
  return ctx;
}

/** Requests that the bundle is answering. */
let inFlight = 0;

/** @extends {WorkerEntrypoint<Record<string, unknown>>} */
export default class extends WorkerEntrypoint {
  /**
   * @override
   * @param {Request} request
   */
  async fetch(request) {
    const { pathname, searchParams } = new URL(request.url);
    const binding = Object.values(KV_BINDINGS).find((name) => name in this.env) ?? KV_BINDINGS.expenses;
    const namespace = /** @type {KVNamespace} */ (this.env[binding]);
    if (pathname === CLOCK_PATH) {
      advance(Number(searchParams.get('ms')));
      await moveAlarms(this.env);
    } else if (pathname === LOG_PATH) {
      console.log(searchParams.get('mark'));
      console.error(searchParams.get('mark'));
    } else if (pathname === KV_PATH && request.method === 'POST') {
      await seed(namespace, await request.json());
    } else if (pathname === KV_PATH) {
      kvFaults.failing = searchParams.getAll('fail');
      kvFaults.held = searchParams.getAll('hold');
      kvFaults.exhausted = searchParams.getAll('exhaust');
      kvFaults.isOneHeld = false;
      kvFaults.released = [];
    } else if (pathname === KV_HELD_PATH) {
      const released = searchParams.get('release');
      if (released === null) while (!kvFaults.isOneHeld) await scheduler.wait(POLL_MS);
      else kvFaults.released.push(released);
    } else if (pathname === OBJECTS_PATH) {
      objectFaults.failing = searchParams.getAll('fail');
      objectFaults.losing = searchParams.getAll('lose');
      objectFaults.held = searchParams.getAll('hold');
      objectFaults.isOneHeld = false;
    } else if (pathname === OBJECT_HELD_PATH) {
      while (!objectFaults.isOneHeld) await scheduler.wait(POLL_MS);
    } else if (pathname === DISTURB_PATH) {
      for (const faults of [kvFaults, objectFaults]) {
        faults.delayMs = Number(searchParams.get('delay') ?? 0);
        faults.failingShare = Number(searchParams.get('share') ?? 0);
      }
      failingFetchShare = Number(searchParams.get('share') ?? 0);
    } else if (pathname === LIMITS_PATH) {
      limitFaults.error = searchParams.get('error') ?? '';
    } else if (pathname === EVICT_PATH) {
      await evictAll(this.env);
    } else if (pathname === COUNTS_PATH) {
      return Response.json(counts);
    } else if (pathname === POINTS_PATH) {
      return Response.json(points);
    } else if (pathname === WAITS_PATH) {
      timeoutMaxMs = Number(searchParams.get('timeout') ?? timeoutMaxMs);
      timerMaxMs = Number(searchParams.get('timer') ?? timerMaxMs);
      kvLimitMaxMs = Number(searchParams.get('kv') ?? kvLimitMaxMs);
    } else if (pathname === SETTLE_PATH) {
      while (leftToRun.size > 0 || isBusy()) await scheduler.wait(POLL_MS);
    } else if (pathname === COLLECT_PATH) {
      for (let count = 0; count < GARBAGE_BUFFERS; count += 1) new Uint8Array(GARBAGE_BUFFER_BYTES).fill(1);
    } else if (pathname === USE_PATH) {
      return Response.json({ lists, memoryBytes: memoryBytes(), hostCalls, live: live() });
    } else if (pathname === COUNTERS_PATH) {
      const [address, length] = [Number(searchParams.get('address')), Number(searchParams.get('length'))];
      return Response.json(countersAt(address, length));
    } else if (pathname === BUSY_PATH) {
      while (inFlight < Number(searchParams.get('requests'))) await scheduler.wait(POLL_MS);
    } else {
      return this.#passOn(request);
    }
    return new Response(null, { status: 204 });
  }

  /** @param {Request} request */
  async #passOn(request) {
    inFlight += 1;
    try {
      const response = serve(request, testEnv(this.env, String(this.env[HARNESS.location])), counted(this.ctx));
      leftToRun.delete(response);
      return await response;
    } finally {
      inFlight -= 1;
    }
  }
}

/** What the bundle keeps for events under way; nothing under worker-build's entry. */
function live() {
  return typeof Bundle === 'function' ? {} : Bundle[Symbol.for('edge-host.live')]();
}

/**
 * Serves a request by the bundle, whose entry is edge-host's or, in the example, worker-build's class.
 *
 * @param {Request} request
 * @param {object} env
 * @param {ExecutionContext} context
 */
function serve(request, env, context) {
  return typeof Bundle === 'function' ? new Bundle(context, env).fetch(request) : Bundle.fetch(request, env, context);
}

/** @param {KVNamespace} namespace @param {SeedEntry[]} entries */
async function seed(namespace, entries) {
  const putRest = async () => {
    for (let entry = entries.pop(); entry !== undefined; entry = entries.pop()) {
      await namespace.put(entry.key, entry.value, { metadata: entry.metadata });
    }
  };
  await Promise.all(Array.from({ length: SEED_WIDTH }, putRest));
}
