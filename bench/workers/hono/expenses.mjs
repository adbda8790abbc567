/** Expenses in KV, under the same keys as the Worker's, with a ledger for the writes. */

import { z } from 'zod';

import { readLedger, writeToLedger } from '../ledger.mjs';

/** @typedef {import('../ledger.mjs').StoredExpense} StoredExpense */
/** @typedef {import('./index.mjs').Bindings} Bindings */
/** @typedef {z.infer<typeof Expense>} ExpenseRow */

/** The most keys of one `list` of KV. */
export const LIST_MAX = 1000;

const content = {
  description: z.string().trim().min(1).max(200),
  amount: z.number().positive().max(9_999_999_999.99).multipleOf(0.01),
  currency: z.string().regex(/^[A-Z]{3}$/),
  category: z.string().trim().min(1).max(50),
  date: z.iso.date(),
};

/** The body that adds an expense. */
export const NewExpense = z.object({
  ...content,
  currency: content.currency.default('USD'),
  category: content.category.default('other'),
  date: content.date.default(() => new Date().toISOString().slice(0, 10)),
});

/** An expense in a response. */
export const Expense = z.object({
  id: z.string(),
  ...content,
  created_at: z.iso.datetime(),
  updated_at: z.iso.datetime(),
});

/** The query of a list. */
export const ListQuery = z.object({
  limit: z.coerce.number().int().min(1).max(LIST_MAX).default(100),
});

/** Crockford's base 32. */
const DIGITS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const ID_PATTERN = /^[0-9A-HJKMNP-TV-Z]{26}$/;

/** @param {string} user */
const prefixOf = (user) => `expense:${encodeURIComponent(user)}:`;

/** @param {Bindings} env @param {string} user @param {number} limit @returns {Promise<ExpenseRow[]>} */
export async function listExpenses(env, user, limit) {
  const prefix = prefixOf(user);
  /** @type {[KVNamespaceListResult<StoredExpense>, import('../ledger.mjs').LogEntry[]]} */
  const [{ keys }, recent] = await Promise.all([
    env.EXPENSES.list({ prefix, limit }),
    readLedger(env, encodeURIComponent(user)),
  ]);
  const rows = keys.flatMap(({ name, metadata }) => (metadata ? [rowOf(name.slice(prefix.length), metadata)] : []));
  if (recent.length === 0) return rows;
  const byId = new Map(rows.map((row) => [row.id, row]));
  for (const { key, record } of recent) byId.set(key.slice(prefix.length), rowOf(key.slice(prefix.length), record));
  return [...byId.values()].sort((a, b) => (a.id < b.id ? -1 : 1)).slice(0, limit);
}

/** @param {Bindings} env @param {string} user @param {string} id @returns {Promise<ExpenseRow | undefined>} */
export async function getExpense(env, user, id) {
  if (!ID_PATTERN.test(id)) return undefined;
  const key = prefixOf(user) + id;
  /** @type {[StoredExpense | null, import('../ledger.mjs').LogEntry[]]} */
  const [stored, recent] = await Promise.all([
    env.EXPENSES.get(key, 'json'),
    readLedger(env, encodeURIComponent(user)),
  ]);
  const record = recent.find((entry) => entry.key === key)?.record ?? stored;
  return record ? rowOf(id, record) : undefined;
}

/** @param {Bindings} env @param {string} user @param {z.infer<typeof NewExpense>} expense @returns {Promise<ExpenseRow>} */
export async function addExpense(env, user, expense) {
  const now = Math.floor(Date.now() / 1000);
  const id = newId();
  const record = { ...expense, amount: expense.amount.toFixed(2), created_at: now, updated_at: now };
  await writeToLedger(env, encodeURIComponent(user), prefixOf(user) + id, record);
  return rowOf(id, record);
}

/** @param {string} id @param {StoredExpense} record @returns {ExpenseRow} */
function rowOf(id, { description, amount, currency, category, date, created_at: createdAt, updated_at: updatedAt }) {
  return {
    id,
    description,
    amount: Number(amount),
    currency,
    category,
    date,
    created_at: new Date(createdAt * 1000).toISOString(),
    updated_at: new Date(updatedAt * 1000).toISOString(),
  };
}

/** A ULID whose time counts backwards: `list` returns the newest first. */
function newId() {
  let time = 2 ** 48 - 1 - Date.now();
  let text = '';
  for (let digit = 0; digit < 10; digit += 1) {
    text = DIGITS[time % 32] + text;
    time = Math.floor(time / 32);
  }
  for (const byte of crypto.getRandomValues(new Uint8Array(16))) text += DIGITS[byte % 32];
  return text;
}
