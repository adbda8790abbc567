/** `PUT` and `PATCH` (a JSON merge patch, RFC 7396) of an expense. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { assertDetail, assertProblems } from './support/assertions.mjs';
import { NO_SUCH_ID, add, descriptions, list, newSub, newcomer, sendText } from './support/expenses.mjs';
import { cases } from './support/values.mjs';
import { startWorld } from './support/world.mjs';

const TRIP = { description: 'Train', amount: 42.5, currency: 'EUR', category: 'travel', date: '2026-02-28' };

const world = await startWorld();

/** A user with one expense, and the expense's path. */
async function traveller() {
  const actor = newcomer(world);
  const expense = await add(actor, TRIP);
  return { actor, expense, path: `/expenses/${expense.id}` };
}

/**
 * That this is what every way to the expense shows, and that it is the only one.
 *
 * @param {import('./support/actors.mjs').Actor} actor
 * @param {import('./support/expenses.mjs').Expense} expense
 */
async function assertKept(actor, expense) {
  assert.deepEqual((await actor.request('GET', `/expenses/${expense.id}`)).json, expense);
  assert.deepEqual(await list(actor), [expense]);
}

/** Today, and tomorrow where it begins within the hour: the Worker's clock is set forward here. */
function daysNow() {
  return [0, 3_600_000].map((ahead) => new Date(Date.now() + ahead).toISOString().slice(0, 10));
}

test('PUT replaces every field but id and created_at', async () => {
  const { actor, expense, path } = await traveller();
  await world.advanceClock(90);
  const json = { description: ' Dinner ', amount: '7.5', currency: 'CHF', category: 'meals', date: '2026-01-31' };
  const answer = await actor.request('PUT', path, { json });
  assert.equal(answer.status, 200, `${answer}`);
  const { updated_at: updatedAt, ...rest } = answer.json;
  assert.deepEqual(rest, {
    ...json,
    id: expense.id,
    description: 'Dinner',
    amount: 7.5,
    created_at: expense.created_at,
  });
  const laterSecs = (Date.parse(updatedAt) - Date.parse(expense.updated_at)) / 1000;
  assert.ok(laterSecs >= 89 && laterSecs < 150, `${expense.updated_at} → ${updatedAt}`);
  assert.match(answer.text, /"amount":7\.50,/);
  await assertKept(actor, answer.json);
});

test('PUT gives omitted fields their defaults', async () => {
  const { actor, path } = await traveller();
  const before = daysNow();
  const { currency, category, date } = (await actor.request('PUT', path, { json: { description: 'x', amount: 1 } }))
    .json;
  assert.deepEqual({ currency, category }, { currency: 'USD', category: 'other' });
  assert.ok([...before, ...daysNow()].includes(date), date);
});

test('an invalid PUT gets every problem and changes nothing', async () => {
  const { actor, expense, path } = await traveller();
  assertProblems(await actor.request('PUT', path, { json: { currency: 'usd', id: expense.id, amount: null } }), [
    ['missing', 'body', 'description'],
    ['decimal_type', 'body', 'amount'],
    ['string_pattern_mismatch', 'body', 'currency'],
    ['extra_forbidden', 'body', 'id'],
  ]);
  for (const name of ['description', 'amount', 'currency', 'category', 'date']) {
    const answer = await actor.request('PUT', path, { json: { ...TRIP, [name]: null } });
    assert.equal(answer.status, 422, `${name}: ${answer}`);
    assert.deepEqual(answer.json.detail[0].loc, ['body', name]);
  }
  await assertKept(actor, expense);
});

test('a changed expense keeps its place in the list', async () => {
  const actor = newcomer(world);
  const ids = [];
  for (const description of ['first', 'second', 'third']) ids.push((await add(actor, { description })).id);
  assert.equal((await actor.request('PUT', `/expenses/${ids[0]}`, { json: TRIP })).status, 200);
  assert.equal((await actor.request('PATCH', `/expenses/${ids[1]}`, { json: { date: '1999-12-31' } })).status, 200);
  assert.deepEqual(await descriptions(actor), ['third', 'second', TRIP.description]);
});

