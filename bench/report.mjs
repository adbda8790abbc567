/** The report of a run: its tables, what their columns mean, and what exceeds its limit. */

import { bold, dim } from '../local/commands.mjs';
import { MIN_ROUNDS } from './measure.mjs';
import { BUNDLE_MAX_BYTES, COLD_LIMIT, GROWTH_ROWS, OPERATIONS } from './operations.mjs';

/** The number of connections at which the limits apply. */
export const LIMIT_CONNECTIONS = 10;
const ABSENT = '–';
const GAP = '  ';
/** Hono's cost above the bare Worker's below which a ratio to it is noise, in CPU seconds per 1,000 requests. */
const RATIO_MIN = 0.02;

/** @typedef {import('./operations.mjs').ServerName} ServerName */
/** @typedef {import('./measure.mjs').Round} Round */
/** @typedef {import('./measure.mjs').Result} Result */

/**
 * A run as it is stored.
 *
 * @typedef {object} Run
 * @property {string} date
 * @property {{ node: string, workerd: string, platform: string, cpus: number }} on
 * @property {number} connections
 * @property {Bundle} bundle
 * @property {Bundle} [against]
 * @property {Result[]} results
 * @property {Partial<Record<ServerName, import('./measure.mjs').Cold>>} cold
 * @property {import('./measure.mjs').Growth[]} growth
 * @property {number | null} otherLoad the share of the processors that other programs used meanwhile
 */

/** @typedef {{ sha256: string, files: { name: string, raw: number, gzipped: number }[] }} Bundle */

/**
 * The median of values, and half of the distance between their quartiles.
 *
 * @typedef {{ median: number, spread: number }} Estimate
 */

/** @param {Run} run @returns {string} */
export function tables(run) {
  const { results, cold, growth } = run;
  const names = /** @type {ServerName[]} */ (Object.keys(results[0]?.rounds[0] ?? {})).sort(
    (a, b) => ORDER.indexOf(a) - ORDER.indexOf(b),
  );
  const sections = [];
  if (results.length > 0) sections.push(cpuTable(run, names), ratioTable(run, names), speedTable(run, names));
  if (Object.keys(cold).length > 0) sections.push(coldTable(cold));
  if (growth.length > 0) sections.push(growthTable(growth));
  sections.push(bundleTable(run));
  return sections.join('\n\n');
}

/** @type {ServerName[]} */
const ORDER = ['ours', 'against', 'bare', 'hono'];

/**
 * What exceeds its limit by more than its own spread, in sentences.
 *
 * @param {Run} run
 * @returns {string[]}
 */
export function failures({ connections, results, cold, bundle }) {
  const found = [];
  for (const result of connections === LIMIT_CONNECTIONS ? results : []) {
    const { title, limit } = operationOf(result.operation);
    const cost = costOf(results, result, 'ours');
    if (cost && result.rounds.length >= MIN_ROUNDS && cost.median - cost.spread > limit.atMost) {
      found.push(
        `${title} costs ${withSpread(cost)} CPU seconds above the bare Worker, at most ${seconds(limit.atMost)}`,
      );
    }
  }
  const ratio = coldRatio(cold, 'ours');
  if (ratio && ratio.median - ratio.spread > COLD_LIMIT.atMost) {
    found.push(`The first list of a new isolate takes ${times(ratio)} of Hono's time, at most ${COLD_LIMIT.atMost}`);
  }
  const { gzipped } = together(bundle.files);
  if (gzipped > BUNDLE_MAX_BYTES) {
    found.push(`The bundle has ${kilobytes(gzipped)} gzipped, at most ${kilobytes(BUNDLE_MAX_BYTES)}`);
  }
  return found;
}

