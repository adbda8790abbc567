/**
 * The measured servers: the bundle and the bare worker, each in a workerd process with KV of its own, reached
 * without Miniflare's proxy. The bundle signs in at a local AuthKit in this process. All servers listen on
 * loopback only, and KV is in Miniflare's temporary folder, which is deleted at the end.
 *
 * Each of the two runs twice in its process, on two namespaces: expenses are created in another namespace
 * than the one that is read, because Miniflare's `list` reads every key of a namespace.
 */

import { randomBytes } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { Miniflare } from 'miniflare';
import { parse } from 'smol-toml';

import { createAuthKit } from '../local/authkit/index.mjs';
import { ROOT, Stop, pause } from '../local/commands.mjs';
import { Browser } from '../tests/e2e/support/actors.mjs';
import { present } from '../tests/e2e/support/values.mjs';
import { NAMESPACES, ROWS, expense, withRequests } from './operations.mjs';

const KV_BINDING = 'EXPENSES';
const CLIENT_ID = 'client_bench';
/** Longer than any run, so that no measured request renews the session. */
const ACCESS_TOKEN_TTL_SECS = 24 * 60 * 60;
/** @type {{ limit: number, period: 60 }} */
const UNREACHED_LIMIT = { limit: 1_000_000_000, period: 60 };
/** The time that the ledger gets to write all expenses to KV. */
const WAIT_MS = 50;
const MAX_WAITS = 200;
/** The number of characters of a runtime's output that are kept for a failure message. */
const LOG_CHARS = 4_000;

/**
 * One Worker in a runtime of its own.
 *
 * @typedef {object} Server
 * @property {'ours' | 'bare'} name
 * @property {Record<import('./operations.mjs').Namespace, string>} origins where it runs on that namespace
 * @property {number | undefined} pid of the runtime's process; `undefined` where the system does not tell
 * @property {Miniflare} miniflare
 * @property {() => string} log the end of its output
 */

/** @typedef {{ ours: Server, bare: Server }} Servers */

/**
 * Starts all servers, signs a user in, and gives both Workers the same {@link ROWS} expenses to read.
 *
 * Miniflare's exit hook ends runtimes that `stop` has not ended.
 *
 * @param {string} bundleFolder
 * @param {{ hasInspector?: boolean }} [options] whether the bundle's runtime listens for a debugger
 * @returns {Promise<{ servers: Servers, operations: import('./operations.mjs').Operation[], stop: () => Promise<unknown> }>}
 */
export async function start(bundleFolder, { hasInspector = false } = {}) {
  const apiKey = `sk_test_${randomBytes(16).toString('hex')}`;
  const settings = { accessTokenTtlSecs: ACCESS_TOKEN_TTL_SECS };
  const authkit = await createAuthKit({ clientId: CLIENT_ID, apiKey, settings }).listen();

  const ours = await startServer(
    'ours',
    bundleModules(bundleFolder),
    {
      WORKOS_API_KEY: apiKey,
      WORKOS_CLIENT_ID: CLIENT_ID,
      WORKOS_COOKIE_PASSWORD: randomBytes(32).toString('hex'),
      WORKOS_BASE_URL: authkit.url,
    },
    configuredObjects(),
    hasInspector,
  );
  const browser = await signIn(ours);
  const ids = await addExpenses(browser, ours);
  // Through one namespace into the other, whose ledger then knows none of them: so it is ten minutes after a write.
  const rows = await storedRows(ours);
  await store(ours, rows);
  const prefix = rows[0].name.slice(0, -ids[0].length);
  const path = fileURLToPath(new URL('bare-worker.mjs', import.meta.url));
  const bare = await startServer('bare', [{ type: 'ESModule', path }], { PREFIX: prefix }, { LEDGER: 'Ledger' });
  await store(bare, rows);

  const operations = withRequests({
    cookie: present(browser.cookieHeader(`${ours.origins.create}/expenses`), 'the session cookie'),
    // A token of the same user.
    token: authkit.mintToken(),
    id: ids[ROWS / 2],
    origin: ours.origins.create,
  });
  const stop = () => Promise.all([authkit.close(), ours.miniflare.dispose(), bare.miniflare.dispose()]);
  return { servers: { ours, bare }, operations, stop };
}

/** @param {string} folder */
function bundleModules(folder) {
  return [
    { type: 'ESModule', path: join(folder, 'index.js') },
    { type: 'CompiledWasm', path: join(folder, 'index_bg.wasm') },
  ];
}

/**
 * @param {Server['name']} name
 * @param {{ type: string, path: string }[]} modules the first is the main module
 * @param {Record<string, string>} bindings
 * @param {Record<string, string>} objects the class of each binding
 * @param {boolean} [hasInspector] whether the runtime listens for a debugger
 * @returns {Promise<Server>}
 */
