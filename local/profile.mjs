/**
 * `npm run profile -- list`: where the time of one of the benchmark's operations goes. Builds the release bundle with
 * the names of its functions, runs it in workerd as the benchmark does, drives the operation with autocannon and
 * records workerd's CPU profile of the isolate: the Worker and its Durable Objects, which share it. Prints self and
 * total time by function, JavaScript and Rust alike, and writes the profile to a file that Chrome's DevTools opens.
 *
 * With `--calls` it counts instead how often a request calls each function of Rust, and the iterations of its loops, which
 * for a read are the same in every run: what happens a thousand times where once would do is at the top.
 */

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';

import { OPERATIONS } from '../bench/operations.mjs';
import { PROFILE, build, bundleFolder, copyWithCounters, EXPENSES } from './build.mjs';
import { ROOT, Stop, bold, dim, main, readOptions } from './commands.mjs';
import { setUp } from './setup.mjs';
import { countsBetween } from './wasm.mjs';

const OPERATION_NAMES = OPERATIONS.map(({ name }) => name);
const USAGE = `npm run profile -- <operation> [options]

  <operation>         one of: ${OPERATION_NAMES.join(', ')}
  --seconds 5         how long the profile lasts
  --connections 10    number of concurrent requests
  --top 40            number of functions in the table
  --sort self         order of the table: self or total
  --calls             count the calls and iterations of each function of Rust instead, by 100 requests one after the other
  --bundle <folder>   profile the index.js and index_bg.wasm in this folder without a build; without
                      names in it, functions of Rust are numbers`;

const STRING = /** @type {const} */ ({ type: 'string' });
const OPTIONS = {
  seconds: { ...STRING, default: '5' },
  connections: { ...STRING, default: '10' },
  top: { ...STRING, default: '40' },
  sort: { ...STRING, default: 'self' },
  calls: { type: /** @type {const} */ ('boolean'), default: false },
  bundle: STRING,
};

/** The time between two samples. V8 takes fewer where the processors are busy. */
const SAMPLE_MICROS = 250;
/** V8's tiers of compilation reach their last within it. */
const WARM_UP_SECS = 2;

/** The requests whose calls are counted. */
const COUNTED_REQUESTS = 100;
const COUNTERS_PATH = '/counters-of-calls';

/** What V8 calls the time that passes in no function. */
const NO_FUNCTION = new Map([
  ['(idle)', '(idle)'],
  ['(program)', '(the runtime: I/O, other isolates, waiting)'],
  ['(garbage collector)', '(garbage collector)'],
  ['(root)', '(root)'],
]);

/**
 * A profile as V8 records it (https://chromedevtools.github.io/devtools-protocol/v8/Profiler/#type-Profile).
 *
 * @typedef {object} Profile
 * @property {ProfileNode[]} nodes the tree of calls; the first is its root
 * @property {number} startTime in microseconds
 * @property {number} endTime in microseconds
 * @property {number[]} samples the id of the node of each sample
 * @property {number[]} timeDeltas microseconds between each sample and the one before
 */

/**
 * @typedef {object} ProfileNode
 * @property {number} id
 * @property {{ functionName: string, url: string, lineNumber: number, columnNumber: number }} callFrame
 * @property {number[]} [children] their ids
 */

await main(async () => {
  const options = readArguments();
  await setUp();
  if (options.bundle === undefined) await build('steps', { mode: PROFILE });
  const counting = options.calls ? countingBundle() : undefined;
  const folder = counting?.folder ?? options.bundle ?? bundleFolder(EXPENSES, PROFILE);

  // Imported here because the set-up may just have installed their packages.
  const [{ start }, { burst, cpuSecs }, { WebSocket }] = await Promise.all([
    import('../bench/servers.mjs'),
    import('../bench/measure.mjs'),
    import('undici'),
  ]);
  const { servers, operations, stop } = await start(folder, { isAlone: true, hasInspector: !counting });
  const operation = operations.find(({ name }) => name === options.operation);
  if (operation === undefined) throw new Stop(USAGE, 2);
  const { ours } = servers;
  const { connections, seconds } = options;
  await burst(ours, operation, { connections, seconds: WARM_UP_SECS });
  if (counting) {
    const origin = ours.origins[operation.namespace];
    const before = await countersAt(origin);
    await burst(ours, operation, { connections: 1, requests: COUNTED_REQUESTS });
    const after = await countersAt(origin);
    await stop();
    const { title } = operation;
    return console.log(`\n${reportCalls(countsBetween(counting.counters, before, after), { ...options, title })}`);
  }
  const inspector = await connect(WebSocket, await ours.miniflare.getInspectorURL(), operation.namespace);
  await inspector.send('Profiler.enable');
  await inspector.send('Profiler.setSamplingInterval', { interval: SAMPLE_MICROS });
  await inspector.send('Profiler.start');
  const cpuBefore = cpuSecs(ours);
  const { requests } = await burst(ours, operation, { connections, seconds });
  const cpuAfter = cpuSecs(ours);
  const { profile } = /** @type {{ profile: Profile }} */ (await inspector.send('Profiler.stop'));
  inspector.close();
  await stop();

  const cpuMicros = cpuBefore === null || cpuAfter === null ? null : ((cpuAfter - cpuBefore) / requests) * 1e6;
  console.log(`\n${report(profile, { ...options, title: operation.title, requests, cpuMicros })}`);
  const file = join(ROOT, PROFILE.folder, `${operation.name}.cpuprofile`);
  mkdirSync(join(file, '..'), { recursive: true });
  writeFileSync(file, JSON.stringify(profile));
  console.log(
    `\n${dim(`The profile is in ${relative(ROOT, file)}: Chrome's DevTools open it in the panel Performance.`)}`,
  );
});

