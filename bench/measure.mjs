/** Measuring: one burst of requests with autocannon, the CPU time it took, and the rounds of bursts. */

import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';

import autocannon from 'autocannon';

import { Stop, pause } from '../local/commands.mjs';
import { plural } from './report.mjs';

/** A burst ends here, however fast the answers come: what is kept of it stays small, and so does KV. */
const MAX_REQUESTS = 50_000;
const REQUEST_TIMEOUT_SECS = 10;
/** How often autocannon looks whether the time is over. */
const LOOK_MS = 20;
/** After a burst, for the runtime to finish with the requests that were broken off. */
const SETTLE_MS = 50;
const WARM_UP_CONNECTIONS = 10;
const WARM_UP_MAX_SECS = 1;
/** Linux counts processes' CPU time in hundredths of a second, on every processor that workerd is built for. */
const TICKS_PER_SEC = 100;

/**
 * @typedef {object} Burst
 * @property {number} requestsPerSec
 * @property {number} p50Ms
 * @property {number} p99Ms
 * @property {number | null} cpuSecsPer1000 `null` where it is not to be had
 */

/**
 * @typedef {object} Result
 * @property {string} operation its name
 * @property {number} connections
 * @property {{ ours: Burst, bare: Burst }} median
 * @property {{ median: number, lowest: number, highest: number } | null} cpuAbove ours less bare, of
 *   the bursts of the same round
 * @property {{ ours: Burst, bare: Burst }[]} rounds
 */

/**
 * Rounds of bursts: in each, every operation at every number of connections, ours and the bare worker
 * by turns, so that what else the machine does meets both alike.
 *
 * @param {object} plan
 * @param {import('./servers.mjs').Server[]} plan.servers
 * @param {import('./operations.mjs').Operation[]} plan.operations
 * @param {number[]} plan.connections
 * @param {number} plan.rounds
 * @param {number} plan.seconds
 * @param {(where: string) => void} plan.progress
 * @returns {Promise<Result[]>}
 */
export async function measure({ servers, operations, connections, rounds, seconds, progress }) {
  progress('warming up');
  const warmUpSecs = Math.min(WARM_UP_MAX_SECS, seconds);
  for (const operation of operations) {
    for (const server of servers) await burst(server, operation, WARM_UP_CONNECTIONS, warmUpSecs);
  }
  const results = connections.flatMap((count) =>
    operations.map((operation) => ({ operation, connections: count, rounds: [] })),
  );
  for (let round = 1; round <= rounds; round += 1) {
    for (const result of results) {
      const { operation, connections: count } = result;
      progress(`round ${round} of ${rounds}, ${plural(count, 'connection')}, ${operation.title}`);
      const bursts = {};
      for (const server of servers) bursts[server.name] = await burst(server, operation, count, seconds);
      result.rounds.push(bursts);
    }
  }
  return results.map(({ operation, ...result }) => ({
    operation: operation.name,
    ...result,
    ...summary(result.rounds),
  }));
}

/** How long {@link measure} takes, about. */
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
async function burst(server, { title, namespace, status, request }, connections, seconds) {
  const { port, host } = new URL(server.origins[namespace]);
  /** @type {number[]} */
  const times = [];
  let unexpected;
  let error;
  const cpuBefore = cpuSecs(server);
  const began = performance.now();
  const run = autocannon({
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
  // autocannon's own percentiles are whole milliseconds.
  run.on('response', (_, code, __, timeMs) => {
    if (code === status) return times.push(timeMs);
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
  // One request on each connection was broken off, on average half done.
  const worked = times.length + connections / 2;
  return {
    requestsPerSec: times.length / secs,
    p50Ms: times[Math.floor(times.length * 0.5)],
    p99Ms: times[Math.floor(times.length * 0.99)],
    cpuSecsPer1000: cpu === null || cpuBefore === null ? null : ((cpu - cpuBefore) / worked) * 1000,
  };
}

/** The CPU time of a runtime so far, in user and system mode, with all its threads (proc_pid_stat(5)). */
function cpuSecs({ pid, name, log }) {
  if (pid === undefined) return null;
  let stat;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    throw new Stop(`The runtime (workerd) of ${name} has ended by itself.\n${log()}`);
  }
  // The second field is a name in parentheses, in which anything may stand; what follows begins with the third.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [user, system] = [fields[14 - 3], fields[15 - 3]].map(Number);
  return (user + system) / TICKS_PER_SEC;
}

/** @param {{ ours: Burst, bare: Burst }[]} rounds */
function summary(rounds) {
  const medianOf = (name) =>
    Object.fromEntries(
      Object.keys(rounds[0][name]).map((figure) => [figure, median(rounds.map((round) => round[name][figure]))]),
    );
  const above = rounds.map(({ ours, bare }) =>
    ours.cpuSecsPer1000 === null || bare.cpuSecsPer1000 === null ? null : ours.cpuSecsPer1000 - bare.cpuSecsPer1000,
  );
  return {
    median: { ours: medianOf('ours'), bare: medianOf('bare') },
    cpuAbove: above.includes(null)
      ? null
      : { median: median(above), lowest: Math.min(...above), highest: Math.max(...above) },
  };
}

/** @param {(number | null)[]} values @returns {number | null} */
function median(values) {
  if (values.includes(null)) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return sorted.length % 2 === 1 ? sorted[Math.floor(middle)] : (sorted[middle - 1] + sorted[middle]) / 2;
}
