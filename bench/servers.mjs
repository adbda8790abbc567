/**
 * The measured servers: the bundle, the bare Worker and the Hono peer, each in a workerd process with KV of its own,
 * reached without Miniflare's proxy. Bundle and peer verify sessions of a local AuthKit in this process. All servers
 * listen on loopback only, and KV is in Miniflare's temporary folder, which is deleted at the end.
 *
 * Each runs several times in its process, on several namespaces: expenses are created in another namespace than the
 * one that is read, and each number of rows has a namespace, because Miniflare's `list` reads every key of one.
 */

import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { WorkOS } from '@workos-inc/node';
import { build as bundle } from 'esbuild';
import { Miniflare } from 'miniflare';
import { parse } from 'smol-toml';

import { ADA_ID, createAuthKit } from '../local/authkit/index.mjs';
import { ROOT, Stop, pause } from '../local/commands.mjs';
import { runtimePids } from '../local/workerd.mjs';
import { Browser } from '../tests/e2e/support/actors.mjs';
import { present } from '../tests/e2e/support/values.mjs';
import { LIST_MAX, NAMESPACES, PAGE_ROWS, ROWS, expense, growthRequests, withRequests } from './operations.mjs';

const KV_BINDING = 'EXPENSES';
const CLIENT_ID = 'client_bench';
/** The Worker beside the measured ones that fills KV: through Miniflare's proxy it takes minutes. */
const SEEDER = 'seeder';
const SEEDER_SCRIPT = `export default {
  async fetch(request, env) {
    const { namespace, rows } = await request.json();
    await Promise.all(rows.map(({ name, value, metadata }) => env[namespace].put(name, value, { metadata })));
    return new Response('done');
  },
};`;
const SEEDER_ROWS = 500;
/** Longer than any run, so that no measured request renews the session. */
const ACCESS_TOKEN_TTL_SECS = 24 * 60 * 60;
/** @type {{ limit: number, period: 60 }} */
const UNREACHED_LIMIT = { limit: 1_000_000_000, period: 60 };
const SIGN_IN_ATTEMPTS = 5;
/** The time that the ledger gets to write all expenses to KV. */
const WAIT_MS = 50;
const MAX_WAITS = 200;
/** The number of characters of a runtime's output that are kept for a failure message. */
const LOG_CHARS = 4_000;
/** Digits of the ids of expenses. */
const ID_DIGITS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const ID_TIME_LENGTH = 10;
const ID_LENGTH = 26;

/** @typedef {import('./operations.mjs').ServerName} ServerName */

/**
 * One Worker in a runtime of its own.
 *
 * @typedef {object} Server
 * @property {ServerName} name
 * @property {Record<string, string>} origins where it runs on that namespace
 * @property {number | undefined} pid of the runtime's process; `undefined` where the system does not tell
 * @property {Miniflare} miniflare
 * @property {() => string} log the end of its output
 */

/**
 * How a server is started.
 *
 * @typedef {object} Kind
 * @property {ServerName} name
 * @property {Module[]} modules the first is the main module
 * @property {Record<string, string>} bindings
 * @property {string[]} objects the exported classes of Durable Objects
 */

/** @typedef {{ type: 'ESModule' | 'CompiledWasm', path: string, contents: string | Uint8Array<ArrayBuffer> }} Module */
/** @typedef {{ name: string, metadata: unknown, value: string }} StoredRow */
/** @typedef {{ name: string, namespace: string }} Instance a Worker of a process, and its namespace */

/**
 * @typedef {object} Bench
 * @property {Partial<Record<ServerName, Server>> & { ours: Server }} servers
 * @property {import('./operations.mjs').Operation[]} operations
 * @property {(name: ServerName, isolates: number) => Promise<Server>} startCold starts new isolates with the names
 *   `cold-0`, `cold-1` …; the caller disposes of them
 * @property {(server: Server) => Promise<void>} fillCold gives them the expenses to read
 * @property {(rows: number) => Promise<import('./operations.mjs').Growing[]>} requestsAt fills the namespace for that
 *   number of rows
 * @property {() => Promise<unknown>} stop
 */

