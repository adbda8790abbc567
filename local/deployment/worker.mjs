/**
 * Asks the Worker itself whether it accepts its variables: runs the built bundle on the local runtime, with empty storage,
 * and reads its response. So the check and the Worker cannot disagree.
 */

import { join } from 'node:path';

import { RELEASE, EXPENSES, bundleFolder } from '../build.mjs';
import { Stop } from '../commands.mjs';

/** The Worker's words before its list of problems: `misconfigured()` in src/app.rs. */
const MISCONFIGURED = 'The Worker is not configured: ';

/**
 * The entry module. The local runtime has no jurisdictions, and the Worker is asked about the name of one, so that every
 * namespace has them all.
 */
const ENTRY = `
import worker from './index.js';
export * from './index.js';
const withJurisdictions = (objects) => ({ getByName: (name) => objects.getByName(name), jurisdiction() { return this; } });
const wrapped = (value) => (typeof value?.idFromName === 'function' ? withJurisdictions(value) : value);
export default {
  fetch: (request, env, context) =>
    worker.fetch(request, Object.fromEntries(Object.entries(env).map(([name, value]) => [name, wrapped(value)])), context),
};`;

/**
 * A problem of one variable or binding, in the Worker's words.
 *
 * @typedef {{ name: string, text: string }} WorkerProblem `text` begins with the name
 */

/**
 * The problems that the Worker reports with these variables.
 *
 * @param {import('./configuration.mjs').Configuration} configuration
 * @param {Record<string, string>} variables
 * @returns {Promise<WorkerProblem[]>}
 */
export async function workerProblems({ settings }, variables) {
  const { Miniflare } = await import('miniflare');
  const folder = bundleFolder(EXPENSES, RELEASE);
  /** @type {string[]} */
  const log = [];
  const miniflare = new Miniflare({
    host: '127.0.0.1',
    port: 0,
    cf: false,
    compatibilityDate: settings.compatibility_date,
    compatibilityFlags: settings.compatibility_flags,
    modulesRoot: folder,
    modules: [
      { type: 'ESModule', path: join(folder, 'deployment-check.mjs'), contents: ENTRY },
      { type: 'ESModule', path: join(folder, 'index.js') },
      { type: 'CompiledWasm', path: join(folder, 'index_bg.wasm') },
    ],
    bindings: variables,
    kvNamespaces: settings.kv_namespaces.map(({ binding }) => binding),
    durableObjects: Object.fromEntries(
      settings.durable_objects.bindings.map(({ name, class_name: className }) => [
        name,
        { className, useSQLite: true },
      ]),
    ),
    handleRuntimeStdio: (/** @type {import('node:stream').Readable[]} */ ...streams) => {
      for (const stream of streams) stream.on('data', (text) => log.push(String(text)));
    },
  });
  try {
    const response = await miniflare.dispatchFetch('http://localhost/health');
    if (response.status === 200) return [];
    const { detail } = /** @type {{ detail?: string }} */ (await response.json());
    if (!detail?.startsWith(MISCONFIGURED)) throw new Error(detail ?? `status ${response.status}`);
    // A sentence may have a semicolon of its own; each problem begins with a name in capitals.
    return detail
      .slice(MISCONFIGURED.length)
      .split(/; (?=[A-Z][A-Z_]+ )/)
      .map((text) => ({ name: text.split(' ')[0], text }));
  } catch (error) {
    throw new Stop(`The bundle does not run: ${/** @type {Error} */ (error).message}\n${log.join('')}`);
  } finally {
    // Of a runtime that did not start it fails too, with less to read than the error above.
    await miniflare.dispose().catch(() => {});
  }
}
