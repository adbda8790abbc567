/** The filter, `sort` and `cursor`: which expenses a page shows, and how the next one is found. */

import assert from 'node:assert/strict';
import { before, test } from 'node:test';

import { assertProblems } from './support/assertions.mjs';
import { add, newcomer, nextPath, pages } from './support/expenses.mjs';
import { cases, present } from './support/values.mjs';
import { startWorld } from './support/world.mjs';

const DAYS = 30;

const world = await startWorld();
const actor = newcomer(world);

/** One expense a day in January, the categories a, b and c in turn: the description is the day. */
before(async () => {
  for (let day = 1; day <= DAYS; day += 1) {
    const date = `2026-01-${String(day).padStart(2, '0')}`;
    await add(actor, { description: `${day}`, amount: day, category: 'cab'[day % 3], date });
  }
});

/** The days on each page, from this query on. @param {string} query */
async function days(query) {
  const found = await pages(actor, `/expenses?${query}`);
  return found.map((page) => page.map(({ description }) => Number(description)));
}

/** The cursor of this query's first page, and the path of the next. @param {string} query */
async function firstCursor(query, who = actor) {
  const next = nextPath(await who.request('GET', `/expenses?${query}`));
  assert.ok(next, `${query} has one page only`);
  return { next, cursor: present(new URLSearchParams(next.split('?')[1]).get('cursor')) };
}

/** @param {number} from @param {number} to @param {number} [step] */
function countdown(from, to, step = 1) {
  return Array.from({ length: Math.floor((from - to) / step) + 1 }, (_, index) => from - index * step);
}

for (const [query, expected] of cases([
  ['category=b', countdown(29, 2, 3)],
  ['category=nothing', []],
  // A category is whole, and in capital or small letters.
  ['category=B', countdown(29, 2, 3)],
  ['category=%20b%20', countdown(29, 2, 3)],
  ['from=2026-01-28', [30, 29, 28]],
  ['to=2026-01-03', [3, 2, 1]],
  ['from=2026-01-10&to=2026-01-12', [12, 11, 10]],
  ['from=2026-01-12&to=2026-01-12', [12]],
  ['from=2025-12-31&to=2026-02-01', countdown(30, 1)],
  ['from=2026-01-10&to=2026-01-20&category=c', [18, 15, 12]],
  ['min_amount=28', [30, 29, 28]],
  ['max_amount=2.99&currency=USD', [2, 1]],
  ['currency=EUR', []],
  ['q=1%202', [21, 12]],
  ['q=3%20B', [23]],
  ['sort=date&from=2026-01-28', [30, 29, 28]],
  // The last parameter of a name counts, as in FastAPI, and unknown ones are ignored.
  ['category=a&category=b&from=2026-01-25&zebra=1', [29, 26]],
])) {
  test(`?${query} shows ${expected.length} expenses on one page or many`, async () => {
    assert.deepEqual((await days(query)).flat(), expected);
    for (const limit of [1, 4]) {
      const found = await days(`limit=${limit}&${query}`);
      assert.deepEqual(found.flat(), expected, `limit=${limit}`);
      assert.ok(
        found.every((page) => page.length <= limit),
        `limit=${limit}`,
      );
    }
  });
}

test('search ignores case and accents of any script', async () => {
  const other = newcomer(world);
  /** Each text with searches that find it. @type {[string, string[]][]} */
  const texts = [
    ['Café MÜLLER', ['cafe', 'CAFÉ muller', 'müller', 'cafe\u0301']],
    ['Straße', ['strasse', 'STRASSE', 'straße']],
    ['Smørrebrød', ['smorrebrod', 'SMØR']],
    ['Łódź', ['lodz', 'łodz']],
    ['Ｈｏｔｅｌ ４２', ['hotel', '42', 'ＨＯＴＥＬ']],
    ['İstanbul', ['istanbul']],
    ['ΟΔΌΣ', ['οδος', 'οδός']],
    ['夜の東京', ['東京']],
    ['say "hi" \\ there', ['"HI"', '\\']],
  ];
  for (const [description] of texts) await add(other, { description });
  for (const [description, searches] of texts) {
    for (const search of searches) {
      const answer = await other.request('GET', `/expenses?q=${encodeURIComponent(search)}`);
      const found = answer.json.map((/** @type {{ description: string }} */ row) => row.description);
      assert.deepEqual(found, [description], search);
    }
  }
  assert.deepEqual((await other.request('GET', '/expenses?q=cafe%20strasse')).json, []);
});

test('next page keeps filters and limit with any characters', async () => {
  const other = newcomer(world);
  const category = 'R&D=<"50%">; rel="next", #é/?+ 日本';
  for (let number = 1; number <= 5; number += 1) {
    await add(other, { description: `number ${number}`, category, date: `2026-03-0${number}` });
    await add(other, { description: 'elsewhere' });
  }
  const query = new URLSearchParams({ from: '2026-03-02', category, to: '2026-03-05', limit: '2', zebra: 'ö' });
  const first = await other.request('GET', `/expenses?${query}`);
  const next = new URLSearchParams(present(nextPath(first)).split('?')[1]);
  assert.deepEqual(
    [...next].filter(([name]) => name !== 'cursor'),
    [...query],
  );
  const found = await pages(other, `/expenses?${query}`);
  assert.deepEqual(
    found.map((page) => page.map(({ description }) => description)),
    [
      ['number 5', 'number 4'],
      ['number 3', 'number 2'],
    ],
  );
});

test('the limit may change from page to page', async () => {
  for (const query of ['', '&category=a']) {
    const { next } = await firstCursor(`limit=3${query}`);
    const rest = await pages(actor, next.replace('limit=3', 'limit=7'));
    const all = await days(query);
    assert.deepEqual(
      rest.flat().map(({ description }) => Number(description)),
      all.flat().slice(3),
    );
  }
});

