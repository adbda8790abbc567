/** `GET /expenses/summary`: exact sums, for each currency by category and by month. */

import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { before, test } from 'node:test';

import { assertDetail, assertProblems, assertUnauthorized, assertUnavailable } from './support/assertions.mjs';
import { add, idAt, newSub, newcomer, stored } from './support/expenses.mjs';
import { cases } from './support/values.mjs';
import { startWorld } from './support/world.mjs';

/** @typedef {{ total: string, count: number }} Sum */
/** @typedef {Sum & { currency: string, by_category: Sum[], by_month: Sum[] }} Total of one currency */

const world = await startWorld();
const actor = newcomer(world);

before(async () => {
  for (const [amount, currency, category, date] of [
    ['0.1', 'USD', 'meals', '2026-02-01'],
    ['0.2', 'USD', 'meals', '2026-02-28'],
    ['100', 'USD', 'travel', '2026-01-31'],
    ['19.99', 'USD', 'books', '2025-12-31'],
    ['19.99', 'USD', 'art', '2026-01-01'],
    ['7.5', 'EUR', 'meals', '2026-02-01'],
    ['9999999999.99', 'EUR', 'houses', '2024-02-29'],
    ['0.01', 'CHF', 'meals', '2026-02-02'],
  ]) {
    await add(actor, { amount, currency, category, date });
  }
});

/**
 * The currencies of a summary, each total as it is written, which JSON.parse would round.
 *
 * @param {string} [query]
 * @param {import('./support/actors.mjs').Actor} [who]
 * @returns {Promise<Total[]>}
 */
async function summary(query = '', who = actor) {
  const answer = await who.request('GET', `/expenses/summary${query}`);
  assert.equal(answer.status, 200, `${answer}`);
  assert.match(answer.header('content-type'), /^application\/json/);
  for (const [, total] of answer.text.matchAll(/"total":([^,}\]]+)/g)) assert.match(total, /^\d+\.\d\d$/);
  return JSON.parse(answer.text.replace(/"total":([^,}\]]+)/g, '"total":"$1"')).currencies;
}

test('each currency has exact totals by category and month', async () => {
  const [chf, eur, usd, ...rest] = await summary();
  assert.deepEqual(rest, []);
  assert.deepEqual(usd, {
    currency: 'USD',
    total: '140.28',
    count: 5,
    // The largest first, equal ones in the order of their names.
    by_category: [
      { category: 'travel', total: '100.00', count: 1 },
      { category: 'art', total: '19.99', count: 1 },
      { category: 'books', total: '19.99', count: 1 },
      { category: 'meals', total: '0.30', count: 2 },
    ],
    // The newest first.
    by_month: [
      { month: '2026-02', total: '0.30', count: 2 },
      { month: '2026-01', total: '119.99', count: 2 },
      { month: '2025-12', total: '19.99', count: 1 },
    ],
  });
  assert.deepEqual([eur.currency, eur.total, eur.count], ['EUR', '10000000007.49', 2]);
  assert.deepEqual(chf, {
    currency: 'CHF',
    total: '0.01',
    count: 1,
    by_category: [{ category: 'meals', total: '0.01', count: 1 }],
    by_month: [{ month: '2026-02', total: '0.01', count: 1 }],
  });
});

for (const [query, expected] of cases([
  ['?from=2026-02-01', { CHF: '0.01', EUR: '7.50', USD: '0.30' }],
  ['?to=2025-12-31', { EUR: '9999999999.99', USD: '19.99' }],
  ['?from=2025-12-31&to=2026-01-31', { USD: '139.98' }],
  ['?from=2026-02-28&to=2026-02-28', { USD: '0.20' }],
  ['?from=2027-01-01', {}],
  ['?currency=EUR', { EUR: '10000000007.49' }],
  ['?currency=JPY', {}],
  ['?currency=USD&from=2026-01-01&to=2026-01-31', { USD: '119.99' }],
])) {
  test(`/expenses/summary${query} adds up ${Object.keys(expected).join(', ') || 'nothing'}`, async () => {
    const found = await summary(query);
    assert.deepEqual(Object.fromEntries(found.map(({ currency, total }) => [currency, total])), expected);
    for (const { count, by_category: categories, by_month: months } of found) {
      for (const parts of [categories, months]) {
        assert.equal(
          parts.reduce((sum, part) => sum + part.count, 0),
          count,
        );
      }
    }
  });
}