function readArguments() {
  const { values, positionals } = readOptions({ options: OPTIONS, allowPositionals: true }, USAGE);
  const [operation, ...others] = positionals;
  if (operation === undefined || others.length > 0 || !OPERATION_NAMES.some((name) => name === operation)) {
    throw new Stop(`Name one operation: ${OPERATION_NAMES.join(', ')}.`, 2);
  }
  const [seconds, connections, top] = [values.seconds, values.connections, values.top].map(Number);
  if (!(seconds > 0 && seconds <= 60)) throw new Stop('--seconds is a number up to 60.', 2);
  if (!Number.isInteger(connections) || connections < 1) throw new Stop('--connections is a whole number.', 2);
  if (!Number.isInteger(top) || top < 1) throw new Stop('--top is a whole number.', 2);
  const { sort, calls } = values;
  if (sort !== 'self' && sort !== 'total') throw new Stop('--sort is self or total.', 2);
  if (calls && values.bundle !== undefined) throw new Stop('--calls builds a bundle of its own.', 2);
  const bundle = values.bundle === undefined ? undefined : resolve(values.bundle);
  return { operation, seconds, connections, top, sort: /** @type {'self' | 'total'} */ (sort), calls, bundle };
}

/**
 * The bundle with counters, which answers a request for {@link COUNTERS_PATH} with them instead of calling Rust.
 */
function countingBundle() {
  const folder = join(bundleFolder(EXPENSES, PROFILE), 'counting');
  rmSync(folder, { recursive: true, force: true });
  const { script, counters } = copyWithCounters(EXPENSES, PROFILE, folder);
  const text = readFileSync(script, 'utf8');
  const entry = /([\w$]+) as default/.exec(text)?.[1];
  const { address, length } = counters;
  writeFileSync(
    script,
    `${text}{
  const { fetch } = ${entry};
  ${entry}.fetch = (request, ...rest) => {
    if (!request.url.endsWith('${COUNTERS_PATH}')) return fetch(request, ...rest);
    return Response.json([...new Uint32Array(wasm.memory.buffer, ${address}, ${length})]);
  };
}
`,
  );
  return { folder, counters };
}

/** The counters of an isolate. @param {string} origin @returns {Promise<number[]>} */
async function countersAt(origin) {
  const response = await fetch(origin + COUNTERS_PATH);
  return /** @type {number[]} */ (await response.json());
}

/**
 * @param {ReturnType<typeof countsBetween>} counted of all requests
 * @param {{ title: string, top: number }} of
 */
function reportCalls({ called, calls, iterations, bytes }, { title, top }) {
  const most = called.sort((a, b) => b.calls + b.iterations - a.calls - a.iterations).slice(0, top);
  const each = (/** @type {number} */ count) => (count / COUNTED_REQUESTS).toFixed(1).padStart(9);
  return [
    bold(`== ${title}: ${Math.round(calls / COUNTED_REQUESTS)} calls of Rust a request, of ${called.length} functions`),
    `   with ${(bytes / 1000).toFixed(0)} kB of code, and ${Math.round(iterations / COUNTED_REQUESTS)} iterations of their loops`,
    '',
    dim('    calls    loops   bytes'),
    ...most.map(
      (one) => `${each(one.calls)}${each(one.iterations)}${String(one.bytes).padStart(8)}  ${readable(one.name)}`,
    ),
  ].join('\n');
}

/**
 * Opens the inspector of the Worker's isolate.
 *
 * @param {typeof import('undici').WebSocket} WebSocket
 * @param {URL} url of the runtime's inspector
 * @param {string} worker its name
 */
async function connect(WebSocket, url, worker) {
  const socket = new WebSocket(new URL(`/core:user:${worker}`, url));
  /** @type {Map<number, { resolve: (result: object) => void, reject: (error: Error) => void }>} */
  const waiting = new Map();
  let last = 0;
  socket.addEventListener('message', ({ data }) => {
    const { id, result, error } = JSON.parse(String(data));
    const answer = waiting.get(id);
    waiting.delete(id);
    if (error) answer?.reject(new Stop(`The inspector refused: ${error.message}`));
    else answer?.resolve(result);
  });
  const closed = () => {
    for (const { reject } of waiting.values()) reject(new Stop('The runtime closed the connection to its inspector.'));
  };
  socket.addEventListener('close', closed);
  await new Promise((resolve, reject) => {
    socket.addEventListener('open', () => resolve(undefined));
    socket.addEventListener('error', () => reject(new Stop('The inspector of workerd could not be reached.')));
  });
  return {
    /** @param {string} method @param {object} [params] @returns {Promise<object>} its result */
    send(method, params = {}) {
      last += 1;
      const id = last;
      socket.send(JSON.stringify({ id, method, params }));
      return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
    },
    close: () => socket.close(),
  };
}