/**
 * Starts all servers, signs a user in, and gives all of them the same {@link ROWS} expenses to read: the bundles
 * as they have stored them, the others as plain records.
 *
 * Miniflare's exit hook ends runtimes that `stop` has not ended.
 *
 * @param {string} folder of the bundle
 * @param {object} [options]
 * @param {string} [options.against] the folder of another bundle
 * @param {number[]} [options.growth] numbers of rows that `requestsAt` will be called with
 * @param {boolean} [options.isAlone] whether only the bundles run
 * @param {boolean} [options.hasHono] whether the Hono peer runs
 * @param {boolean} [options.hasInspector] whether the bundle's runtime listens for a debugger
 * @returns {Promise<Bench>}
 */
export async function start(folder, options = {}) {
  const { against, growth = [], isAlone = false, hasHono = true, hasInspector = false } = options;
  const apiKey = `sk_test_${randomBytes(16).toString('hex')}`;
  const settings = { accessTokenTtlSecs: ACCESS_TOKEN_TTL_SECS };
  const authkit = await createAuthKit({ clientId: CLIENT_ID, apiKey, settings }).listen();
  const bindings = {
    WORKOS_API_KEY: apiKey,
    WORKOS_CLIENT_ID: CLIENT_ID,
    WORKOS_COOKIE_PASSWORD: randomBytes(32).toString('hex'),
    WORKOS_BASE_URL: authkit.url,
    // The others log nothing.
    LOG_REQUESTS: '0',
  };
  const instances = [...NAMESPACES, ...growth.map(namespaceOf)].map((name) => ({ name, namespace: name }));

  /** @type {Partial<Record<ServerName, Kind>>} */
  const kinds = { ours: bundleKind('ours', folder, bindings) };
  /** @type {Partial<Record<ServerName, StoredRow[]>>} */
  const rowsFor = {};
  /** @type {Partial<Record<ServerName, string>>} */
  const cookies = {};
  /** @type {Partial<Record<ServerName, string>>} */
  const ids = {};

  /** Starts a bundle. @param {Kind} kind @param {Instance[]} its */
  const startBundle = async (kind, its) => {
    const server = await startServer(kind, its, { hasInspector });
    const browser = await signIn(server);
    const created = await addExpenses(browser, server);
    // From one namespace into the other, whose ledger then knows none of them: so it is ten minutes after a write.
    const stored = await storedRows(server);
    await seed(server, 'read', stored);
    rowsFor[kind.name] = stored;
    cookies[kind.name] = present(browser.cookieHeader(`${server.origins.create}/expenses`), 'the session cookie');
    ids[kind.name] = created[ROWS / 2].id;
    return { server, created, stored };
  };
  const { server: ours, created, stored } = await startBundle(present(kinds.ours, 'ours'), instances);
  /** @type {Bench['servers']} */
  const servers = { ours };
  const cookie = present(cookies.ours, 'the cookie');
  const prefix = stored[0].name.slice(0, -ID_LENGTH);
  const plain = created.map(({ id, ...row }) => plainRow(prefix + id, row));

  if (against !== undefined) {
    kinds.against = bundleKind('against', against, bindings);
    servers.against = (await startBundle(kinds.against, instances.slice(0, 2))).server;
  }
  if (!isAlone) {
    kinds.bare = await scriptKind('bare', 'workers/bare.mjs', { PREFIX: prefix, PAGE: await pageOf(ours, cookie) });
    servers.bare = await startServer(kinds.bare, instances);
    rowsFor.bare = plain;
    ids.bare = ids.ours;
    cookies.bare = cookie;
    await seed(servers.bare, 'read', plain);
  }
  if (!isAlone && hasHono) {
    kinds.hono = await scriptKind('hono', 'workers/hono/index.mjs', bindings);
    servers.hono = await startServer(kinds.hono, instances.slice(0, 2));
    rowsFor.hono = plain;
    ids.hono = ids.ours;
    cookies.hono = `wos-session=${await sealBySdk(authkit.url, bindings)}`;
    await seed(servers.hono, 'read', plain);
  }

  const operations = withRequests({
    cookieOf: (server) => present(cookies[server], server),
    // A token of the same user.
    token: authkit.mintToken(),
    idOf: (server) => present(ids[server], server),
    originOf: (server) => present(servers[server], server).origins.create,
  });

  return {
    servers,
    operations,
    async startCold(name, isolates) {
      const numbers = Array.from({ length: isolates }, (_, index) => index);
      const cold = numbers.map((index) => ({ name: `cold-${index}`, namespace: 'read' }));
      const kind = present(kinds[name], name);
      return startServer(kind, [{ name: 'read', namespace: 'read' }, ...cold], { isCold: true });
    },
    fillCold: (server) => seed(server, 'read', present(rowsFor[server.name], server.name)),
    async requestsAt(rows) {
      const namespace = namespaceOf(rows);
      await seed(ours, namespace, repeated(stored, rows));
      const deepOurs = await lastPage(ours, namespace, rows, cookie);
      let deepBare = '';
      if (servers.bare) {
        await seed(servers.bare, namespace, repeated(plain, rows));
        deepBare = await lastBatch(servers.bare, namespace, rows, prefix);
      }
      const deep = (/** @type {ServerName} */ server) => (server === 'bare' ? deepBare : deepOurs);
      return growthRequests({ cookie, namespace, rows, deep });
    },
    stop: () => Promise.all([authkit.close(), ...Object.values(servers).map(({ miniflare }) => miniflare.dispose())]),
  };
}

