/** Measures one burst of requests with autocannon and its CPU time, and runs the rounds of bursts. */

import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';

import autocannon from 'autocannon';

import { Stop, pause } from '../local/commands.mjs';
import { plural } from './report.mjs';

/** A burst ends after so many requests, however fast responses arrive: this bounds the stored times and KV. */
const MAX_REQUESTS = 50_000;
const REQUEST_TIMEOUT_SECS = 10;
/** How often autocannon checks whether the time is over. */
const LOOK_MS = 20;
/** After a burst, the runtime gets this long to finish the interrupted requests. */
const SETTLE_MS = 50;
const WARM_UP_CONNECTIONS = 10;
const WARM_UP_MAX_SECS = 1;
/** Linux counts processes' CPU time in hundredths of a second, on every processor that workerd is built for. */
const TICKS_PER_SEC = 100;

/**
 * @typedef {object} Burst
 * @property {number} requests
 * @property {number} requestsPerSec
 * @property {number} p50Ms
 * @property {number} p99Ms
 * @property {number | null} cpuSecsPer1000 `null` where the system does not tell
 */

/**
 * @typedef {object} Result
 * @property {string} operation its name
 * @property {number} connections
 * @property {{ ours: Burst, bare: Burst }} median
 * @property {{ median: number, lowest: number, highest: number } | null} cpuAbove ours less bare, for
 *   bursts of the same round
 * @property {Round[]} rounds
 */

/** @typedef {{ ours: Burst, bare: Burst }} Round */

/**
 * @typedef {object} Plan
 * @property {import('./servers.mjs').Servers} servers
 * @property {import('./operations.mjs').Operation[]} operations
 * @property {number[]} connections
 * @property {number} rounds
 * @property {number} seconds of each burst
 */

/**
 * Runs rounds of bursts. Each round measures every operation at every number of connections, alternating
 * between ours and the bare worker, so that other load on the machine affects both alike.
 *
 * @param {Plan & { progress: (where: string) => void }} plan
 * @returns {Promise<Result[]>}
 */
export async function measure({ servers, operations, connections, rounds, seconds, progress }) {
  progress('warming up');
  const warmUpSecs = Math.min(WARM_UP_MAX_SECS, seconds);
  for (const operation of operations) {
    for (const server of [servers.ours, servers.bare]) {
      await burst(server, operation, WARM_UP_CONNECTIONS, warmUpSecs);
    }
  }
  const results = connections.flatMap((count) =>
    operations.map((operation) => ({ operation, connections: count, rounds: /** @type {Round[]} */ ([]) })),
  );
  for (let round = 1; round <= rounds; round += 1) {
    for (const result of results) {
      const { operation, connections: count } = result;
      progress(`round ${round} of ${rounds}, ${plural(count, 'connection')}, ${operation.title}`);
      const ours = await burst(servers.ours, operation, count, seconds);
      const bare = await burst(servers.bare, operation, count, seconds);
      result.rounds.push({ ours, bare });
    }
  }
  return results.map(({ operation, ...result }) => ({
    operation: operation.name,
    ...result,
    ...summary(result.rounds),
  }));
}

/** The approximate duration of {@link measure}. @param {Plan} plan */
export function expectedSecs({ operations, connections, rounds, seconds }) {
  const settle = SETTLE_MS / 1000;
  const oneRound = operations.length * connections.length * 2 * (seconds + settle);
  return operations.length * 2 * (Math.min(WARM_UP_MAX_SECS, seconds) + settle) + rounds * oneRound;
}

/**
 * @param {import('./servers.mjs').Server} server
 * @param {import('./operations.mjs').Operation} operation
 * @param {number} connections
 * @param {number} seconds
 * @returns {Promise<Burst>}
 */
