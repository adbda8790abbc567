/** The built bundle on workerd, in one isolate or several, with a KV namespace on disk. */

import { randomUUID } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { Miniflare } from 'miniflare';

import { send } from './http.mjs';

export const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const BUILD = join(ROOT, 'build');

/** As wrangler.toml has them. */
const ASSETS = {
  directory: join(BUILD, 'assets'),
  routerConfig: { has_user_worker: true },
  assetConfig: { html_handling: 'none' },
};

/** Names of what the Worker needs, as the contract has them. */
const KV_BINDING = 'EXPENSES';
const LOG_TIMEOUT_MS = 5_000;

const CLOCK_PATH = '/.test/clock';
const LOG_PATH = '/.test/log';
const KV_PATH = '/.test/kv';
const KV_HELD_PATH = '/.test/kv-held';
const WAITS_PATH = '/.test/waits';
const SETTLE_PATH = '/.test/settle';
const BUSY_PATH = '/.test/busy';
const USE_PATH = '/.test/use';
/** How many keys are written to KV by one request of the harness's, and how many of them at a time. */
const SEED_BATCH = 500;
const SEED_WIDTH = 16;
/** The limits that the Worker sets KV are its only timers of this length or longer. */
const KV_LIMIT_MIN_MS = 5_000;
/**
 * Goes between the runtime and the bundle. When told to, it sets the isolate's clock forward and cuts
 * timers and the time that an outgoing request may take, so that no test waits for time to pass; writes
 * a mark to the log, so that a test knows what stands before it; waits for what requests have left to
 * `waitUntil`, or for requests to come; writes to KV, four times as fast as through Miniflare; and makes KV's operations fail, or
 * stand still. Everything else goes through as it came.
 */