/** @param {number} rows */
const namespaceOf = (rows) => `rows-${rows}`;

/** @param {ServerName} name @param {string} folder @param {Record<string, string>} bindings @returns {Kind} */
function bundleKind(name, folder, bindings) {
  const paths = { script: join(folder, 'index.js'), wasm: join(folder, 'index_bg.wasm') };
  const script = readFileSync(paths.script, 'utf8');
  // A bundle of an earlier version may lack a class.
  const objects = Object.keys(configuredObjects()).filter((className) => new RegExp(`\\b${className}\\b`).test(script));
  return {
    name,
    modules: [
      { type: 'ESModule', path: paths.script, contents: script },
      { type: 'CompiledWasm', path: paths.wasm, contents: new Uint8Array(readFileSync(paths.wasm)) },
    ],
    bindings,
    objects,
  };
}

/** A Worker of this folder, in one module. @param {ServerName} name @param {string} entry @param {Record<string, string>} bindings @returns {Promise<Kind>} */
async function scriptKind(name, entry, bindings) {
  const path = fileURLToPath(new URL(entry, import.meta.url));
  const { outputFiles } = await bundle({
    entryPoints: [path],
    bundle: true,
    minify: true,
    write: false,
    format: 'esm',
    target: 'es2023',
    // As Wrangler bundles Workers.
    conditions: ['workerd', 'worker', 'browser'],
    mainFields: ['browser', 'module', 'main'],
    external: ['cloudflare:*', 'node:*'],
    logLevel: 'error',
  });
  return { name, modules: [{ type: 'ESModule', path, contents: outputFiles[0].text }], bindings, objects: ['Ledger'] };
}

/**
 * @param {Kind} kind
 * @param {Instance[]} instances
 * @param {{ hasInspector?: boolean, isCold?: boolean }} [options] `isCold`: the Workers share no compiled code
 * @returns {Promise<Server>}
 */
async function startServer({ name, modules, bindings, objects }, instances, options = {}) {
  const { hasInspector = false, isCold = false } = options;
  let log = '';
  const before = new Set(runtimePids());
  const namespaces = [...new Set(instances.map(({ namespace }) => namespace))];
  const bound = configuredObjects();
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
    workers: [
      ...instances.map(({ name: worker, namespace }) => ({
        name: worker,
        ...runtimeSettings(),
        modulesRoot: join(modules[0].path, '..'),
        modules: isCold ? modules.map((module) => distinct(module, worker)) : modules,
        bindings,
        kvNamespaces: { [KV_BINDING]: namespace },
        durableObjects: Object.fromEntries(
          objects.map((className) => [bound[className], { className, useSQLite: true }]),
        ),
        ratelimits: configuredLimits(),
        // Miniflare's own port leads through a proxy in JavaScript, which would be part of the measurement.
        unsafeDirectSockets: [{ host: '127.0.0.1', port: 0 }],
      })),
      {
        name: SEEDER,
        ...runtimeSettings(),
        modules: true,
        script: SEEDER_SCRIPT,
        kvNamespaces: Object.fromEntries(namespaces.map((namespace) => [namespace, namespace])),
        unsafeDirectSockets: [{ host: '127.0.0.1', port: 0 }],
      },
    ],
  });
  await miniflare.ready;
  /** @type {Record<string, string>} */
  const origins = {};
  for (const worker of [...instances.map(({ name: each }) => each), SEEDER]) {
    origins[worker] = `http://localhost:${(await miniflare.unsafeGetDirectURL(worker)).port}`;
  }
  const pid = runtimePids().find((each) => !before.has(each));
  return { name, origins, pid, miniflare, log: () => log };
}

