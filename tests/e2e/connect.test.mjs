/** Tokens of AuthKit Connect: machines and other applications' clients, each with a real OAuth client. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { decodeJwt } from 'jose';

import { ADA_ID, COMPILERS_ORG_ID, ENGINES_ORG_ID, GRACE_ID } from '../../local/authkit/index.mjs';
import { assertDetail, assertInvalidToken, assertUnauthorized, assertUnavailable } from './support/assertions.mjs';
import { discover, machineTokens, refresh, register, signIn } from './support/oauth-client.mjs';
import { startRelay } from './support/relay.mjs';
import { cases, present } from './support/values.mjs';
import { CLIENT_ID, startWorld } from './support/world.mjs';

const METADATA_PATH = '/.well-known/oauth-authorization-server';
const RESOURCE_PATH = '/.well-known/oauth-protected-resource';
const JWKS_PATH = '/oauth2/jwks';
/** How long a failure to get keys is remembered, with a second to spare. */
const COOL_DOWN_SECS = 31;
const LUNCH = { description: 'Lunch', amount: '12.50' };

const world = await startWorld({ connect: true });
const { authkit, worker } = world;
const as = await discover(authkit.url);
/** AuthKit's own keys on another origin. */
const relay = await startRelay(authkit.url);

/** A machine's actor, with a token that AuthKit gave it. @param {string[]} scopes */
async function machine(scopes, parameters = {}) {
  const { access_token: token } = await machineTokens(as, authkit.addMachine({ scopes }), {
    resource: worker.origin,
    ...parameters,
  });
  return world.bearer(token);
}

/** How often a Worker has asked Connect for anything. */
function connectRequests() {
  return authkit.requests.entries.filter(
    ({ method, path }) => method === 'GET' && [METADATA_PATH, JWKS_PATH].includes(path),
  ).length;
}

/** @param {import('./support/http.mjs').Answer} answer @param {string} scope */
function assertInsufficientScope(answer, scope) {
  assertDetail(answer, 403, new RegExp(scope.replace(' ', ' and ')));
  assert.match(
    answer.header('www-authenticate'),
    new RegExp(`^Bearer error="insufficient_scope", scope="${scope}"`),
    `${answer}`,
  );
}

const READS = [
  ['GET', '/expenses'],
  ['GET', '/expenses/summary'],
  ['GET', '/expenses/01ARZ3NDEKTSV4RRFFQ69G5FAV'],
];
const WRITES = [
  ['POST', '/expenses'],
  ['PUT', '/expenses/01ARZ3NDEKTSV4RRFFQ69G5FAV'],
  ['PATCH', '/expenses/01ARZ3NDEKTSV4RRFFQ69G5FAV'],
  ['DELETE', '/expenses/01ARZ3NDEKTSV4RRFFQ69G5FAV'],
];

/**
 * What that caller is refused for want of a scope, and nothing else.
 *
 * @param {import('./support/actors.mjs').Actor} caller
 * @param {string[]} lacking
 */
async function assertLacks(caller, lacking) {
  for (const [scope, requests] of cases([
    ['expenses:read', READS],
    ['expenses:write', WRITES],
  ])) {
    for (const [method, path] of requests) {
      const answer = await caller.request(method, path, {
        json: ['PUT', 'POST', 'PATCH'].includes(method) ? LUNCH : undefined,
      });
      if (lacking.includes(scope)) assertInsufficientScope(answer, scope);
      else assert.ok([200, 201, 404].includes(answer.status), `${answer}`);
    }
  }
}

test('a machine with both scopes manages its own expenses', async () => {
  const caller = await machine(['expenses:read', 'expenses:write'], { scope: 'expenses:read expenses:write' });
  const created = await caller.request('POST', '/expenses', { json: LUNCH });
  assert.equal(created.status, 201, `${created}`);
  assert.deepEqual((await caller.request('GET', '/expenses')).json, [created.json]);
  await assertLacks(caller, []);
  const ada = await world.signedIn('Ada');
  assert.deepEqual((await ada.request('GET', '/expenses')).json, []);
  assertDetail(await ada.request('GET', created.header('location')), 404);
  const other = await machine(['expenses:read'], { scope: 'expenses:read' });
  assert.deepEqual((await other.request('GET', '/expenses')).json, []);
});

