/**
 * Computes the tables of docs/capacity.md: from the operations of each action, which README.md lists and a test measures,
 * and from Cloudflare's prices.
 *
 *     node local/capacity.mjs            fails where the document has other tables
 *     node local/capacity.mjs --write    writes them
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { ROOT, Stop, main } from './commands.mjs';

const DOCUMENT = join(ROOT, 'docs/capacity.md');
const README = join(ROOT, 'README.md');
const BEGIN = '<!-- Made by node local/capacity.mjs --write -->';
const END = '<!-- End of what the script makes -->';
const DAYS = 30;
const MILLION = 1_000_000;

/** What a user does on each day, by the README's names of actions. The document says the same in words. */
const USE = {
  'a page of the list, up to 1,000 expenses': 10,
  // The page's form always sends a key.
  'create with an `Idempotency-Key`': 2,
  // The page's form reads the expense before it changes it: `change_expense()` in src/web/submit.rs.
  'one expense': 1,
  change: 1,
  'renewal of a session': 3,
};
/** Actions that are part of another action's request to the Worker. */
const WITHIN_OTHERS = ['one expense', 'renewal of a session'];

/** Assumed, not measured: the seconds that an object runs for each of its requests. */
const OBJECT_SECONDS = 0.2;
/** Durable Objects are billed for 128 MB while they run. */
const OBJECT_GB = 0.128;
/** Assumed: the most of CPU that a request costs, in milliseconds. `npm run bench` fails beyond less. */
const CPU_MS = 5;
/** The part of the requests that is traced, as wrangler.toml says. */
const TRACED = 0.01;
/** Assumed: the spans of one trace. Each is billed as a line of the log. */
const SPANS = 10;

/**
 * What Cloudflare counts, in the order of the tables, with its prices in US dollars, from its documentation:
 * workers/platform/pricing, kv/platform/pricing, durable-objects/platform/pricing.
 *
 * @typedef {object} Resource
 * @property {string} name
 * @property {number} [freeADay]
 * @property {number} included in a month of the paid plan
 * @property {number} million the price of a million more
 * @property {(use: Use) => number} used by a user on a day
 */

/** @typedef {Record<'reads' | 'writes' | 'deletes' | 'lists' | 'objects' | 'rows' | 'requests', number>} Use */

/** @type {Resource[]} */
const RESOURCES = [
  {
    name: 'requests to the Worker',
    freeADay: 100_000,
    included: 10 * MILLION,
    million: 0.3,
    used: (use) => use.requests,
  },
  { name: 'CPU milliseconds', included: 30 * MILLION, million: 0.02, used: (use) => use.requests * CPU_MS },
  { name: 'KV reads', freeADay: 100_000, included: 10 * MILLION, million: 0.5, used: (use) => use.reads },
  { name: 'KV writes', freeADay: 1_000, included: MILLION, million: 5, used: (use) => use.writes },
  { name: 'KV deletes', freeADay: 1_000, included: MILLION, million: 5, used: (use) => use.deletes },
  { name: 'KV lists', freeADay: 1_000, included: MILLION, million: 5, used: (use) => use.lists },
  { name: 'object requests', freeADay: 100_000, included: MILLION, million: 0.15, used: (use) => use.objects },
  {
    name: 'object GB-seconds',
    freeADay: 13_000,
    included: 400_000,
    million: 12.5,
    used: (use) => use.objects * OBJECT_SECONDS * OBJECT_GB,
  },
  { name: 'object rows written', freeADay: 100_000, included: 50 * MILLION, million: 1, used: (use) => use.rows },
  {
    name: 'log events',
    freeADay: 200_000,
    included: 20 * MILLION,
    million: 0.6,
    // A line for each request and one for each renewal, and the spans of the traces.
    used: (use) =>
      use.requests + USE['renewal of a session'] + Math.ceil((use.requests + use.objects) * TRACED * SPANS),
  },
];
const PLAN_DOLLARS = 5;

/**
 * The operations of a user on a day, from the README's table.
 *
 * @param {string} readme
 * @returns {Use}
 */