test('filtered pages stay exact while expenses come and go', async () => {
  const other = newcomer(world);
  const added = [];
  for (let number = 1; number <= 12; number += 1) {
    added.unshift(await add(other, { description: `${number}`, category: number % 2 === 0 ? 'even' : 'odd' }));
  }
  const odd = added.filter(({ category }) => category === 'odd').map(({ description }) => description);
  const doomed = added.filter(({ category }) => category === 'even');
  const found = await pages(other, '/expenses?category=odd&limit=2', {
    between: async () => {
      await add(other, { description: 'came later', category: 'odd' });
      assert.equal((await other.request('DELETE', `/expenses/${doomed.pop()?.id}`)).status, 204);
    },
  });
  assert.deepEqual(
    found.flat().map(({ description }) => description),
    odd,
  );
});

test('a page after a deleted row continues behind it', async () => {
  const other = newcomer(world);
  const added = [];
  for (let number = 1; number <= 6; number += 1)
    added.unshift(await add(other, { description: `${number}`, category: 'x' }));
  for (const query of ['limit=2', 'limit=2&category=x']) {
    const first = await other.request('GET', `/expenses?${query}`);
    assert.equal((await other.request('DELETE', `/expenses/${first.json[1].id}`)).status, 204);
    const rest = await pages(other, present(nextPath(first)));
    added.splice(1, 1);
    assert.deepEqual(rest.flat(), added.slice(1), query);
  }
});

test('an invalid query gets every problem at once', async () => {
  const query = 'limit=0&category=&from=2026-02-30&to=tomorrow';
  assertProblems(await actor.request('GET', `/expenses?${query}`), [
    ['greater_than_equal', 'query', 'limit'],
    ['string_too_short', 'query', 'category'],
    ['date_from_datetime_parsing', 'query', 'from'],
    ['date_from_datetime_parsing', 'query', 'to'],
  ]);
  assertProblems(await actor.request('GET', '/expenses?from=2026-01-13&to=2026-01-12'), [
    ['value_error', 'query', 'to'],
  ]);
  assertProblems(await actor.request('GET', '/expenses?sort=amount&q=&min_amount=2&max_amount=1&currency=euro'), [
    ['literal_error', 'query', 'sort'],
    ['string_too_short', 'query', 'q'],
    ['string_pattern_mismatch', 'query', 'currency'],
    ['value_error', 'query', 'max_amount'],
  ]);
  assertProblems(await actor.request('GET', `/expenses?category=${'é'.repeat(51)}`), [
    ['string_too_long', 'query', 'category'],
  ]);
  assert.equal((await actor.request('GET', `/expenses?category=${encodeURIComponent('é'.repeat(50))}`)).status, 200);
});

test('what a cursor holds is sealed', async () => {
  const { cursor } = await firstCursor('limit=2&category=a');
  assert.match(cursor, /^[\w+/=-]+$/);
  const bytes = Buffer.from(cursor, 'base64').toString('latin1');
  assert.doesNotMatch(bytes, /user_|expense|category|kv_cursor/);
  assert.notEqual((await firstCursor('limit=2&category=a')).cursor, cursor, 'two of one place differ');
});

/**
 * The cursor is refused as the client's fault.
 *
 * @param {import('./support/actors.mjs').Actor} who
 * @param {string} cursor
 * @param {string} [query]
 */
async function assertNoCursor(who, cursor, query = '') {
  const answer = await who.request('GET', `/expenses?cursor=${encodeURIComponent(cursor)}${query}`);
  assertProblems(answer, [['value_error', 'query', 'cursor']]);
  assert.equal(answer.json.detail[0].input, cursor);
}

test('a cursor that was never given out is refused', async () => {
  for (const cursor of [
    'nonsense',
    '\u0000',
    '../..',
    'A'.repeat(2_000),
    'é',
    '0',
    'null',
    '{}',
    'expense:user_x:7',
    'ZXhwZW5zZTo=',
  ]) {
    await assertNoCursor(actor, cursor);
  }
});

test('a changed, shortened or extended cursor is refused', async () => {
  const { cursor } = await firstCursor('limit=2');
  const bytes = Buffer.from(cursor, 'base64');
  for (let index = 0; index < bytes.length; index += 7) {
    const changed = Buffer.from(bytes);
    changed[index] ^= 1;
    await assertNoCursor(actor, changed.toString('base64'));
  }
  await assertNoCursor(actor, cursor.slice(0, -4));
  await assertNoCursor(actor, `${cursor}AAAA`);
  assert.equal((await actor.request('GET', `/expenses?cursor=${encodeURIComponent(cursor)}`)).status, 200);
});

test('a cursor of another user or filter is refused', async () => {
  const other = newcomer(world);
  await add(other);
  for (const query of ['', '&category=a', '&from=2026-01-01']) {
    const { cursor } = await firstCursor(`limit=2${query}`);
    await assertNoCursor(other, cursor, query);
    for (const changed of [
      '',
      '&category=a',
      '&category=b',
      '&from=2026-01-01',
      '&from=2026-01-01&to=2026-12-31',
      '&to=2026-01-01',
    ]) {
      if (changed !== query) await assertNoCursor(actor, cursor, changed);
    }
    assert.equal((await actor.request('GET', `/expenses?cursor=${encodeURIComponent(cursor)}${query}`)).status, 200);
  }
});

test('an empty cursor is the first page', async () => {
  assert.deepEqual((await days('cursor=&limit=15')).flat(), countdown(30, 1));
});

test('no answer and no log line holds a secret', () => world.assertNothingLeaked());
