/** Expenses as a client of the API deals with them, and as they lie in KV. */

import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';

/** An id in the right form that no expense has. */
export const NO_SUCH_ID = '7YBQTSVWGKVQGMH7Y926XY65Q7';
export const MAX_PAGES = 100;
/** The ledger forgets an expense eleven minutes after KV has it, at the latest. */
export const LOG_SECS = 662;

const JSON_TYPE = { 'content-type': 'application/json' };

/** @typedef {import('./actors.mjs').Actor} Actor */
/** @typedef {import('./world.mjs').World} World */

/** The total of one currency in a summary. @typedef {{ currency: string, total: number, count: number }} Total */

/**
 * An expense as the API shows it.
 *
 * @typedef {object} Expense
 * @property {string} id
 * @property {string} description
 * @property {number} amount
 * @property {string} currency
 * @property {string} category
 * @property {string} date
 * @property {string} created_at
 * @property {string} updated_at
 */

/** A `sub` of its own. */
export function newSub() {
  return `user_${randomUUID()}`;
}

/**
 * A user without expenses, by token.
 *
 * @param {World} world
 * @param {string} [sub]
 * @param {import('./worker.mjs').Isolate} [isolate] default: the world's Worker
 */
export function newcomer(world, sub = newSub(), isolate = world.worker) {
  return world.bearer(world.authkit.mintToken({ claims: { sub } }), isolate);
}

/**
 * @param {Actor} actor
 * @param {Record<string, unknown>} [expense] fields that differ from the usual ones
 * @returns {Promise<Expense>}
 */
export async function add(actor, expense = {}) {
  const answer = await actor.request('POST', '/expenses', { json: { description: 'Lunch', amount: 10, ...expense } });
  assert.equal(answer.status, 201, `${answer}`);
  return answer.json;
}

/**
 * Sends JSON as it is written: a number keeps its digits, a member may be there twice.
 *
 * @param {Actor} actor
 * @param {string} method
 * @param {string} path
 * @param {string} body
 * @param {Record<string, string | undefined>} [headers]
 */
export function sendText(actor, method, path, body, headers = {}) {
  return actor.request(method, path, { body, headers: { ...JSON_TYPE, ...headers } });
}

/**
 * All that an actor has, if it goes on one page of the longest.
 *
 * @param {Actor} actor
 * @param {string} [query]
 * @returns {Promise<Expense[]>}
 */
export async function list(actor, query = '') {
  const answer = await actor.request('GET', `/expenses?limit=1000${query && `&${query}`}`);
  assert.equal(answer.status, 200, `${answer}`);
  return answer.json;
}

/** @param {Actor} actor @param {string} [query] @returns {Promise<string[]>} */
export async function descriptions(actor, query) {
  return (await list(actor, query)).map(({ description }) => description);
}

/** The path of the next page, or nothing on the last. @param {import('./http.mjs').Answer} answer */
export function nextPath(answer) {
  const { link } = answer.headers;
  if (link === undefined) return undefined;
  const [, target] = /^<([^>]*)>; rel="next"$/.exec(String(link)) ?? assert.fail(`Link: ${link}`);
  const url = new URL(target, answer.request.url);
  assert.equal(url.origin, answer.request.url.origin);
  return url.pathname + url.search;
}

/**
 * Every page from `path` on.
 *
 * @param {Actor} actor
 * @param {string} path
 * @param {{ between?: () => Promise<unknown> }} [options] `between`: what happens before a page is turned
 */
export async function pages(actor, path, { between } = {}) {
  /** @type {Expense[][]} */
  const all = [];
  for (let next = /** @type {string | undefined} */ (path); next !== undefined; ) {
    if (all.length > 0) await between?.();
    const answer = await actor.request('GET', next);
    assert.equal(answer.status, 200, `${answer}`);
    all.push(answer.json);
    next = nextPath(answer);
    assert.ok(all.length < MAX_PAGES, 'the pages have no end');
  }
  return all;
}

/** Crockford's base 32. */
const DIGITS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const MAX_MILLIS = 2n ** 48n - 1n;

/** The id of an expense made at that time: a ULID whose time runs backwards. @param {number} millis */
export function idAt(millis) {
  let bits = ((MAX_MILLIS - BigInt(millis)) << 80n) | BigInt(`0x${randomBytes(10).toString('hex')}`);
  let text = '';
  for (let length = 0; length < 26; length += 1) {
    text = DIGITS[Number(bits & 31n)] + text;
    bits >>= 5n;
  }
  return text;
}

/**
 * The KV entry of one expense: the store's documented format, written a second time.
 *
 * @param {string} sub of letters, digits, `-` and `_`
 * @param {string} id
 * @param {Record<string, unknown>} [record] fields that differ from the usual ones
 */
export function stored(sub, id, record = {}) {
  const whole = {
    description: 'Lunch',
    amount: '10.00',
    currency: 'USD',
    category: 'other',
    date: '2026-01-31',
    created_at: 1_700_000_000,
    updated_at: 1_700_000_000,
    ...record,
  };
  return { key: `expense:${sub}:${id}`, value: JSON.stringify(whole), metadata: whole };
}
