/**
 * `npm test`: set-up, then every test, layer by layer. Stops at the first layer that fails, with its
 * exit code. `npm test -- host` (or `wasm`, `e2e`, `python`, `browser`) runs one layer. A layer that cannot run
 * on this machine is skipped, loudly; in CI, or when it was asked for, that is a failure.
 */

import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';

import { TEST_WORKER, TEST_WORKER_MODE } from '../crates/edge/tests/worker.mjs';
import { EXPENSES, RELEASE, build, isFresh } from './build.mjs';
import { NO_CHROMIUM, findChromium } from './chromium.mjs';
import { ROOT, Stop, bold, capture, green, main, red } from './commands.mjs';
import { EXAMPLE, EXAMPLE_TEST_MODE } from './example.mjs';
import { NO_PYTHON, findPython, installPythonPackages } from './python.mjs';
import { BIN, setUp } from './setup.mjs';
import { SIMULATE } from './simulation.mjs';

const WASM_TARGET = 'wasm32-unknown-unknown';
/** CI tests the committed versions: a stale Cargo.lock is a failure there. */
const LOCKED = process.env.CI ? ['--locked'] : [];
const CARGO_ENV = { CARGO_TERM_COLOR: process.env.CARGO_TERM_COLOR ?? (process.stdout.isTTY ? 'always' : 'never') };

/** The seeds of the layer `simulation`: some 30 seconds on two cores. */
const SIMULATION_SEEDS = '250';

/** What `node --test` says of how many have passed, in either of its reporters. */
const NODE_PASSED = /^(?:#|ℹ) pass (\d+)/gm;

/** The longest time for one file of `node --test`, in milliseconds: a file that hangs fails, with its name. */
const FILE_MAX_MS = 300_000;

/**
 * The layers, lowest first. `missing` says what a layer needs and this machine has not.
 *
 * @type {Record<string, {
 *   title: string,
 *   missing?: () => string | undefined | Promise<string | undefined>,
 *   run: () => Promise<{ code: number, output: string }>,
 *   passed: RegExp,
 * }>}
 */
const LAYERS = {
  host: {
    title: 'host: units and the whole router (cargo test)',
    run: () => capture('cargo', ['test', ...LOCKED], { env: CARGO_ENV, show: true }),
    passed: /^test result: .*?(\d+) passed/gm,
  },
  simulation: {
    title: `simulation: ${SIMULATION_SEEDS} seeds of the router with faults, optimised (npm run simulate)`,
    run: () =>
      capture('cargo', ['test', ...LOCKED, ...SIMULATE], {
        env: { ...CARGO_ENV, SIMULATE_SEEDS: SIMULATION_SEEDS },
        show: true,
      }),
    passed: /^test result: .*?(\d+) passed/gm,
  },
  wasm: {
    title: 'wasm: what differs there, under Node (wasm-bindgen-test)',
    run: () =>
      capture('cargo', ['test', ...LOCKED, '--target', WASM_TARGET, '--test', 'wasm'], {
        env: { ...CARGO_ENV, CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER: BIN.wasmTestRunner },
        show: true,
      }),
    passed: /^test result: .*?(\d+) passed/gm,
  },
  e2e: {
    title: 'e2e: the bundle on workerd with KV and the local AuthKit (node --test)',
    run: () =>
      runOnBundle(
        ['local', 'tests/e2e', 'crates'],
        [
          { worker: TEST_WORKER, mode: TEST_WORKER_MODE },
          { worker: EXAMPLE, mode: EXAMPLE_TEST_MODE },
        ],
      ),
    passed: NODE_PASSED,
  },
  python: {
    title: "python: a client generated from the API's description (node --test, openapi-python-client)",
    missing: async () => ((await findPython()) ? undefined : NO_PYTHON),
    run: async () => {
      await installPythonPackages();
      return runOnBundle(['tests/python']);
    },
    passed: NODE_PASSED,
  },
  browser: {
    title: 'browser: the pages in Chromium, clicked through (node --test, playwright-core)',
    missing: () => (findChromium() ? undefined : NO_CHROMIUM),
    run: () => runOnBundle(['tests/browser']),
    passed: NODE_PASSED,
  },
};

await main(async () => {
  const asked = process.argv.slice(2);
  const unknown = asked.filter((name) => !Object.hasOwn(LAYERS, name));
  if (unknown.length > 0)
    throw new Stop(`There is no layer ${unknown.join(', ')}: npm test -- ${Object.keys(LAYERS).join(' | ')}`, 2);
  await setUp();

  const summary = [];
  let isWhole = true;
  for (const [name, layer] of Object.entries(LAYERS)) {
    if (asked.length > 0 && !asked.includes(name)) continue;
    console.log(`\n${bold(`== ${layer.title}`)}\n`);
    const missing = await layer.missing?.();
    if (missing) {
      if (process.env.CI || asked.includes(name)) throw new Stop(`The ${name} tests cannot run. ${missing}`);
      console.log(red(`SKIPPED: ${missing}`));
      summary.push(red(`${name.padEnd(8)}SKIPPED  ${missing}`));
      isWhole = false;
      continue;
    }
    const began = Date.now();
    const { code, output } = await layer.run();
    const seconds = ((Date.now() - began) / 1000).toFixed(1);
    const plain = stripVTControlCharacters(output);
    const passed = [...plain.matchAll(layer.passed)].reduce((sum, match) => sum + Number(match[1]), 0);
    if (code !== 0)
      throw new Stop(
        `The ${name} tests failed after ${seconds} s: see above. To run them alone: npm test -- ${name}`,
        code,
      );
    // A layer that runs nothing proves nothing.
    if (passed === 0) throw new Stop(`The ${name} layer ran no test.`);
    summary.push(`${name.padEnd(8)}${String(passed).padStart(5)} passed${seconds.padStart(8)} s`);
  }
  const verdict = isWhole
    ? green('All tests passed.')
    : red('The tests that could run passed. Some were SKIPPED: see above.');
  console.log(`\n${bold('== summary')}\n\n${summary.join('\n')}\n\n${verdict}`);
});

/**
 * Runs every test file under the folders, on bundles that are as new as their sources.
 *
 * @param {string[]} folders
 * @param {{ worker: import('./build.mjs').Worker, mode: import('./build.mjs').Mode }[]} [bundles] besides the release bundle
 */
async function runOnBundle(folders, bundles = []) {
  const all = [{ worker: EXPENSES, mode: RELEASE }, ...bundles];
  for (const bundle of all) await build('steps', bundle);
  const stale = all.find(({ worker, mode }) => !isFresh(worker, mode));
  // Several files run at a time: none may build a bundle again that others read.
  if (stale) throw new Stop(`The sources of ${stale.worker.title} changed while it was built: run npm test again.`);
  const reporter = process.stdout.isTTY ? 'spec' : 'tap';
  const options = [
    '--test',
    // Node's default leaves a processor free, but a file waits for its runtime half of the time.
    `--test-concurrency=${availableParallelism()}`,
    `--test-timeout=${FILE_MAX_MS}`,
    `--test-reporter=${reporter}`,
  ];
  return capture(process.execPath, [...options, ...folders.flatMap(testFiles)], { show: true });
}

/** Every `*.test.mjs` under the folder: Node 20 does not expand patterns itself. @param {string} folder @returns {string[]} */
function testFiles(folder) {
  if (!existsSync(join(ROOT, folder))) return [];
  return readdirSync(join(ROOT, folder), { withFileTypes: true })
    .flatMap((entry) => {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory()) return testFiles(path);
      return entry.name.endsWith('.test.mjs') ? [path] : [];
    })
    .sort();
}
