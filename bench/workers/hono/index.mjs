/**
 * The same API in JavaScript: Hono, the official Node SDK for the sessions, zod for the bodies, the official MCP SDK.
 * Written as its documentation shows, with the Worker's bindings, keys and records. Part of the benchmark only: it has
 * no sign-in and no renewal of sessions, so never deploy it.
 */

import { Hono } from 'hono';
import { accepts } from 'hono/accepts';
import { csrf } from 'hono/csrf';
import { secureHeaders } from 'hono/secure-headers';

import { Ledger } from '../ledger.mjs';
import { LIST_MAX, ListQuery, NewExpense, addExpense, getExpense, listExpenses } from './expenses.mjs';
import { answerMessage } from './mcp.mjs';
import { page } from './page.mjs';
import { hasToken, signedIn } from './sessions.mjs';

export { Ledger };

/**
 * @typedef {object} Variables
 * @property {RateLimit} CALLER_RATE_LIMIT
 * @property {RateLimit} MCP_RATE_LIMIT
 * @property {string} WORKOS_API_KEY
 * @property {string} WORKOS_CLIENT_ID
 * @property {string} WORKOS_COOKIE_PASSWORD
 * @property {string} WORKOS_BASE_URL
 */

/** @typedef {import('../ledger.mjs').LedgerEnv & Variables} Bindings */

/** @type {Hono<import('./sessions.mjs').SignedIn>} */
const app = new Hono();

app.use(
  secureHeaders({ xFrameOptions: 'DENY', referrerPolicy: 'same-origin' }),
  async (c, next) => {
    await next();
    c.header('cache-control', 'no-store');
    c.header('vary', 'Cookie, Authorization, Accept');
  },
  csrf(),
);

app.get('/health', (c) => c.json({ status: 'ok' }));

app.get('/expenses', signedIn, async (c) => {
  const type = accepts(c, {
    header: 'Accept',
    supports: ['application/json', 'text/html'],
    default: 'application/json',
  });
  if (type === 'text/html') {
    const expenses = await listExpenses(c.env, c.get('user'), LIST_MAX);
    return c.html(page(c.get('email'), expenses));
  }
  const query = ListQuery.safeParse(c.req.query());
  if (!query.success) return c.json({ detail: query.error.issues }, 422);
  return c.json(await listExpenses(c.env, c.get('user'), query.data.limit));
});

app.post('/expenses', signedIn, async (c) => {
  const body = NewExpense.safeParse(await c.req.json().catch(() => undefined));
  if (!body.success) return c.json({ detail: body.error.issues }, 422);
  const expense = await addExpense(c.env, c.get('user'), body.data);
  return c.json(expense, 201, { location: `/expenses/${expense.id}` });
});

app.get('/expenses/:id', signedIn, async (c) => {
  const expense = await getExpense(c.env, c.get('user'), c.req.param('id'));
  return expense ? c.json(expense) : c.json({ detail: 'No such expense' }, 404);
});

app.post('/mcp', hasToken, answerMessage);

app.notFound((c) => c.json({ detail: 'Not Found' }, 404));

export default app;