/** @param {Run} run @param {ServerName[]} names */
function cpuTable({ results, connections }, names) {
  const others = names.filter((name) => name !== 'bare' && name !== 'ours');
  const has = (/** @type {ServerName} */ name) => names.includes(name);
  const head = [
    '',
    ...names,
    ...(has('bare') ? ['above', '±', ...others.flatMap((name) => [`${name} above`, '±'])] : []),
    'goal',
    'at most',
    '',
  ];
  const rows = results.map((result) => {
    const { title, limit } = operationOf(result.operation);
    const cost = costOf(results, result, 'ours');
    const costs = [cost, ...others.map((name) => costOf(results, result, name))];
    return [
      title,
      ...names.map((name) => seconds(estimate(valuesOf(result, name))?.median ?? null)),
      ...(has('bare') ? costs.flatMap((each) => [seconds(each?.median ?? null), seconds(each?.spread ?? null)]) : []),
      seconds(limit.goal),
      seconds(limit.atMost),
      cost && result.rounds.length >= MIN_ROUNDS ? verdict(cost, limit) : '',
    ];
  });
  const [{ rounds }] = results;
  const note = [
    `CPU seconds of the runtime's process (workerd) for 1,000 requests; Miniflare's KV runs in it too. Medians of ${rounds.length} rounds.`,
    ...(has('bare')
      ? [
          'above: less bare of the same round, what the Worker itself costs; bare is bench/workers/bare.mjs, which does the',
          'same operations of KV, messages to the object and calls of a rate limit, and nothing else. ±: half of the distance',
          'between the quartiles. goal and at most are for "above". The row of the browser\'s headers shows what is above that of the list.',
        ]
      : []),
    ...(rounds.length < MIN_ROUNDS ? [`Fewer than ${MIN_ROUNDS} rounds: nothing is judged by them.`] : []),
    ...(estimate(valuesOf(results[0], 'ours'))
      ? []
      : ['CPU was not measured on this system: it is read from /proc, which Linux has.']),
  ];
  return `${bold(`== CPU, ${connections} connections`)}\n\n${table([head, ...rows])}\n\n${note.map(dim).join('\n')}`;
}

/** @param {Estimate} cost @param {import('./operations.mjs').Limit} limit */
function verdict({ median, spread }, { goal, atMost }) {
  if (median - spread > atMost) return 'TOO MUCH';
  if (median > atMost) return 'too much?';
  return median - spread > goal ? 'ok' : 'goal';
}

/** @param {Run} run @param {ServerName[]} names */
function ratioTable({ results }, names) {
  if (names.length < 2) return '';
  const others = names.filter((name) => name === 'hono' || name === 'against');
  const head = ['', ...others.flatMap((name) => [`ours : ${name}`, '±', 'above bare', '±'])];
  const rows = results.map((result) => {
    const cells = others.flatMap((name) => {
      const whole = estimate(paired(result, (ours, other) => ours / other, 'ours', name));
      const above = aboveRatio(result, name);
      return [whole, above].flatMap((each) =>
        each ? [hundredths(each.median), hundredths(each.spread)] : [ABSENT, ''],
      );
    });
    return [operationOf(result.operation).title, ...cells];
  });
  const note = `Ratios within each round, their median and spread: of all CPU, and of what is above bare (where the other is above ${RATIO_MIN}).`;
  return `${bold('== Ratios by turns')}\n\n${table([head, ...rows])}\n\n${dim(note)}`;
}

/** @param {Result} result @param {ServerName} other @returns {Estimate | null} */
function aboveRatio({ rounds }, other) {
  const ratios = [];
  for (const round of rounds) {
    const [ours, them, bare] = [round.ours, round[other], round.bare].map((burst) => burst?.cpuSecsPer1000 ?? null);
    if (ours === null || them === null || bare === null) return null;
    ratios.push({ over: ours - bare, under: them - bare });
  }
  const under = estimate(ratios.map((each) => each.under));
  if (!under || under.median < RATIO_MIN) return null;
  return estimate(ratios.filter((each) => each.under > 0).map((each) => each.over / each.under));
}

/** @param {Run} run @param {ServerName[]} names */
function speedTable({ results }, names) {
  const head = [
    '',
    ...['req/s', 'p50 ms', 'p99 ms'].flatMap((figure) => names.map((name, index) => (index === 0 ? figure : name))),
  ];
  const rows = results.map(({ operation, rounds }) => {
    /** @param {(burst: import('./measure.mjs').Burst) => number} figure */
    const medians = (figure) =>
      names.map((name) =>
        medianOf(
          rounds.flatMap((round) =>
            round[name] ? [figure(/** @type {import('./measure.mjs').Burst} */ (round[name]))] : [],
          ),
        ),
      );
    return [
      operationOf(operation).title,
      ...medians((burst) => burst.requestsPerSec).map(whole),
      ...medians((burst) => burst.p50Ms).map(millis),
      ...medians((burst) => burst.p99Ms).map(millis),
    ];
  });
  return `${bold('== Speed')}\n\n${table([head, ...rows])}`;
}

