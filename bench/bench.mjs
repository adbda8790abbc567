/**
 * `npm run bench`: runs the set-up and the build, then measures what the Worker costs, beside a bare Worker and beside
 * the same API on Hono with the official SDK, by turns. Prints the figures with their limits, and fails where one is
 * beyond its limit by more than its own spread.
 */

import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus, loadavg } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { performance } from 'node:perf_hooks';
import { gzipSync } from 'node:zlib';

import { build } from '../local/build.mjs';
import { ROOT, Stop, bold, dim, main, readOptions } from '../local/commands.mjs';
import { setUp } from '../local/setup.mjs';
import { GROWTH_ROWS, OPERATIONS } from './operations.mjs';

const COLD = 'cold';
const GROWTH = 'growth';
/** @type {string[]} */
const NAMES = [...OPERATIONS.map(({ name }) => name), COLD, GROWTH];
const USAGE = `npm run bench -- [options]

  --minutes 10          about how long it takes
  --rounds 20           number of rounds instead
  --connections 10      number of concurrent requests; the limits are for 10
  --only list,get       some of: ${NAMES.join(', ')}
  --quick               about three minutes: fewer rounds, wider spreads
  --bundle <folder>     measure the index.js and index_bg.wasm in this folder without a build
  --against <folder>    measure the bundle in this folder too, by turns
  --no-hono             without the Hono peer`;

const STRING = /** @type {const} */ ({ type: 'string' });
const BOOLEAN = /** @type {const} */ ({ type: 'boolean', default: false });
const OPTIONS = {
  minutes: STRING,
  rounds: STRING,
  connections: { ...STRING, default: '10' },
  only: STRING,
  bundle: STRING,
  against: STRING,
  quick: BOOLEAN,
  'no-hono': BOOLEAN,
};

/** `burst`: the share of an operation's requests. The others: what has no rounds of its own. */
const SIZES = {
  full: { minutes: '10', burst: 1, isolates: 30, growth: { rowCounts: GROWTH_ROWS, rounds: 3, cpuSecs: 0.6 } },
  quick: {
    minutes: '2.5',
    burst: 0.5,
    isolates: 10,
    growth: { rowCounts: GROWTH_ROWS.slice(0, 2), rounds: 1, cpuSecs: 0.3 },
  },
};
const MAX_ROUNDS = 200;
const MAX_CONNECTIONS = 200;
/** The share of the processors that other programs may use without a warning. */
const QUIET_LOAD = 0.1;

/** The files of a bundle. */
const PARTS = ['index.js', 'index_bg.wasm'];

await main(async () => {
  const began = performance.now();
  const options = readArguments();
  await setUp();
  if (options.bundle === undefined) await build('steps');
  const folder = options.bundle ?? join(ROOT, 'build');
  const bundle = readBundle(folder);
  const against = options.against === undefined ? undefined : readBundle(options.against);

  // Imported here because the set-up may just have installed their packages.
  const [{ start }, measuring, { failures, tables }] = await Promise.all([
    import('./servers.mjs'),
    import('./measure.mjs'),
    import('./report.mjs'),
  ]);
  const { measure, measureColdStarts, measureGrowth, machineCpuSecs } = measuring;
  announce(options);
  const progress = progressLine();
  const wants = (/** @type {string} */ name) => options.only.includes(name);
  progress.show('starting the servers');
  const bench = await start(folder, {
    against: options.against,
    growth: wants(GROWTH) ? options.size.growth.rowCounts : [],
    hasHono: options.hasHono,
  });
  const operations = bench.operations
    .filter(({ name }) => wants(name) || bench.operations.some((each) => wants(each.name) && each.beyond === name))
    .map((operation) => ({ ...operation, requests: operation.requests * options.size.burst }));
  const list = bench.operations.find(({ name }) => name === 'list');
  const { servers } = bench;
  const colds = /** @type {const} */ (['ours', 'against', 'hono']).filter((name) => servers[name]);
  // The rounds come last and fill the remaining time.
  const cold =
    wants(COLD) && list ? await measureColdStarts(bench, colds, list, options.size.isolates, progress.show) : {};
  const own = ownCpuSecs(measuring, servers);
  const before = { at: performance.now(), machine: machineCpuSecs(), own: own() };
  const growth = wants(GROWTH) ? await measureGrowth(bench, options.size.growth, progress.show) : [];
  const until = began + options.minutes * 60_000;
  const results = await measure({ ...options, servers, operations, until }, progress.show);
  const run = {
    date: new Date().toISOString(),
    on: environment(),
    connections: options.connections,
    bundle,
    ...(against ? { against } : {}),
    cold,
    growth,
    results,
    otherLoad: /** @type {number | null} */ (null),
  };
  const machine = machineCpuSecs();
  if (machine !== null && before.machine !== null) {
    const available = ((performance.now() - before.at) / 1000) * run.on.cpus;
    run.otherLoad = Math.max(0, (machine - before.machine - (own() - before.own)) / available);
  }
  progress.clear();
  await bench.stop();

  const file = join(ROOT, 'bench', options.isQuick ? 'last-quick.json' : 'last.json');
  writeFileSync(file, `${JSON.stringify(run, null, 1)}\n`);
  console.log(`\n${tables(run)}\n`);
  if (run.otherLoad !== null && run.otherLoad > QUIET_LOAD) {
    const share = Math.round(run.otherLoad * 100);
    console.log(
      `Other programs used ${share} % of the processors meanwhile: every CPU figure is too high, ratios by turns less so.`,
    );
  }
  console.log(dim(`All rounds are in ${relative(ROOT, file)}.`));
  const beyond = failures(run);
  if (beyond.length > 0) throw new Stop(`Beyond what is allowed, by more than its spread:\n- ${beyond.join('\n- ')}`);
});

