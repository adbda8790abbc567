import assert from 'node:assert/strict';
import { test } from 'node:test';

import { assertDetail, assertProblems, assertUnauthorized, assertUnavailable } from './support/assertions.mjs';
import { LOG_SECS, NO_SUCH_ID, add, newSub, newcomer, nextPath, pages } from './support/expenses.mjs';
import { present } from './support/values.mjs';
import { startWorld } from './support/world.mjs';

const ID = /^[0-9A-HJKMNP-TV-Z]{26}$/;

const world = await startWorld();

test('a signed-in browser adds, reads, lists and deletes expenses', async () => {
  const browser = await world.signedIn('Ada');
  const json = { description: 'Team lunch', amount: 42.5, currency: 'EUR', category: 'meals', date: '2026-02-28' };
  const created = await browser.request('POST', '/expenses', { json });
  assert.equal(created.status, 201, `${created}`);
  const { id, created_at: createdAt, updated_at: updatedAt, ...rest } = created.json;
  assert.deepEqual(rest, json);
  assert.match(id, ID);
  assert.match(createdAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
  assert.ok(Math.abs(Date.parse(createdAt) - Date.now()) < 60_000, createdAt);
  assert.equal(updatedAt, createdAt);
  assert.equal(created.headers.location, `/expenses/${id}`);

  const read = await browser.request('GET', created.headers.location);
  assert.equal(read.status, 200);
  assert.deepEqual(read.json, created.json);
  const listed = await browser.request('GET', '/expenses');
  assert.equal(listed.status, 200);
  assert.deepEqual(listed.json, [created.json]);

  const deleted = await browser.request('DELETE', `/expenses/${id}`);
  assert.equal(deleted.status, 204, `${deleted}`);
  assert.equal(deleted.text, '');
  assertDetail(await browser.request('DELETE', `/expenses/${id}`), 404);
  assertDetail(await browser.request('GET', `/expenses/${id}`), 404);
  assert.deepEqual((await browser.request('GET', '/expenses')).json, []);
});

test('new user gets an empty list, not an error', async () => {
  const answer = await newcomer(world).request('GET', '/expenses');
  assert.equal(answer.status, 200);
  assert.equal(answer.text, '[]');
  assert.equal(answer.headers.link, undefined);
});

test('what is left out gets its default', async () => {
  const before = new Date().toISOString().slice(0, 10);
  const { currency, category, date } = await add(newcomer(world));
  const after = new Date().toISOString().slice(0, 10);
  assert.deepEqual({ currency, category }, { currency: 'USD', category: 'other' });
  assert.ok(date === before || date === after, date);
});

test('texts are trimmed and keep any Unicode character', async () => {
  const actor = newcomer(world);
  const description = `Zażółć 🍜 "quotes" \\ <b>&amp;</b> ${'𝔘'.repeat(100)}`;
  const { id } = await add(actor, { description: `  ${description}\t`, category: '\u00a0Überweg ' });
  for (const expense of [
    (await actor.request('GET', `/expenses/${id}`)).json,
    (await actor.request('GET', '/expenses')).json[0],
  ]) {
    assert.equal(expense.description, description);
    assert.equal(expense.category, 'Überweg');
  }
});

test('an expense too long for metadata is listed whole', async () => {
  const actor = newcomer(world);
  const description = '🍜'.repeat(200);
  const category = '🍜'.repeat(50);
  const { id } = await add(actor, { description, category });
  await add(actor, { description: 'short' });
  const listed = (await actor.request('GET', '/expenses')).json;
  assert.deepEqual(
    listed.map((/** @type {import('./support/expenses.mjs').Expense} */ expense) => expense.description),
    ['short', description],
  );
  assert.equal(listed[1].id, id);
  assert.equal(listed[1].category, category);
});

test('amounts are exact, in and out', async () => {
  const actor = newcomer(world);
  for (const [sent, shown] of [
    ['42.50', 42.5],
    ['0.01', 0.01],
    ['0.1', 0.1],
    ['"12.34"', 12.34],
    ['9999999999.99', 9999999999.99],
    ['1e2', 100],
    ['"1e-2"', 0.01],
    ['4503599627.37', 4503599627.37],
    ['19.990', 19.99],
  ]) {
    const headers = { 'content-type': 'application/json' };
    const created = await actor.request('POST', '/expenses', { body: `{"description":"x","amount":${sent}}`, headers });
    assert.equal(created.status, 201, `${sent}: ${created}`);
    const read = await actor.request('GET', created.header('location'));
    for (const answer of [created, read]) {
      assert.equal(answer.json.amount, shown, `${sent}: ${answer}`);
      // A JSON number, without an exponent or the digits of a binary fraction.
      assert.match(answer.text, /"amount":\d+(\.\d{1,2})?,/, `${sent}`);
    }
  }
});

test('25 expenses come in pages of 10, newest first', async () => {
  const actor = newcomer(world);
  const added = [];
  for (let number = 1; number <= 25; number += 1)
    added.unshift(await add(actor, { description: `number ${number}`, amount: number }));

  const found = await pages(actor, '/expenses?limit=10');
  assert.deepEqual(
    found.map((page) => page.length),
    [10, 10, 5],
  );
  assert.deepEqual(found.flat(), added);
  assert.deepEqual((await actor.request('GET', '/expenses')).json, added);
  // A page as long as all there is has no next one that is of any use.
  const whole = await pages(actor, '/expenses?limit=25');
  assert.deepEqual(whole.flat(), added);
});

test('pages stay exact while expenses come and go', async () => {
  const actor = newcomer(world);
  const added = [];
  for (let number = 1; number <= 9; number += 1) added.unshift(await add(actor, { description: `number ${number}` }));
  const first = await actor.request('GET', '/expenses?limit=3');
  await add(actor, { description: 'came later' });
  assert.equal((await actor.request('DELETE', `/expenses/${added[1].id}`)).status, 204);
  assert.equal((await actor.request('DELETE', `/expenses/${added[2].id}`)).status, 204);
  const rest = await pages(actor, present(nextPath(first)));
  assert.deepEqual(rest.flat(), added.slice(3));
});

test('page has 100 rows by default, up to 1,000', async () => {
  const actor = newcomer(world);
  await Promise.all(Array.from({ length: 101 }, (_, number) => add(actor, { description: `number ${number}` })));
  const found = await pages(actor, '/expenses');
  assert.deepEqual(
    found.map((page) => page.length),
    [100, 1],
  );
  assert.equal(new Set(found.flat().map(({ id }) => id)).size, 101);
  assert.equal((await actor.request('GET', '/expenses?limit=1')).json.length, 1);
  assert.equal((await actor.request('GET', '/expenses?limit=1000')).json.length, 101);
});

for (const [limit, type] of [
  ['0', 'greater_than_equal'],
  ['-1', 'greater_than_equal'],
  ['1001', 'less_than_equal'],
  ['99999999999999999999', 'less_than_equal'],
  ['ten', 'int_parsing'],
  ['', 'int_parsing'],
]) {
  test(`limit=${limit} is refused as ${type}`, async () => {
    const answer = await newcomer(world).request('GET', `/expenses?limit=${limit}`);
    assertProblems(answer, [[type, 'query', 'limit']]);
    assert.equal(answer.json.detail[0].input, limit);
  });
}

test("second user cannot see or change the first's expenses", async () => {
  const [ada, grace] = [await world.signedIn('Ada'), await world.signedIn('Grace')];
  const { id } = await add(ada, { description: "Ada's alone" });
  assert.ok(!(await grace.request('GET', '/expenses')).text.includes(id));
  const unknown = await grace.request('GET', `/expenses/${NO_SUCH_ID}`);
  for (const method of ['GET', 'DELETE']) {
    const answer = await grace.request(method, `/expenses/${id}`);
    assertDetail(answer, 404);
    assert.equal(answer.text, unknown.text, 'as if there were none');
  }
  assert.equal((await ada.request('GET', `/expenses/${id}`)).json.description, "Ada's alone");
});

test('no subject reaches the expenses of another', async () => {
  const victim = newSub();
  const owner = newcomer(world, victim);
  const { id } = await add(owner, { description: 'private' });
  for (const sub of [
    victim.slice(0, -1),
    `${victim}:`,
    `${victim}:${id.slice(0, 5)}`,
    victim.toUpperCase(),
    `${victim} `,
    `${victim}\u0000`,
    `x/../${victim}`,
    encodeURIComponent(`${victim}:`),
    'user_',
    ':',
    '*',
    '%',
    'é'.repeat(400),
  ]) {
    const actor = newcomer(world, sub);
    const listed = await actor.request('GET', '/expenses');
    assert.equal(listed.status, 200, `${JSON.stringify(sub)}: ${listed}`);
    assert.deepEqual(listed.json, [], JSON.stringify(sub));
    assertDetail(await actor.request('GET', `/expenses/${id}`), 404);
    // And each of them has a place of its own.
    const own = await add(actor, { description: 'own' });
    assert.deepEqual((await actor.request('GET', '/expenses')).json, [own], JSON.stringify(sub));
    // Nor does what they keep show up elsewhere.
    assert.deepEqual(
      (await owner.request('GET', '/expenses')).json.map(
        (/** @type {import('./support/expenses.mjs').Expense} */ expense) => expense.id,
      ),
      [id],
      JSON.stringify(sub),
    );
    assert.equal((await actor.request('DELETE', `/expenses/${own.id}`)).status, 204);
  }
  assert.equal((await owner.request('GET', '/expenses')).json.length, 1);
});

for (const id of [NO_SUCH_ID, 'x', '%20', '7ybqtsvwgkvqgmh7y926xy65q7', 'A'.repeat(1_000), '..%2Fuser', '%00', '*']) {
  test(`there is no expense ${id.slice(0, 30)}`, async () => {
    const actor = newcomer(world);
    assertDetail(await actor.request('GET', `/expenses/${id}`), 404);
    assertDetail(await actor.request('DELETE', `/expenses/${id}`), 404);
  });
}

/** Bodies, and every problem with each. @type {[string, unknown, [string, ...string[]][]][]} */
const INVALID = [
  [
    'nothing at all',
    {},
    [
      ['missing', 'body', 'description'],
      ['missing', 'body', 'amount'],
    ],
  ],
  ['no amount', { description: 'x' }, [['missing', 'body', 'amount']]],
  ['an empty description', { description: '', amount: 1 }, [['string_too_short', 'body', 'description']]],
  ['a blank description', { description: ' \t\n', amount: 1 }, [['string_too_short', 'body', 'description']]],
  [
    'a description of 201 characters',
    { description: 'é'.repeat(201), amount: 1 },
    [['string_too_long', 'body', 'description']],
  ],
  ['a number for a description', { description: 7, amount: 1 }, [['string_type', 'body', 'description']]],
  ['null for a description', { description: null, amount: 1 }, [['string_type', 'body', 'description']]],
  ['a word for an amount', { description: 'x', amount: 'ten' }, [['decimal_parsing', 'body', 'amount']]],
  ['an empty amount', { description: 'x', amount: '' }, [['decimal_parsing', 'body', 'amount']]],
  ['a thousands separator', { description: 'x', amount: '1,000' }, [['decimal_parsing', 'body', 'amount']]],
  ['null for an amount', { description: 'x', amount: null }, [['decimal_type', 'body', 'amount']]],
  ['true for an amount', { description: 'x', amount: true }, [['decimal_type', 'body', 'amount']]],
  ['a list for an amount', { description: 'x', amount: [1] }, [['decimal_type', 'body', 'amount']]],
  ['an amount of zero', { description: 'x', amount: 0 }, [['greater_than', 'body', 'amount']]],
  ['a negative amount', { description: 'x', amount: -0.01 }, [['greater_than', 'body', 'amount']]],
  ['three decimal places', { description: 'x', amount: 1.005 }, [['decimal_max_places', 'body', 'amount']]],
  ['thirteen digits', { description: 'x', amount: '12345678901.23' }, [['decimal_max_digits', 'body', 'amount']]],
  ['a thousand digits', { description: 'x', amount: '9'.repeat(1_000) }, [['decimal_max_digits', 'body', 'amount']]],
  ['an absurd exponent', { description: 'x', amount: '1e999999999' }, [['decimal_max_digits', 'body', 'amount']]],
  [
    'a category of 51 characters',
    { description: 'x', amount: 1, category: 'c'.repeat(51) },
    [['string_too_long', 'body', 'category']],
  ],
  ['a blank category', { description: 'x', amount: 1, category: ' ' }, [['string_too_short', 'body', 'category']]],
  [
    'a day that is not in the calendar',
    { description: 'x', amount: 1, date: '2026-02-30' },
    [['date_from_datetime_parsing', 'body', 'date']],
  ],
  [
    'a date in words',
    { description: 'x', amount: 1, date: 'yesterday' },
    [['date_from_datetime_parsing', 'body', 'date']],
  ],
  ['an unknown member', { description: 'x', amount: 1, tip: 2 }, [['extra_forbidden', 'body', 'tip']]],
  ['an id of its own', { description: 'x', amount: 1, id: NO_SUCH_ID }, [['extra_forbidden', 'body', 'id']]],
  [
    'five mistakes at once',
    { description: '', amount: 'x', category: 7, date: 'x', tip: 1 },
    [
      ['string_too_short', 'body', 'description'],
      ['decimal_parsing', 'body', 'amount'],
      ['string_type', 'body', 'category'],
      ['date_from_datetime_parsing', 'body', 'date'],
      ['extra_forbidden', 'body', 'tip'],
    ],
  ],
];

for (const [what, json, problems] of INVALID) {
  test(`an expense with ${what} is refused and not stored`, async () => {
    const actor = newcomer(world);
    const answer = await actor.request('POST', '/expenses', { json });
    assertProblems(answer, problems);
    assert.equal((await actor.request('GET', '/expenses')).text, '[]');
  });
}

test('there is no year 0', async () => {
  const answer = await newcomer(world).request('POST', '/expenses', {
    json: { description: 'x', amount: 1, date: '0000-01-01' },
  });
  assertProblems(answer, [['date_parsing', 'body', 'date']]);
});

for (const currency of ['usd', 'US', 'USDX', 'U$D', '', 'ÄÖÜ']) {
  test(`"${currency}" is no currency`, async () => {
    const answer = await newcomer(world).request('POST', '/expenses', {
      json: { description: 'x', amount: 1, currency },
    });
    assert.equal(answer.status, 422, `${answer}`);
    assert.deepEqual(answer.json.detail[0].loc, ['body', 'currency']);
  });
}

test('a problem has the form that FastAPI gives it', async () => {
  const json = { description: 'x' };
  const answer = await newcomer(world).request('POST', '/expenses', { json });
  assert.match(answer.header('content-type'), /^application\/json/);
  assert.deepEqual(answer.json, {
    detail: [{ type: 'missing', loc: ['body', 'amount'], msg: 'Field required', input: json }],
  });
});

for (const [what, body] of [
  ['half an object', '{"description": "x"'],
  ['a trailing comma', '{"description": "x", "amount": 1,}'],
  ['single quotes', "{'description': 'x'}"],
  ['NaN', '{"description": "x", "amount": NaN}'],
  ['bytes that are not UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])],
  ['nested brackets without end', '['.repeat(20_000)],
]) {
  test(`a body with ${what} is invalid JSON`, async () => {
    const answer = await newcomer(world).request('POST', '/expenses', {
      body,
      headers: { 'content-type': 'application/json' },
    });
    assert.equal(answer.status, 422, `${answer}`);
    assert.equal(answer.json.detail.length, 1);
    assert.equal(answer.json.detail[0].type, 'json_invalid');
    assert.equal(answer.json.detail[0].loc[0], 'body');
  });
}

for (const [what, body] of [
  ['a list', '[]'],
  ['a string', '"x"'],
  ['null', 'null'],
]) {
  test(`a body that is ${what} is no expense`, async () => {
    const answer = await newcomer(world).request('POST', '/expenses', {
      body,
      headers: { 'content-type': 'application/json' },
    });
    assert.equal(answer.status, 422, `${answer}`);
    assert.deepEqual(answer.json.detail[0].loc, ['body']);
  });
}

for (const contentType of [
  'application/json',
  'application/json; charset=utf-8',
  'APPLICATION/JSON',
  'application/vnd.x+json',
]) {
  test(`${contentType} is JSON`, async () => {
    const body = '{"description":"x","amount":1}';
    const answer = await newcomer(world).request('POST', '/expenses', {
      body,
      headers: { 'content-type': contentType },
    });
    assert.equal(answer.status, 201, `${answer}`);
  });
}

for (const contentType of [
  undefined,
  'text/plain',
  'multipart/form-data; boundary=x',
  'application/jsonp',
  'text/json-ish',
  'x',
]) {
  test(`${contentType ?? 'no type'} is not taken for JSON`, async () => {
    const actor = newcomer(world);
    const body = '{"description":"x","amount":1}';
    assertDetail(await actor.request('POST', '/expenses', { body, headers: { 'content-type': contentType } }), 415);
    assert.equal((await actor.request('GET', '/expenses')).text, '[]');
  });
}

test('a form from another page is refused', async () => {
  const form = { body: 'description=x&amount=1', headers: { 'content-type': 'application/x-www-form-urlencoded' } };
  assertDetail(await newcomer(world).request('POST', '/expenses', form), 415);
  assertUnauthorized(await world.anonymous().request('POST', '/expenses', form));
});

test('a body over 64 KiB is refused, chunked too', async () => {
  const actor = newcomer(world);
  const headers = { 'content-type': 'application/json' };
  const bodyOf = (/** @type {number} */ bytes) => `{"description":"${'x'.repeat(bytes - 18)}"}`;
  assert.equal(bodyOf(65_536).length, 65_536);
  for (const chunked of [false, true]) {
    const longest = await actor.request('POST', '/expenses', { body: bodyOf(65_536), headers, chunked });
    assertProblems(longest, [
      ['string_too_long', 'body', 'description'],
      ['missing', 'body', 'amount'],
    ]);
    assertDetail(await actor.request('POST', '/expenses', { body: bodyOf(65_537), headers, chunked }), 413);
    assertDetail(await actor.request('POST', '/expenses', { body: bodyOf(1_000_000), headers, chunked }), 413);
  }
  assert.equal((await actor.request('GET', '/expenses')).text, '[]');
});

test('an unauthenticated caller learns nothing of body or id', async () => {
  const anonymous = world.anonymous();
  const { id } = await add(newcomer(world));
  assertUnauthorized(await anonymous.request('POST', '/expenses', { body: 'x'.repeat(70_000) }));
  assertUnauthorized(await anonymous.request('POST', '/expenses', { json: {} }));
  assertUnauthorized(await anonymous.request('GET', '/expenses?limit=x'));
  const [known, unknown] = [
    await anonymous.request('GET', `/expenses/${id}`),
    await anonymous.request('GET', `/expenses/${NO_SUCH_ID}`),
  ];
  assertUnauthorized(known);
  assert.equal(known.text, unknown.text);
});

test('expenses that are added at once are all kept', async () => {
  const actor = newcomer(world);
  await Promise.all(Array.from({ length: 20 }, (_, number) => add(actor, { description: `number ${number}` })));
  const listed = (await actor.request('GET', '/expenses')).json;
  assert.deepEqual(
    listed.map((/** @type {import('./support/expenses.mjs').Expense} */ { description }) => description).sort(),
    Array.from({ length: 20 }, (_, number) => `number ${number}`).sort(),
  );
});

test('a KV failure gets 503, never an empty list', async (t) => {
  t.after(() => world.worker.failKv());
  const sub = newSub();
  const { id } = await add(newcomer(world, sub));
  // From then on the ledger does not know the expense.
  await world.worker.settle();
  await world.advanceClock(LOG_SECS);
  await world.worker.settle();
  const actor = newcomer(world, sub);
  /** @type {[import('./support/worker.mjs').KvOperation, () => Promise<import('./support/http.mjs').Answer>][]} */
  const requests = [
    ['list', () => actor.request('GET', '/expenses')],
    ['get', () => actor.request('GET', `/expenses/${id}`)],
    ['get', () => actor.request('DELETE', `/expenses/${id}`)],
  ];
  for (const [operation, request] of requests) {
    await world.worker.failKv(operation);
    const answer = await request();
    assertUnavailable(answer);
    assert.doesNotMatch(answer.text, /KV|500|user_/, 'nothing of the inside');
  }
  await world.worker.failKv();
  assert.deepEqual(
    (await actor.request('GET', '/expenses')).json.map(
      (/** @type {import('./support/expenses.mjs').Expense} */ expense) => expense.id,
    ),
    [id],
  );
  await world.worker.flushLog();
  assert.match(world.worker.log, /KV LIST failed/i);
});

test('a page costs one list, an expense one read', async () => {
  const actor = newcomer(world);
  const { id } = await add(actor);
  await add(actor);
  const worker = world.worker;
  try {
    await worker.failKv('get', 'put', 'delete');
    assert.equal((await actor.request('GET', '/expenses')).json.length, 2);
    await worker.failKv('list', 'put', 'delete');
    assert.equal((await actor.request('GET', `/expenses/${id}`)).status, 200);
    await worker.failKv('get', 'list', 'delete');
    await add(actor);
    await worker.failKv('get', 'put', 'list', 'delete');
    assert.equal((await actor.request('GET', '/health')).status, 200);
    assert.equal((await actor.request('GET', '/me')).status, 200);
  } finally {
    await worker.failKv();
  }
});

test('no answer and no log line holds a secret', () => world.assertNothingLeaked());