/** @param {Run['cold']} cold */
function coldTable(cold) {
  const names = ORDER.filter((name) => cold[name]);
  const head = [
    ...['', 'median ms', 'quartiles', 'CPU ms', 'to Hono', '±', 'goal', 'at most'],
    ...['start CPU ms', '±', 'with start', 'to Hono', '±'],
  ];
  const rows = names.map((name) => {
    const { wallMs, cpuMs, startCpuMs } = /** @type {import('./measure.mjs').Cold} */ (cold[name]);
    const isHono = name === 'hono';
    const [low, high] = quartiles(wallMs);
    const start = estimate(startCpuMs);
    return [
      name,
      tenths(medianOf(wallMs)),
      `${tenths(low)} … ${tenths(high)}`,
      tenths(cpuMs),
      ...ratioCells(isHono ? null : coldRatio(cold, name)),
      ...(name === 'ours' ? [hundredths(COLD_LIMIT.goal), hundredths(COLD_LIMIT.atMost)] : ['', '']),
      tenths(start?.median ?? null),
      tenths(start?.spread ?? null),
      tenths(estimate(withStart(cold, name))?.median ?? null),
      ...ratioCells(isHono ? null : ratioWithStart(cold, name)),
    ];
  });
  const count = Object.values(cold)[0].wallMs.length;
  const note = [
    `The wall time of the first list by cookie of ${count} new isolates each, by turns, and the mean CPU of the process. Each isolate has`,
    'compiled code and an object of its own; the runtime, KV and the local AuthKit are warm. The Worker finds the key set in',
    'KV; Hono fetches it from AuthKit. start: the CPU before the first request, when the runtime compiles the modules and',
    'runs their top level, with the runtime of the object; with start: the CPU of both, which is all that a new isolate costs.',
  ];
  return `${bold('== First authenticated list of a new isolate')}\n\n${table([head, ...rows])}\n\n${note.map(dim).join('\n')}`;
}

/** @param {Estimate | null} ratio */
const ratioCells = (ratio) => (ratio ? [hundredths(ratio.median), hundredths(ratio.spread)] : ['', '']);

/** Ours to Hono's for isolates of the same turn. @param {Run['cold']} cold @param {ServerName} name @returns {Estimate | null} */
function coldRatio(cold, name) {
  const [ours, hono] = [cold[name], cold.hono];
  return ours && hono ? estimate(ours.wallMs.map((ms, index) => ms / hono.wallMs[index])) : null;
}

/** The CPU of the start and the first list of a new isolate, in milliseconds. @param {Run['cold']} cold @param {ServerName} name */
function withStart(cold, name) {
  const { cpuMs, startCpuMs } = /** @type {import('./measure.mjs').Cold} */ (cold[name]);
  return startCpuMs.map((ms) => (ms === null || cpuMs === null ? null : ms + cpuMs));
}

/** @param {Run['cold']} cold @param {ServerName} name @returns {Estimate | null} */
function ratioWithStart(cold, name) {
  if (!cold.hono) return null;
  const honos = withStart(cold, 'hono');
  return estimate(withStart(cold, name).map((ms, turn) => over(ms, honos[turn])));
}

/** @param {Run['growth']} growth */
function growthTable(growth) {
  const rowCounts = GROWTH_ROWS.filter((count) => growth.some(({ rows }) => rows === count));
  const titles = [...new Set(growth.map(({ title }) => title))];
  const head = [
    '',
    ...rowCounts.flatMap((rows) => [`${rows.toLocaleString('en')}: CPU ms`, 'bare', 'above', 'µs a row read']),
  ];
  const rows = titles.map((title) => [
    title,
    ...rowCounts.flatMap((count) => {
      const found = growth.find((each) => each.rows === count && each.title === title);
      if (!found) return [ABSENT, ABSENT, ABSENT, ABSENT];
      const ours = estimate(found.cpuMs.map((round) => round.ours));
      const bare = estimate(found.cpuMs.map((round) => round.bare));
      const above = estimate(found.cpuMs.map((round) => minus(round.ours, round.bare)));
      const perRow = above ? (above.median * 1000) / found.read : null;
      return [
        hundredths(ours?.median ?? null),
        hundredths(bare?.median ?? null),
        hundredths(above?.median ?? null),
        hundredths(perRow),
      ];
    }),
  ]);
  const note = [
    "CPU milliseconds of one request, ours and bare's, which makes the same lists of KV and asks its ledger as often, and what",
    'ours costs above it for each row that it reads: a list reads a thousand at most, the last page by addition 25.',
  ];
  return `${bold('== Growth with rows')}\n\n${table([head, ...rows])}\n\n${note.map(dim).join('\n')}`;
}

