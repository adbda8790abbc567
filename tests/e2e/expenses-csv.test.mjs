/** `GET /expenses` with `Accept: text/csv`: a table that a spreadsheet opens and does not run. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { assertProblems, assertUnauthorized, assertUnavailable } from './support/assertions.mjs';
import { parseCsv } from './support/csv.mjs';
import { add, newcomer, nextPath } from './support/expenses.mjs';
import { cases } from './support/values.mjs';
import { startWorld } from './support/world.mjs';

const HEADER = ['id', 'date', 'description', 'category', 'amount', 'currency', 'created_at', 'updated_at'];

const world = await startWorld();

/** @param {import('./support/actors.mjs').Actor} actor */
function download(actor, query = '', accept = 'text/csv') {
  return actor.request('GET', `/expenses${query}`, { headers: { accept } });
}

/** The rows below the header, each as an object. @param {import('./support/http.mjs').Answer} answer */
function rowsOf(answer) {
  assert.equal(answer.status, 200, `${answer}`);
  const [header, ...rows] = parseCsv(answer.text);
  assert.deepEqual(header, HEADER);
  return rows.map((row) => {
    assert.equal(row.length, HEADER.length, `${row}`);
    return Object.fromEntries(HEADER.map((name, index) => [name, row[index]]));
  });
}

test('CSV has the same expenses in the same order', async () => {
  const actor = newcomer(world);
  await add(actor, {
    description: 'Team lunch',
    amount: '1234.5',
    currency: 'EUR',
    category: 'meals',
    date: '2026-02-28',
  });
  await add(actor, { description: 'Überweg 🍜', amount: '9999999999.99' });
  await add(actor, { description: 'small', amount: '0.01' });
  const answer = await download(actor);
  assert.match(answer.header('content-type'), /^text\/csv; ?charset=utf-8(; ?header=present)$/i);
  assert.equal(answer.headers['content-disposition'], 'attachment; filename="expenses.csv"');
  assert.match(answer.header('cache-control'), /no-store/);
  const json = (await actor.request('GET', '/expenses')).json;
  assert.deepEqual(
    rowsOf(answer),
    json.map((/** @type {import('./support/expenses.mjs').Expense} */ expense, /** @type {number} */ index) => ({
      ...expense,
      amount: ['0.01', '9999999999.99', '1234.50'][index],
    })),
  );
});

test('an empty list is a header and nothing else', async () => {
  assert.equal((await download(newcomer(world))).text, `${HEADER.join(',')}\r\n`);
});

test('quotes, commas and line breaks stay in their cell', async () => {
  const actor = newcomer(world);
  const texts = [
    'a,b',
    'say "hi"',
    '"',
    '""',
    'two\r\nlines',
    'two\nlines',
    'one\rline',
    'a;b',
    'a\tb',
    "it's",
    '",\r\n"=1+1',
    '\\"',
    'back\\slash',
  ];
  for (const description of texts) await add(actor, { description, category: description });
  const rows = rowsOf(await download(actor));
  // A reader that knows no line breaks in quotes would begin a cell there.
  const expected = texts.map((text) => text.replace('\r\n"=1+1', '\r\n\'"=1+1')).toReversed();
  assert.deepEqual(
    rows.map(({ description }) => description),
    expected,
  );
  assert.deepEqual(
    rows.map(({ category }) => category),
    expected,
  );
});

test('cell that looks like a formula is escaped visibly', async () => {
  const actor = newcomer(world);
  const formulas = [
    '=1+1',
    '=HYPERLINK("http://evil.example","x")',
    '+1',
    '-1',
    '-2+3',
    '@SUM(A1)',
    "=cmd|' /C calc'!A0",
    '=',
    '+',
    '-',
    '@',
  ];
  for (const description of formulas) await add(actor, { description, category: description });
  const answer = await download(actor);
  for (const { description, category } of rowsOf(answer)) {
    for (const cell of [description, category]) assert.match(cell, /^'[=+\-@]/);
  }
  assert.deepEqual(
    rowsOf(answer).map(({ description }) => description.slice(1)),
    formulas.toReversed(),
  );
  // Whatever reads it: after a separator, a line's end or a quote there is no sign of a formula.
  for (const cell of parseCsv(answer.text).flat()) assert.doesNotMatch(cell, /^[=+\-@\t\r]/);
  assert.doesNotMatch(answer.text, /(^|[,\n"])[=+@-]/);
});

test('amounts are numbers, and harmless categories stay unchanged', async () => {
  const actor = newcomer(world);
  await add(actor, { description: "'quoted'", amount: 5, category: 'R&D - 50% @home' });
  const [row] = rowsOf(await download(actor));
  assert.deepEqual([row.description, row.amount, row.category], ["'quoted'", '5.00', 'R&D - 50% @home']);
});

test('CSV comes in pages and through filters like JSON', async () => {
  const actor = newcomer(world);
  for (let number = 1; number <= 7; number += 1) {
    await add(actor, {
      description: `${number}`,
      category: number % 2 === 0 ? 'even' : 'odd',
      date: `2026-01-0${number}`,
    });
  }
  const seen = [];
  /** @type {string | undefined} */
  let next = '/expenses?category=odd&from=2026-01-02&limit=2';
  for (let page = 0; next !== undefined; page += 1) {
    assert.ok(page < 5, 'the pages have no end');
    const answer = await download(actor, next.slice('/expenses'.length));
    seen.push(rowsOf(answer).map(({ description }) => description));
    next = nextPath(answer);
  }
  assert.deepEqual(seen, [['7', '5'], ['3']]);
});

for (const [accept, isCsv] of cases([
  ['text/csv', true],
  ['TEXT/CSV', true],
  ['text/csv; q=0.9, */*; q=0.1', true],
  ['text/csv;header=present', true],
  ['*/*', false],
  ['application/json', false],
  ['text/csv;q=0, application/json', false],
  ['text/csvx', false],
])) {
  test(`Accept: ${accept} asks for ${isCsv ? 'CSV' : 'JSON'}`, async () => {
    const answer = await download(newcomer(world), '', accept);
    assert.equal(answer.status, 200);
    assert.equal(answer.text, isCsv ? `${HEADER.join(',')}\r\n` : '[]');
  });
}

test('an error is JSON, never a CSV file', async (t) => {
  t.after(() => world.worker.failKv());
  const actor = newcomer(world);
  await add(actor);
  assertUnauthorized(await download(world.anonymous()));
  assertProblems(await download(actor, '?limit=x'), [['int_parsing', 'query', 'limit']]);
  await world.worker.failKv('list');
  const answer = await download(actor);
  assertUnavailable(answer);
  assert.equal(answer.headers['content-disposition'], undefined);
});

test('no answer and no log line holds a secret', () => world.assertNothingLeaked());
