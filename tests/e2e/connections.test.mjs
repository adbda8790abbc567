/**
 * A request that is refused before its body was read never affects its connection or the next request
 * on it. Only a front door with kept-alive connections of its own shows this: `wrangler dev`'s, which
 * `npm start` opens, and Miniflare's.
 */

import assert from 'node:assert/strict';
import http from 'node:http';
import { before, test } from 'node:test';

import { Browser } from './support/actors.mjs';
import { connect, Person } from './support/mcp-client.mjs';
import { freePort, printedAddress, start } from './support/npm-start.mjs';
import { present } from './support/values.mjs';
import { startWorld } from './support/world.mjs';

const REQUESTS = 1_000;
const CONNECTIONS = 8;
const CLIENTS = 50;
const TIMEOUT_MS = 10_000;
const MAX_BODY_BYTES = 64 * 1024;
/** Two bytes, one packet, several reads, just past the limit, far past it. */
const BODY_BYTES = [2, 700, 20_000, MAX_BODY_BYTES + 1, 300_000];

const JSON_TYPE = { 'content-type': 'application/json' };
const FORM_TYPE = { 'content-type': 'application/x-www-form-urlencoded' };
const NO_SUCH_EXPENSE = '/expenses/7YBQTSVWGKVQGMH7Y926XY65Q7';
const PING = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping' });

/** JSON of exactly that length. @param {number} bytes */
function jsonOf(bytes) {
  return bytes === 2 ? '{}' : `{"a":"${'x'.repeat(bytes - 8)}"}`;
}

/** @typedef {{ full: string, readOnly: string, cookie: string }} Credentials two access tokens, and a cookie */

/**
 * @typedef {object} Kind a kind of request, with the statuses that it may get
 * @property {string} name
 * @property {string} method
 * @property {string} path
 * @property {Record<string, string>} headers
 * @property {string} [body] default: one of every length
 * @property {number[]} statuses the first for a body within the limit; another one past it
 */

/**
 * Every way to be answered before the body was read, or when the limit is reached.
 *
 * @param {Credentials} credentials
 * @returns {Kind[]}
 */
function refusals({ full, readOnly, cookie }) {
  const bearer = (/** @type {string} */ token) => ({ authorization: `Bearer ${token}` });
  const refusal = (
    /** @type {string} */ name,
    /** @type {string} */ method,
    /** @type {string} */ path,
    /** @type {Record<string, string>} */ headers,
    /** @type {number[]} */ ...statuses
  ) => ({
    name,
    method,
    path,
    headers: { ...JSON_TYPE, ...headers },
    statuses,
  });
  return [
    refusal('no credentials', 'POST', '/mcp', {}, 401),
    refusal('no credentials', 'POST', '/expenses', {}, 401),
    refusal('no credentials', 'PATCH', NO_SUCH_EXPENSE, {}, 401),
    refusal('a bad token', 'PUT', NO_SUCH_EXPENSE, bearer('a.b.c'), 401),
    refusal('a bad token', 'POST', '/mcp', bearer('a.b.c'), 401),
    refusal('a missing scope', 'POST', '/expenses', bearer(readOnly), 403),
    refusal("another site's page", 'POST', '/mcp', { ...bearer(full), origin: 'https://other.example' }, 403),
    refusal("another site's page", 'POST', '/expenses', { cookie, 'sec-fetch-site': 'cross-site' }, 403),
    refusal(
      "another site's form",
      'POST',
      NO_SUCH_EXPENSE,
      { ...FORM_TYPE, cookie, 'sec-fetch-site': 'cross-site' },
      403,
    ),
    refusal('no such path', 'POST', '/nowhere', bearer(full), 404),
    refusal('no such path', 'POST', '/webhooks/workos', {}, 404),
    refusal('a body that DELETE does not read', 'DELETE', NO_SUCH_EXPENSE, bearer(full), 404),
    refusal('a method without a handler', 'PUT', '/expenses', bearer(full), 405),
    refusal('a method without a handler', 'POST', '/health', {}, 405),
    refusal('JSON where a form belongs', 'POST', NO_SUCH_EXPENSE, bearer(full), 405),
    refusal('a body too long', 'POST', '/expenses', bearer(full), 422, 413),
    refusal('a body too long', 'PUT', NO_SUCH_EXPENSE, bearer(full), 422, 413),
    refusal('another type of body', 'POST', '/expenses', { ...bearer(full), 'content-type': 'text/plain' }, 415, 413),
    refusal(
      'a body that is no message',
      'POST',
      '/mcp',
      { ...bearer(full), accept: 'application/json, text/event-stream' },
      400,
      413,
    ),
    refusal('a page that needs a session', 'POST', '/organization', { accept: 'text/html' }, 401, 302),
    refusal('a sign-out, which reads no body', 'POST', '/logout', FORM_TYPE, 303),
  ];
}