for (const [name, value] of Object.entries({
  description: 'Bus',
  amount: 0.1,
  currency: 'CHF',
  category: 'Zażółć',
  date: '2028-02-29',
})) {
  test(`PATCH of the ${name} changes nothing else`, async () => {
    const { actor, expense, path } = await traveller();
    await world.advanceClock(90);
    const answer = await actor.request('PATCH', path, { json: { [name]: value } });
    assert.equal(answer.status, 200, `${answer}`);
    const { updated_at: updatedAt, ...rest } = answer.json;
    const { updated_at: createdAt, ...before } = expense;
    assert.deepEqual(rest, { ...before, [name]: value });
    assert.ok(updatedAt > createdAt, `${createdAt} → ${updatedAt}`);
    await assertKept(actor, answer.json);
  });
}

test('PATCH takes any subset of the fields, also none', async () => {
  const { actor, expense, path } = await traveller();
  const nothing = await actor.request('PATCH', path, { json: {} });
  assert.equal(nothing.status, 200, `${nothing}`);
  assert.deepEqual({ ...nothing.json, updated_at: 0 }, { ...expense, updated_at: 0 });
  const both = await sendText(actor, 'PATCH', path, '{"description": "  Plane\\t", "amount": "1e3"}');
  assert.equal(both.status, 200, `${both}`);
  assert.match(both.text, /"description":"Plane","amount":1000\.00,"currency":"EUR"/);
  await assertKept(actor, both.json);
});

test('null in a patch puts a default back', async () => {
  for (const [name, expected] of cases([
    ['currency', 'USD'],
    ['category', 'other'],
    ['date', undefined],
  ])) {
    const { actor, expense, path } = await traveller();
    const before = daysNow();
    const answer = await actor.request('PATCH', path, { json: { [name]: null } });
    assert.equal(answer.status, 200, `${name}: ${answer}`);
    assert.deepEqual(
      { ...answer.json, updated_at: 0 },
      { ...expense, [name]: expected ?? answer.json.date, updated_at: 0 },
    );
    if (name === 'date') assert.ok([...before, ...daysNow()].includes(answer.json.date), answer.json.date);
    await assertKept(actor, answer.json);
  }
});

/** @type {[string, unknown, [string, ...string[]][]][]} */
const BAD_PATCHES = [
  ['null for the description', { description: null }, [['string_type', 'body', 'description']]],
  ['null for the amount', { amount: null }, [['decimal_type', 'body', 'amount']]],
  ['nothing for a description', { description: ' ' }, [['string_too_short', 'body', 'description']]],
  ['an id', { id: NO_SUCH_ID }, [['extra_forbidden', 'body', 'id']]],
  ['a time', { created_at: '2026-01-01T00:00:00Z' }, [['extra_forbidden', 'body', 'created_at']]],
  ['an object for a member', { category: { name: 'x' } }, [['string_type', 'body', 'category']]],
  [
    'a good member and everything else wrong',
    { category: 'good', tip: 1, date: '2026-13-01', currency: '€', amount: '1,5', description: 7 },
    [
      ['string_type', 'body', 'description'],
      ['decimal_parsing', 'body', 'amount'],
      ['string_pattern_mismatch', 'body', 'currency'],
      ['date_from_datetime_parsing', 'body', 'date'],
      ['extra_forbidden', 'body', 'tip'],
    ],
  ],
];

for (const [what, json, problems] of BAD_PATCHES) {
  test(`a patch with ${what} is refused and changes nothing`, async () => {
    const { actor, expense, path } = await traveller();
    assertProblems(await actor.request('PATCH', path, { json }), problems);
    await assertKept(actor, expense);
  });
}

test('a patch that is no object is refused', async () => {
  const { actor, expense, path } = await traveller();
  // RFC 7396 would have such a patch put itself in the place of the whole: none of these is an expense.
  for (const body of ['[]', '"x"', '1', 'null', 'true']) {
    const answer = await sendText(actor, 'PATCH', path, body);
    assert.equal(answer.status, 422, `${body}: ${answer}`);
    assert.deepEqual(answer.json.detail[0].loc, ['body'], body);
  }
  await assertKept(actor, expense);
});

test('PATCH accepts JSON and merge patch, and refuses forms', async () => {
  const { actor, path } = await traveller();
  const patch = (/** @type {string} */ type) =>
    actor.request('PATCH', path, { body: '{"amount":1}', headers: { 'content-type': type } });
  assert.equal((await patch('application/merge-patch+json')).status, 200);
  assert.equal((await patch('application/merge-patch+json; charset=utf-8')).status, 200);
  for (const type of [undefined, 'text/plain', 'application/merge-patch', 'application/x-www-form-urlencoded']) {
    for (const method of ['PUT', 'PATCH']) {
      const answer = await actor.request(method, path, {
        body: JSON.stringify(TRIP),
        headers: { 'content-type': type },
      });
      assertDetail(answer, 415);
    }
  }
});

