/**
 * `npm run simulate`: runs seeds of `tests/simulation`, optimised, with progress and rate. A failing seed prints
 * its steps and the command that repeats it.
 *
 *     npm run simulate -- [--seeds 1000] [--seed 1]
 *     npm run simulate -- --planted [--seeds 500] [--only 'part of a name']
 *
 * `--seed S` alone runs that seed; with `--seeds N` it is the first of N. `--planted` runs a copy of the source
 * for each deliberate fault of `tests/simulation/planted.mjs`, until a seed fails; `--seeds` is then the most seeds
 * for each.
 */

import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';

import { PLANTED } from '../tests/simulation/planted.mjs';
import { ROOT, Stop, capture, main, runInTerminal, readOptions } from './commands.mjs';
import { SIMULATE, SIMULATE_RUN, SIMULATE_TEST } from './simulation.mjs';

const USAGE = 'npm run simulate -- [--seeds 1000] [--seed 1] [--planted [--only name]]';
const DEFAULT_SEEDS = 1000;
/** Without optimisation: compiling a copy takes longer than the seeds that it needs. */
const DEFAULT_PLANTED_SEEDS = 500;
/** The seeds that pass without a planted fault first. */
const CONTROL_SEEDS = '20';

/** The copy of the source that gets the faults. Cargo takes artifacts of the two for each other in one folder. */
const COPY = join(ROOT, 'build/planted');
const COPY_TARGET = join(ROOT, 'build/planted-target');
const NOT_COPIED = new Set(['.git', '.tools', '.wrangler', '.local', 'build', 'node_modules', 'target']);

await main(async () => {
  const options = /** @type {const} */ ({
    seeds: { type: 'string' },
    seed: { type: 'string' },
    planted: { type: 'boolean' },
    only: { type: 'string' },
  });
  const { values } = readOptions({ options }, USAGE);
  for (const value of [values.seeds, values.seed])
    if (value !== undefined && !/^\d{1,15}$/.test(value)) throw new Stop(`${value} is not a whole number: ${USAGE}`, 2);
  if (values.planted) return findPlanted(values.seeds ?? String(DEFAULT_PLANTED_SEEDS), values.only ?? '');
  const env = {
    SIMULATE_SEED: values.seed ?? '1',
    SIMULATE_SEEDS: values.seeds ?? (values.seed ? '1' : String(DEFAULT_SEEDS)),
  };
  const code = await runInTerminal('cargo', ['test', ...SIMULATE], env);
  if (code !== 0) throw new Stop('The simulation failed: see above.', code);
});

/**
 * @param {string} seeds the most seeds for each fault
 * @param {string} only a part of the names of the faults to plant
 */
async function findPlanted(seeds, only) {
  const planted = PLANTED.filter(({ name }) => name.includes(only));
  if (planted.length === 0) throw new Stop(`No planted fault has a name with ${only}.`, 2);
  rmSync(COPY, { recursive: true, force: true });
  const filter = (/** @type {string} */ path) => !NOT_COPIED.has(basename(path)) || path === ROOT;
  for (const name of [
    'Cargo.toml',
    'Cargo.lock',
    'rust-toolchain.toml',
    'crates',
    'examples',
    'src',
    'tests',
    'assets',
  ])
    cpSync(join(ROOT, name), join(COPY, name), { recursive: true, filter });
  const env = {
    CARGO_TARGET_DIR: COPY_TARGET,
    SIMULATE_SEEDS: seeds,
    SIMULATE_MAX_FAILURES: '1',
  };
  const cargo = ['test', '--manifest-path', join(COPY, 'Cargo.toml'), ...SIMULATE_TEST];
  const control = await capture('cargo', [...cargo, ...SIMULATE_RUN], {
    env: { ...env, SIMULATE_SEEDS: CONTROL_SEEDS },
  });
  if (control.code !== 0) throw new Stop(`The source without a planted fault fails:\n${control.output}`);
  console.log(`no fault: ${CONTROL_SEEDS} seeds pass`);
  const missed = [];
  for (const { name, file, from, to } of planted) {
    const path = join(COPY, file);
    const source = readFileSync(path, 'utf8');
    if (source.split(from).length !== 2) throw new Stop(`${file} does not have this once, for "${name}": ${from}`);
    writeFileSync(
      path,
      source.replace(from, () => to),
    );
    const built = await capture('cargo', [...cargo, '--no-run'], { env });
    if (built.code !== 0) throw new Stop(`"${name}" does not compile:\n${built.output}`);
    const { code, output } = await capture('cargo', [...cargo, ...SIMULATE_RUN], { env });
    const count = /^(\d+) seeds, /gm;
    const ran = [...output.matchAll(count)].at(-1)?.[1] ?? '?';
    const violation = /^Seed (\d+) violates an invariant: (.*)$/m.exec(output);
    if (code === 0 || !violation) missed.push(name);
    const found = violation
      ? `found after ${ran} seeds (seed ${violation[1]}: ${violation[2]})`
      : `NOT found in ${ran} seeds`;
    console.log(`${name}: ${found}`);
    writeFileSync(path, source);
  }
  if (missed.length > 0) throw new Stop(`Not found: ${missed.join('; ')}.`);
  console.log(`All ${planted.length} planted faults were found.`);
}