test('who has spent nothing has no currency', async () => {
  const answer = await newcomer(world).request('GET', '/expenses/summary');
  assert.equal(answer.text, '{"currencies":[]}');
});

test('change and a deletion show in the next summary', async () => {
  const other = newcomer(world);
  const { id } = await add(other, { amount: 5 });
  await other.request('PATCH', `/expenses/${id}`, { json: { amount: '0.05', currency: 'SEK' } });
  assert.deepEqual(
    (await summary('', other)).map(({ currency, total }) => [currency, total]),
    [['SEK', '0.05']],
  );
  await other.request('DELETE', `/expenses/${id}`);
  assert.deepEqual(await summary('', other), []);
});

test('2,500 random amounts add up to the cent', async () => {
  const sub = newSub();
  const count = 2_500;
  const totals = { USD: 0n, EUR: 0n };
  const entries = Array.from({ length: count }, (_, index) => {
    const cents = (BigInt(randomInt(1, 2 ** 40)) % 999_999_999_999n) + 1n;
    const currency = index % 3 === 0 ? 'EUR' : 'USD';
    totals[currency] += cents;
    const amount = `${cents / 100n}.${String(cents % 100n).padStart(2, '0')}`;
    const entry = stored(sub, idAt(1_700_000_000_000 + index), { amount, currency });
    return index % 500 === 0 ? { ...entry, metadata: undefined } : entry;
  });
  await world.worker.seedKv(entries);
  const found = await summary('', newcomer(world, sub));
  const shown = (/** @type {bigint} */ cents) => `${cents / 100n}.${String(cents % 100n).padStart(2, '0')}`;
  assert.deepEqual(
    found.map(({ currency, total }) => [currency, total]),
    [
      ['EUR', shown(totals.EUR)],
      ['USD', shown(totals.USD)],
    ],
  );
  assert.equal(
    found.reduce((sum, currency) => sum + currency.count, 0),
    count,
  );
});

test("a summary is its caller's alone, and no id", async () => {
  assertUnauthorized(await world.anonymous().request('GET', '/expenses/summary'));
  const sub = newSub();
  await add(newcomer(world, sub), { amount: 1 });
  for (const other of [`${sub}:`, sub.slice(0, -1), `${sub}/x`, '']) {
    if (other) assert.deepEqual(await summary('', newcomer(world, other)), [], JSON.stringify(other));
  }
  for (const method of ['DELETE', 'PUT', 'PATCH', 'POST']) {
    const answer = await newcomer(world).request(method, '/expenses/summary', {
      json: { amount: 1, description: 'x' },
    });
    assertDetail(answer, 405);
    assert.match(answer.header('allow'), /\bGET\b/);
  }
});

test('an invalid query gets every problem at once', async () => {
  assertProblems(await actor.request('GET', '/expenses/summary?from=2026-02-02&to=2026-02-01'), [
    ['value_error', 'query', 'to'],
  ]);
  assertProblems(await actor.request('GET', '/expenses/summary?currency=eur&from=x&to=2026-02-30'), [
    ['date_from_datetime_parsing', 'query', 'from'],
    ['date_from_datetime_parsing', 'query', 'to'],
    ['string_pattern_mismatch', 'query', 'currency'],
  ]);
  assert.equal((await actor.request('GET', '/expenses/summary?zebra=1&limit=0')).status, 200);
});

test('KV failure gets 503 instead of an empty summary', async (t) => {
  t.after(() => world.worker.failKv());
  await world.worker.failKv('list');
  assertUnavailable(await actor.request('GET', '/expenses/summary'));
});

test('no answer and no log line holds a secret', () => world.assertNothingLeaked());