for (const [has, lacks] of cases([
  ['expenses:read', ['expenses:write']],
  ['expenses:write', ['expenses:read']],
])) {
  test(`a machine with ${has} alone is refused ${lacks}`, async () => {
    await assertLacks(await machine([has], { scope: 'expenses:read expenses:write' }), lacks);
  });
}

test('machine without scopes gets the name of missing scope', async () => {
  const both = ['expenses:read', 'expenses:write'];
  await assertLacks(await machine([], { scope: both.join(' ') }), both);
  await assertLacks(await machine(both), both);
});

test('/me of machine has its client and no user', async () => {
  const { access_token: token } = await machineTokens(
    as,
    authkit.addMachine({ scopes: ['expenses:read'], organizationId: COMPILERS_ORG_ID }),
    {
      scope: 'expenses:read',
      resource: worker.origin,
    },
  );
  const me = (await world.bearer(token).request('GET', '/me')).json;
  assert.deepEqual([me.user, me.session_id], [null, null]);
  assert.deepEqual(
    [me.client_id, me.scopes, me.organization_id],
    [decodeJwt(token).sub, ['expenses:read'], COMPILERS_ORG_ID],
  );
});

test('token for this Worker, /mcp or environment is accepted', async () => {
  for (const resource of [worker.origin, `${worker.origin}/`, `${worker.origin}/mcp`]) {
    const caller = await machine(['expenses:read'], { scope: 'expenses:read', resource });
    assert.equal((await caller.request('GET', '/expenses')).status, 200, resource);
  }
  const { access_token: token } = await machineTokens(as, authkit.addMachine({ scopes: ['expenses:read'] }), {
    scope: 'expenses:read',
  });
  assert.equal(decodeJwt(token).aud, CLIENT_ID);
  assert.equal((await world.bearer(token).request('GET', '/expenses')).status, 200);
});

test('a token for anybody else is refused', async () => {
  const others = [
    'https://other.example/mcp',
    worker.origin.replace('localhost', 'localhost.example'),
    worker.origin.replace('http:', 'https:'),
    worker.origin.replace('localhost', '127.0.0.1'),
    `${worker.origin}/other`,
    `${worker.origin}/mcp/deeper`,
  ];
  for (const resource of others) {
    const caller = await machine(['expenses:read', 'expenses:write'], {
      scope: 'expenses:read expenses:write',
      resource,
    });
    assertInvalidToken(await caller.request('GET', '/expenses'));
    assertInvalidToken(await caller.request('POST', '/expenses', { json: LUNCH }));
  }
  for (const aud of ['client_other', '', [], undefined, 5]) {
    assertInvalidToken(await world.bearer(authkit.mintConnectToken({ claims: { aud } })).request('GET', '/expenses'));
  }
});

test("a user's client sees the user's own expenses", async () => {
  const client = await register(as);
  const { access_token: token } = await signIn(as, client, { name: 'Grace', parameters: { resource: worker.origin } });
  const caller = world.bearer(token);
  const browser = await world.signedIn('Grace');
  const byClient = (await caller.request('POST', '/expenses', { json: LUNCH })).json;
  const byBrowser = (await browser.request('POST', '/expenses', { json: { description: 'Dinner', amount: 30 } })).json;
  for (const actor of [caller, browser])
    assert.deepEqual((await actor.request('GET', '/expenses')).json, [byBrowser, byClient]);
  assert.equal((await browser.request('DELETE', `/expenses/${byClient.id}`)).status, 204);
  assertDetail(await caller.request('GET', `/expenses/${byClient.id}`), 404);

  const me = (await caller.request('GET', '/me')).json;
  assert.deepEqual([me.user.id, me.client_id, me.organization_id], [GRACE_ID, client.client_id, ENGINES_ORG_ID]);
  const ada = await signIn(as, client, { name: 'Ada', parameters: { resource: worker.origin } });
  assertDetail(await world.bearer(ada.access_token).request('GET', `/expenses/${byBrowser.id}`), 404);
});

test('an application with the read scope cannot write', async () => {
  const token = authkit.mintConnectToken({ claims: { aud: worker.origin, scope: 'openid expenses:read' } });
  await assertLacks(world.bearer(token), ['expenses:write']);
});

