/**
 * `npm run simulate`: runs seeds of `tests/simulation`, optimised, with progress and rate. A failing seed prints
 * its steps and the command that repeats it.
 *
 *     npm run simulate -- [--seeds 1000] [--seed 1]
 *
 * `--seed S` alone runs that seed; with `--seeds N` it is the first of N.
 */

import { parseArgs } from 'node:util';

import { Stop, main, runInTerminal } from './commands.mjs';

const DEFAULT_SEEDS = 1000;

await main(async () => {
  const { values } = parseArgs({ options: { seeds: { type: 'string' }, seed: { type: 'string' } } });
  for (const [name, value] of Object.entries(values)) {
    if (!/^\d{1,15}$/.test(value)) throw new Stop(`--${name} is a whole number: npm run simulate -- --seeds 1000 --seed 1`, 2);
  }
  const seed = values.seed ?? '1';
  const seeds = values.seeds ?? (values.seed ? '1' : String(DEFAULT_SEEDS));
  const options = ['--profile', 'simulate', '--test', 'simulation', '--', '--ignored', '--exact', 'simulate', '--nocapture'];
  await runInTerminal('cargo', ['test', ...options], { SIMULATE_SEED: seed, SIMULATE_SEEDS: seeds });
});
