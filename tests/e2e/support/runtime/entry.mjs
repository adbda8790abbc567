/**
 * Stands between workerd and the bundle, and runs in the isolate. The paths in `controls.mjs` set the
 * isolate's clock forward, cut timers and the timeouts of outgoing requests, so that no test waits for time
 * to pass; write a mark to the log, so that a test knows which lines stand before it; wait for `waitUntil`
 * promises to settle, or for requests to arrive; write to KV, four times as fast as through Miniflare; and
 * make KV's operations fail or stand still. Every other request goes to the bundle unchanged.
 */

import { WorkerEntrypoint } from 'cloudflare:workers';

// First, because the bundle makes its memory when it loads.
import { memoryBytes } from './memory.mjs';
import {
  BUSY_PATH,
  CLOCK_PATH,
  KV_BINDINGS,
  KV_HELD_PATH,
  KV_PATH,
  LOG_PATH,
  SETTLE_PATH,
  USE_PATH,
  WAITS_PATH,
} from './controls.mjs';
import Bundle from './index.js';

/** The Worker limits KV with timers of this length or longer, and has no others so long. */
const KV_LIMIT_MIN_MS = 5_000;
/** How many keys the entry module writes to KV at a time. */
const SEED_WIDTH = 16;
/** How often a request looks again for a condition: it may not wait for another request's promise. */
const POLL_MS = 5;

/** @typedef {{ key: string, value: string, metadata?: unknown }} SeedEntry */

const RealDate = Date;
let aheadMs = 0;
globalThis.Date = /** @type {DateConstructor} */ (
  class extends RealDate {
    /** @param {[] | [number | string | Date]} given */
    constructor(...given) {
      if (given.length > 0) super(.../** @type {[number]} */ (given));
      else super(RealDate.now() + aheadMs);
    }

    /** @override */
    static now() {
      return RealDate.now() + aheadMs;
    }
  }
);

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
  setTimer(run, Math.min(ms, ms < KV_LIMIT_MIN_MS ? timerMaxMs : kvLimitMaxMs), ...given);
Object.defineProperty(globalThis, 'setTimeout', { value: setShortTimer, configurable: true, writable: true });

/** Promises given to `waitUntil` that have not settled. */
let leftToRun = 0;

/** @param {ExecutionContext} ctx */
function counted(ctx) {
  const waitUntil = ctx.waitUntil.bind(ctx);
  ctx.waitUntil = (promise) => {
    leftToRun += 1;
    waitUntil(
      Promise.resolve(promise).finally(() => {
        leftToRun -= 1;
      }),
    );
  };
  return ctx;
}

/**
 * A page of `count` expenses that no test has to write first, each with metadata of the greatest length.
 *
 * @param {number} count
 * @param {{ prefix: string, limit: number, cursor?: string }} options
 */
function listMadeUp(count, { prefix, limit, cursor }) {
  const from = Number(cursor ?? 0);
  const to = Math.min(from + limit, count);
  const keys = [];
  for (let index = from; index < to; index += 1) {
    const metadata = {
      description: `${index} ${'\u{1f35c}'.repeat(150)}`,
      amount: '10.00',
      currency: 'USD',
      category: `category ${index} ${'y'.repeat(30)}`,
      date: '2026-01-31',
      created_at: 1_700_000_000,
      updated_at: 1_700_000_000,
    };
    keys.push({ name: `${prefix}7YBQTSVWGKVQGMH7Y9${String(index).padStart(8, '0')}`, metadata });
  }
  return { keys, list_complete: to === count, cursor: to === count ? undefined : String(to) };
}

let lists = 0;
/** @type {string[]} */
let failingOperations = [];
/** @type {string[]} */
let heldOperations = [];
let isOneHeld = false;

/** @param {KVNamespace} namespace */
function kvWithFailures(namespace) {
  return new Proxy(namespace, {
    get(target, name) {
      const operation = Reflect.get(target, name);
      if (typeof operation !== 'function') return operation;
      return async (/** @type {unknown[]} */ ...given) => {
        if (failingOperations.includes(String(name))) {
          throw new Error(`KV ${String(name).toUpperCase()} failed: 500 Internal Server Error`);
        }
        if (name === 'list') lists += 1;
        while (heldOperations.includes(String(name))) {
          isOneHeld = true;
          await scheduler.wait(POLL_MS);
        }
        if (name === 'list') {
          const options = /** @type {{ prefix: string, limit: number, cursor?: string }} */ (given[0]);
          const madeUp = /^expense:made-up-(\d+):$/.exec(options.prefix);
          if (madeUp) return listMadeUp(Number(madeUp[1]), options);
        }
        return operation.call(target, ...given);
      };
    },
  });
}

/** Requests that the bundle is answering. */
let inFlight = 0;
/** @type {KVNamespace | undefined} */
let kv;

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
      aheadMs += Number(searchParams.get('ms'));
    } else if (pathname === LOG_PATH) {
      console.log(searchParams.get('mark'));
      console.error(searchParams.get('mark'));
    } else if (pathname === KV_PATH && request.method === 'POST') {
      await seed(namespace, await request.json());
    } else if (pathname === KV_PATH) {
      failingOperations = searchParams.getAll('fail');
      heldOperations = searchParams.getAll('hold');
      isOneHeld = false;
    } else if (pathname === KV_HELD_PATH) {
      while (!isOneHeld) await scheduler.wait(POLL_MS);
    } else if (pathname === WAITS_PATH) {
      timeoutMaxMs = Number(searchParams.get('timeout') ?? timeoutMaxMs);
      timerMaxMs = Number(searchParams.get('timer') ?? timerMaxMs);
      kvLimitMaxMs = Number(searchParams.get('kv') ?? kvLimitMaxMs);
    } else if (pathname === SETTLE_PATH) {
      while (leftToRun > 0) await scheduler.wait(POLL_MS);
    } else if (pathname === USE_PATH) {
      return Response.json({ lists, memoryBytes: memoryBytes() });
    } else if (pathname === BUSY_PATH) {
      while (inFlight < Number(searchParams.get('requests'))) await scheduler.wait(POLL_MS);
    } else {
      return this.#passOn(request, binding, namespace);
    }
    return new Response(null, { status: 204 });
  }

  /** @param {Request} request @param {string} binding @param {KVNamespace | undefined} namespace */
  async #passOn(request, binding, namespace) {
    kv ??= namespace && kvWithFailures(namespace);
    inFlight += 1;
    try {
      return await new Bundle(counted(this.ctx), { ...this.env, ...(kv && { [binding]: kv }) }).fetch(request);
    } finally {
      inFlight -= 1;
    }
  }
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