export function useOfADay(readme) {
  /** @type {Use} */
  const use = { reads: 0, writes: 0, deletes: 0, lists: 0, objects: 0, rows: 0, requests: 0 };
  for (const [action, times] of Object.entries(USE)) {
    const row = readme.split('\n').find((line) => line.startsWith(`| ${action} |`));
    const cells = row?.split('|').slice(2, 8).map(Number) ?? [];
    if (cells.length !== 6 || cells.some(Number.isNaN))
      throw new Stop(`README.md, Cost, has no row "${action}": correct local/capacity.mjs.`);
    const [reads, writes, deletes, lists, objects, rows] = cells;
    const requests = WITHIN_OTHERS.includes(action) ? 0 : 1;
    for (const [name, count] of Object.entries({ reads, writes, deletes, lists, objects, rows, requests })) {
      use[/** @type {keyof Use} */ (name)] += times * count;
    }
  }
  return use;
}

/** The dollars of a month. @param {Resource} resource @param {number} month */
export function dollars({ included, million }, month) {
  return (Math.max(0, month - included) / MILLION) * million;
}

/** @param {number} value */
function number(value) {
  return Math.round(value).toLocaleString('en-US');
}

/** @param {number} value */
function money(value) {
  return value === 0
    ? 'included'
    : value.toLocaleString('en-US', { minimumFractionDigits: 2, maximumFractionDigits: 2 });
}

/** The tables of the document. @param {string} readme */
export function tables(readme) {
  const use = useOfADay(readme);
  const walls = RESOURCES.filter(({ freeADay, used }) => freeADay !== undefined && used(use) > 0)
    .map((resource) => ({ ...resource, users: Math.floor((resource.freeADay ?? 0) / resource.used(use)) }))
    .sort((one, other) => one.users - other.users);
  const free = walls.map(
    ({ name, freeADay, used, users }) =>
      `| ${name} | ${Number(used(use).toFixed(2))} | ${number(freeADay ?? 0)} | ${number(users)} |`,
  );
  const sizes = [10_000, MILLION];
  const paid = RESOURCES.map((resource) => {
    const months = sizes.map((users) => resource.used(use) * DAYS * users);
    const cells = months.map((month) => `${number(month)} | ${money(dollars(resource, month))}`);
    return `| ${resource.name} | ${cells.join(' | ')} |`;
  });
  const totals = sizes.map((users) =>
    RESOURCES.reduce((sum, resource) => sum + dollars(resource, resource.used(use) * DAYS * users), PLAN_DOLLARS),
  );
  return [
    '### Free plan: the most users a day',
    '',
    'The first row is the first wall.',
    '',
    '| counted by Cloudflare | of one user a day | of the plan a day | users |',
    '| --- | --- | --- | --- |',
    ...free,
    '',
    '### Paid plan: a month in US dollars',
    '',
    '| counted by Cloudflare | 10,000 users | dollars | 1,000,000 users | dollars |',
    '| --- | --- | --- | --- | --- |',
    `| the plan | | ${money(PLAN_DOLLARS)} | | ${money(PLAN_DOLLARS)} |`,
    ...paid,
    `| together | | ${money(totals[0])} | | ${money(totals[1])} |`,
  ].join('\n');
}

/** The document with the tables. @param {string} document @param {string} readme */
export function withTables(document, readme) {
  const [begin, end] = [document.indexOf(BEGIN), document.indexOf(END)];
  if (begin < 0 || end < begin) throw new Stop(`docs/capacity.md has lost its mark: "${BEGIN}" or "${END}".`);
  return `${document.slice(0, begin + BEGIN.length)}\n\n${tables(readme)}\n\n${document.slice(end)}`;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  await main(async () => {
    const document = readFileSync(DOCUMENT, 'utf8');
    const current = withTables(document, readFileSync(README, 'utf8'));
    if (process.argv.includes('--write')) writeFileSync(DOCUMENT, current);
    else if (document !== current)
      throw new Stop('docs/capacity.md has other figures than README.md: run node local/capacity.mjs --write.');
  });
}
