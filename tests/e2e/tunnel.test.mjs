/** A tunnel that ends TLS, as ngrok and cloudflared do: the Worker sees plain http, the browser https. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { after, test } from 'node:test';

import { decodeJwt } from 'jose';

import { ADA_ID, AUTO_SIGN_IN_HEADER } from '../../local/authkit/index.mjs';
import { assertDetail, assertInvalidToken } from './support/assertions.mjs';
import { send } from './support/http.mjs';
import { discover, register, signIn } from './support/oauth-client.mjs';
import { portOf } from './support/values.mjs';
import { startWorld } from './support/world.mjs';

/** The host that the tunnel shows to the Worker. AuthKit, and with it the browser, uses localhost only. */
const INNER_HOST = 'demo.tunnel.test';
const LUNCH = { description: 'Lunch', amount: 12.5 };

const world = await startWorld({ connect: true });
const { authkit } = world;
/** @type {string} where the tunnel leads to */
let target;

/** The outer side has no certificate here: `through` speaks plain http to it and says https. */
const tunnel = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const { connection, ...headers } = request.headers;
  const answer = await send({
    method: request.method,
    url: target + request.url,
    headers: { ...headers, host: INNER_HOST, 'x-forwarded-proto': 'https', 'x-forwarded-host': 'evil.example' },
    body: chunks.length > 0 ? Buffer.concat(chunks) : undefined,
  });
  const { 'transfer-encoding': _, 'content-length': __, ...kept } = answer.headers;
  response.writeHead(answer.status, { ...kept, 'set-cookie': answer.setCookies }).end(answer.text);
});
tunnel.listen(0, '127.0.0.1');
await once(tunnel, 'listening');
after(() => {
  tunnel.closeAllConnections();
  tunnel.close();
});

const PUBLIC = `https://localhost:${portOf(tunnel)}`;

/**
 * A request of the browser's to an https address of the tunnel.
 *
 * @param {string} method
 * @param {string | URL} url
 * @param {{ headers?: Record<string, string>, json?: unknown }} [options]
 */
function through(method, url, { headers = {}, json } = {}) {
  const { origin, pathname, search } = new URL(url, PUBLIC);
  assert.equal(origin, PUBLIC, 'the browser is led to another origin');
  return send({
    method,
    url: PUBLIC.replace('https:', 'http:') + pathname + search,
    headers: json ? { 'content-type': 'application/json', ...headers } : headers,
    body: json ? JSON.stringify(json) : undefined,
  });
}

test('browser and agent work through the tunnel with PUBLIC_ORIGIN', async () => {
  const worker = await world.startWorker({ connect: true, vars: { PUBLIC_ORIGIN: PUBLIC } });
  target = worker.origin;

  const login = await through('GET', '/login?return_to=/expenses');
  assert.equal(login.status, 302, `${login}`);
  assert.equal(login.location.searchParams.get('redirect_uri'), `${PUBLIC}/callback`);
  const allowed = await send({ url: login.location, headers: { [AUTO_SIGN_IN_HEADER]: 'ada@example.com' } });
  const cookie = (/** @type {import('./support/http.mjs').Answer} */ answer) =>
    answer.setCookies.map((line) => line.split(';')[0]).join('; ');
  const callback = await through('GET', allowed.location, { headers: { cookie: cookie(login) } });
  assert.equal(callback.status, 302, `${callback}`);
  assert.equal(callback.headers.location, '/expenses');
  for (const line of [...login.setCookies, ...callback.setCookies]) assert.match(line, /; Secure/);

  const session = { cookie: cookie(callback) };
  assert.equal((await through('GET', '/me', { headers: session })).json.user.id, ADA_ID);
  const post = (/** @type {string} */ origin) =>
    through('POST', '/expenses', { headers: { ...session, origin }, json: LUNCH });
  assert.equal((await post(PUBLIC)).status, 201);
  for (const origin of [PUBLIC.replace('https:', 'http:'), `http://${INNER_HOST}`, 'https://evil.example']) {
    assertDetail(await post(origin), 403);
  }

  const { resource } = (await through('GET', '/.well-known/oauth-protected-resource/mcp')).json;
  assert.equal(resource, `${PUBLIC}/mcp`);
  const as = await discover(authkit.url);
  const { access_token: token } = await signIn(as, await register(as), { parameters: { resource } });
  assert.equal(decodeJwt(token).aud, resource);
  const list = (/** @type {string} */ bearer) =>
    through('POST', '/mcp', {
      headers: { authorization: `Bearer ${bearer}` },
      json: { jsonrpc: '2.0', id: 1, method: 'tools/list' },
    });
  assert.equal((await list(token)).status, 200);
  assertInvalidToken(await list(authkit.mintConnectToken({ claims: { aud: `http://${INNER_HOST}/mcp` } })));
});

test('without PUBLIC_ORIGIN public http is redirected and tokens refused', async () => {
  target = world.worker.origin;
  const answer = await through('GET', '/expenses?a=b');
  assert.equal(answer.status, 308);
  assert.equal(answer.headers.location, `https://${INNER_HOST}/expenses?a=b`);
  const token = authkit.mintToken();
  assertDetail(await through('GET', '/me', { headers: { authorization: `Bearer ${token}` } }), 403, /https/);
});
