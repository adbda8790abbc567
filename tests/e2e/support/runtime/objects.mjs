/**
 * The bundle's Durable Objects, which run in the first isolate: their alarms follow the isolate's clock, a test
 * evicts them, and messages to them fail or stand still where a test says so.
 */

import { DurableObject } from 'cloudflare:workers';

import { runtimeTime } from './clock.mjs';
import { OBJECTS_LOCATION } from './controls.mjs';
import { counts } from './counts.mjs';
import { testEnv } from './env.mjs';

/** Paths of the harness's own messages to an object. */
const ABORT_PATH = '/.test/abort';
const ALARM_PATH = '/.test/alarm';
/** The runtime runs a failed alarm again after this time, and then after longer ones. */
const ALARM_RETRY_MS = 2_000;
/** The longest time until an alarm that is due has begun. */
const ALARM_TIMEOUT_MS = 5_000;
const POLL_MS = 5;

/** @typedef {{ pending: number }} Instance `pending`: the alarm and the `waitUntil` promises that have not settled */
/** @typedef {{ at: number, binding: string }} Alarm `at` by the isolate's clock */
/** @typedef {{ fetch(request: Request): Promise<Response>, alarm(info?: unknown): Promise<void> }} BundleObject */
/** @typedef {new (ctx: object, env: object) => BundleObject} BundleClass */

/** The instances that run, by the ids of their objects. @type {Map<string, Instance & { binding: string }>} */
const instances = new Map();
/** The alarms that are set, by the ids of their objects. @type {Map<string, Alarm>} */
const alarms = new Map();

/** A class of the bundle for the runtime. @param {string} binding @param {BundleClass} Class */
export function wrapped(binding, Class) {
  return class extends DurableObject {
    #id;
    #object;
    #instance;

    /** @param {DurableObjectState} ctx @param {Record<string, unknown>} env */
    constructor(ctx, env) {
      super(ctx, env);
      this.#id = ctx.id.toString();
      this.#instance = { pending: 0, binding };
      instances.set(this.#id, this.#instance);
      this.#object = new Class(testContext(ctx, this.#instance, binding), testEnv(env, OBJECTS_LOCATION));
    }

    /** @override @param {Request} request */
    async fetch(request) {
      const { pathname } = new URL(request.url);
      if (pathname === ABORT_PATH) {
        instances.delete(this.#id);
        // What the object wrote in this moment is kept: `abort()` drops what is not on disk.
        await this.ctx.storage.sync();
        this.ctx.abort('evicted by a test');
      }
      if (pathname === ALARM_PATH) {
        const alarm = alarms.get(this.#id);
        if (alarm) await this.ctx.storage.setAlarm(runtimeTime(alarm.at));
        return new Response(null, { status: 204 });
      }
      counts.messages += 1;
      return this.#object.fetch(request);
    }

    /** @override @param {AlarmInvocationInfo} [info] */
    async alarm(info) {
      counts.alarms += 1;
      alarms.delete(this.#id);
      this.#instance.pending += 1;
      try {
        await this.#object.alarm(info);
      } catch (error) {
        if (!alarms.has(this.#id)) alarms.set(this.#id, { at: Date.now() + ALARM_RETRY_MS, binding });
        throw error;
      } finally {
        this.#instance.pending -= 1;
      }
    }
  };
}

/**
 * What the bundle uses of an object's context.
 *
 * @param {DurableObjectState} ctx
 * @param {Instance} instance
 * @param {string} binding
 */
function testContext(ctx, instance, binding) {
  const { storage } = ctx;
  const { kv } = storage;
  const id = ctx.id.toString();
  /** @template T @param {T} written @returns {T} */
  const counted = (written) => {
    counts.rowsWritten += 1;
    return written;
  };
  return {
    id: ctx.id,
    storage: {
      kv: {
        get: kv.get.bind(kv),
        list: kv.list.bind(kv),
        /** @param {string} key @param {unknown} value */
        put: (key, value) => counted(kv.put(key, value)),
        /** @param {string} key */
        delete: (key) => counted(kv.delete(key)),
      },
      transactionSync: storage.transactionSync.bind(storage),
      /** @param {number} at */
      setAlarm(at) {
        alarms.set(id, { at, binding });
        return counted(storage.setAlarm(runtimeTime(at)));
      },
      deleteAlarm() {
        alarms.delete(id);
        return counted(storage.deleteAlarm());
      },
      deleteAll() {
        alarms.delete(id);
        return counted(storage.deleteAll());
      },
    },
    /** @param {Promise<unknown>} promise */
    waitUntil(promise) {
      instance.pending += 1;
      ctx.waitUntil(promise.finally(() => (instance.pending -= 1)));
    },
  };
}

/** Whether spawned work or an alarm that is due has not ended. */
export function isBusy() {
  const isDue = ({ at }) => at <= Date.now();
  return [...instances.values()].some(({ pending }) => pending > 0) || [...alarms.values()].some(isDue);
}

/** Ends every instance. @param {Record<string, unknown>} env */
export async function evictAll(env) {
  const ended = [...instances].map(([id, { binding }]) => tell(env, binding, id, ABORT_PATH).catch(() => {}));
  await Promise.all(ended);
}

/** Sets the alarms anew after the clock has moved; returns once those that are due have begun. @param {Record<string, unknown>} env */
export async function moveAlarms(env) {
  const due = [...alarms].filter(([, { at }]) => at <= Date.now());
  await Promise.all([...alarms].map(([id, { binding }]) => tell(env, binding, id, ALARM_PATH)));
  const until = performance.now() + ALARM_TIMEOUT_MS;
  while (due.some(([id, alarm]) => alarms.get(id) === alarm)) {
    if (performance.now() > until) throw new Error(`an alarm has not begun within ${ALARM_TIMEOUT_MS} ms`);
    await scheduler.wait(POLL_MS);
  }
}

/** @param {Record<string, unknown>} env @param {string} binding @param {string} id @param {string} path */
async function tell(env, binding, id, path) {
  const namespace = /** @type {DurableObjectNamespace} */ (env[binding]);
  const response = await namespace.get(namespace.idFromString(id)).fetch(`http://object${path}`);
  await response.arrayBuffer();
}
