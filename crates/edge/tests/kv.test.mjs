/**
 * The steps of `kv-steps.json` on the KV of a Workers runtime, through the crate's own adapter. `kv.rs` runs
 * the same steps on the memory host, so the two agree.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after } from 'node:test';

import * as miniflare from 'miniflare';

import { build, bundleFolder } from '../../../local/build.mjs';
import { readScenarios, testScenarios } from './scenarios.mjs';
import { TEST_WORKER, TEST_WORKER_MODE } from './worker.mjs';

/**
 * @typedef {{ run: [operation: object, result: unknown] } | { advance_secs: number }} Step
 * @type {{ name: string, steps: Step[] }[]}
 */
const SCENARIOS = readScenarios('kv-steps.json');

/** Lets a test set the clock of a namespace. Miniflare's own tests do so; its types leave it out. */
const { _enableControlEndpoints: enableClocks } = /** @type {any} */ (miniflare);

await build('quiet', { worker: TEST_WORKER, mode: TEST_WORKER_MODE });
enableClocks();
const folder = bundleFolder(TEST_WORKER, TEST_WORKER_MODE);
const runtime = new miniflare.Miniflare({
  host: '127.0.0.1',
  port: 0,
  compatibilityDate: compatibilityDate(),
  modulesRoot: folder,
  modules: [
    { type: 'ESModule', path: join(folder, 'index.js') },
    { type: 'CompiledWasm', path: join(folder, 'index_bg.wasm') },
  ],
  // One for each scenario: they are independent, and a clock that was set stays set.
  kvNamespaces: Object.fromEntries(SCENARIOS.map((_, number) => [`KV_${number}`, `kv-${number}`])),
});
after(() => runtime.dispose());

testScenarios('KV', SCENARIOS, (number) => {
  let now = Date.now();
  return async (step, place) => {
    if ('run' in step) {
      const [operation, expected] = step.run;
      assert.deepEqual(await run(number, operation), expected, place);
    } else {
      now += step.advance_secs * 1000;
      await setClock(number, now);
    }
  };
});

/** @param {number} number of the namespace @param {object} operation */
async function run(number, operation) {
  const response = await runtime.dispatchFetch(`http://localhost/kv/${number}`, {
    method: 'POST',
    body: JSON.stringify(operation),
  });
  const text = await response.text();
  assert.equal(response.status, 200, text);
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** @param {number} number of the namespace @param {number} now milliseconds since 1970 */
async function setClock(number, now) {
  const namespaces = await /** @type {any} */ (runtime)._getInternalDurableObjectNamespace(
    'kv',
    'kv:ns',
    'KVNamespaceObject',
  );
  const namespace = namespaces.get(namespaces.idFromName(`kv-${number}`));
  const controlOp = { name: 'enableFakeTimers', args: [now] };
  const response = await namespace.fetch('http://placeholder/', { cf: { miniflare: { controlOp } } });
  assert.equal(response.status, 200, await response.text());
}

/** As the deployed Worker's. */
function compatibilityDate() {
  const toml = readFileSync(new URL('../../../wrangler.toml', import.meta.url), 'utf8');
  const date = /^compatibility_date\s*=\s*"([^"]+)"/m.exec(toml);
  assert.ok(date, 'wrangler.toml has no compatibility_date');
  return date[1];
}
