/**
 * `npm run soak`: sets up and builds, then puts a mixed load of 50 connections on the Worker for ten minutes, while KV, the
 * objects and WorkOS fail 1 % of the time. Each client knows what it has written: a response is right or an honest error.
 * Prints a summary, writes the figures as JSON, and fails on a wrong response or where memory grows.
 *
 *     npm run soak -- [--minutes 10] [--connections 50] [--failing 0.01] [--out build/soak.json]
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { build } from './build.mjs';
import { ROOT, Stop, bold, green, main, red, readOptions } from './commands.mjs';
import { setUp } from './setup.mjs';

const USAGE = 'npm run soak -- [--minutes 10] [--connections 50] [--failing 0.01] [--out build/soak.json]';
/** Long texts of wrong responses are cut in the output; the file has them whole. */
const WRONG_SHOWN_LENGTH = 600;
const WRONG_SHOWN = 10;

await main(async () => {
  const options = /** @type {const} */ ({
    minutes: { type: 'string', default: '10' },
    connections: { type: 'string', default: '50' },
    failing: { type: 'string', default: '0.01' },
    out: { type: 'string', default: 'build/soak.json' },
  });
  const { values } = readOptions({ options }, USAGE);
  const [minutes, connections, failingShare] = [values.minutes, values.connections, values.failing].map(Number);
  if (!(minutes > 0) || !(connections >= 4) || !(failingShare >= 0 && failingShare < 0.5)) throw new Stop(USAGE, 2);
  await setUp();
  // Imports packages that the set-up installs.
  const { soak, verdict } = await import('../tests/e2e/support/soak.mjs');
  await build('steps');
  const figures = await soak({ seconds: minutes * 60, connections, failingShare, progress: console.log });
  writeFileSync(join(ROOT, values.out), `${JSON.stringify(figures, null, 1)}\n`);
  console.log(`\n${summary(figures)}\n\nAll figures: ${values.out}`);
  const faults = verdict(figures);
  if (faults.length === 0) return console.log(green('\nNo wrong response, and the memory stays.'));
  for (const fault of faults.slice(0, WRONG_SHOWN)) console.log(red(`\n${fault.slice(0, WRONG_SHOWN_LENGTH)}`));
  throw new Stop(`The soak test found ${faults.length} faults: see above.`);
});

/** @param {Awaited<ReturnType<typeof import('../tests/e2e/support/soak.mjs').soak>>} figures */
function summary({ seconds, connections, failingShare, requests, requestsPerSec, kinds, memory, live }) {
  const lines = Object.entries(kinds).map(([kind, { requests: count, p50Ms, p99Ms, outcomes }]) => {
    const statuses = Object.entries(outcomes).map(([outcome, times]) => `${outcome}: ${times}`);
    return `${kind.padEnd(14)}${String(count).padStart(8)}${String(p50Ms).padStart(9)}${String(p99Ms).padStart(9)}   ${statuses.join(', ')}`;
  });
  const megabytes = (/** @type {{ early: number, late: number }} */ { early, late }) =>
    `${(early / 1e6).toFixed(1)} MB in the second quarter, ${(late / 1e6).toFixed(1)} MB in the last`;
  return [
    bold(
      `${requests} requests in ${seconds} s over ${connections} connections (${requestsPerSec} a second), ${failingShare * 100} % of operations failing`,
    ),
    `${'kind'.padEnd(14)}${'requests'.padStart(8)}${'p50 ms'.padStart(9)}${'p99 ms'.padStart(9)}   outcomes ("left": the client went away)`,
    ...lines,
    `memory of the module: ${megabytes(memory.wasmBytes)}`,
    `memory of the module with the objects: ${megabytes(memory.objectsWasmBytes)} (a ledger keeps each write for ten minutes)`,
    `resident memory of the process: ${megabytes(memory.rssBytes)}`,
    `left once nothing runs: ${JSON.stringify(live)}`,
  ].join('\n');
}
