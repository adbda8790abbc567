/** The operations that the benchmark measures, their goals, and their requests. */

/** The number of expenses that the operations read. */
export const ROWS = 100;
/** The numbers of expenses at which the growth is measured. A quick run leaves the last out: storing them takes long. */
export const GROWTH_ROWS = [100, 1_000, 10_000];

/** One namespace for reading expenses and one for creating them. */
export const NAMESPACES = /** @type {const} */ (['read', 'create']);

/** @typedef {'health' | 'list' | 'list-bearer' | 'list-browser' | 'get' | 'create' | 'page' | 'mcp'} OperationName */
/** @typedef {'ours' | 'against' | 'bare' | 'hono'} ServerName */

const CATEGORIES = ['meals', 'travel', 'office', 'software', 'other'];
/** The rows that the page shows and the tool returns. */
export const PAGE_ROWS = 25;
/** The most rows of the API's lists and of one `list` of KV. */
export const LIST_MAX = 1_000;
/** The expenses' dates are spread over the months that the page's charts show. */
const DATES_DAYS = 300;
const DAY_MS = 24 * 60 * 60 * 1000;
/** The length of the `Cookie` header that browsers send with other cookies of the same site. */
const BROWSER_COOKIE_BYTES = 1_400;

/** The log of the ledger has 20,000 entries at most, for ten minutes each. */
const LEDGER_MAX_REQUESTS = 18_000;

/**
 * What an operation should cost: CPU seconds per 1,000 requests at 10 connections, above the bare Worker's.
 *
 * @typedef {object} Limit
 * @property {number} goal
 * @property {number} atMost the benchmark fails beyond it
 */

/**
 * A measurable operation.
 *
 * @typedef {object} OperationKind
 * @property {OperationName} name its name in `--only`
 * @property {string} title
 * @property {number} requests of one burst: half a second of CPU or more on an idle machine
 * @property {number} [maxRequests] of all bursts together
 * @property {Limit} limit
 * @property {OperationName} [beyond] the limit is for what this operation costs more than that one
 */

/**
 * @typedef {object} Request
 * @property {'GET' | 'POST'} method
 * @property {string} path
 * @property {Record<string, string>} headers
 * @property {string} [body]
 */

/**
 * A request that is sent repeatedly. Every Worker gets the same one, but for the cookie, which Hono's SDK seals
 * in a format of its own.
 *
 * @typedef {object} Exchange
 * @property {string} namespace
 * @property {number} status of the response
 * @property {(server: ServerName) => Request} request
 */

/** @typedef {{ title: string } & Exchange} Sent */
/** @typedef {Sent & { read: number }} Growing `read`: the expenses that it reads */
/** @typedef {OperationKind & Exchange} Operation */

/**
 * The operations. Their requests need sessions: {@link withRequests}.
 *
 * @type {OperationKind[]}
 */
export const OPERATIONS = [
  { name: 'health', title: 'GET /health', requests: 5_000, limit: { goal: 0.005, atMost: 0.02 } },
  { name: 'list', title: `GET /expenses (${ROWS}), cookie`, requests: 500, limit: { goal: 0.1, atMost: 0.13 } },
  { name: 'list-bearer', title: `GET /expenses (${ROWS}), bearer`, requests: 500, limit: { goal: 0.1, atMost: 0.13 } },
  {
    name: 'list-browser',
    title: '  + 22 headers of a browser',
    requests: 500,
    limit: { goal: 0.005, atMost: 0.01 },
    beyond: 'list',
  },
  { name: 'get', title: 'GET /expenses/{id}, cookie', requests: 1_200, limit: { goal: 0.05, atMost: 0.08 } },
  {
    name: 'create',
    title: 'POST /expenses, cookie',
    requests: 600,
    maxRequests: LEDGER_MAX_REQUESTS,
    limit: { goal: 0.1, atMost: 0.15 },
  },
  { name: 'page', title: `the page of ${PAGE_ROWS} with charts`, requests: 400, limit: { goal: 0.35, atMost: 0.5 } },
  { name: 'mcp', title: `POST /mcp, list of ${PAGE_ROWS}`, requests: 800, limit: { goal: 0.12, atMost: 0.2 } },
];

/** The first authenticated list of a new isolate: its time divided by Hono's. @type {Limit} */
export const COLD_LIMIT = { goal: 1, atMost: 1.3 };

/** The bundle, compressed. */
export const BUNDLE_MAX_BYTES = 500_000;

