/**
 * What a user of the generated types does: an expense is added, listed, changed and deleted. A refusal comes
 * as a value with its problems. BASE_URL and ACCESS_TOKEN come from the environment.
 */

import assert from 'node:assert/strict';

import createClient from 'openapi-fetch';

import type { components, paths } from './schema.js';

type Expense = components['schemas']['Expense'];
type Problem = components['schemas']['Problem'];

const client = createClient<paths>({
  baseUrl: process.env.BASE_URL ?? '',
  headers: { authorization: `Bearer ${process.env.ACCESS_TOKEN}` },
});

const list = async (query: NonNullable<paths['/expenses']['get']['parameters']['query']> = {}): Promise<Expense[]> => {
  const { data, response } = await client.GET('/expenses', { params: { query } });
  assert.equal(response.status, 200);
  // Not the text of a CSV or a page, which nobody has asked for.
  assert.ok(Array.isArray(data));
  return data;
};
const whatIsWrong = (error: unknown): [string, (string | number)[]][] => {
  const { detail } = error as components['schemas']['ValidationErrorResponse'];
  return detail.map(({ type, loc }: Problem) => [type, loc]);
};

assert.deepEqual(await list(), []);

const lunch = { description: 'Team lunch', amount: '42.50', category: 'meals', date: '2026-11-23' } as const;
const params = { header: { 'Idempotency-Key': 'a key' } };
const made = await client.POST('/expenses', { params, body: lunch });
assert.equal(made.response.status, 201);
assert.ok(made.data);
const expense: Expense = made.data;
assert.equal(made.response.headers.get('location'), `/expenses/${expense.id}`);
assert.deepEqual([expense.amount, expense.currency, expense.date], [42.5, 'USD', '2026-11-23']);
assert.deepEqual(await list({ from: '2026-11-23', to: '2026-11-23' }), [expense]);

const path = { id: expense.id };
const changed = await client.PATCH('/expenses/{id}', { params: { path }, body: { amount: 45, category: null } });
assert.ok(changed.data);
assert.deepEqual([changed.data.amount, changed.data.category, changed.data.description], [45, 'other', 'Team lunch']);
const { data: summary } = await client.GET('/expenses/summary');
assert.deepEqual(
  summary?.currencies.map(({ currency, total, count }) => [currency, total, count]),
  [['USD', 45, 1]],
);

const wrong = await client.POST('/expenses', { body: { description: '', amount: 0 } });
assert.equal(wrong.response.status, 422);
assert.deepEqual(whatIsWrong(wrong.error), [
  ['string_too_short', ['body', 'description']],
  ['greater_than', ['body', 'amount']],
]);
const reused = await client.POST('/expenses', { params, body: { ...lunch, amount: 1 } });
assert.deepEqual(whatIsWrong(reused.error), [['value_error', ['header', 'idempotency-key']]]);
// @ts-expect-error Without an amount it is no expense.
const missing = await client.POST('/expenses', { body: { description: 'x' } });
assert.deepEqual(whatIsWrong(missing.error), [['missing', ['body', 'amount']]]);

const gone = await client.DELETE('/expenses/{id}', { params: { path } });
assert.equal(gone.response.status, 204);
assert.equal((await client.DELETE('/expenses/{id}', { params: { path } })).response.status, 404);
assert.deepEqual(await list(), []);
console.log('The story is told');