const ENTRY_MODULE = `
import { WorkerEntrypoint } from 'cloudflare:workers';
import { memory } from './test-memory.mjs';
import Bundle from './index.js';

const RealDate = Date;
let aheadMs = 0;
globalThis.Date = class extends RealDate {
  constructor(...given) {
    if (given.length > 0) super(...given);
    else super(RealDate.now() + aheadMs);
  }
  static now() {
    return RealDate.now() + aheadMs;
  }
};

const timeout = AbortSignal.timeout.bind(AbortSignal);
const setTimer = globalThis.setTimeout.bind(globalThis);
let timeoutMaxMs = Infinity;
let timerMaxMs = Infinity;
let kvLimitMaxMs = Infinity;
AbortSignal.timeout = (ms) => timeout(Math.min(ms, timeoutMaxMs));
globalThis.setTimeout = (run, ms, ...given) =>
  setTimer(run, Math.min(ms, ms < ${KV_LIMIT_MIN_MS} ? timerMaxMs : kvLimitMaxMs), ...given);

let leftToRun = 0;
function counted(ctx) {
  const waitUntil = ctx.waitUntil.bind(ctx);
  ctx.waitUntil = (promise) => {
    leftToRun += 1;
    waitUntil(Promise.resolve(promise).finally(() => (leftToRun -= 1)));
  };
  return ctx;
}

/** A user of so many expenses, each as long as metadata may be, that nobody has to write first. */
function listMadeUp(count, { prefix, limit, cursor }) {
  const from = Number(cursor ?? 0);
  const to = Math.min(from + limit, count);
  const keys = [];
  for (let index = from; index < to; index += 1) {
    const metadata = {
      description: index + ' ' + '\\u{1f35c}'.repeat(150),
      amount: '10.00',
      currency: 'USD',
      category: 'category ' + index + ' ' + 'y'.repeat(30),
      date: '2026-01-31',
      created_at: 1_700_000_000,
      updated_at: 1_700_000_000,
    };
    keys.push({ name: prefix + '7YBQTSVWGKVQGMH7Y9' + String(index).padStart(8, '0'), metadata });
  }
  return { keys, list_complete: to === count, cursor: to === count ? undefined : String(to) };
}

let inFlight = 0;
let lists = 0;
let kv;
let failingOperations = [];
let heldOperations = [];
let isOneHeld = false;
function kvWithFailures(namespace) {
  return new Proxy(namespace, {
    get(target, name) {
      if (typeof target[name] !== 'function') return target[name];
      return async (...given) => {
        if (failingOperations.includes(name)) {
          throw new Error('KV ' + name.toUpperCase() + ' failed: 500 Internal Server Error');
        }
        // A request may not wait for another's promise: it looks again.
        if (name === 'list') lists += 1;
        while (heldOperations.includes(name)) {
          isOneHeld = true;
          await scheduler.wait(5);
        }
        const [, count] = (name === 'list' && /^expense:made-up-(\\d+):$/.exec(given[0].prefix)) || [];
        return count === undefined ? target[name](...given) : listMadeUp(Number(count), given[0]);
      };
    },
  });
}

export default class extends WorkerEntrypoint {
  async fetch(request) {
    const url = new URL(request.url);
    if (url.pathname === '${CLOCK_PATH}') {
      aheadMs += Number(url.searchParams.get('ms'));
    } else if (url.pathname === '${LOG_PATH}') {
      console.log(url.searchParams.get('mark'));
      console.error(url.searchParams.get('mark'));
    } else if (url.pathname === '${KV_PATH}' && request.method === 'POST') {
      const entries = await request.json();
      const put = ({ key, value, metadata }) => this.env.${KV_BINDING}.put(key, value, { metadata });
      const putRest = async () => {
        for (let entry; (entry = entries.pop()); ) await put(entry);
      };
      await Promise.all(Array.from({ length: ${SEED_WIDTH} }, putRest));
    } else if (url.pathname === '${KV_PATH}') {
      failingOperations = url.searchParams.getAll('fail');
      heldOperations = url.searchParams.getAll('hold');
      isOneHeld = false;
    } else if (url.pathname === '${KV_HELD_PATH}') {
      while (!isOneHeld) await scheduler.wait(5);
    } else if (url.pathname === '${WAITS_PATH}') {
      timeoutMaxMs = Number(url.searchParams.get('timeout') ?? timeoutMaxMs);
      timerMaxMs = Number(url.searchParams.get('timer') ?? timerMaxMs);
      kvLimitMaxMs = Number(url.searchParams.get('kv') ?? kvLimitMaxMs);
    } else if (url.pathname === '${SETTLE_PATH}') {
      while (leftToRun > 0) await scheduler.wait(5);
    } else if (url.pathname === '${USE_PATH}') {
      return Response.json({ lists, memoryBytes: memory().byteLength });
    } else if (url.pathname === '${BUSY_PATH}') {
      while (inFlight < Number(url.searchParams.get('requests'))) await scheduler.wait(5);
    } else {
      kv ??= this.env.${KV_BINDING} && kvWithFailures(this.env.${KV_BINDING});
      inFlight += 1;
      try {
        return await new Bundle(counted(this.ctx), { ...this.env, ...(kv && { ${KV_BINDING}: kv }) }).fetch(request);
      } finally {
        inFlight -= 1;
      }
    }
    return new Response(null, { status: 204 });
  }
}
`;

/** Evaluated before the bundle, which keeps its memory to itself: sees the bundle make it. */
const MEMORY_MODULE = `
const RealInstance = WebAssembly.Instance;
let latest;
WebAssembly.Instance = function Instance(...given) {
  latest = new RealInstance(...given);
  return latest;
};
export const memory = () => latest.exports.memory.buffer;
`;

/**
 * @typedef {object} WorkerOptions
 * @property {Record<string, string | undefined>} vars
 * @property {string} kvFolder where KV is kept
 * @property {boolean} [bindKv] default true
 * @property {boolean} [https] on https://localhost, with a certificate nobody has signed
 * @property {string} [timeZone] of every visitor, as Cloudflare tells it; default: it tells none
 * @property {Record<string, string | undefined>[]} [isolates] as many isolates on one KV, each with
 *   these variables over the others; default: one
 */

/**
 * One of the places where a Worker runs, with a memory of its own.
 *
 * @typedef {{ origin: string }} Isolate
 */

