/** Measures bursts of requests and their CPU time, rounds of bursts, cold starts and the growth with rows. */

import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { performance } from 'node:perf_hooks';

import autocannon from 'autocannon';

import { Stop, pause } from '../local/commands.mjs';

const REQUEST_TIMEOUT_SECS = 30;
/** How often autocannon checks whether a burst is over. */
const LOOK_MS = 20;
/** After a burst, the runtime gets this long for what it does after its responses. */
const SETTLE_MS = 50;
/** Linux counts the machine's CPU time in hundredths of a second, on every processor that workerd is built for. */
const TICKS_PER_SEC = 100;
/** Whether the kernel tells how long a thread has run. */
const TELLS_CPU_TIME = existsSync('/proc/self/schedstat');
/** Fewer rounds have no quartiles. */
export const MIN_ROUNDS = 3;
/** Few, so that one response of thousands of rows does not wait for many others. */
const GROWTH_CONNECTIONS = 2;
/** Requests of a warm-up read as many rows together, and are not fewer or more than these. */
const GROWTH_WARM_UP_ROWS = 30_000;
const GROWTH_WARM_UP_REQUESTS = { min: 6, max: 100 };
const GROWTH_MAX_REQUESTS = 400;
/** How often the start of isolates is measured. */
const STARTS = MIN_ROUNDS;

/** @typedef {import('./operations.mjs').ServerName} ServerName */
/** @typedef {import('./servers.mjs').Server} Server */

/**
 * @typedef {object} Burst
 * @property {number} requests
 * @property {number} requestsPerSec
 * @property {number} p50Ms
 * @property {number} p99Ms
 * @property {number | null} cpuSecsPer1000 `null` where the system does not tell
 */

/** One burst of each server. @typedef {Partial<Record<ServerName, Burst>> & { ours: Burst }} Round */
/** @typedef {{ operation: string, rounds: Round[] }} Result */

/**
 * New isolates, in milliseconds.
 *
 * @typedef {object} Cold
 * @property {number[]} wallMs of the first authenticated list
 * @property {number | null} cpuMs of it, the mean
 * @property {(number | null)[]} startCpuMs of the start of an isolate before it, the mean of each measurement
 */

/**
 * @typedef {object} Growth
 * @property {string} title
 * @property {number} rows
 * @property {number} read the rows that it reads
 * @property {{ ours: number | null, bare: number | null }[]} cpuMs of one request, in each round
 */

/** @typedef {(where: string) => void} Progress */

/**
 * Runs rounds of bursts until the time is over. Each round measures every operation on every server by turns, so that
 * other load on the machine affects all alike; each round begins with another server.
 *
 * @param {object} plan
 * @param {Partial<Record<ServerName, Server>>} plan.servers
 * @param {import('./operations.mjs').Operation[]} plan.operations
 * @param {number} plan.connections
 * @param {number | undefined} plan.rounds instead of the time
 * @param {number} plan.until when the last round begins (`performance.now()`)
 * @param {Progress} progress
 * @returns {Promise<Result[]>}
 */
export async function measure({ servers, operations, connections, rounds: wanted, until }, progress) {
  if (operations.length === 0) return [];
  const all = Object.values(servers);
  for (const operation of operations) {
    progress(`warming up, ${operation.title}`);
    for (const server of all) await burst(server, operation, { connections, requests: operation.requests });
  }
  const results = operations.map((operation) => ({ operation, rounds: /** @type {Round[]} */ ([]) }));
  let last = 0;
  const isOver = (/** @type {number} */ done) =>
    wanted === undefined ? done >= MIN_ROUNDS && performance.now() + last > until : done >= wanted;
  for (let round = 0; !isOver(round); round += 1) {
    const began = performance.now();
    // The warm-up counts too.
    const due = results.filter(
      ({ operation: { requests, maxRequests = Number.POSITIVE_INFINITY }, rounds }) =>
        requests * (rounds.length + 2) <= maxRequests,
    );
    if (due.length === 0) break;
    const turns = all.map((_, index) => all[(index + round) % all.length]);
    for (const { operation, rounds } of due) {
      progress(`round ${round + 1}${wanted === undefined ? '' : ` of ${wanted}`}, ${operation.title}`);
      /** @type {Partial<Round>} */
      const bursts = {};
      for (const server of turns) {
        bursts[server.name] = await burst(server, operation, { connections, requests: operation.requests });
      }
      rounds.push(/** @type {Round} */ (bursts));
    }
    last = performance.now() - began;
  }
  return results.map(({ operation, rounds }) => ({ operation: operation.name, rounds }));
}