/**
 * Requests that succeed when nothing is wrong with their connection.
 *
 * @param {Credentials} credentials
 * @returns {Kind[]}
 */
function soundRequests({ full }) {
  const authorization = { authorization: `Bearer ${full}` };
  return [
    { name: 'health', method: 'GET', path: '/health', headers: {}, statuses: [200] },
    {
      name: 'metadata',
      method: 'GET',
      path: '/.well-known/oauth-protected-resource/mcp',
      headers: {},
      statuses: [200],
    },
    { name: 'list', method: 'GET', path: '/expenses?limit=1', headers: authorization, statuses: [200] },
    {
      name: 'ping',
      method: 'POST',
      path: '/mcp',
      headers: { ...JSON_TYPE, ...authorization, accept: 'application/json, text/event-stream' },
      body: PING,
      statuses: [200],
    },
    {
      name: 'create',
      method: 'POST',
      path: '/expenses',
      headers: { ...JSON_TYPE, ...authorization, 'idempotency-key': 'connections' },
      body: JSON.stringify({ description: 'Lunch', amount: 1 }),
      statuses: [201],
    },
  ];
}

/**
 * One request on a kept-alive connection.
 *
 * @param {http.Agent} agent @param {string} origin @param {Kind} kind
 * @returns {Promise<number>} the status, once the whole response is there
 * @param {string | undefined} body
 * @param {boolean} isChunked
 */
function send(agent, origin, { method, path, headers }, body, isChunked) {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(origin);
    const length = body === undefined || isChunked ? {} : { 'content-length': String(Buffer.byteLength(body)) };
    const request = http.request({
      agent,
      host: '127.0.0.1',
      port,
      method,
      path,
      headers: { host: `${hostname}:${port}`, ...headers, ...length },
    });
    request.setTimeout(TIMEOUT_MS, () => request.destroy(new Error(`no response within ${TIMEOUT_MS} ms`)));
    request.once('error', reject);
    request.once('response', (response) => {
      response.once('error', reject);
      response.once('end', () => resolve(response.statusCode ?? 0));
      response.resume();
    });
    if (isChunked) request.write(body);
    request.end(isChunked ? undefined : body);
  });
}

/**
 * Sends refused and sound requests by turns, over a few connections at a time.
 *
 * @param {string} origin @param {Kind[]} refused @param {Kind[]} sound @param {number} count
 * @param {number[]} [others] statuses that any request may get
 */