test('change with a body over 64 KiB is refused', async () => {
  const { actor, expense, path } = await traveller();
  const body = JSON.stringify({ ...TRIP, category: 'x'.repeat(65_536) });
  for (const method of ['PUT', 'PATCH']) assertDetail(await sendText(actor, method, path, body), 413);
  await assertKept(actor, expense);
});

test('a missing or foreign expense cannot be changed', async () => {
  const { actor, expense, path } = await traveller();
  const gone = await add(actor);
  assert.equal((await actor.request('DELETE', `/expenses/${gone.id}`)).status, 204);
  const other = newcomer(world);
  for (const [who, where] of cases([
    [other, path],
    [actor, `/expenses/${gone.id}`],
    [actor, `/expenses/${NO_SUCH_ID}`],
    [actor, '/expenses/x'],
    [actor, `${path.toLowerCase()}`],
    [actor, '/expenses/%00'],
  ])) {
    for (const method of ['PUT', 'PATCH']) assertDetail(await who.request(method, where, { json: TRIP }), 404);
  }
  await assertKept(actor, expense);
  assert.deepEqual(await list(other), []);
});

test("expense may grow past its key's metadata and shrink", async () => {
  const { actor, path } = await traveller();
  const large = { description: '🍜'.repeat(200), category: '🍜'.repeat(50) };
  for (const [method, json] of cases([
    ['PATCH', large],
    ['PATCH', { amount: 7 }],
    ['PUT', TRIP],
    ['PUT', { ...TRIP, ...large }],
    ['PATCH', { description: 'small', category: null }],
  ])) {
    const answer = await actor.request(method, path, { json });
    assert.equal(answer.status, 200, `${answer}`);
    await assertKept(actor, answer.json);
  }
});

test('changes that come at once leave one whole expense', async () => {
  const { actor, expense, path } = await traveller();
  const changes = Array.from({ length: 20 }, (_, number) =>
    number % 2 === 0
      ? actor.request('PATCH', path, { json: { amount: number + 1 } })
      : actor.request('PUT', path, { json: { ...TRIP, amount: number + 1 } }),
  );
  for (const answer of await Promise.all(changes)) assert.equal(answer.status, 200, `${answer}`);
  const [left, ...rest] = await list(actor);
  assert.deepEqual(rest, []);
  assert.ok(left.amount >= 1 && left.amount <= 20, `${left.amount}`);
  assert.deepEqual({ ...left, amount: 0, updated_at: 0 }, { ...expense, amount: 0, updated_at: 0 });
});

test("another site's page changes nothing with this browser's cookie", async () => {
  const browser = await world.signedIn('Ada');
  const expense = await add(browser, TRIP);
  for (const method of ['PUT', 'PATCH']) {
    for (const headers of [
      { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' },
      { 'sec-fetch-site': undefined, origin: 'https://evil.example' },
    ]) {
      assertDetail(
        await browser.request(method, `/expenses/${expense.id}`, { json: { ...TRIP, amount: 1 }, headers }),
        403,
      );
    }
  }
  await assertKept(browser, expense);
  const own = await browser.request('PATCH', `/expenses/${expense.id}`, { json: { amount: 1 } });
  assert.equal(own.json.amount, 1, `${own}`);
});

test("no subject changes what is another's, whatever it holds", async () => {
  const victim = newSub();
  const owner = newcomer(world, victim);
  const expense = await add(owner, TRIP);
  for (const sub of [
    `${victim}:`,
    `${victim}/`,
    `x/../${victim}`,
    `${victim}:${expense.id}`,
    victim.slice(0, -1),
    `${victim}\u0000`,
  ]) {
    const actor = newcomer(world, sub);
    for (const method of ['PUT', 'PATCH', 'DELETE']) {
      const json = method === 'DELETE' ? undefined : { ...TRIP, amount: 1 };
      for (const id of [expense.id, `:${expense.id}`, `%3A${expense.id}`]) {
        assertDetail(await actor.request(method, `/expenses/${id}`, { json }), 404);
      }
    }
  }
  await assertKept(owner, expense);
});

test('no answer and no log line holds a secret', () => world.assertNothingLeaked());
