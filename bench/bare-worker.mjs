/**
 * The cost of the runtime, Miniflare's KV and HTTP alone: the same paths as the real Worker's, each with
 * the one KV operation that it needs, and nothing else. It has no authentication and no validation: never
 * deploy it. `PREFIX` is the beginning of the KV keys of the one user's expenses.
 */

/** @typedef {{ EXPENSES: KVNamespace, PREFIX: string }} Env */

export default {
  /** @param {Request} request @param {Env} env */
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === '/health') return Response.json({ status: 'ok' });
    if (request.method === 'POST') return put(await request.json(), env);
    return pathname === '/expenses' ? list(env) : get(pathname.slice('/expenses/'.length), env);
  },
};

/** @param {Env} env */
async function list({ EXPENSES, PREFIX }) {
  /** @type {KVNamespaceListResult<object>} */
  const { keys } = await EXPENSES.list({ prefix: PREFIX, limit: 100 });
  return Response.json(keys.map(({ name, metadata }) => ({ id: name.slice(PREFIX.length), ...metadata })));
}

/** @param {string} id @param {Env} env */
async function get(id, { EXPENSES, PREFIX }) {
  const value = await EXPENSES.get(PREFIX + id);
  if (value === null) return Response.json({ detail: 'Not found' }, { status: 404 });
  return new Response(value, { headers: { 'content-type': 'application/json' } });
}

/** @param {{ amount: unknown }} content @param {Env} env */
async function put(content, { EXPENSES }) {
  const id = crypto.randomUUID();
  const now = Math.floor(Date.now() / 1000);
  const record = { ...content, amount: String(content.amount), created_at: now, updated_at: now };
  await EXPENSES.put(`expense:another:${id}`, JSON.stringify(record), { metadata: record });
  return Response.json({ id, ...record }, { status: 201 });
}
