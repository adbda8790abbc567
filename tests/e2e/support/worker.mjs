/** The built bundle on workerd, in one isolate or several, with a KV namespace and Durable Objects on disk. */

import { randomUUID } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { Miniflare } from 'miniflare';
import { parse } from 'smol-toml';

import { send } from './http.mjs';
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
} from './runtime/controls.mjs';

export const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const BUILD = join(ROOT, 'build');

/** As wrangler.toml has them. */
const ASSETS = {
  routerConfig: { has_user_worker: true },
  assetConfig: { html_handling: 'none' },
};

const LOG_TIMEOUT_MS = 5_000;
/** The longest time for the runtime to start or to stop. It takes about a second. */
const RUNTIME_TIMEOUT_MS = 30_000;
/** How often a runtime is started that does not say in time that it is ready. */
const START_TRIES = 3;
/** How many keys one request of the harness writes to KV. */
const SEED_BATCH = 500;

/** Files that the tests load beside the bundle; runtime/entry.mjs says what for. */
const RUNTIME_MODULES = [
  'entry.mjs',
  'clock.mjs',
  'controls.mjs',
  'counts.mjs',
  'env.mjs',
  'kv.mjs',
  'lagging-kv.mjs',
  'module.mjs',
  'namespaces.mjs',
  'objects.mjs',
  'workers.mjs',
];
/** The first module, which is made for the classes that the Worker's configuration binds. */
const MAIN_MODULE = 'main.mjs';
const RUNTIME_FOLDER = fileURLToPath(new URL('runtime', import.meta.url));

/**
 * A built Worker.
 *
 * @typedef {object} Bundle
 * @property {string} folder absolute
 * @property {string} kvBinding
 * @property {string} config its configuration for Wrangler, relative to the project's folder
 * @property {string} [assets] the folder of its static assets
 */

/** @type {Bundle} */
export const EXPENSES_BUNDLE = {
  folder: BUILD,
  kvBinding: KV_BINDINGS.expenses,
  config: 'wrangler.toml',
  assets: join(BUILD, 'assets'),
};

/**
 * @typedef {object} WorkerOptions
 * @property {Record<string, string | undefined>} vars
 * @property {string} kvFolder where KV is kept, and beside it the objects
 * @property {Bundle} [bundle] default: the expense tracker's
 * @property {boolean} [bindKv] default true
 * @property {boolean} [https] on https://localhost, with a self-signed certificate
 * @property {string} [timeZone] of every visitor, as Cloudflare tells it; default: it tells none
 * @property {Record<string, string | undefined>[]} [isolates] as many isolates on one KV, each with
 *   these variables over the others; default: one. They share the objects too, which run in the first one's memory
 * @property {number} [kvLagMs] how long each isolate, and the objects as a location of their own, do not see writes
 *   of others to KV; default: 0
 * @property {boolean} [counts] whether a dataset of Workers Analytics Engine is bound; default: false
 * @property {boolean} [rateLimits] whether the rate limits of the configuration are bound; default: false
 */

/** @typedef {'get' | 'put' | 'list' | 'delete'} KvOperation */
/** @typedef {import('./runtime/counts.mjs').Counts} Counts */
/** @typedef {{ type: 'ESModule', path: string, contents: string }} ESModule */

/**
 * One of the places where a Worker runs, with a memory of its own.
 *
 * @typedef {{ origin: string }} Isolate
 */

export class Worker {
  /** @type {Miniflare | undefined} nothing before the start and after the end */
  #miniflare;
  /** The origin of the first isolate. */
  origin = '';
  /** The folder that KV is kept in. */
  kvFolder = '';
  #kvBinding = '';
  /** @type {Isolate[]} the first has the Worker's own origin */
  isolates = [];
  /** The Worker's output, a list for each stream. @type {string[][]} */
  #log = [];
  #logGrew = new EventEmitter();

  /** @param {WorkerOptions} options */
  static async start(options) {
    const worker = new Worker();
    await worker.#start(options);
    return worker;
  }

