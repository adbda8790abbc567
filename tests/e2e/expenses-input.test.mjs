/** Bodies at their limits and past them: amounts as written, unusual JSON, unusual characters, lengths. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { assertDetail, assertProblems } from './support/assertions.mjs';
import { parseCsv } from './support/csv.mjs';
import { add, list, newcomer, sendText } from './support/expenses.mjs';
import { startWorld } from './support/world.mjs';

/** Arrays in arrays: 20,000 have overflowed a parser's stack before. */
const DEEP = 20_000;

/** @typedef {import('./support/expenses.mjs').Expense} Expense */

const world = await startWorld();

for (const [written, shown] of [
  ['1e3', '1000.00'],
  ['1E+3', '1000.00'],
  ['12500e-3', '12.50'],
  ['"1e3"', '1000.00'],
  ['"42.50"', '42.50'],
  ['42.500', '42.50'],
  ['"42.500"', '42.50'],
  ['42', '42.00'],
  ['0.10', '0.10'],
  ['9999999999.9900', '9999999999.99'],
  // None of these is a sum of powers of two.
  ['0.07', '0.07'],
  ['1234567890.12', '1234567890.12'],
  ['8.41', '8.41'],
]) {
  test(`the amount ${written} is written and read as ${shown}`, async () => {
    const actor = newcomer(world);
    const created = await sendText(actor, 'POST', '/expenses', `{"description":"x","amount":${written}}`);
    assert.equal(created.status, 201, `${created}`);
    const path = created.header('location');
    const answers = [
      created,
      await sendText(actor, 'PUT', path, `{"description":"x","amount":${written}}`),
      await sendText(actor, 'PATCH', path, `{"amount":${written}}`),
      await actor.request('GET', path),
      await actor.request('GET', '/expenses'),
    ];
    for (const answer of answers) assert.ok(answer.text.includes(`"amount":${shown},`), `${answer}`);
  });
}

for (const [written, type] of [
  ['1e-3', 'decimal_max_places'],
  ['0.001', 'decimal_max_places'],
  ['"42.505"', 'decimal_max_places'],
  ['-0', 'greater_than'],
  ['-0.0', 'greater_than'],
  ['"-0"', 'greater_than'],
  ['0.00', 'greater_than'],
  ['-1e3', 'greater_than'],
  ['"NaN"', 'finite_number'],
  ['"Infinity"', 'finite_number'],
  ['"-inf"', 'finite_number'],
  ['9'.repeat(400), 'decimal_max_digits'],
  [`"${'9'.repeat(400)}"`, 'decimal_max_digits'],
  [`0.${'3'.repeat(400)}`, 'decimal_max_digits'],
  ['1e400', 'decimal_max_digits'],
  ['10000000000', 'decimal_whole_digits'],
  ['9999999999.999', 'decimal_max_digits'],
  ['"0x10"', 'decimal_parsing'],
  ['"1e"', 'decimal_parsing'],
  ['"€5"', 'decimal_parsing'],
  ['{"value":5}', 'decimal_type'],
]) {
  test(`the amount ${written.length > 30 ? `${written.slice(0, 6)}… (${written.length} characters)` : written} is refused as ${type}`, async () => {
    const actor = newcomer(world);
    const expense = await add(actor);
    const path = `/expenses/${expense.id}`;
    for (const answer of [
      await sendText(actor, 'POST', '/expenses', `{"description":"x","amount":${written}}`),
      await sendText(actor, 'PUT', path, `{"description":"x","amount":${written}}`),
      await sendText(actor, 'PATCH', path, `{"amount":${written}}`),
    ]) {
      assertProblems(answer, [[type, 'body', 'amount']]);
    }
    assert.deepEqual(await list(actor), [expense]);
  });
}

test('a refused amount is returned with every digit', async () => {
  for (const written of [
    '1.23456789012345678901',
    '123456789012345678901234567890',
    '0.1000000000000000055511151231257827',
  ]) {
    const answer = await sendText(newcomer(world), 'POST', '/expenses', `{"description":"x","amount":${written}}`);
    assert.ok(answer.text.includes(`"input":${written}`), `${answer}`);
  }
});

test('of two members of one name the last counts', async () => {
  const actor = newcomer(world);
  const body = '{"description":"first","amount":"x","description":"last","amount":2,"category":7,"category":"c"}';
  const created = await sendText(actor, 'POST', '/expenses', body);
  assert.equal(created.status, 201, `${created}`);
  assert.deepEqual([created.json.description, created.json.amount, created.json.category], ['last', 2, 'c']);
  const patched = await sendText(actor, 'PATCH', created.header('location'), '{"amount":null,"amount":3}');
  assert.equal(patched.json.amount, 3, `${patched}`);
  const refused = await sendText(actor, 'POST', '/expenses', '{"description":"x","amount":1,"amount":"x"}');
  assertProblems(refused, [['decimal_parsing', 'body', 'amount']]);
  assert.equal((await list(actor)).length, 1);
});

