/** KV as the bundle sees it: it fails, stands still, refuses and lags where a test says so. */

import { HARNESS, OBJECTS_LOCATION } from './controls.mjs';
import { counts } from './counts.mjs';
import { LaggingKv } from './lagging-kv.mjs';

/** How often an operation that stands still looks again. */
const POLL_MS = 5;

/** The categories of a user who has few. */
const FEW_CATEGORIES = 20;

/** @typedef {'get' | 'put' | 'list' | 'delete'} Operation */

/** Which of KV's operations fail, which stand still, and for which the day's quota is used up. */
export const faults = {
  /** @type {string[]} */
  failing: [],
  /** @type {string[]} */
  held: [],
  /** Keys whose operations do not stand still. @type {string[]} */
  released: [],
  /** @type {string[]} */
  exhausted: [],
  isOneHeld: false,
  /** How long each operation takes besides its own time, in milliseconds. */
  delayMs: 0,
  /** The share of operations that fail, from 0 to 1. */
  failingShare: 0,
};

/** How often keys were listed. */
export let lists = 0;

/**
 * The namespace at one location.
 *
 * @param {KVNamespace} namespace
 * @param {Record<string, unknown>} env
 * @param {string} location
 */
export function kvAt(namespace, env, location) {
  const lagMs = Number(env[HARNESS.kvLagMs] ?? 0);
  const history = /** @type {KVNamespace} */ (env[HARNESS.kvHistory]);
  const seen = lagMs > 0 ? new LaggingKv(namespace, history, location, lagMs) : namespace;
  return withFaults(seen, location === OBJECTS_LOCATION ? counts.objectKv : counts.kv);
}

/** @param {KVNamespace | LaggingKv} namespace @param {import('./counts.mjs').KvCounts} counted */
function withFaults(namespace, counted) {
  return new Proxy(namespace, {
    get(target, name) {
      const operation = Reflect.get(target, name);
      if (typeof operation !== 'function') return operation;
      return async (/** @type {unknown[]} */ ...given) => {
        if (faults.exhausted.includes(String(name))) {
          throw new Error(`KV ${String(name)}() limit exceeded for the day.`);
        }
        if (faults.failing.includes(String(name)) || Math.random() < faults.failingShare) {
          throw new Error(`KV ${String(name).toUpperCase()} failed: 500 Internal Server Error`);
        }
        if (name === 'list') lists += 1;
        if (String(name) in counted) counted[/** @type {Operation} */ (name)] += 1;
        if (faults.delayMs > 0) await scheduler.wait(faults.delayMs);
        while (faults.held.includes(String(name)) && !faults.released.includes(String(given[0]))) {
          faults.isOneHeld = true;
          await scheduler.wait(POLL_MS);
        }
        if (name === 'list') {
          const options = /** @type {{ prefix: string, limit: number, cursor?: string }} */ (given[0]);
          const madeUp = /^expense:made-up-(\d+)(-few)?:$/.exec(options.prefix);
          if (madeUp) return listMadeUp(Number(madeUp[1]), madeUp[2] ? FEW_CATEGORIES : Infinity, options);
        }
        return operation.call(target, ...given);
      };
    },
  });
}

/**
 * A page of `count` expenses that no test has to write first, each with metadata of the greatest length.
 *
 * @param {number} count
 * @param {number} categories at most so many
 * @param {{ prefix: string, limit: number, cursor?: string }} options
 */
function listMadeUp(count, categories, { prefix, limit, cursor }) {
  const from = Number(cursor ?? 0);
  const to = Math.min(from + limit, count);
  const keys = [];
  for (let index = from; index < to; index += 1) {
    const metadata = {
      description: `${index} ${'\u{1f35c}'.repeat(150)}`,
      amount: '10.00',
      currency: 'USD',
      category: `category ${index % categories} ${'y'.repeat(30)}`,
      date: '2026-01-31',
      created_at: 1_700_000_000,
      updated_at: 1_700_000_000,
    };
    keys.push({ name: `${prefix}7YBQTSVWGKVQGMH7Y9${String(index).padStart(8, '0')}`, metadata });
  }
  return { keys, list_complete: to === count, cursor: to === count ? undefined : String(to) };
}