  /** @param {WorkerOptions} options */
  async #start({
    vars,
    kvFolder,
    bundle = EXPENSES_BUNDLE,
    bindKv = true,
    https = false,
    timeZone,
    isolates = [{}],
    kvLagMs = 0,
    rateLimits = false,
    counts = false,
  }) {
    const { folder, kvBinding, config, assets } = bundle;
    if (!existsSync(join(folder, 'index.js')))
      throw new Error(`there is no bundle in ${folder}: run npm test, or npm run build first`);
    this.#kvBinding = kvBinding;
    this.kvFolder = kvFolder;
    const { settings, objects, limits, versionMetadata } = readConfig(config);
    const { miniflare, port } = await startRuntime({
      host: '127.0.0.1',
      port: 0,
      https,
      kvPersist: kvFolder,
      durableObjectsPersist: `${kvFolder}-objects`,
      cf: timeZone === undefined ? {} : { timezone: timeZone },
      handleRuntimeStdio: (/** @type {import('node:stream').Readable[]} */ ...streams) => {
        for (const stream of streams) this.#keepLog(stream);
      },
      // A script under another name is another isolate. All but the first have a port of their own.
      workers: isolates.map((changes, index) => ({
        name: isolateName(index),
        ...settings,
        modulesRoot: folder,
        modules: [
          { type: 'ESModule', path: join(folder, MAIN_MODULE), contents: mainModule(objects) },
          ...RUNTIME_MODULES.map((name) => esModule(folder, name)),
          bundleScript(folder),
          { type: 'CompiledWasm', path: join(folder, 'index_bg.wasm') },
        ],
        bindings: given({
          ...vars,
          ...changes,
          [HARNESS.location]: isolateName(index),
          [HARNESS.kvLagMs]: String(kvLagMs),
          [HARNESS.counts]: counts ? 'yes' : undefined,
        }),
        durableObjects: Object.fromEntries(
          objects.map(({ name, class_name: className }) => [
            name,
            { className, useSQLite: true, ...(index > 0 && { scriptName: isolateName(0) }) },
          ]),
        ),
        ratelimits: rateLimits ? limits : {},
        versionMetadata,
        // Only where the runtime's own port leads, as Wrangler serves them: a script by itself has none.
        ...(index === 0 && assets && { assets: { directory: assets, ...ASSETS } }),
        kvNamespaces: {
          ...(bindKv && { [kvBinding]: kvBinding }),
          ...(kvLagMs > 0 && { [HARNESS.kvHistory]: HARNESS.kvHistory }),
        },
        unsafeDirectSockets: index === 0 ? [] : [{ host: '127.0.0.1', port: 0 }],
      })),
    });
    this.#miniflare = miniflare;
    // Not 127.0.0.1, where AuthKit is: two hosts are two sites, as they are in production.
    this.origin = `${https ? 'https' : 'http'}://localhost:${port}`;
    this.isolates.push(this);
    for (let index = 1; index < isolates.length; index += 1) {
      const { port } = await miniflare.unsafeGetDirectURL(isolateName(index));
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
    return this.streams.join('');
  }

  /** The same by streams: what comes later stands at the end of its stream. */
  get streams() {
    return this.#log.map((texts) => texts.join(''));
  }

  /**
   * Lets time pass in the Worker, and nowhere else. Alarms of objects that are due then have begun; `settle` waits
   * for their end.
   *
   * @param {number} secs
   */
  async advanceClock(secs) {
    await this.#tell(`${CLOCK_PATH}?ms=${secs * 1000}`);
  }

  /** From now on these of KV's operations fail, and no others. @param {KvOperation[]} operations */
  async failKv(...operations) {
    await this.#tell(`${KV_PATH}?${query('fail', operations)}`);
  }

  /** From now on these of KV's operations stand still, and no others. @param {KvOperation[]} operations */
  async holdKv(...operations) {
    await this.#tell(`${KV_PATH}?${query('hold', operations)}`);
  }

  /** Operations of KV on this key no longer stand still. @param {string} key */
  async releaseKv(key) {
    await this.#tell(`${KV_HELD_PATH}?release=${encodeURIComponent(key)}`);
  }

  /** From now on the day's quota of these of KV's operations is used up, and of no others. @param {KvOperation[]} operations */
  async exhaustKv(...operations) {
    await this.#tell(`${KV_PATH}?${query('exhaust', operations)}`);
  }

  /** From now on messages over these bindings fail before an object has them, and no others. @param {string[]} bindings */
  async failObjects(...bindings) {
    await this.#tell(`${OBJECTS_PATH}?${query('fail', bindings)}`);
  }

  /** From now on messages over these bindings fail after the object has responded, and no others. @param {string[]} bindings */
  async loseObjectResponses(...bindings) {
    await this.#tell(`${OBJECTS_PATH}?${query('lose', bindings)}`);
  }

  /** From now on messages over these bindings stand still, and no others. @param {string[]} bindings */
  async holdObjects(...bindings) {
    await this.#tell(`${OBJECTS_PATH}?${query('hold', bindings)}`);
  }

  /** From now on every rate limit throws an error with this name; with none, they work. @param {string} [name] */
  async failRateLimits(name = '') {
    await this.#tell(`${LIMITS_PATH}?error=${name}`);
  }

  /** Returns once a message stands still in one of the isolates. */
  async untilObjectIsHeld() {
    await Promise.any(this.isolates.map((isolate) => this.#tell(OBJECT_HELD_PATH, [isolate])));
  }

  /**
   * From now on each operation of KV and each message to an object takes so much longer, and a share of them fails, and
   * of outgoing requests.
   *
   * @param {{ delayMs?: number, failingShare?: number }} [faults] default: none
   */
  async disturb({ delayMs = 0, failingShare = 0 } = {}) {
    await this.#tell(`${DISTURB_PATH}?delay=${delayMs}&share=${failingShare}`);
  }

  /** Ends every instance of an object, with everything that it does. Its storage stays. */
  async evictObjects() {
    await this.#tell(EVICT_PATH, [this]);
  }

  /** What all isolates and objects have used since the start. @returns {Promise<Counts>} */
  async counts() {
    const all = await Promise.all(this.isolates.map(({ origin }) => send({ url: origin + COUNTS_PATH })));
    return all.map(({ json }) => json).reduce(sum);
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

  /** Returns once everything is done that requests and objects have left to be done after their answers, and alarms that are due. */
  async settle() {
    await this.#tell(SETTLE_PATH);
  }

  /** Returns once as many requests are being answered at the same time. @param {number} requests @param {Isolate} [isolate] */
  async busyWith(requests, isolate = this) {
    await this.#tell(`${BUSY_PATH}?requests=${requests}`, [isolate]);
  }

  /**
   * The isolate's use of resources: how often it has listed keys, its WebAssembly memory, which never shrinks, how
   * often its module has called each function of JavaScript, and how many items of each kind it keeps for events under
   * way.
   *
   * @returns {Promise<{
   *   lists: number, memoryBytes: number, hostCalls: Record<string, number>, live: Record<string, number>
   * }>}
   */
  async use(/** @type {Isolate} */ { origin } = this) {
    return (await send({ url: origin + USE_PATH })).json;
  }

  /**
   * The counters of a module.
   *
   * @param {import('../../../local/wasm.mjs').Counters} counters
   * @returns {Promise<number[]>}
   */
  async moduleCounters({ address, length }, /** @type {Isolate} */ { origin } = this) {
    return (await send({ url: `${origin}${COUNTERS_PATH}?address=${address}&length=${length}` })).json;
  }

  /** Has an isolate collect its garbage. @param {Isolate} [isolate] */
  async collectGarbage(isolate = this) {
    await this.#tell(COLLECT_PATH, [isolate]);
  }

  /** The data points that it has written. @returns {Promise<{ indexes: string[], blobs: string[], doubles: number[] }[]>} */
  async points() {
    return (await send({ url: this.origin + POINTS_PATH })).json;
  }

  /** The KV namespace itself, as its operator sees it. */
  kv() {
    if (!this.#miniflare) throw new Error('the Worker has stopped');
    return this.#miniflare.getKVNamespace(this.#kvBinding, isolateName(0));
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
      await withinTimeout(miniflare.dispose());
    }
  }

  /** @param {import('node:stream').Readable} stream */
  #keepLog(stream) {
    /** @type {string[]} */
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

/**
 * Starts the runtime. Rarely it never says that it is ready, without a word in its log, and another start works.
 *
 * @param {import('miniflare').MiniflareOptions} options
 * @returns {Promise<{ miniflare: Miniflare, port: string }>}
 */
async function startRuntime(options) {
  for (let tries = 1; ; tries += 1) {
    const miniflare = new Miniflare(options);
    const url = await withinTimeout(miniflare.ready);
    if (url) return { miniflare, port: url.port };
    await withinTimeout(miniflare.dispose());
    if (tries === START_TRIES) throw new Error(`the runtime did not start in ${tries} × ${RUNTIME_TIMEOUT_MS} ms`);
    console.error(`the runtime did not start within ${RUNTIME_TIMEOUT_MS} ms: starting it again`);
  }
}

/** The result of a step of the runtime; `undefined` where it takes too long. @template T @param {Promise<T>} step */
function withinTimeout(step) {
  return Promise.race([step, pause(RUNTIME_TIMEOUT_MS, undefined, { ref: false })]);
}

/** A test module, where the bundle finds it: beside itself. @param {string} folder @param {string} name @returns {ESModule} */
function esModule(folder, name) {
  return { type: 'ESModule', path: join(folder, name), contents: readFileSync(join(RUNTIME_FOLDER, name), 'utf8') };
}

/** The bundle's script, to which the harness hands its environment. @param {string} folder @returns {ESModule} */
function bundleScript(folder) {
  const path = join(folder, 'index.js');
  return {
    type: 'ESModule',
    path,
    contents: readFileSync(path, 'utf8').replace('cloudflare:workers', './workers.mjs'),
  };
}

/** @param {number} index */
function isolateName(index) {
  return `isolate-${index}`;
}

/** A query that has each of the values under one name. @param {string} name @param {string[]} values */
function query(name, values) {
  const parameters = new URLSearchParams();
  for (const value of values) parameters.append(name, value);
  return parameters;
}

/** The variables that have a value. @param {Record<string, string | undefined>} vars @returns {Record<string, string>} */
function given(vars) {
  return Object.fromEntries(
    Object.entries(vars).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}

/** @typedef {{ name: string, class_name: string }} ObjectBinding */
/** @typedef {{ simple: { limit: number, period: 10 | 60 } }} Limit */

/** The part of a Worker's configuration that the harness uses, so that the tests run on the runtime that is deployed to. @param {string} config */
function readConfig(config) {
  /**
   * @type {{
   *   compatibility_date?: string,
   *   compatibility_flags?: string[],
   *   durable_objects?: { bindings?: ObjectBinding[] },
   *   ratelimits?: ({ name: string } & Limit)[],
   *   version_metadata?: { binding: string },
   * }}
   */
  const toml = parse(readFileSync(join(ROOT, config), 'utf8'));
  if (!toml.compatibility_date) throw new Error(`${config} has no compatibility_date`);
  return {
    settings: {
      compatibilityDate: toml.compatibility_date,
      compatibilityFlags: toml.compatibility_flags ?? [],
    },
    objects: toml.durable_objects?.bindings ?? [],
    versionMetadata: toml.version_metadata?.binding,
    limits: Object.fromEntries((toml.ratelimits ?? []).map(({ name, simple }) => [name, { simple }])),
  };
}

/** The entry module, and each class of the bundle for the runtime. @param {ObjectBinding[]} objects */
function mainModule(objects) {
  // The entry module first: it sets the clock before the bundle loads.
  return [
    "export { default } from './entry.mjs';",
    "import * as bundle from './index.js';",
    "import { wrapped } from './objects.mjs';",
    ...objects.map(({ name, class_name: className }) => {
      return `export const ${className} = wrapped('${name}', bundle.${className});`;
    }),
  ].join('\n');
}

/** @template {object} T @param {T} a @param {T} b @returns {T} */
function sum(a, b) {
  const entries = Object.entries(a).map(([name, value]) => {
    const other = /** @type {Record<string, any>} */ (b)[name];
    return [name, typeof value === 'number' ? value + other : sum(value, other)];
  });
  return /** @type {T} */ (Object.fromEntries(entries));
}