export async function burst(server, { title, namespace, status, request }, connections, seconds) {
  const { port, host } = new URL(server.origins[namespace]);
  /** @type {number[]} */
  const times = [];
  /** @type {number | undefined} */
  let unexpected;
  /** @type {Error | undefined} */
  let error;
  const cpuBefore = cpuSecs(server);
  const began = performance.now();
  const started = autocannon({
    url: `http://127.0.0.1:${port}${request.path}`,
    method: request.method,
    headers: { ...request.headers, host },
    body: request.body,
    connections,
    duration: seconds,
    maxOverallRequests: MAX_REQUESTS,
    timeout: REQUEST_TIMEOUT_SECS,
    sampleInt: LOOK_MS,
    // The first failure ends the burst.
    bailout: 1,
  });
  // The promise is also the running instance; its types do not say so.
  const run = /** @type {import('autocannon').Instance & typeof started} */ (started);
  // autocannon's own percentiles are whole milliseconds.
  run.on('response', (_, code, __, timeMs) => {
    if (code === status) {
      times.push(timeMs);
      return;
    }
    unexpected ??= code;
    run.stop();
  });
  run.on('reqError', (reason) => (error ??= reason));
  await run;
  const secs = (performance.now() - began) / 1000;
  if (unexpected !== undefined || error !== undefined || times.length === 0) {
    const what =
      unexpected === undefined
        ? `failed (${error?.message ?? 'no answer'})`
        : `answered ${unexpected} instead of ${status}`;
    throw new Stop(`${title} at ${plural(connections, 'connection')}, ${server.name}: ${what}.\n${server.log()}`);
  }
  await pause(SETTLE_MS);
  const cpu = cpuSecs(server);
  times.sort((a, b) => a - b);
  // One request on each connection was interrupted, on average half done.
  const worked = times.length + connections / 2;
  return {
    requests: times.length,
    requestsPerSec: times.length / secs,
    p50Ms: times[Math.floor(times.length * 0.5)],
    p99Ms: times[Math.floor(times.length * 0.99)],
    cpuSecsPer1000: cpu === null || cpuBefore === null ? null : ((cpu - cpuBefore) / worked) * 1000,
  };
}

/**
 * The CPU time of a runtime so far, in user and system mode, of all its threads (proc_pid_stat(5)).
 *
 * @param {import('./servers.mjs').Server} server
 * @returns {number | null} `null` where the process id is unknown
 */
export function cpuSecs({ pid, name, log }) {
  if (pid === undefined) return null;
  let stat;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    throw new Stop(`The runtime (workerd) of ${name} has ended by itself.\n${log()}`);
  }
  // The second field is a name in parentheses that may contain any character; the rest begins with the third field.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [user, system] = [fields[14 - 3], fields[15 - 3]].map(Number);
  return (user + system) / TICKS_PER_SEC;
}

/** @param {Round[]} rounds */
function summary(rounds) {
  const above = rounds.map(({ ours, bare }) =>
    ours.cpuSecsPer1000 === null || bare.cpuSecsPer1000 === null ? null : ours.cpuSecsPer1000 - bare.cpuSecsPer1000,
  );
  return {
    median: { ours: medianBurst(rounds.map(({ ours }) => ours)), bare: medianBurst(rounds.map(({ bare }) => bare)) },
    cpuAbove: isComplete(above)
      ? { median: median(above), lowest: Math.min(...above), highest: Math.max(...above) }
      : null,
  };
}

/** @param {Burst[]} bursts @returns {Burst} the median of each figure */
function medianBurst(bursts) {
  const cpuSecsPer1000 = bursts.map((burst) => burst.cpuSecsPer1000);
  return {
    requests: median(bursts.map(({ requests }) => requests)),
    requestsPerSec: median(bursts.map(({ requestsPerSec }) => requestsPerSec)),
    p50Ms: median(bursts.map(({ p50Ms }) => p50Ms)),
    p99Ms: median(bursts.map(({ p99Ms }) => p99Ms)),
    cpuSecsPer1000: isComplete(cpuSecsPer1000) ? median(cpuSecsPer1000) : null,
  };
}

/** @param {(number | null)[]} values @returns {values is number[]} */
function isComplete(values) {
  return !values.includes(null);
}

/** @param {number[]} values */
function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return sorted.length % 2 === 1 ? sorted[Math.floor(middle)] : (sorted[middle - 1] + sorted[middle]) / 2;
}