async function startServer(name, modules, bindings, objects, hasInspector = false) {
  let log = '';
  const before = new Set(runtimePids());
  const miniflare = new Miniflare({
    host: '127.0.0.1',
    port: 0,
    cf: false,
    ...(hasInspector ? { inspectorPort: 0 } : {}),
    handleRuntimeStdio: (/** @type {import('node:stream').Readable[]} */ ...streams) => {
      for (const stream of streams) {
        stream.on('data', (chunk) => {
          log = (log + chunk).slice(-LOG_CHARS);
        });
      }
    },
    workers: NAMESPACES.map((namespace) => ({
      name: namespace,
      ...runtimeSettings(),
      modulesRoot: join(modules[0].path, '..'),
      modules: modules.map(({ type, path }) => ({ type, path, contents: readFileSync(path) })),
      bindings,
      kvNamespaces: { [KV_BINDING]: namespace },
      durableObjects: Object.fromEntries(
        Object.entries(objects).map(([binding, className]) => [binding, { className, useSQLite: true }]),
      ),
      ratelimits: name === 'ours' ? configuredLimits() : {},
      // Miniflare's own port leads through a proxy in JavaScript, which would be part of the measurement.
      unsafeDirectSockets: [{ host: '127.0.0.1', port: 0 }],
    })),
  });
  await miniflare.ready;
  const originOf = async (/** @type {import('./operations.mjs').Namespace} */ namespace) =>
    `http://localhost:${(await miniflare.unsafeGetDirectURL(namespace)).port}`;
  const origins = { read: await originOf('read'), create: await originOf('create') };
  const pid = runtimePids().find((each) => !before.has(each));
  return { name, origins, pid, miniflare, log: () => log };
}

/** The workerd processes started by this process. Empty on systems without /proc. */
function runtimePids() {
  let names;
  try {
    names = readdirSync('/proc');
  } catch {
    return [];
  }
  return names
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const stat = /^\d+ \((.*)\) \S (\d+) /s.exec(readFileSync(`/proc/${pid}/stat`, 'latin1'));
        return stat !== null && stat[1] === 'workerd' && Number(stat[2]) === process.pid;
      } catch {
        // The process has ended meanwhile.
        return false;
      }
    });
}

/**
 * The part of wrangler.toml that the servers have too.
 *
 * @returns {{
 *   compatibility_date?: string,
 *   compatibility_flags?: string[],
 *   durable_objects?: { bindings?: { name: string, class_name: string }[] },
 *   ratelimits?: { name: string }[],
 * }}
 */
function configuration() {
  return parse(readFileSync(join(ROOT, 'wrangler.toml'), 'utf8'));
}

/** The runtime's settings. */
function runtimeSettings() {
  const { compatibility_date: compatibilityDate, compatibility_flags: compatibilityFlags = [] } = configuration();
  return { compatibilityDate, compatibilityFlags };
}

/** The class of each binding of objects. @returns {Record<string, string>} */
function configuredObjects() {
  const bindings = configuration().durable_objects?.bindings ?? [];
  return Object.fromEntries(bindings.map(({ name, class_name: className }) => [name, className]));
}

/** The rate limits, which no run reaches: each request still asks them. */
function configuredLimits() {
  const names = (configuration().ratelimits ?? []).map(({ name }) => name);
  return Object.fromEntries(names.map((name) => [name, { simple: UNREACHED_LIMIT }]));
}

/** @param {Server} server */
async function signIn({ origins, log }) {
  const browser = new Browser({ origin: origins.create, record() {} });
  const page = await browser.signIn('Ada');
  if (page.status !== 200) throw new Stop(`The sign-in failed: ${page}\n${log()}`);
  return browser;
}

/** @param {Browser} browser @param {Server} server @returns {Promise<string[]>} the ids of the expenses */
async function addExpenses(browser, server) {
  const ids = [];
  for (let index = 0; index < ROWS; index += 1) {
    const answer = await browser.request('POST', '/expenses', { json: expense(index) });
    if (answer.status !== 201) throw new Stop(`An expense could not be created: ${answer}\n${server.log()}`);
    ids.push(answer.json.id);
  }
  return ids;
}

/** @typedef {{ name: string, metadata: unknown, value: string }} StoredRow */

/** @param {Server} server @returns {Promise<StoredRow[]>} */
async function storedRows({ miniflare }) {
  const namespace = await miniflare.getKVNamespace(KV_BINDING, 'create');
  const list = () => namespace.list({ prefix: 'expense:' });
  let { keys } = await list();
  // The ledger writes to KV after its response.
  for (let waits = 0; keys.length < ROWS && waits < MAX_WAITS; waits += 1) {
    await pause(WAIT_MS);
    ({ keys } = await list());
  }
  if (keys.length !== ROWS) throw new Stop(`KV holds ${keys.length} expenses instead of ${ROWS}.`);
  const rows = [];
  for (const { name, metadata } of keys) {
    rows.push({ name, metadata, value: present(await namespace.get(name), name) });
  }
  return rows;
}

/** @param {Server} server @param {StoredRow[]} rows */
async function store({ miniflare }, rows) {
  const namespace = await miniflare.getKVNamespace(KV_BINDING, 'read');
  for (const { name, value, metadata } of rows) await namespace.put(name, value, { metadata });
}
