/** 10,000 expenses of one user. */

import assert from 'node:assert/strict';
import { before, test } from 'node:test';

import { parseCsv } from './support/csv.mjs';
import { add, idAt, newSub, newcomer, nextPath, pages, stored } from './support/expenses.mjs';
import { startWorld } from './support/world.mjs';

const COUNT = 10_000;
/** One in so many is of another category: less than one for each list of KV's. */
const RARE_EVERY = 1_700;
const LATE_ON_EACH_PAGE = 3;
const NOON = 1_700_000_000_000;
const NEWEST_FIRST = Array.from({ length: COUNT }, (_, index) => `${COUNT - 1 - index}`);

const world = await startWorld();
const sub = newSub();
const actor = newcomer(world, sub);

before(async () => {
  const entries = Array.from({ length: COUNT }, (_, index) => {
    const category = index % RARE_EVERY === 0 ? 'rare' : 'other';
    return stored(sub, idAt(NOON + index * 60_000), { description: `${index}`, amount: '0.01', category });
  });
  await world.worker.seedKv(entries);
});

/** Adds a few expenses at once, while the pages are read. */
function addSome() {
  return Promise.all(
    Array.from({ length: LATE_ON_EACH_PAGE }, () => add(actor, { description: 'came later', category: 'late' })),
  );
}

test('pages stay complete and ordered while expenses are added', async () => {
  /** @type {ReturnType<typeof addSome>[]} */
  const adding = [];
  const found = await pages(actor, '/expenses?limit=1000', { between: async () => void adding.push(addSome()) });
  await Promise.all(adding);
  assert.deepEqual(
    found.map((page) => page.length),
    Array.from({ length: 10 }, () => 1_000),
  );
  assert.deepEqual(
    found.flat().map(({ description }) => description),
    NEWEST_FIRST,
  );
  // The next reader finds the late ones first.
  const answer = await actor.request('GET', `/expenses?limit=${9 * LATE_ON_EACH_PAGE + 1}`);
  const late = answer.json.filter(
    (/** @type {import('./support/expenses.mjs').Expense} */ { description }) => description === 'came later',
  );
  assert.equal(late.length, 9 * LATE_ON_EACH_PAGE);
  assert.equal(answer.json.at(-1).description, `${COUNT - 1}`);
});

test('rare category is found, and its pages stay cheap', async () => {
  const expected = NEWEST_FIRST.filter((description) => Number(description) % RARE_EVERY === 0);
  const found = await pages(actor, '/expenses?category=rare&limit=2');
  assert.deepEqual(
    found.flat().map(({ description }) => description),
    expected,
  );
  // Each page is what one list of KV's holds, so it may be short and not be the last.
  assert.ok(found.length >= 10 && found.length <= 12, `${found.length} pages`);
  const everyOther = await pages(actor, '/expenses?category=other&limit=700');
  assert.deepEqual(
    everyOther.flat().map(({ description }) => description),
    NEWEST_FIRST.filter((description) => Number(description) % RARE_EVERY !== 0),
  );
});

test('the CSV of all of them has every row', async () => {
  const rows = [];
  /** @type {string | undefined} */
  let path = '/expenses?limit=1000&to=2026-01-31';
  while (path !== undefined) {
    const answer = await actor.request('GET', path, { headers: { accept: 'text/csv' } });
    assert.equal(answer.status, 200, `${answer}`);
    rows.push(...parseCsv(answer.text).slice(1));
    path = nextPath(answer);
  }
  assert.deepEqual(
    rows.map((row) => row[2]),
    NEWEST_FIRST,
  );
});

test('pages and CSV by date have every row once', async () => {
  const other = newSub();
  const reader = newcomer(world, other);
  /** The day of the month, and how old the expense is. @param {number} index */
  const day = (index) => 1 + ((index * 7) % 28);
  const entries = Array.from({ length: 2_500 }, (_, index) =>
    stored(other, idAt(NOON + index * 60_000), {
      description: `${index}`,
      amount: '0.01',
      date: `2026-01-${String(day(index)).padStart(2, '0')}`,
    }),
  );
  await world.worker.seedKv(entries);
  const expected = Array.from(entries, (_, index) => index)
    .sort((one, two) => day(two) - day(one) || two - one)
    .map(String);
  const late = () => add(reader, { description: 'came later', date: '2026-02-01' });
  const found = await pages(reader, '/expenses?limit=700&sort=date', { between: async () => void (await late()) });
  assert.deepEqual(
    found.flat().map(({ description }) => description),
    expected,
  );
  const csv = await reader.request('GET', '/expenses.csv?sort=date&to=2026-01-31');
  assert.deepEqual(
    parseCsv(csv.text)
      .slice(1)
      .map((row) => row[2]),
    expected,
  );
});

test('they add up to the cent', async () => {
  const answer = await actor.request('GET', '/expenses/summary?to=2026-01-31');
  assert.equal(answer.status, 200, `${answer}`);
  assert.match(answer.text, /"currency":"USD","total":100\.00,"count":10000,/);
});

test('no answer and no log line holds a secret', () => world.assertNothingLeaked());
