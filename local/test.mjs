/**
 * `npm test`: set-up, then every test, layer by layer. Stops at the first layer that fails, with its
 * exit code. `npm test -- host` (or `wasm`, `e2e`) runs one layer.
 */

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import { build } from './build.mjs';
import { ROOT, Stop, bold, capture, green, main } from './commands.mjs';
import { BIN, setUp } from './setup.mjs';

const WASM_TARGET = 'wasm32-unknown-unknown';
/** What is committed is what is tested: in CI a stale Cargo.lock is a failure. */
const LOCKED = process.env.CI ? ['--locked'] : [];
const CARGO_ENV = { CARGO_TERM_COLOR: process.env.CARGO_TERM_COLOR ?? (process.stdout.isTTY ? 'always' : 'never') };

/**
 * The layers, lowest first.
 *
 * @type {Record<string, { title: string, run: () => Promise<{ code: number, output: string }>, passed: RegExp }>}
 */
const LAYERS = {
  host: {
    title: 'host: units and the whole router (cargo test)',
    run: () => capture('cargo', ['test', ...LOCKED], { env: CARGO_ENV, show: true }),
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
    run: async () => {
      await build('steps');
      const files = [...testFiles('local'), ...testFiles('tests/e2e')];
      return capture(
        process.execPath,
        ['--test', `--test-reporter=${process.stdout.isTTY ? 'spec' : 'tap'}`, ...files],
        { show: true },
      );
    },
    passed: /^(?:#|ℹ) pass (\d+)/gm,
  },
};

await main(async () => {
  const asked = process.argv.slice(2);
  const unknown = asked.filter((name) => !Object.hasOwn(LAYERS, name));
  if (unknown.length > 0)
    throw new Stop(`There is no layer ${unknown.join(', ')}: npm test -- ${Object.keys(LAYERS).join(' | ')}`, 2);
  await setUp();

  const summary = [];
  for (const [name, layer] of Object.entries(LAYERS)) {
    if (asked.length > 0 && !asked.includes(name)) continue;
    console.log(`\n${bold(`== ${layer.title}`)}\n`);
    const began = Date.now();
    const { code, output } = await layer.run();
    const seconds = ((Date.now() - began) / 1000).toFixed(1);
    const plain = output.replace(/\x1b\[[0-9;]*m/g, '');
    const passed = [...plain.matchAll(layer.passed)].reduce((sum, match) => sum + Number(match[1]), 0);
    if (code !== 0)
      throw new Stop(
        `The ${name} tests failed after ${seconds} s: see above. To run them alone: npm test -- ${name}`,
        code,
      );
    // A layer that runs nothing proves nothing.
    if (passed === 0) throw new Stop(`The ${name} layer ran no test.`);
    summary.push(`${name.padEnd(6)}${String(passed).padStart(5)} passed${seconds.padStart(8)} s`);
  }
  console.log(`\n${bold('== summary')}\n\n${summary.join('\n')}\n\n${green('All tests passed.')}`);
});

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