export class Worker {
  #miniflare;
  /** @type {Isolate[]} the first has the Worker's own origin */
  isolates = [];
  /** What the Worker has written, a list for each stream. @type {string[][]} */
  #log = [];
  #logGrew = new EventEmitter();

  /** @param {WorkerOptions} options */
  static async start(options) {
    const worker = new Worker();
    await worker.#start(options);
    return worker;
  }

  /** @param {WorkerOptions} options */
  async #start({ vars, kvFolder, bindKv = true, https = false, timeZone, isolates = [{}] }) {
    if (!existsSync(join(BUILD, 'index.js')))
      throw new Error('there is no bundle in build/: run npm test, or npm run build first');
    this.kvFolder = kvFolder;
    this.#miniflare = new Miniflare({
      host: '127.0.0.1',
      port: 0,
      https,
      kvPersist: kvFolder,
      cf: timeZone === undefined ? {} : { timezone: timeZone },
      handleRuntimeStdio: (...streams) => {
        for (const stream of streams) this.#keepLog(stream);
      },
      // A script under another name is another isolate. All but the first have a port of their own.
      workers: isolates.map((changes, index) => ({
        name: isolateName(index),
        ...runtimeSettings(),
        modulesRoot: BUILD,
        modules: [
          { type: 'ESModule', path: join(BUILD, 'test-entry.mjs'), contents: ENTRY_MODULE },
          { type: 'ESModule', path: join(BUILD, 'test-memory.mjs'), contents: MEMORY_MODULE },
          { type: 'ESModule', path: join(BUILD, 'index.js') },
          { type: 'CompiledWasm', path: join(BUILD, 'index_bg.wasm') },
        ],
        bindings: given({ ...vars, ...changes }),
        // Only where the runtime's own port leads, as Wrangler serves them: a script by itself has none.
        ...(index === 0 && { assets: ASSETS }),
        kvNamespaces: bindKv ? { [KV_BINDING]: KV_BINDING } : {},
        unsafeDirectSockets: index === 0 ? [] : [{ host: '127.0.0.1', port: 0 }],
      })),
    });
    const { port } = await this.#miniflare.ready;
    // Not 127.0.0.1, where AuthKit is: two hosts are two sites, as they are in production.
    this.origin = `${https ? 'https' : 'http'}://localhost:${port}`;
    this.isolates.push(this);
    for (let index = 1; index < isolates.length; index += 1) {
      const { port } = await this.#miniflare.unsafeGetDirectURL(isolateName(index));
      this.isolates.push({ origin: `http://localhost:${port}` });
    }
  }

  get isRunning() {
    return this.#miniflare !== undefined;
  }

  /** @param {string} path @returns {string} */
  url(path) {
    return new URL(path, this.origin).href;
  }

  /** Everything that it has written to its console; complete after `stop`. */
  get log() {
    return this.#log.flat().join('');
  }

  /** Lets time pass in the Worker, and nowhere else. @param {number} secs */
  async advanceClock(secs) {
    await this.#tell(`${CLOCK_PATH}?ms=${secs * 1000}`);
  }

  /** From now on these of KV's operations fail, and no others. @param {('get' | 'put' | 'list' | 'delete')[]} operations */
  async failKv(...operations) {
    await this.#tell(`${KV_PATH}?${new URLSearchParams(operations.map((operation) => ['fail', operation]))}`);
  }

  /** From now on these of KV's operations stand still, and no others. @param {('get' | 'put' | 'list' | 'delete')[]} operations */
  async holdKv(...operations) {
    await this.#tell(`${KV_PATH}?${new URLSearchParams(operations.map((operation) => ['hold', operation]))}`);
  }

  /**
   * Writes to KV what no request of a client's would, or would take too long to.
   *
   * @param {{ key: string, value: string, metadata?: unknown }[]} entries
   */
  async seedKv(entries) {
    for (let from = 0; from < entries.length; from += SEED_BATCH) {
      const body = JSON.stringify(entries.slice(from, from + SEED_BATCH));
      await this.#tell(KV_PATH, [this], { method: 'POST', body });
    }
  }

  /** Returns once one of KV's operations stands still in every isolate. */
  async untilKvIsHeld() {
    await this.#tell(KV_HELD_PATH);
  }

  /** From now on the Worker gives KV no longer than this. @param {number} ms */
  async limitKv(ms) {
    await this.#tell(`${WAITS_PATH}?kv=${ms}`);
  }

  /** From now on no outgoing request of the Worker's waits longer than this. @param {number} ms */
  async limitTimeouts(ms) {
    await this.#tell(`${WAITS_PATH}?timeout=${ms}`);
  }

  /** From now on the Worker never sleeps longer than this; its limits on KV stay as they are. @param {number} ms */
  async limitTimers(ms) {
    await this.#tell(`${WAITS_PATH}?timer=${ms}`);
  }

  /** Returns once everything is done that requests have left to be done after their answers. */
  async settle() {
    await this.#tell(SETTLE_PATH);
  }

  /** Returns once as many requests are being answered at the same time. @param {number} requests */
  async busyWith(requests) {
    await this.#tell(`${BUSY_PATH}?requests=${requests}`, [this]);
  }

  /**
   * What the isolate has used: how often it has listed keys, and its WebAssembly memory, which never shrinks.
   *
   * @returns {Promise<{ lists: number, memoryBytes: number }>}
   */
  async use() {
    return (await send({ url: this.origin + USE_PATH })).json;
  }

  /** The KV namespace itself, as its operator sees it. */
  kv() {
    return this.#miniflare.getKVNamespace(KV_BINDING, isolateName(0));
  }

  /** Returns once the log holds everything that was written before. */
  async flushLog() {
    const mark = randomUUID();
    const isThere = () => this.#log.every((texts) => texts.join('').includes(mark));
    await this.#tell(`${LOG_PATH}?mark=${mark}`, [this]);
    const signal = AbortSignal.timeout(LOG_TIMEOUT_MS);
    while (!isThere()) await once(this.#logGrew, 'text', { signal });
  }

  async stop() {
    const miniflare = this.#miniflare;
    if (!miniflare) return;
    this.#miniflare = undefined;
    try {
      // The runtime is killed in the end, with all that it still had to say.
      await this.flushLog();
    } finally {
      await miniflare.dispose();
    }
  }

  /** @param {import('node:stream').Readable} stream */
  #keepLog(stream) {
    const texts = [];
    this.#log.push(texts);
    stream.setEncoding('utf8');
    stream.on('data', (text) => {
      texts.push(text);
      this.#logGrew.emit('text');
    });
  }

  /** @param {string} path one of the entry module's own @param {Isolate[]} [isolates] @param {{ method?: string, body?: string }} [options] */
  async #tell(path, isolates = this.isolates, options = {}) {
    const answers = await Promise.all(isolates.map(({ origin }) => send({ url: origin + path, ...options })));
    if (!answers.every(({ status }) => status === 204)) throw new Error(`${path} is not answered by the entry module`);
  }
}

function isolateName(index) {
  return `isolate-${index}`;
}

/** What is not `undefined`. @param {Record<string, string | undefined>} vars @returns {Record<string, string>} */
function given(vars) {
  return Object.fromEntries(Object.entries(vars).filter(([, value]) => value !== undefined));
}

/** What wrangler.toml says of the runtime, so that the tests run on the one that is deployed to. */
function runtimeSettings() {
  const toml = readFileSync(join(ROOT, 'wrangler.toml'), 'utf8');
  const date = /^compatibility_date\s*=\s*"([^"]+)"/m.exec(toml);
  if (!date) throw new Error('wrangler.toml has no compatibility_date');
  const flags = /^compatibility_flags\s*=\s*\[([^\]]*)\]/m.exec(toml);
  return {
    compatibilityDate: date[1],
    compatibilityFlags: flags ? [...flags[1].matchAll(/"([^"]+)"/g)].map(([, flag]) => flag) : [],
  };
}
