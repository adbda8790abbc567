/**
 * The cost of the runtime, Miniflare's KV, one Durable Object, the rate limit and HTTP alone: the same paths as the
 * real Worker's, each with the operations of KV, the messages to an object and the call of a rate limit that it
 * needs, and nothing else. It has no authentication and no validation: never deploy it.
 */

import { Ledger, readLedger, writeToLedger } from './ledger.mjs';

export { Ledger };

/**
 * @typedef {object} Bindings
 * @property {RateLimit} CALLER_RATE_LIMIT
 * @property {RateLimit} MCP_RATE_LIMIT
 * @property {string} PREFIX the beginning of the KV keys of the one user's expenses
 * @property {string} PAGE   what the page answers: as many bytes as the real one
 */

/** @typedef {import('./ledger.mjs').LedgerEnv & Bindings} Env */

const OWNER = 'owner';
/** The most keys of one `list` of KV. */
const LIST_MAX = 1000;

export default {
  /** @param {Request} request @param {Env} env */
  async fetch(request, env) {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === '/health') return Response.json({ status: 'ok' });
    const isMcp = pathname === '/mcp';
    const { success } = await env[isMcp ? 'MCP_RATE_LIMIT' : 'CALLER_RATE_LIMIT'].limit({ key: OWNER });
    if (!success) return new Response(null, { status: 429 });
    if (isMcp) return answerTool(await request.json(), env);
    if (request.method === 'POST') return create(await request.json(), env);
    switch (pathname) {
      case '/expenses':
        return request.headers.get('accept')?.startsWith('text/html')
          ? showPage(searchParams, env)
          : list(searchParams, env);
      case '/expenses.csv':
        return Response.json({ rows: await readAll(env, true) });
      case '/expenses/summary':
        return Response.json({ rows: await readAll(env, false) });
      default:
        return get(pathname.slice('/expenses/'.length), env);
    }
  },
};

/**
 * @param {Env} env
 * @param {number} limit
 * @param {string | null} [cursor]
 * @returns {Promise<KVNamespaceListResult<object>>}
 */
function listRows({ EXPENSES, PREFIX }, limit, cursor) {
  return EXPENSES.list({ prefix: PREFIX, limit, cursor });
}

/** Asks KV and the ledger at the same time. @param {Env} env @param {number} limit @param {string | null} [cursor] */
async function readRows(env, limit, cursor) {
  const [listed] = await Promise.all([listRows(env, limit, cursor), readLedger(env, OWNER)]);
  return listed;
}

/** @param {Env} env @param {KVNamespaceListResult<object>} listed */
function rowsOf({ PREFIX }, { keys }) {
  return keys.map(({ name, metadata }) => ({ id: name.slice(PREFIX.length), ...metadata }));
}

/** @param {URLSearchParams} query @param {Env} env */
async function list(query, env) {
  const listed = await readRows(env, Number(query.get('limit') ?? 100), query.get('cursor'));
  return Response.json(rowsOf(env, listed));
}

/**
 * The first page reads all expenses, for its charts; one with a cursor, which is in the order of additions here, one batch.
 *
 * @param {URLSearchParams} query
 * @param {Env} env
 */
async function showPage(query, env) {
  const cursor = query.get('cursor');
  await (cursor === null ? readAll(env, false) : readRows(env, LIST_MAX, cursor));
  return new Response(env.PAGE, { headers: { 'content-type': 'text/html; charset=utf-8' } });
}

/**
 * Reads all expenses in batches: a `list` of KV for each thousand. The ledger is asked with the first one, or with each
 * as the CSV does.
 *
 * @param {Env} env
 * @param {boolean} asksEachTime
 */
async function readAll(env, asksEachTime) {
  let batch = await readRows(env, LIST_MAX);
  let rows = batch.keys.length;
  while (!batch.list_complete) {
    const { cursor } = batch;
    batch = await (asksEachTime ? readRows(env, LIST_MAX, cursor) : listRows(env, LIST_MAX, cursor));
    rows += batch.keys.length;
  }
  return rows;
}

/** @param {{ id: unknown, params: { arguments: { limit: number } } }} message @param {Env} env */
async function answerTool({ id, params }, env) {
  const expenses = rowsOf(env, await readRows(env, params.arguments.limit));
  const structuredContent = { expenses, next_cursor: null };
  const content = [{ type: 'text', text: JSON.stringify(structuredContent) }];
  return Response.json({ jsonrpc: '2.0', id, result: { content, structuredContent } });
}

/** @param {string} id @param {Env} env */
async function get(id, env) {
  const [value] = await Promise.all([env.EXPENSES.get(env.PREFIX + id), readLedger(env, OWNER)]);
  if (value === null) return Response.json({ detail: 'Not found' }, { status: 404 });
  return new Response(value, { headers: { 'content-type': 'application/json' } });
}

/** @param {import('./ledger.mjs').StoredExpense} content @param {Env} env */
async function create(content, env) {
  const id = crypto.randomUUID();
  const now = Math.floor(Date.now() / 1000);
  const record = { ...content, amount: String(content.amount), created_at: now, updated_at: now };
  await writeToLedger(env, OWNER, `expense:another:${id}`, record);
  return Response.json({ id, ...record }, { status: 201 });
}