/**
 * Measures the start of that many new isolates, and then sends the first authenticated list to each, by turns. Runtimes,
 * KV and connections to it are warm, and the isolates share no compiled code.
 *
 * @param {Pick<import('./servers.mjs').Bench, 'startCold' | 'fillCold'>} bench
 * @param {ServerName[]} names
 * @param {import('./operations.mjs').Operation} list
 * @param {number} isolates
 * @param {Progress} progress
 * @returns {Promise<Partial<Record<ServerName, Cold>>>}
 */
export async function measureColdStarts({ startCold, fillCold }, names, list, isolates, progress) {
  progress('the start of new isolates');
  const starts = await measureStarts(startCold, names, isolates);
  progress('new isolates');
  const servers = [];
  for (const name of names) {
    const server = await startCold(name, isolates);
    await fillCold(server);
    // The runtime's first request, and the key set in KV.
    await firstRequest(server, list, 'read');
    servers.push({ server, cold: /** @type {Cold} */ ({ wallMs: [], cpuMs: 0, startCpuMs: starts[name] ?? [] }) });
  }
  for (let index = 0; index < isolates; index += 1) {
    const turns = index % 2 === 0 ? servers : [...servers].reverse();
    for (const { server, cold } of turns) {
      const before = cpuSecs(server);
      cold.wallMs.push(await firstRequest(server, list, `cold-${index}`));
      await pause(SETTLE_MS);
      const ms = millisBetween(before, cpuSecs(server));
      cold.cpuMs = cold.cpuMs === null || ms === null ? null : cold.cpuMs + ms / isolates;
    }
  }
  await Promise.all(servers.map(({ server }) => server.miniflare.dispose()));
  return Object.fromEntries(servers.map(({ server, cold }) => [server.name, cold]));
}

/**
 * The CPU time of the start of one isolate: what a process with that many uses until it is ready, beyond one without them.
 *
 * @param {import('./servers.mjs').Bench['startCold']} startCold
 * @param {ServerName[]} names
 * @param {number} isolates
 * @returns {Promise<Partial<Record<ServerName, (number | null)[]>>>}
 */
async function measureStarts(startCold, names, isolates) {
  /** @type {Partial<Record<ServerName, (number | null)[]>>} */
  const starts = Object.fromEntries(names.map((name) => [name, []]));
  const untilReady = async (/** @type {ServerName} */ name, /** @type {number} */ count) => {
    const server = await startCold(name, count);
    const secs = cpuSecs(server);
    await server.miniflare.dispose();
    return secs;
  };
  for (let turn = 0; turn < STARTS; turn += 1) {
    for (const name of names) {
      const ms = millisBetween(await untilReady(name, 0), await untilReady(name, isolates));
      starts[name]?.push(ms === null ? null : ms / isolates);
    }
  }
  return starts;
}

/** @param {number | null} before @param {number | null} after in seconds */
const millisBetween = (before, after) => (before === null || after === null ? null : (after - before) * 1000);

/** @param {Server} server @param {import('./operations.mjs').Operation} operation @param {string} worker */
async function firstRequest(server, { request, status }, worker) {
  const { method, path, headers } = request(server.name);
  const began = performance.now();
  const response = await fetch(`${server.origins[worker]}${path}`, { method, headers });
  await response.arrayBuffer();
  const ms = performance.now() - began;
  if (response.status !== status) {
    throw new Stop(`A new isolate of ${server.name} answered ${response.status}.\n${server.log()}`);
  }
  return ms;
}

/**
 * The CPU time of the requests that read many expenses, at each number of expenses.
 *
 * @param {import('./servers.mjs').Bench} bench
 * @param {{ rowCounts: number[], rounds: number, cpuSecs: number }} plan `cpuSecs`: about as much for each burst
 * @param {Progress} progress
 * @returns {Promise<Growth[]>}
 */
export async function measureGrowth(
  { servers: { ours, bare }, requestsAt },
  { rowCounts, rounds, cpuSecs: secs },
  progress,
) {
  if (!bare) return [];
  const results = [];
  for (const rows of rowCounts) {
    progress(`growth, storing ${rows} expenses`);
    const { min, max } = GROWTH_WARM_UP_REQUESTS;
    const warmUp = {
      connections: GROWTH_CONNECTIONS,
      requests: Math.min(Math.max(GROWTH_WARM_UP_ROWS / rows, min), max),
    };
    for (const sent of await requestsAt(rows)) {
      progress(`growth, ${rows} expenses, ${sent.title}`);
      await burst(bare, sent, warmUp);
      await burst(ours, sent, warmUp);
      const { cpuSecsPer1000 } = await burst(ours, sent, warmUp);
      const wanted = Math.ceil((secs / (cpuSecsPer1000 || 1)) * 1000);
      const requests = Math.min(Math.max(wanted, GROWTH_CONNECTIONS), GROWTH_MAX_REQUESTS);
      const cpuMs = [];
      for (let round = 0; round < rounds; round += 1) {
        const bursts = [];
        for (const server of [ours, bare]) {
          bursts.push(await burst(server, sent, { connections: GROWTH_CONNECTIONS, requests }));
        }
        // Seconds for a thousand are milliseconds for one.
        cpuMs.push({ ours: bursts[0].cpuSecsPer1000, bare: bursts[1].cpuSecsPer1000 });
      }
      results.push({ title: sent.title, rows, read: sent.read, cpuMs });
    }
  }
  return results;
}

