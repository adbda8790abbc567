/** The operations that the benchmark measures, and their requests. */

/** The number of expenses in the list. */
export const ROWS = 100;

/** One namespace for reading expenses and one for creating them. */
export const NAMESPACES = /** @type {const} */ (['read', 'create']);
/** @typedef {typeof NAMESPACES[number]} Namespace */
/** @typedef {'health' | 'list' | 'list-bearer' | 'get' | 'create'} OperationName */

const CATEGORIES = ['meals', 'travel', 'office', 'software', 'other'];

/**
 * A measurable operation.
 *
 * @typedef {object} OperationKind
 * @property {OperationName} name its name in `--only`
 * @property {string} title
 * @property {number} [aim] CPU seconds per 1,000 requests above the bare worker's, at 10 connections
 */

/**
 * A request that is sent repeatedly. Both Workers get the same request with the same headers.
 *
 * @typedef {object} Exchange
 * @property {Namespace} namespace
 * @property {number} status of the response
 * @property {{ method: 'GET' | 'POST', path: string, headers: Record<string, string>, body?: string }} request
 */

/** @typedef {OperationKind & Exchange} Operation */

/**
 * The operations. Their requests need sessions: {@link withRequests}.
 *
 * @type {OperationKind[]}
 */
export const OPERATIONS = [
  { name: 'health', title: 'GET /health', aim: 0.015 },
  { name: 'list', title: `GET /expenses (${ROWS}), cookie`, aim: 0.15 },
  { name: 'list-bearer', title: `GET /expenses (${ROWS}), bearer` },
  { name: 'get', title: 'GET /expenses/{id}, cookie', aim: 0.08 },
  { name: 'create', title: 'POST /expenses, cookie', aim: 0.2 },
];

/**
 * {@link OPERATIONS} with their requests.
 *
 * @param {{ cookie: string, token: string, id: string, origin: string }} given one user's session and
 *   access token, the id of one of their expenses, and the origin of the page that creates more
 * @returns {Operation[]}
 */
export function withRequests({ cookie, token, id, origin }) {
  // The headers of a script on the Worker's own page, and of curl.
  const byCookie = {
    accept: '*/*',
    'user-agent': 'bench',
    'sec-fetch-site': 'same-origin',
    'sec-fetch-mode': 'cors',
    'sec-fetch-dest': 'empty',
    cookie,
  };
  const byBearer = { accept: '*/*', 'user-agent': 'bench', authorization: `Bearer ${token}` };
  /** @param {string} path @param {Record<string, string>} headers @returns {Exchange} */
  const get = (path, headers) => ({ namespace: 'read', status: 200, request: { method: 'GET', path, headers } });
  /** @type {Exchange['request']} */
  const create = {
    method: 'POST',
    path: '/expenses',
    headers: { ...byCookie, origin, 'content-type': 'application/json' },
    body: JSON.stringify(expense(0)),
  };
  /** @type {Record<OperationName, Exchange>} */
  const requests = {
    health: get('/health', { accept: '*/*', 'user-agent': 'bench' }),
    list: get('/expenses', byCookie),
    'list-bearer': get('/expenses', byBearer),
    get: get(`/expenses/${id}`, byCookie),
    create: { namespace: 'create', status: 201, request: create },
  };
  return OPERATIONS.map((operation) => ({ ...operation, ...requests[operation.name] }));
}

/** The body that creates an expense. @param {number} index */
export function expense(index) {
  return {
    description: `Expense ${index} of a day like others`,
    amount: (100 + index * 137) / 100,
    currency: 'USD',
    category: CATEGORIES[index % CATEGORIES.length],
    date: `2026-01-${String(1 + (index % 28)).padStart(2, '0')}`,
  };
}