/**
 * The module with a custom section of its own: V8 shares compiled code between isolates that run the same bytes.
 *
 * @param {Module} module
 * @param {string} worker
 * @returns {Module}
 */
function distinct(module, worker) {
  if (module.type !== 'CompiledWasm' || typeof module.contents === 'string') return module;
  const name = Buffer.from(`bench.${worker}`);
  // Section 0, its length, the length of its name, its name: both lengths are below 128, so one byte each.
  const section = Buffer.concat([Buffer.from([0, name.length + 1, name.length]), name]);
  return { ...module, contents: new Uint8Array(Buffer.concat([module.contents, section])) };
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

/** The binding of each class of objects. @returns {Record<string, string>} */
function configuredObjects() {
  const bindings = configuration().durable_objects?.bindings ?? [];
  return Object.fromEntries(bindings.map(({ name, class_name: className }) => [className, name]));
}

/** The rate limits, which no run reaches: each request still asks them. */
function configuredLimits() {
  const names = (configuration().ratelimits ?? []).map(({ name }) => name);
  return Object.fromEntries(names.map((name) => [name, { simple: UNREACHED_LIMIT }]));
}

/** Signs in again where a busy machine was too slow for the Worker's time limits. @param {Server} server */
async function signIn({ origins, log }) {
  for (let attempt = 1; ; attempt += 1) {
    const browser = new Browser({ origin: origins.create, record() {} });
    const page = await browser.signIn('Ada');
    if (page.status === 200) return browser;
    if (attempt === SIGN_IN_ATTEMPTS) throw new Stop(`The sign-in failed: ${page}\n${log()}`);
  }
}

/**
 * The session of the same user, sealed by the official SDK.
 *
 * @param {string} url of AuthKit
 * @param {Record<string, string>} bindings
 */
async function sealBySdk(url, { WORKOS_API_KEY: key, WORKOS_CLIENT_ID: clientId, WORKOS_COOKIE_PASSWORD: password }) {
  const { hostname, port } = new URL(url);
  const workos = new WorkOS(key, { clientId, apiHostname: hostname, port: Number(port), https: false });
  const redirectUri = 'http://localhost/callback';
  const address = workos.userManagement.getAuthorizationUrl({ provider: 'authkit', clientId, redirectUri });
  const body = new URLSearchParams([...new URL(address).searchParams, ['user_id', ADA_ID]]);
  const response = await fetch(`${url}/user_management/authorize`, { method: 'POST', body, redirect: 'manual' });
  const code = new URL(present(response.headers.get('location'), 'the redirect')).searchParams.get('code');
  const { sealedSession } = await workos.userManagement.authenticateWithCode({
    clientId,
    code: present(code, 'the code'),
    session: { sealSession: true, cookiePassword: password },
  });
  return present(sealedSession, 'the sealed session');
}

/**
 * An expense as the API shows it.
 *
 * @typedef {ReturnType<typeof expense> & { id: string, created_at: string, updated_at: string }} ExpenseJson
 */

/** @param {Browser} browser @param {Server} server @returns {Promise<ExpenseJson[]>} */
async function addExpenses(browser, server) {
  const created = [];
  for (let index = 0; index < ROWS; index += 1) {
    const answer = await browser.request('POST', '/expenses', { json: expense(index) });
    if (answer.status !== 201) throw new Stop(`An expense could not be created: ${answer}\n${server.log()}`);
    created.push(answer.json);
  }
  return created;
}

/** What the bare Worker and the Hono peer store of an expense. @param {string} name @param {Omit<ExpenseJson, 'id'>} row @returns {StoredRow} */
function plainRow(name, { amount, created_at: created, updated_at: updated, ...content }) {
  const seconds = (/** @type {string} */ time) => Math.floor(Date.parse(time) / 1000);
  const record = {
    ...content,
    amount: amount.toFixed(2),
    created_at: seconds(created),
    updated_at: seconds(updated),
  };
  return { name, value: JSON.stringify(record), metadata: record };
}

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

/** The same expenses again and again under other ids. @param {StoredRow[]} rows @param {number} count @returns {StoredRow[]} */
function repeated(rows, count) {
  return Array.from({ length: count }, (_, index) => {
    const { name, value, metadata } = rows[index % rows.length];
    const id = name.slice(-ID_LENGTH);
    const other = id.slice(0, ID_TIME_LENGTH) + digits(index).padStart(ID_LENGTH - ID_TIME_LENGTH, '0');
    const replaced = (/** @type {string} */ text) => text.replaceAll(id, other);
    return { name: replaced(name), value: replaced(value), metadata: JSON.parse(replaced(JSON.stringify(metadata))) };
  });
}

/** @param {number} number */
function digits(number) {
  let text = '';
  for (let rest = number; rest > 0; rest = Math.floor(rest / ID_DIGITS.length)) {
    text = ID_DIGITS[rest % ID_DIGITS.length] + text;
  }
  return text;
}

/** @param {Server} server @param {string} namespace @param {StoredRow[]} rows */
async function seed({ origins, log }, namespace, rows) {
  for (let from = 0; from < rows.length; from += SEEDER_ROWS) {
    const body = JSON.stringify({ namespace, rows: rows.slice(from, from + SEEDER_ROWS) });
    const send = () => fetch(origins[SEEDER], { method: 'POST', body });
    // workerd may close an idle connection just then; the same rows may be stored twice.
    const response = await send().catch(send);
    if (!response.ok) throw new Stop(`The expenses could not be stored.\n${log()}`);
  }
}

/** @param {Server} server @param {string} cookie */
async function pageOf({ origins, log }, cookie) {
  const response = await fetch(`${origins.read}/expenses`, { headers: { accept: 'text/html', cookie } });
  if (!response.ok) throw new Stop(`The page was not shown.\n${log()}`);
  return response.text();
}

/**
 * The query of the page with the last expenses of that many.
 *
 * @param {Server} server
 * @param {string} namespace
 * @param {number} rows
 * @param {string} cookie
 */
async function lastPage({ origins, log }, namespace, rows, cookie) {
  let cursor = '';
  for (let before = rows - PAGE_ROWS; before > 0; before -= LIST_MAX) {
    const query = `limit=${Math.min(before, LIST_MAX)}${cursor && `&cursor=${cursor}`}`;
    const response = await fetch(`${origins[namespace]}/expenses?${query}`, { headers: { cookie } });
    const next = /[?&]cursor=([^&>]+)/.exec(response.headers.get('link') ?? '')?.[1];
    if (!response.ok || next === undefined) throw new Stop(`The list has no next page.\n${log()}`);
    cursor = next;
  }
  return `?cursor=${cursor}`;
}

/**
 * The query of the same page of the bare Worker: with KV's own cursor.
 *
 * @param {Server} server
 * @param {string} namespace
 * @param {number} rows
 * @param {string} prefix
 */
async function lastBatch({ miniflare }, namespace, rows, prefix) {
  const kv = await miniflare.getKVNamespace(KV_BINDING, namespace);
  /** @type {string | undefined} */
  let cursor;
  for (let before = rows - PAGE_ROWS; before > 0; before -= LIST_MAX) {
    const listed = await kv.list({ prefix, limit: Math.min(before, LIST_MAX), cursor });
    if (!listed.list_complete) cursor = listed.cursor;
  }
  return `?cursor=${encodeURIComponent(present(cursor, 'the cursor of KV'))}`;
}