async function assertNoneIsLost(origin, refused, sound, count, others = []) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  /** @type {string[]} */
  const lost = [];
  let sent = 0;
  const sendRest = async () => {
    while (sent < count) {
      const index = sent++;
      const turn = Math.floor(index / 2);
      const kinds = index % 2 === 0 ? refused : sound;
      const kind = kinds[turn % kinds.length];
      const bytes = BODY_BYTES[Math.floor(turn / refused.length) % BODY_BYTES.length];
      const body = kind.body ?? (kind.method === 'GET' ? undefined : jsonOf(bytes));
      const isChunked = kind.body === undefined && body !== undefined && turn % 3 === 0;
      const what = `${index}: ${kind.method} ${kind.path} (${kind.name}), ${body?.length ?? 0} bytes${isChunked ? ' in chunks' : ''}`;
      try {
        const status = await send(agent, origin, kind, body, isChunked);
        if (![...kind.statuses, ...others].includes(status)) lost.push(`${what}: ${status}`);
      } catch (error) {
        lost.push(`${what}: ${/** @type {NodeJS.ErrnoException} */ (error).code ?? error}`);
      }
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, sendRest));
  agent.destroy();
  assert.deepEqual(lost, [], `${lost.length} of ${count} requests`);
}

/** @param {string} origin AuthKit's @param {Record<string, string>} machine @param {string} scope */
async function machineToken(origin, machine, scope) {
  const body = new URLSearchParams({ grant_type: 'client_credentials', scope, ...machine });
  const response = await fetch(`${origin}/oauth2/token`, { method: 'POST', body });
  assert.equal(response.status, 200);
  return JSON.parse(await response.text()).access_token;
}

/** Tokens of a machine, and a browser's session. @param {string} authkitOrigin @param {Record<string, string>} machine @param {Browser} browser */
async function credentialsFor(authkitOrigin, machine, browser) {
  const page = await browser.signIn('Ada');
  assert.equal(page.status, 200, `${page}`);
  return {
    full: await machineToken(authkitOrigin, machine, 'expenses:read expenses:write'),
    readOnly: await machineToken(authkitOrigin, machine, 'expenses:read'),
    cookie: present(browser.cookieHeader(`${browser.origin}/`)),
  };
}

/** The machine that the local AuthKit has from its start. */
const LOCAL_MACHINE = { client_id: 'client_local_machine', client_secret: 'sk_test_local_machine' };

let authkitPort = 0;
let address = '';

before(async () => {
  const port = await freePort();
  authkitPort = await freePort();
  address = await printedAddress(start(port, authkitPort));
});

test('npm start loses no request among refused ones', async () => {
  const browser = new Browser({ origin: address, record() {} });
  const credentials = await credentialsFor(`http://localhost:${authkitPort}`, LOCAL_MACHINE, browser);
  // With its rate limits.
  await assertNoneIsLost(address, refusals(credentials), soundRequests(credentials), REQUESTS, [429]);
});

test('the MCP client connects through npm start fifty times', async () => {
  for (let index = 0; index < CLIENTS; index += 1) {
    // Two people, each within the rate limit.
    const person = new Person(index % 2 === 0 ? 'Ada' : 'Grace', new Browser({ origin: address, record() {} }));
    const client = await connect(`${address}/mcp`, person);
    assert.equal((await client.listTools()).tools.length, 5);
    await client.close();
  }
});

test("Miniflare's front door loses no request", async () => {
  const world = await startWorld({ connect: true });
  const { clientId, clientSecret } = world.authkit.addMachine({ scopes: ['expenses:read', 'expenses:write'] });
  const machine = { client_id: clientId, client_secret: clientSecret };
  const credentials = await credentialsFor(world.authkit.url, machine, world.browser());
  await assertNoneIsLost(world.worker.origin, refusals(credentials), soundRequests(credentials), REQUESTS);
});

test('a Worker without its configuration loses no request', async () => {
  const world = await startWorld({ vars: { WORKOS_API_KEY: undefined } });
  const refused = ['POST', 'PUT', 'DELETE'].map((method) => ({
    name: 'misconfigured',
    method,
    path: '/expenses',
    headers: JSON_TYPE,
    statuses: [500],
  }));
  const sound = [{ name: 'misconfigured', method: 'GET', path: '/health', headers: {}, statuses: [500] }];
  await assertNoneIsLost(world.worker.origin, refused, sound, REQUESTS / 4);
});