for (const [what, open, close] of [
  ['arrays', '[', ']'],
  ['objects', '{"a":', '}'],
]) {
  test(`${what} in ${what} get 422 at any depth`, async () => {
    const actor = newcomer(world);
    const expense = await add(actor);
    for (const depth of [50, 126, 127, 128, 1_000, Math.floor(DEEP / open.length)]) {
      const nested = `${open.repeat(depth)}1${close.repeat(depth)}`;
      for (const body of [`{"description":"x","amount":1,"extra":${nested}}`, `{"amount":${nested}}`, nested]) {
        for (const [method, path] of [
          ['POST', '/expenses'],
          ['PUT', `/expenses/${expense.id}`],
          ['PATCH', `/expenses/${expense.id}`],
        ]) {
          const answer = await sendText(actor, method, path, body);
          assert.equal(answer.status, 422, `${depth}: ${answer}`);
          assert.equal(answer.json.detail[0].loc[0], 'body');
        }
      }
    }
    assert.deepEqual(await list(actor), [expense]);
  });
}

test('a body cut inside brackets gets 422', async () => {
  const actor = newcomer(world);
  for (const body of ['['.repeat(65_536), '{"a":'.repeat(13_000), `{"description":${'['.repeat(60_000)}`]) {
    const answer = await sendText(actor, 'POST', '/expenses', body);
    assert.equal(answer.status, 422, `${answer}`);
    assert.equal(answer.json.detail[0].type, 'json_invalid');
  }
  assert.deepEqual(await list(actor), []);
});

test('half of a surrogate pair is no character', async () => {
  const actor = newcomer(world);
  for (const half of ['\\ud800', '\\udc00', 'x\\uD83C', '\\ud83c\\u0041', '\\udf5c\\ud83c', '\\ud83c\\ud83c\\udf5c']) {
    for (const body of [
      `{"description":"${half}","amount":1}`,
      `{"description":"x","amount":1,"category":"${half}"}`,
      `{"description":"x","amount":1,"${half}":1}`,
      `{"description":"x","amount":"${half}"}`,
    ]) {
      const answer = await sendText(actor, 'POST', '/expenses', body);
      assert.equal(answer.status, 422, `${body}: ${answer}`);
      assert.equal(answer.json.detail[0].loc[0], 'body');
    }
  }
  assert.deepEqual(await list(actor), []);
  const whole = await sendText(actor, 'POST', '/expenses', '{"description":"\\ud83c\\udf5c","amount":1}');
  assert.equal(whole.json.description, '🍜', `${whole}`);
});

test('NUL and other control characters are kept', async () => {
  const actor = newcomer(world);
  const description = 'a\u0000b\u0001\u001b[31m\u007f\u0085c\u2028\u202e\ufeff\uffff';
  const { id } = await add(actor, { description, category: '\u0000' });
  for (const expense of [
    (await actor.request('GET', `/expenses/${id}`)).json,
    ...(await list(actor)),
    ...(await list(actor, 'category=%00')),
  ]) {
    assert.deepEqual([expense.description, expense.category], [description, '\u0000']);
  }
  assert.deepEqual(await list(actor, 'category=%01'), []);
  const csv = await actor.request('GET', '/expenses', { headers: { accept: 'text/csv' } });
  assert.deepEqual(parseCsv(csv.text)[1].slice(2, 4), [description, '\u0000']);
});

test('expenses around the metadata limit are listed whole', async () => {
  const actor = newcomer(world);
  const bodies = [
    // 800 bytes, and then up to 200 more: the record passes 1,024 on the way.
    ...Array.from({ length: 50 }, (_, length) => ({
      description: '🍜'.repeat(200),
      category: '🍜'.repeat(length + 1),
    })),
    ...Array.from({ length: 50 }, (_, length) => ({ description: '🍜'.repeat(200), category: 'x'.repeat(length + 1) })),
    // JSON needs two bytes for a quote, and six for a control character.
    ...Array.from({ length: 122 }, (_, length) => ({ description: '\u0001'.repeat(140 + (length % 61)) })),
    ...['"', '\\', '\u007f', '\u200b', 'é', '日'].map((character) => ({
      description: character.repeat(200),
      category: character.repeat(50),
    })),
  ];
  const added = await Promise.all(bodies.map((body) => add(actor, body)));
  /** @param {Expense} a @param {Expense} b */
  const byId = (a, b) => (a.id < b.id ? -1 : 1);
  assert.deepEqual(await list(actor), added.sort(byId));
  for (const [index, { id }] of added.entries()) {
    if (index % 20 === 0) assert.deepEqual((await actor.request('GET', `/expenses/${id}`)).json, added[index]);
  }
});

test('a body over 64 KiB is refused', async () => {
  const actor = newcomer(world);
  const expense = await add(actor);
  const padded = (/** @type {number} */ bytes, /** @type {string} */ body) => body + ' '.repeat(bytes - body.length);
  for (const [method, path] of [
    ['POST', '/expenses'],
    ['PUT', `/expenses/${expense.id}`],
    ['PATCH', `/expenses/${expense.id}`],
  ]) {
    const body = '{"description":"x","amount":1}';
    assert.ok((await sendText(actor, method, path, padded(65_536, body))).status < 300);
    assertDetail(await sendText(actor, method, path, padded(65_537, body)), 413);
  }
  assert.equal((await list(actor)).length, 2);
});

test('no answer and no log line holds a secret', () => world.assertNothingLeaked());