test('client without a resource has only its granted scopes', async () => {
  const { access_token: openid } = await signIn(as, await register(as), { parameters: { scope: 'openid' } });
  assert.equal(decodeJwt(openid).aud, CLIENT_ID);
  const nothing = world.bearer(openid);
  assertInsufficientScope(await nothing.request('GET', '/me'), 'expenses:read expenses:write');
  const message = { jsonrpc: '2.0', id: 1, method: 'tools/list' };
  assertInsufficientScope(await nothing.request('POST', '/mcp', { json: message }), 'expenses:read expenses:write');
  await assertLacks(nothing, ['expenses:read', 'expenses:write']);
  const reader = authkit.mintConnectToken({ claims: { scope: 'openid expenses:read' } });
  await assertLacks(world.bearer(reader), ['expenses:write']);
});

test('an ID token is refused as an access token', async () => {
  const off = await world.startWorker();
  const { id_token: token } = await signIn(as, await register(as), { parameters: { scope: 'openid email' } });
  for (const target of [worker, off]) assertInvalidToken(await world.bearer(token, target).request('GET', '/me'));
});

test('expired token is refused, and a refreshed one accepted', async () => {
  const client = await register(as);
  const parameters = { resource: worker.origin, scope: 'openid offline_access' };
  const tokens = await signIn(as, client, { parameters });
  await world.expire();
  assertInvalidToken(await world.bearer(tokens.access_token).request('GET', '/expenses'));
  const { access_token: renewed } = await refresh(as, client, tokens.refresh_token);
  assert.equal((await world.bearer(renewed).request('GET', '/expenses')).status, 200);
});

test('the issuer decides which rules a token must meet', async () => {
  const ask = async (/** @type {string} */ token) => world.bearer(token).request('GET', '/me');
  assert.equal((await ask(authkit.mintToken())).status, 200);
  assert.equal((await ask(authkit.mintConnectToken())).status, 200);
  const session = decodeJwt(authkit.mintToken());
  assertInvalidToken(await ask(authkit.mintConnectToken({ claims: { iss: session.iss } })));
  assertInvalidToken(await ask(authkit.mintConnectToken({ claims: { iss: session.iss, sid: session.sid } })));
  assertInvalidToken(await ask(authkit.mintToken({ claims: { iss: as.issuer } })));
  for (const key of /** @type {const} */ (['none', 'stranger', 'hs256-public']))
    assertInvalidToken(await ask(authkit.mintConnectToken({ key })));
});

test('an unauthenticated client finds AuthKit through the metadata', async () => {
  const refused = await world.anonymous().request('GET', '/expenses');
  assertUnauthorized(refused, /^Bearer resource_metadata="[^"]+"$/);
  const [, url] = present(/resource_metadata="([^"]+)"/.exec(refused.header('www-authenticate')));
  assert.equal(url, worker.url(RESOURCE_PATH));
  for (const path of ['', '/mcp']) {
    const document = await world.anonymous().request('GET', RESOURCE_PATH + path);
    const { resource, authorization_servers: servers, scopes_supported: scopes } = document.json;
    assert.deepEqual([resource, servers], [worker.origin + path, [as.issuer]]);
    assert.deepEqual(scopes, as.scopes_supported);
  }
  assert.deepEqual((await world.anonymous().request('GET', METADATA_PATH)).json, as);
});

test("without WORKOS_AUTHKIT_DOMAIN Connect's tokens and metadata are absent", async () => {
  const off = await world.startWorker();
  const before = connectRequests();
  const { access_token: token } = await machineTokens(as, authkit.addMachine({ scopes: ['expenses:read'] }), {
    scope: 'expenses:read',
  });
  for (const given of [token, authkit.mintConnectToken()]) {
    const answer = await world.bearer(given, off).request('GET', '/expenses');
    assertInvalidToken(answer);
    assert.doesNotMatch(answer.header('www-authenticate'), /resource_metadata/);
  }
  for (const path of [METADATA_PATH, RESOURCE_PATH]) assertDetail(await world.anonymous(off).request('GET', path), 404);
  assert.equal((await world.bearer(authkit.mintToken(), off).request('GET', '/me')).status, 200);
  assert.equal(connectRequests(), before);
});

