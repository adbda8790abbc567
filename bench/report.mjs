/** The report of a run: tables, the meaning of their columns, and the comparison with the previous run. */

import { bold, dim } from '../local/commands.mjs';
import { OPERATIONS } from './operations.mjs';

/** The number of connections at which the aims apply. */
const AIM_CONNECTIONS = 10;
const ABSENT = '–';
const GAP = '  ';

/**
 * A run as it is stored.
 *
 * @typedef {object} Run
 * @property {number} format
 * @property {string} date
 * @property {{ node: string, workerd: string, platform: string, cpus: number }} on
 * @property {number} rounds
 * @property {number} seconds of each burst
 * @property {{ sha256: string, files: { name: string, raw: number, gzipped: number }[] }} bundle
 * @property {import('./measure.mjs').Result[]} results
 */

/** @param {Run} run @returns {string} */
export function tables({ results, rounds, bundle }) {
  const counts = [...new Set(results.map(({ connections }) => connections))];
  const measured = counts.map((count) => {
    const withAims = count === AIM_CONNECTIONS;
    const rows = results.filter(({ connections }) => connections === count).map((result) => figures(result, withAims));
    const head = ['', 'req/s', 'bare', 'p50 ms', 'bare', 'p99 ms', 'bare', 'CPU s', 'bare', 'above', 'in rounds'];
    return `${bold(`== ${plural(count, 'connection')}`)}\n\n${table([...(withAims ? [[...head, 'aim']] : [head]), ...rows])}`;
  });
  return [...measured, legend(results, rounds), bundleTable(bundle)].join('\n\n');
}

/** @param {import('./measure.mjs').Result} result @param {boolean} withAims */
function figures({ operation, median: { ours, bare }, cpuAbove }, withAims) {
  const { title, aim } = operationOf(operation);
  const range = cpuAbove && `${seconds(cpuAbove.lowest)} … ${seconds(cpuAbove.highest)}`;
  return [
    title,
    ...[whole(ours.requestsPerSec), whole(bare.requestsPerSec)],
    ...[millis(ours.p50Ms), millis(bare.p50Ms)],
    ...[millis(ours.p99Ms), millis(bare.p99Ms)],
    ...[seconds(ours.cpuSecsPer1000), seconds(bare.cpuSecsPer1000)],
    seconds(cpuAbove?.median ?? null),
    range ?? ABSENT,
    ...(withAims ? [aim === undefined ? ABSENT : seconds(aim)] : []),
  ];
}

/** @param {string} name @returns {import('./operations.mjs').OperationKind} */
function operationOf(name) {
  return OPERATIONS.find((operation) => operation.name === name) ?? { name: 'health', title: name };
}

/** @param {Run['results']} results @param {number} rounds */
function legend(results, rounds) {
  const lines = [
    ['req/s', 'responses per second: more is better. In every other column less is'],
    ['p50, p99', 'milliseconds within which half of the responses came, and 99 of 100'],
    ['CPU s', "CPU seconds of the runtime's process (workerd) for 1,000 requests; Miniflare's KV runs in it too"],
    [
      'bare',
      'the column before it, of bench/bare-worker.mjs: the same KV operation and message to an object in plain JavaScript, without',
    ],
    ['', 'authentication (for /health: a constant). It gets the same requests, by turns with the Worker'],
    ['above', 'CPU s less bare: what the Worker itself costs. The figure to judge a change by'],
    ['in rounds', 'the lowest and the highest "above" of any round. Far apart: the machine was busy'],
    ...(results.some(({ connections }) => connections === AIM_CONNECTIONS)
      ? [['aim', 'what "above" should not exceed']]
      : []),
  ];
  const medians =
    rounds === 1 ? 'One round only: the figures are not reliable.' : `Every figure is the median of ${rounds} rounds.`;
  const absent = results.some(({ cpuAbove }) => cpuAbove === null)
    ? `\nCPU time is not available on ${process.platform === 'darwin' ? 'macOS' : 'this system'}: it is read from /proc, which Linux has.`
    : '';
  return `${lines.map(([name, what]) => `${name.padEnd(11)}${dim(what)}`).join('\n')}\n\n${medians}${absent}`;
}

