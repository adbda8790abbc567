/**
 * The cost of the runtime, Miniflare's KV, one Durable Object and HTTP alone: the same paths as the real Worker's,
 * each with the one KV operation and the one message to an object that it needs, and nothing else. It has no
 * authentication and no validation: never deploy it. `PREFIX` is the beginning of the KV keys of the one user's
 * expenses.
 */

/** @typedef {{ EXPENSES: KVNamespace, LEDGER: DurableObjectNamespace, PREFIX: string }} Env */

export default {
  /** @param {Request} request @param {Env} env */
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === '/health') return Response.json({ status: 'ok' });
    if (request.method === 'POST') return put(await request.json(), env);
    return pathname === '/expenses' ? list(env) : get(pathname.slice('/expenses/'.length), env);
  },
};

/** An object with no rows that a read needs. A write puts a row and the expense's key in KV, as the ledger does. */
export class Ledger {
  #ctx;
  #env;

  /** @param {DurableObjectState} ctx @param {Env} env */
  constructor(ctx, env) {
    this.#ctx = ctx;
    this.#env = env;
  }

  /** @param {Request} request */
  async fetch(request) {
    const message = await request.text();
    if (message === READ) return new Response('[]');
    const { key, record } = JSON.parse(message);
    this.#ctx.storage.kv.put(key, message);
    this.#ctx.waitUntil(this.#env.EXPENSES.put(key, JSON.stringify(record), { metadata: record }));
    return new Response('done');
  }
}

/** The message of a read. */
const READ = 'read';

/** @param {Env} env @param {string} message */
async function askLedger({ LEDGER }, message) {
  const response = await LEDGER.getByName('ledger').fetch('http://object/', { method: 'POST', body: message });
  return response.text();
}

/** @param {Env} env */
async function list(env) {
  const { EXPENSES, PREFIX } = env;
  /** @type {[KVNamespaceListResult<object>, string]} */
  const [{ keys }] = await Promise.all([EXPENSES.list({ prefix: PREFIX, limit: 100 }), askLedger(env, READ)]);
  return Response.json(keys.map(({ name, metadata }) => ({ id: name.slice(PREFIX.length), ...metadata })));
}

/** @param {string} id @param {Env} env */
async function get(id, env) {
  const [value] = await Promise.all([env.EXPENSES.get(env.PREFIX + id), askLedger(env, READ)]);
  if (value === null) return Response.json({ detail: 'Not found' }, { status: 404 });
  return new Response(value, { headers: { 'content-type': 'application/json' } });
}

/** @param {{ amount: unknown }} content @param {Env} env */
async function put(content, env) {
  const id = crypto.randomUUID();
  const now = Math.floor(Date.now() / 1000);
  const record = { ...content, amount: String(content.amount), created_at: now, updated_at: now };
  await askLedger(env, JSON.stringify({ key: `expense:another:${id}`, record }));
  return Response.json({ id, ...record }, { status: 201 });
}