/**
 * @param {Profile} profile
 * @param {{ title: string, requests: number, cpuMicros: number | null, seconds: number, connections: number, top: number, sort: 'self' | 'total' }} of
 */
function report(profile, { title, requests, cpuMicros, connections, top, sort }) {
  const functions = timesByFunction(profile);
  const times = [...functions.values()];
  const outside = times.filter(({ isFunction }) => !isFunction);
  const inside = times.filter(({ isFunction }) => isFunction);
  const insideMicros = inside.reduce((sum, { self }) => sum + self, 0);
  const micros = (/** @type {number} */ time) => (time / requests).toFixed(2).padStart(9);
  const percent = (/** @type {number} */ time) => ((time / insideMicros) * 100).toFixed(1).padStart(6);
  inside.sort((a, b) => b[sort] - a[sort]);
  const line = (/** @type {Times} */ { name, self, total }) =>
    `${micros(self)}${percent(self)}%${micros(total)}${percent(total)}%  ${name}`;
  const cpu = cpuMicros === null ? '' : `; the process used ${cpuMicros.toFixed(1)} µs of CPU for each`;
  return [
    bold(`== ${title}: ${requests} requests at ${connections} connections, ${profile.samples.length} samples${cpu}`),
    '',
    `${micros(insideMicros)} µs a request in functions, which are the 100 % below`,
    ...outside.filter(({ self }) => self > 0).map(({ name, self }) => `${micros(self)} µs a request in ${name}`),
    '',
    dim('  self µs      %  total µs      %'),
    ...inside.slice(0, top).map(line),
    '',
    ...byKind(inside).map(([kind, self]) => `${micros(self)}${percent(self)}%  ${kind}`),
  ].join('\n');
}

/** @typedef {{ name: string, kind: string, isFunction: boolean, self: number, total: number }} Times in microseconds */

/**
 * The self time and the total time of each function. Recursive calls count once in the total.
 *
 * @param {Profile} profile
 * @returns {Map<string, Times>}
 */
function timesByFunction({ nodes, samples, timeDeltas }) {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  /** @type {Map<number, number>} */
  const selfOf = new Map();
  // A sample lasts until the next one.
  samples.forEach((id, index) => {
    selfOf.set(id, (selfOf.get(id) ?? 0) + (timeDeltas[index + 1] ?? 0));
  });
  /** @type {Map<string, Times>} */
  const functions = new Map();
  /** @param {ProfileNode} node */
  const timesOf = ({ callFrame }) => {
    const { name, kind, isFunction } = describe(callFrame);
    const known = functions.get(name);
    if (known) return known;
    const times = { name, kind, isFunction, self: 0, total: 0 };
    functions.set(name, times);
    return times;
  };
  /** @param {ProfileNode} node @param {Set<Times>} callers @returns {number} */
  const visit = (node, callers) => {
    const times = timesOf(node);
    const isInner = callers.has(times);
    callers.add(times);
    const self = selfOf.get(node.id) ?? 0;
    let total = self;
    for (const id of node.children ?? []) {
      const child = byId.get(id);
      if (child) total += visit(child, callers);
    }
    times.self += self;
    if (isInner) return total;
    times.total += total;
    callers.delete(times);
    return total;
  };
  visit(nodes[0], new Set());
  return functions;
}

/** @param {ProfileNode['callFrame']} frame */
function describe({ functionName, url, lineNumber, columnNumber }) {
  const special = NO_FUNCTION.get(functionName);
  if (special) return { name: special, kind: special, isFunction: false };
  if (url.startsWith('wasm:')) return { name: readable(functionName), kind: 'Rust', isFunction: true };
  const script = url.slice(url.lastIndexOf('/') + 1);
  const name = functionName === '' ? '(anonymous)' : functionName;
  if (script === '') return { name: `${name} [runtime]`, kind: "V8 and workerd's own", isFunction: true };
  return { name: `${name} [${script}:${lineNumber + 1}:${columnNumber + 1}]`, kind: 'JavaScript', isFunction: true };
}

/** A path of Rust without its hash, and without what hides its end. @param {string} name */
function readable(name) {
  return name
    .replace(/::h[0-9a-f]{16}$/, '')
    .replace(/\[[0-9a-f]{16}\]/g, '')
    .replaceAll('{{closure}}', '{}')
    .replaceAll('{closure#0}', '{}');
}

/** Self time by kind, most first. @param {Times[]} functions @returns {[string, number][]} */
function byKind(functions) {
  /** @type {Map<string, number>} */
  const sums = new Map();
  for (const { kind, self } of functions) sums.set(kind, (sums.get(kind) ?? 0) + self);
  return [...sums].sort(([, a], [, b]) => b - a);
}