/** @param {Run['bundle']} bundle */
function bundleTable({ files }) {
  const rows = [...files, together(files)].map(({ name, raw, gzipped }) => [name, kilobytes(raw), kilobytes(gzipped)]);
  return `${bold('== bundle')}\n\n${table([['', 'raw', 'gzipped'], ...rows])}`;
}

/** @param {Run} run @param {Run} before @returns {string} */
export function comparison(run, before) {
  const pairs = run.results.flatMap((result) => {
    const other = before.results.find(
      ({ operation, connections }) => operation === result.operation && connections === result.connections,
    );
    return other ? [{ now: result, before: other }] : [];
  });
  const rows = pairs.map(({ now, before: then }) => [
    operationOf(now.operation).title,
    String(now.connections),
    ...change(then.median.ours.requestsPerSec, now.median.ours.requestsPerSec, whole),
    ...change(then.median.ours.p99Ms, now.median.ours.p99Ms, millis),
    ...change(then.cpuAbove?.median ?? null, now.cpuAbove?.median ?? null, seconds, difference),
  ]);
  const head = ['', 'conn.', 'req/s then', 'now', '', 'p99 then', 'now', '', 'above then', 'now', ''];
  const [nowSizes, thenSizes] = [run, before].map(({ bundle }) => together(bundle.files));
  const sizes =
    run.bundle.sha256 === before.bundle.sha256
      ? 'The bundle is the same: differences are noise.'
      : `The bundle was ${kilobytes(thenSizes.raw)}, gzipped ${kilobytes(thenSizes.gzipped)}; it is ${kilobytes(nowSizes.raw)}, gzipped ${kilobytes(nowSizes.gzipped)}.`;
  const like = before.rounds === run.rounds && before.seconds === run.seconds;
  const when = `${before.date.slice(0, 16).replace('T', ' ')} UTC, ${plural(before.rounds, 'round')} of ${before.seconds} s`;
  return [
    bold(`== compared to the run before (${when})`),
    rows.length > 0 ? table([head, ...rows]) : 'The two runs have no measurement in common.',
    like ? sizes : `${sizes}\nThe two runs had different --rounds or --seconds: compare with care.`,
  ].join('\n\n');
}

/** @param {number} count @param {string} noun */
export function plural(count, noun) {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** @typedef {number | null} Figure `null` where it was not measured */

/**
 * The previous figure, the current one, and the difference.
 *
 * @param {Figure} then
 * @param {Figure} now
 * @param {(figure: Figure) => string} format
 * @param {(then: number, now: number) => string} [differ]
 */
function change(then, now, format, differ = percents) {
  return [format(then), format(now), then === null || now === null ? '' : differ(then, now)];
}

/** @param {number} then @param {number} now */
const percents = (then, now) => signed(((now - then) / then) * 100, 0, '%');
/** For figures near or below zero, where a percentage is meaningless. @param {number} then @param {number} now */
const difference = (then, now) => signed(now - then, 3, '');
/** @param {number} value @param {number} digits @param {string} unit */
const signed = (value, digits, unit) => `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(digits)}${unit}`;

/** @param {Run['bundle']['files']} files */
function together(files) {
  const sum = (/** @type {'raw' | 'gzipped'} */ field) => files.reduce((total, file) => total + file[field], 0);
  return { name: 'together', raw: sum('raw'), gzipped: sum('gzipped') };
}

/** @type {(digits: number) => (figure: Figure) => string} */
const number = (digits) => (value) => (value === null ? ABSENT : value.toFixed(digits).replace('-', '−'));
const whole = number(0);
const millis = number(2);
const seconds = number(3);
const kilobytes = (/** @type {number} */ bytes) => `${(bytes / 1000).toFixed(1)} kB`;

/** Columns are as wide as their widest cell; the first is aligned left, the others right. @param {string[][]} rows */
function table(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const line = (/** @type {string[]} */ row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column])))
      .join(GAP)
      .trimEnd();
  return rows.map((row, index) => (index === 0 ? dim(line(row)) : line(row))).join('\n');
}