/** @param {Run} run */
function bundleTable({ bundle, against }) {
  const rows = [...bundle.files, together(bundle.files)].map(({ name, raw, gzipped }) => [
    name,
    kilobytes(raw),
    kilobytes(gzipped),
    name === TOGETHER ? `at most ${kilobytes(BUNDLE_MAX_BYTES)}` : '',
  ]);
  if (against) {
    const { raw, gzipped } = together(against.files);
    rows.push(['against', kilobytes(raw), kilobytes(gzipped), '']);
  }
  return `${bold('== Bundle')}\n\n${table([['', 'raw', 'gzipped', ''], ...rows])}`;
}

/**
 * What a limit applies to: the CPU above the bare Worker's, less that of another operation where the limit says so.
 *
 * @param {Result[]} results
 * @param {Result} result
 * @param {ServerName} name
 * @returns {Estimate | null}
 */
function costOf(results, result, name) {
  const { beyond } = operationOf(result.operation);
  const above = paired(result, (ours, bare) => ours - bare, name, 'bare');
  if (beyond === undefined) return estimate(above);
  const base = results.find(({ operation }) => operation === beyond);
  if (!base) return null;
  const other = paired(base, (ours, bare) => ours - bare, name, 'bare');
  return estimate(above.map((value, index) => minus(value, other[index])));
}

/** @param {Result} result @param {ServerName} name */
function valuesOf({ rounds }, name) {
  return rounds.map((round) => round[name]?.cpuSecsPer1000 ?? null);
}

/** @param {Result} result @param {(a: number, b: number) => number} combine @param {ServerName} a @param {ServerName} b */
function paired(result, combine, a, b) {
  const [left, right] = [valuesOf(result, a), valuesOf(result, b)];
  return left.map((value, index) => {
    const other = right[index];
    return value === null || other === null ? null : combine(value, other);
  });
}

/** @param {number | null} a @param {number | null} b */
const minus = (a, b) => (a === null || b === null ? null : a - b);

/** @param {number | null} a @param {number | null} b */
const over = (a, b) => (a === null || b === null ? null : a / b);

/** @param {(number | null)[]} values @returns {Estimate | null} */
function estimate(values) {
  const known = values.filter((value) => value !== null);
  if (known.length === 0 || known.length < values.length) return null;
  const [low, high] = quartiles(known);
  return { median: medianOf(known), spread: (high - low) / 2 };
}

/** @param {number[]} values */
const medianOf = (values) => quantile(values, 0.5);
/** @param {number[]} values @returns {[number, number]} */
const quartiles = (values) => [quantile(values, 0.25), quantile(values, 0.75)];

/** Between the values, linear. @param {number[]} values @param {number} share */
function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * share;
  const [below, above] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
  return below + (above - below) * (at - Math.floor(at));
}

/** @param {string} name @returns {import('./operations.mjs').OperationKind} */
function operationOf(name) {
  const found = OPERATIONS.find((operation) => operation.name === name);
  if (!found) throw new Error(`There is no operation ${name}.`);
  return found;
}

const TOGETHER = 'together';

/** @param {Bundle['files']} files */
function together(files) {
  const sum = (/** @type {'raw' | 'gzipped'} */ field) => files.reduce((total, file) => total + file[field], 0);
  return { name: TOGETHER, raw: sum('raw'), gzipped: sum('gzipped') };
}

/** @typedef {number | null} Figure `null` where it was not measured */

/** @type {(digits: number) => (figure: Figure) => string} */
const number = (digits) => (value) => (value === null ? ABSENT : value.toFixed(digits).replace('-', '−'));
const whole = number(0);
const tenths = number(1);
const millis = number(2);
const hundredths = number(2);
const seconds = number(3);
const kilobytes = (/** @type {number} */ bytes) => `${(bytes / 1000).toFixed(1)} kB`;
const withSpread = (/** @type {Estimate} */ { median, spread }) => `${seconds(median)} ± ${seconds(spread)}`;
const times = (/** @type {Estimate} */ { median, spread }) => `${hundredths(median)} ± ${hundredths(spread)}`;

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