function readArguments() {
  const { values } = readOptions({ options: OPTIONS }, USAGE);
  const size = values.quick ? SIZES.quick : SIZES.full;

  const minutes = Number(values.minutes ?? size.minutes);
  if (!(minutes > 0 && minutes <= 120)) throw new Stop('--minutes is a number up to 120.', 2);
  const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
  if (rounds !== undefined && !(Number.isInteger(rounds) && rounds >= 1 && rounds <= MAX_ROUNDS)) {
    throw new Stop(`--rounds is a whole number from 1 to ${MAX_ROUNDS}.`, 2);
  }
  const connections = Number(values.connections);
  if (!(Number.isInteger(connections) && connections >= 1 && connections <= MAX_CONNECTIONS)) {
    throw new Stop(`--connections is a whole number from 1 to ${MAX_CONNECTIONS}.`, 2);
  }
  const only = values.only?.split(',') ?? NAMES;
  const unknown = only.filter((name) => !NAMES.includes(name));
  if (unknown.length > 0) throw new Stop(`Unknown: ${unknown.join(', ')}. --only takes ${NAMES.join(', ')}.`, 2);
  const folderOf = (/** @type {string | undefined} */ given) => (given === undefined ? undefined : resolve(given));
  return {
    isQuick: values.quick,
    hasHono: !values['no-hono'],
    size,
    minutes,
    rounds,
    connections,
    only,
    bundle: folderOf(values.bundle),
    against: folderOf(values.against),
  };
}

/** The bundle's sizes, and a hash that identifies it. @param {string} folder */
function readBundle(folder) {
  const hash = createHash('sha256');
  const files = PARTS.map((name) => {
    const path = join(folder, name);
    if (!existsSync(path)) throw new Stop(`There is no ${name} in ${folder}: it is not a bundle.`, 2);
    const bytes = readFileSync(path);
    hash.update(bytes);
    return { name, raw: bytes.length, gzipped: gzipSync(bytes, { level: 9 }).length };
  });
  return { sha256: hash.digest('hex'), files };
}

function environment() {
  const { version } = createRequire(import.meta.url)('workerd/package.json');
  return {
    node: process.versions.node,
    workerd: version,
    platform: `${process.platform} ${process.arch}`,
    cpus: cpus().length,
  };
}

/** @param {ReturnType<typeof readArguments>} options */
function announce({ minutes, rounds, connections }) {
  const { node, workerd, platform, cpus } = environment();
  console.log(bold(`The Worker, a bare one and the same API on Hono, on workerd ${workerd}, driven by autocannon`));
  console.log(`Node ${node}, ${platform}, ${cpus} processors; load ${loadavg()[0].toFixed(1)}`);
  const length = rounds === undefined ? `about ${minutes} minutes` : `${rounds} rounds`;
  console.log(`${connections} connections, ${length}.`);
  if (loadavg()[0] > cpus / 4) {
    console.log('This machine is busy with something else: expect noise, or try again later.');
  }
}

/**
 * The CPU time of this process and of the servers.
 *
 * @param {typeof import('./measure.mjs')} measuring
 * @param {import('./servers.mjs').Bench['servers']} servers
 */
function ownCpuSecs({ cpuSecs }, servers) {
  return () => {
    const { user, system } = process.cpuUsage();
    const runtimes = Object.values(servers).map((server) => cpuSecs(server) ?? 0);
    return runtimes.reduce((sum, secs) => sum + secs, (user + system) / 1e6);
  };
}

/** Shows the progress: one line on a terminal, a line per round elsewhere. */
function progressLine() {
  /** @type {string | undefined} */
  let last;
  return {
    /** @param {string} where */
    show(where) {
      if (process.stdout.isTTY) return process.stdout.write(`\r\x1b[K${dim(where)}`);
      const [head] = where.split(',');
      if (head !== last) console.log(head);
      last = head;
    },
    clear() {
      if (process.stdout.isTTY) process.stdout.write('\r\x1b[K');
    },
  };
}