/** What a program and a browser send without being asked. */
const PROGRAM = { accept: '*/*', 'user-agent': 'bench' };
const SAME_ORIGIN = { 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty' };
/** Chrome's, of a script on the Worker's own page, and Cloudflare's; with `host` and `cookie` 22. */
const BROWSER = {
  connection: 'keep-alive',
  'user-agent':
    'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36',
  accept: '*/*',
  'accept-encoding': 'gzip, deflate, br, zstd',
  'accept-language': 'en-GB,en;q=0.9,de;q=0.8',
  'cache-control': 'no-cache',
  pragma: 'no-cache',
  priority: 'u=1, i',
  'sec-ch-ua': '"Chromium";v="141", "Not?A_Brand";v="8", "Google Chrome";v="141"',
  'sec-ch-ua-mobile': '?0',
  'sec-ch-ua-platform': '"Windows"',
  ...SAME_ORIGIN,
  dnt: '1',
  'cf-ray': '8c1f2d3e4a5b6c7d-FRA',
  'cf-visitor': '{"scheme":"https"}',
  'cf-ipcountry': 'DE',
  'x-forwarded-proto': 'https',
  'x-real-ip': '203.0.113.7',
};

/**
 * One user's sessions.
 *
 * @typedef {object} Given
 * @property {(server: ServerName) => string} cookieOf the `Cookie` header
 * @property {string} token an access token
 * @property {(server: ServerName) => string} idOf the id of an expense
 * @property {(server: ServerName) => string} originOf the origin of the page that creates expenses
 */

/**
 * {@link OPERATIONS} with their requests.
 *
 * @param {Given} given
 * @returns {Operation[]}
 */
export function withRequests({ cookieOf, token, idOf, originOf }) {
  const byCookie = (/** @type {ServerName} */ server) => ({ ...PROGRAM, ...SAME_ORIGIN, cookie: cookieOf(server) });
  const byBearer = { ...PROGRAM, authorization: `Bearer ${token}` };
  /**
   * @param {string | ((server: ServerName) => string)} path
   * @param {(server: ServerName) => Record<string, string>} headersOf
   * @returns {Exchange}
   */
  const get = (path, headersOf) => ({
    namespace: 'read',
    status: 200,
    request: (server) => ({
      method: 'GET',
      path: typeof path === 'string' ? path : path(server),
      headers: headersOf(server),
    }),
  });
  const call = { name: 'list_expenses', arguments: { limit: PAGE_ROWS } };
  /** @type {Record<OperationName, Exchange>} */
  const requests = {
    health: get('/health', () => PROGRAM),
    list: get('/expenses', byCookie),
    'list-bearer': get('/expenses', () => byBearer),
    'list-browser': get('/expenses', (server) => ({ ...BROWSER, cookie: withOtherCookies(cookieOf(server)) })),
    get: get((server) => `/expenses/${idOf(server)}`, byCookie),
    create: {
      namespace: 'create',
      status: 201,
      request: (server) => ({
        method: 'POST',
        path: '/expenses',
        headers: { ...byCookie(server), origin: originOf(server), 'content-type': 'application/json' },
        body: JSON.stringify(expense(0)),
      }),
    },
    page: get('/expenses', (server) => ({ ...byCookie(server), ...NAVIGATION })),
    mcp: {
      namespace: 'read',
      status: 200,
      request: () => ({
        method: 'POST',
        path: '/mcp',
        headers: {
          ...byBearer,
          accept: 'application/json, text/event-stream',
          'content-type': 'application/json',
          'mcp-protocol-version': '2025-06-18',
        },
        body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: call }),
      }),
    },
  };
  return OPERATIONS.map((operation) => ({ ...operation, ...requests[operation.name] }));
}

/** The headers of a browser that opens a page. */
const NAVIGATION = {
  accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8',
  'sec-fetch-mode': 'navigate',
  'sec-fetch-dest': 'document',
};

/**
 * What grows with the number of expenses, with its requests. The Hono peer has none of it but the list.
 *
 * @param {{ cookie: string, namespace: string, rows: number, deep: (server: ServerName) => string }} given `deep` is
 *   the query of the last page of 25
 * @returns {Growing[]}
 */
export function growthRequests({ cookie, namespace, rows, deep }) {
  /** @param {string} title @param {number} read @param {string} path @param {Record<string, string>} [headers] @returns {Growing} */
  const get = (title, read, path, headers = {}) => ({
    title,
    read,
    namespace,
    status: 200,
    request: (server) => ({
      method: 'GET',
      path: path.replace('{deep}', deep(server)),
      headers: { ...PROGRAM, ...SAME_ORIGIN, cookie, ...headers },
    }),
  });
  const batch = Math.min(rows, LIST_MAX);
  return [
    get('list, limit=1000', batch, `/expenses?limit=${LIST_MAX}`),
    get('page', rows, '/expenses', NAVIGATION),
    get('the last page by addition', PAGE_ROWS, '/expenses{deep}&sort=created', NAVIGATION),
    get('CSV', rows, '/expenses.csv'),
    get('summary', rows, '/expenses/summary'),
  ];
}

/** A `Cookie` header as long as browsers send it, with other cookies of the site before. @param {string} cookie */
function withOtherCookies(cookie) {
  const missing = BROWSER_COOKIE_BYTES - cookie.length;
  const other = '_ga=GA1.1.1234567890.1767225600; theme=dark; ';
  const filler = Math.max(0, missing - other.length - 'consent=; '.length);
  return `${other}consent=${'x'.repeat(filler)}; ${cookie}`;
}

/** The body that creates an expense. @param {number} index */
export function expense(index) {
  const date = new Date(Date.now() - ((index * 3) % DATES_DAYS) * DAY_MS);
  return {
    description: `Expense ${index} of a day like others`,
    amount: (100 + index * 137) / 100,
    currency: 'USD',
    category: CATEGORIES[index % CATEGORIES.length],
    date: date.toISOString().slice(0, 10),
  };
}