/** @type {[string, Omit<import('../../local/authkit/hooks.mjs').HookInput, 'method'>][]} */
const OUTAGES = [
  ['fails to give its metadata', { path: METADATA_PATH, status: 503 }],
  ['gives something else in place of its metadata', { path: METADATA_PATH, status: 200, body: { hello: 'world' } }],
  [
    'names another issuer in its metadata',
    {
      path: METADATA_PATH,
      status: 200,
      body: { issuer: 'https://other.example', jwks_uri: `${authkit.url}${JWKS_PATH}` },
    },
  ],
  [
    'leads to keys on another host',
    { path: METADATA_PATH, status: 200, body: { issuer: authkit.url, jwks_uri: `${relay.url}${JWKS_PATH}` } },
  ],
  ['fails to give its keys', { path: JWKS_PATH, status: 500 }],
  ['has had too many requests', { path: METADATA_PATH, status: 429 }],
  ['does not answer', { path: METADATA_PATH, delay_ms: 60_000 }],
];
for (const [what, hook] of OUTAGES) {
  test(`while Connect ${what}, only its tokens get 503`, async (t) => {
    const cold = await world.startWorker({ connect: true });
    await cold.limitTimeouts(200);
    const browser = await world.signedIn('Ada', cold);
    const caller = world.bearer(authkit.mintConnectToken({ expSecs: 3600 }), cold);
    const asked = () => authkit.requests.count({ method: 'GET', path: hook.path });
    const before = asked();
    const { id } = authkit.hooks.add({ method: 'GET', ...hook });
    t.after(() => authkit.hooks.remove(id));
    for (let request = 0; request < 3; request += 1) assertUnavailable(await caller.request('GET', '/expenses'));
    assert.equal(asked() - before, 1, 'once for all of them');
    assert.equal((await browser.request('GET', '/me')).json.user.id, ADA_ID);
    assert.equal((await browser.request('POST', '/expenses', { json: LUNCH })).status, 201);
    assert.equal((await world.bearer(authkit.mintToken(), cold).request('GET', '/me')).status, 200);
    // A malformed token is refused as such during an outage too.
    assertInvalidToken(await world.bearer('not.a.token', cold).request('GET', '/me'));

    authkit.hooks.remove(id);
    await world.advanceClock(COOL_DOWN_SECS);
    assert.equal((await caller.request('GET', '/expenses')).status, 200);
  });
}

test('a cold Worker answers 503 while AuthKit is down', async () => {
  const cold = await world.startWorker({ connect: true });
  const browser = await world.signedIn('Ada', cold);
  const caller = world.bearer(authkit.mintConnectToken({ expSecs: 3600 }), cold);
  await world.withoutAuthKit(async () => {
    assertUnavailable(await caller.request('GET', '/expenses'));
    assertUnavailable(await world.anonymous(cold).request('GET', METADATA_PATH));
    assert.equal((await browser.request('GET', '/me')).json.user.id, ADA_ID);
    // What leads to AuthKit needs nothing of it.
    assert.equal((await world.anonymous(cold).request('GET', RESOURCE_PATH)).status, 200);
  });
  await world.advanceClock(COOL_DOWN_SECS);
  assert.equal((await caller.request('GET', '/expenses')).status, 200);
});

test('Worker with cached keys works while AuthKit is down', async () => {
  const caller = world.bearer(authkit.mintConnectToken({ expSecs: 3600 }));
  assert.equal((await caller.request('GET', '/expenses')).status, 200);
  await world.withoutAuthKit(async () => assert.equal((await caller.request('GET', '/expenses')).status, 200));
});

test("Connect's keys rotate without a restart", async () => {
  const ask = async (/** @type {string} */ token) => world.bearer(token).request('GET', '/me');
  const old = authkit.mintConnectToken({ expSecs: 3600 });
  assert.equal((await ask(old)).status, 200);
  authkit.rotateKeys();
  await world.advanceClock(COOL_DOWN_SECS);
  assert.equal((await ask(authkit.mintConnectToken())).status, 200);
  assert.equal((await ask(old)).status, 200);
});

test('concurrent clients share one fetch of the keys', async () => {
  const cold = await world.startWorker({ connect: true });
  const before = connectRequests();
  const caller = world.bearer(authkit.mintConnectToken(), cold);
  const answers = await Promise.all(Array.from({ length: 30 }, () => caller.request('GET', '/expenses')));
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
  assert.equal(connectRequests() - before, 2, 'the metadata, and the keys');
});

test('no answer and no log line holds a secret', () => world.assertNothingLeaked());