/**
 * A number of requests, or requests for some time.
 *
 * @param {Server} server
 * @param {import('./operations.mjs').Sent} sent
 * @param {{ connections: number, requests?: number, seconds?: number }} size
 * @returns {Promise<Burst>}
 */
export async function burst(server, { title, namespace, status, request: requestOf }, size) {
  const { connections, requests, seconds } = size;
  const { port, host } = new URL(server.origins[namespace]);
  const { method, path, headers, body } = requestOf(server.name);
  /** @type {number[]} */
  const times = [];
  /** @type {number | undefined} */
  let unexpected;
  /** @type {Error | undefined} */
  let error;
  const cpuBefore = cpuSecs(server);
  const began = performance.now();
  const started = autocannon({
    url: `http://127.0.0.1:${port}${path}`,
    method,
    headers: { ...headers, host },
    body,
    connections,
    ...(requests === undefined ? { duration: seconds } : { amount: requests }),
    timeout: REQUEST_TIMEOUT_SECS,
    sampleInt: LOOK_MS,
    // The first failure ends the burst.
    bailout: 1,
  });
  // The promise is also the running instance; its types do not say so.
  const run = /** @type {import('autocannon').Instance & typeof started} */ (started);
  // The end of the last response: autocannon itself notices it later.
  let ended = began;
  // autocannon's own percentiles are whole milliseconds.
  run.on('response', (_, code, __, timeMs) => {
    ended = performance.now();
    if (code === status) {
      times.push(timeMs);
      return;
    }
    unexpected ??= code;
    run.stop();
  });
  run.on('reqError', (reason) => (error ??= reason));
  await run;
  if (unexpected !== undefined || error !== undefined || times.length === 0) {
    const what =
      unexpected === undefined
        ? `failed (${error?.message ?? 'no answer'})`
        : `answered ${unexpected} instead of ${status}`;
    throw new Stop(`${title}, ${server.name}: ${what}.\n${server.log()}`);
  }
  await pause(SETTLE_MS);
  const cpu = cpuSecs(server);
  times.sort((a, b) => a - b);
  return {
    requests: times.length,
    requestsPerSec: times.length / ((ended - began) / 1000),
    p50Ms: times[Math.floor(times.length * 0.5)],
    p99Ms: times[Math.floor(times.length * 0.99)],
    cpuSecsPer1000: cpu === null || cpuBefore === null ? null : ((cpu - cpuBefore) / times.length) * 1000,
  };
}

/**
 * The CPU time of a runtime so far: of its threads, which all live as long as it does, in nanoseconds by the kernel's
 * scheduler (Linux: Documentation/scheduler/sched-stats.rst). The time of the process, proc_pid_stat(5), is in hundredths
 * of a second: two bursts of lists often differ by five of them.
 *
 * @param {Server} server
 * @returns {number | null} `null` where the system does not tell
 */
export function cpuSecs({ pid, name, log }) {
  if (pid === undefined || !TELLS_CPU_TIME) return null;
  const threads = `/proc/${pid}/task`;
  try {
    const nanos = readdirSync(threads).map((thread) => readFileSync(`${threads}/${thread}/schedstat`, 'latin1'));
    return nanos.reduce((sum, stat) => sum + Number(stat.split(' ')[0]), 0) / 1e9;
  } catch {
    throw new Stop(`The runtime (workerd) of ${name} has ended by itself.\n${log()}`);
  }
}

/**
 * The seconds that all programs have used the processors and that other machines have taken (proc_stat(5)).
 *
 * @returns {number | null} `null` where the system does not tell
 */
export function machineCpuSecs() {
  try {
    const [line] = readFileSync('/proc/stat', 'latin1').split('\n');
    const [user, nice, system, , , irq, softirq, steal] = line.split(/ +/).slice(1).map(Number);
    return (user + nice + system + irq + softirq + steal) / TICKS_PER_SEC;
  } catch {
    return null;
  }
}
