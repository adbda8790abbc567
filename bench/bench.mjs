/**
 * `npm run bench`: runs the set-up and the build, then measures the Worker's throughput, latency and CPU time
 * beside a bare worker's, and the bundle's size. Stores the result and compares it with the previous one.
 */

import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus, loadavg } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';

import { build } from '../local/build.mjs';
import { ROOT, Stop, bold, dim, main } from '../local/commands.mjs';
import { setUp } from '../local/setup.mjs';
import { OPERATIONS } from './operations.mjs';
import { comparison, plural, tables } from './report.mjs';

/** @type {string[]} */
const OPERATION_NAMES = OPERATIONS.map(({ name }) => name);
const USAGE = `npm run bench -- [options]

  --rounds 5              number of rounds; figures are medians over them
  --seconds 2             how long each measurement takes
  --connections 1,10,50   number of concurrent requests
  --only list,get         some of: ${OPERATION_NAMES.join(', ')}
  --quick                 one short round at 10 connections, to check that it works
  --bundle <folder>       measure the index.js and index_bg.wasm in this folder without a build`;

const STRING = /** @type {const} */ ({ type: 'string' });
const BOOLEAN = /** @type {const} */ ({ type: 'boolean', default: false });
const OPTIONS = {
  rounds: STRING,
  seconds: STRING,
  connections: STRING,
  only: STRING,
  bundle: STRING,
  quick: BOOLEAN,
  help: BOOLEAN,
};

const DEFAULTS = { rounds: '5', seconds: '2', connections: '1,10,50' };
const QUICK = { rounds: '1', seconds: '0.3', connections: '10' };
const MAX_ROUNDS = 50;
const MAX_SECONDS = 60;
const MAX_CONNECTIONS = 200;
const MAX_CONNECTION_COUNTS = 10;

/** The version of the stored result's format: results of different formats are not compared. */
const FORMAT = 1;

await main(async () => {
  const options = readArguments();
  if (options === undefined) return console.log(USAGE);
  await setUp();
  if (options.bundle === undefined) await build('steps');
  const folder = options.bundle ?? join(ROOT, 'build');
  const bundle = readBundle(folder);

  // Imported here because the set-up may just have installed their packages.
  const [{ start }, { measure, expectedSecs }] = await Promise.all([import('./servers.mjs'), import('./measure.mjs')]);
  const { servers, operations: all, stop } = await start(folder);
  const operations = all.filter(({ name }) => options.only.includes(name));
  const plan = { ...options, servers, operations };
  announce(plan, expectedSecs(plan));
  const progress = progressLine();
  const results = await measure({ ...plan, progress: progress.show });
  progress.clear();
  await stop();

  const run = {
    format: FORMAT,
    date: new Date().toISOString(),
    on: environment(),
    rounds: options.rounds,
    seconds: options.seconds,
    bundle,
    results,
  };
  // A smoke run replaces only a smoke run, and is compared with one.
  const file = join(ROOT, 'bench', options.quick ? 'last-quick.json' : 'last.json');
  const before = readRun(file);
  writeFileSync(file, `${JSON.stringify(run, null, 1)}\n`);
  console.log(`\n${tables(run)}`);
  if (before) console.log(`\n${comparison(run, before)}`);
  console.log(`\n${dim(`All rounds are stored in ${relative(ROOT, file)}.`)}`);
});

/** @returns the options, or nothing when help was requested */
function readArguments() {
  let values;
  try {
    ({ values } = parseArgs({ options: OPTIONS }));
  } catch (error) {
    const [message] = /** @type {Error} */ (error).message.split('. ');
    throw new Stop(`${message}. There is:\n\n${USAGE}`, 2);
  }
  if (values.help) return undefined;
  const given = { ...(values.quick ? QUICK : DEFAULTS), ...values };

  const rounds = Number(given.rounds);
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > MAX_ROUNDS) {
    throw new Stop(`--rounds is a whole number from 1 to ${MAX_ROUNDS}.`, 2);
  }
  const seconds = Number(given.seconds);
  if (!(seconds >= 0.1 && seconds <= MAX_SECONDS)) {
    throw new Stop(`--seconds is a number from 0.1 to ${MAX_SECONDS}.`, 2);
  }
  const connections = [...new Set(given.connections.split(',').map(Number))];
  const isCount = (/** @type {number} */ count) => Number.isInteger(count) && count >= 1 && count <= MAX_CONNECTIONS;
  if (!connections.every(isCount) || connections.length > MAX_CONNECTION_COUNTS) {
    const form = `up to ${MAX_CONNECTION_COUNTS} whole numbers from 1 to ${MAX_CONNECTIONS}, with commas between`;
    throw new Stop(`--connections takes ${form}.`, 2);
  }
  const only = given.only?.split(',') ?? OPERATION_NAMES;
  const unknown = only.filter((name) => !OPERATION_NAMES.includes(name));
  if (unknown.length > 0) {
    throw new Stop(`Unknown operation ${unknown.join(', ')}: --only takes ${OPERATION_NAMES.join(', ')}.`, 2);
  }
  const bundle = given.bundle === undefined ? undefined : resolve(given.bundle);
  return { quick: values.quick, rounds, seconds, connections, only, bundle };
}

/** The bundle's sizes, and a hash that identifies it. @param {string} folder */
function readBundle(folder) {
  const hash = createHash('sha256');
  const files = ['index.js', 'index_bg.wasm'].map((name) => {
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

/** @param {import('./measure.mjs').Plan} plan @param {number} secs the expected duration */
function announce({ operations, connections, rounds, seconds }, secs) {
  const { node, workerd, platform, cpus } = environment();
  const duration = secs < 90 ? `${Math.ceil(secs)} seconds` : `${Math.ceil(secs / 60)} minutes`;
  console.log(bold(`The Worker and a bare one on workerd ${workerd}, driven by autocannon`));
  console.log(`Node ${node}, ${platform}, ${cpus} processors; load ${loadavg()[0].toFixed(1)}`);
  console.log(
    `${plural(operations.length, 'operation')} at ${connections.join(', ')} connections, 2 Workers, ${rounds} × ${seconds} s each: about ${duration}.`,
  );
  if (loadavg()[0] > cpus / 4) {
    console.log('This machine is busy with something else: expect noise, or try again later.');
  }
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

/** @param {string} file @returns {import('./report.mjs').Run | undefined} */
function readRun(file) {
  try {
    const run = JSON.parse(readFileSync(file, 'utf8'));
    return run.format === FORMAT ? run : undefined;
  } catch {
    // The first run, or a damaged file.
    return undefined;
  }
}
