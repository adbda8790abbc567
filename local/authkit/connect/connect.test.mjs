/** Connect, driven by an independent OAuth client: `oauth4webapi`. */

import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { createLocalJWKSet, decodeJwt, jwtVerify } from 'jose';

import {
  allow,
  begin,
  discover,
  exchange,
  INSECURE,
  isAnswer,
  machineTokens,
  newBrowser,
  oauth,
  REDIRECT_URI,
  refresh,
  register,
  signIn,
} from '../../../tests/e2e/support/oauth-client.mjs';
import { jsonOf, present } from '../../../tests/e2e/support/values.mjs';
import { ADA_ID, AUTO_SIGN_IN_HEADER, createAuthKit, DEFAULT_CLIENT_ID, ENGINES_ORG_ID, GRACE_ID } from '../index.mjs';

/** Shared, because making it takes longer than all the rest of a test. */
const PRIVATE_KEY = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
const RESOURCE = 'http://localhost:8787/mcp';
/** With a refresh token. */
const OFFLINE = { scope: 'openid profile email offline_access' };

/** @typedef {import('../../../tests/e2e/support/oauth-client.mjs').AuthorizationServer} AuthorizationServer */

/**
 * A listening AuthKit, closed when the test ends, and its metadata.
 *
 * @param {import('node:test').TestContext} t
 * @param {import('../index.mjs').Options} [options]
 */
async function start(t, options = {}) {
  const authkit = createAuthKit({ privateKey: PRIVATE_KEY, ...options });
  t.after(() => authkit.close());
  await authkit.listen();
  return { authkit, as: await discover(authkit.url) };
}

/**
 * The claims of a token that a resource server accepts (RFC 9068).
 *
 * @param {AuthorizationServer} as
 * @param {string} token
 * @param {string} audience
 */
function checkedToken(as, token, audience) {
  const request = new Request('http://localhost:8787/expenses', { headers: { authorization: `Bearer ${token}` } });
  return oauth.validateJwtAccessToken(as, request, audience, INSECURE);
}

/** The OAuth error code that a call fails with. @param {Promise<unknown>} call */
async function refusal(call) {
  try {
    await call;
  } catch (thrown) {
    const error = /** @type {{ error?: string, code?: string, cause?: { error?: string } }} */ (thrown);
    return error.error ?? error.cause?.error ?? error.code ?? error;
  }
  return assert.fail('it was not refused');
}

test("both metadata documents name WorkOS's endpoints under their origin", async (t) => {
  const { authkit, as } = await start(t);
  assert.deepEqual(await discover(authkit.url, 'oidc'), as);
  assert.equal(as.issuer, authkit.url);
  const endpoints = {
    authorization_endpoint: '/oauth2/authorize',
    token_endpoint: '/oauth2/token',
    registration_endpoint: '/oauth2/register',
    jwks_uri: '/oauth2/jwks',
    introspection_endpoint: '/oauth2/introspection',
    userinfo_endpoint: '/oauth2/userinfo',
  };
  for (const [name, path] of Object.entries(endpoints)) assert.equal(as[name], authkit.url + path, name);
  assert.deepEqual(as.code_challenge_methods_supported, ['S256']);
  assert.deepEqual(as.response_types_supported, ['code']);
  assert.equal(as.client_id_metadata_document_supported, true);
});

test('a registered client gets a token for its resource', async (t) => {
  const { as } = await start(t);
  const client = await register(as);
  const tokens = await signIn(as, client, { parameters: { resource: RESOURCE } });
  const claims = await checkedToken(as, tokens.access_token, RESOURCE);
  const { jti, iat, exp, sid, ...rest } = claims;
  assert.deepEqual(rest, {
    iss: as.issuer,
    aud: RESOURCE,
    sub: ADA_ID,
    client_id: client.client_id,
    org_id: ENGINES_ORG_ID,
    scope: 'openid profile email',
  });
  assert.match(String(sid), /^app_consent_/);
  assert.equal(exp - iat, 300);
  assert.ok(jti);
});

test('only a client that requests offline_access gets a refresh token', async (t) => {
  const { as } = await start(t);
  const client = await register(as);
  assert.equal((await signIn(as, client)).refresh_token, undefined);
  assert.ok((await signIn(as, client, { parameters: OFFLINE })).refresh_token);
});

test('a token without a resource is for the environment', async (t) => {
  const { as } = await start(t);
  const tokens = await signIn(as, await register(as), { name: 'Grace' });
  assert.equal((await checkedToken(as, tokens.access_token, DEFAULT_CLIENT_ID)).sub, GRACE_ID);
});

test("the authorization request's resource holds for the token request", async (t) => {
  const { as } = await start(t);
  const client = await register(as);
  const request = await begin(as, client, { resource: RESOURCE });
  const tokens = await exchange(as, client, request, await allow(request.url, 'Ada', newBrowser(as)));
  assert.equal(decodeJwt(tokens.access_token).aud, RESOURCE);
});

test("a request that names no scope gets WorkOS's own", async (t) => {
  const { as } = await start(t);
  const tokens = await signIn(as, await register(as), { parameters: { scope: undefined, resource: RESOURCE } });
  assert.equal(decodeJwt(tokens.access_token).scope, 'openid profile email');
});

test('consent pages name client and scopes, and escape markup', async (t) => {
  const { as } = await start(t);
  const client = await register(as, { client_name: '<b>Bold</b> & Co' });
  const { url } = await begin(as, client, { resource: RESOURCE });
  const browser = newBrowser(as);
  const signIn = await browser.open(url.href);
  assert.match(signIn.text, /Ada Lovelace.*Grace Hopper/s);
  const asked = await browser.submit(signIn, 'Ada');
  assert.match(asked.text, /&lt;b&gt;Bold&lt;\/b&gt; &amp; Co/);
  for (const shown of ['Ada Lovelace', RESOURCE, REDIRECT_URI, 'email']) assert.ok(asked.text.includes(shown), shown);
  assert.match(String(asked.answer.headers['content-security-policy']), /default-src 'none'/);
});

test('a person may say no, on either page', async (t) => {
  const { as } = await start(t);
  const client = await register(as);
  for (const first of ['Cancel', 'Ada']) {
    const { url, state } = await begin(as, client);
    const browser = newBrowser(as);
    let page = await browser.submit(await browser.open(url.href), first, { until: isAnswer });
    if (first === 'Ada') page = await browser.submit(page, 'Cancel', { until: isAnswer });
    assert.throws(() => oauth.validateAuthResponse(as, client, page.next, state), { error: 'access_denied' });
  }
});

test('a repeated authorization redirects without a page', async (t) => {
  const { as } = await start(t);
  const client = await register(as);
  const browser = newBrowser(as);
  const first = await begin(as, client);
  await browser.submit(await browser.submit(await browser.open(first.url.href), 'Grace'), 'Allow', { until: isAnswer });
  const second = await begin(as, client);
  const tokens = await exchange(as, client, second, (await browser.open(second.url.href, { until: isAnswer })).next);
  assert.equal(decodeJwt(tokens.access_token).sub, GRACE_ID);
});

test('its cookies go to its own paths only', async (t) => {
  const { as } = await start(t);
  const browser = newBrowser(as);
  const { url } = await begin(as, await register(as));
  const page = await browser.submit(await browser.open(url.href), 'Ada');
  assert.ok(browser.cookies('/oauth2/authorize').size > 0, `${page}`);
  assert.deepEqual([...browser.cookies('/')], []);
});

test('a user named by header consents without a page', async (t) => {
  const { as } = await start(t);
  const client = await register(as);
  const request = await begin(as, client);
  const cookies = new Map();
  let url = request.url;
  for (let hops = 0; !isAnswer(url) && hops < 10; hops += 1) {
    const headers = {
      [AUTO_SIGN_IN_HEADER]: 'grace@example.com',
      cookie: [...cookies].map((pair) => pair.join('=')).join('; '),
    };
    const response = await fetch(url, { redirect: 'manual', headers });
    for (const line of response.headers.getSetCookie()) {
      const [name, value] = line.split(';')[0].split('=', 2);
      cookies.set(name, value);
    }
    url = new URL(present(response.headers.get('location')), url);
  }
  const tokens = await exchange(as, client, request, url);
  assert.equal(decodeJwt(tokens.access_token).sub, GRACE_ID);
});

test('nothing is to be had without PKCE', async (t) => {
  const { as } = await start(t);
  for (const method of ['none', 'client_secret_post']) {
    const client = await register(as, { token_endpoint_auth_method: method });
    const { url, state } = await begin(as, client, { code_challenge: undefined, code_challenge_method: undefined });
    const page = await newBrowser(as).open(url.href, { until: isAnswer });
    assert.throws(() => oauth.validateAuthResponse(as, client, page.next, state), { error: 'invalid_request' });
  }
  const client = await register(as);
  const request = await begin(as, client);
  const answer = await allow(request.url, 'Ada', newBrowser(as));
  const other = { ...request, verifier: oauth.generateRandomCodeVerifier() };
  assert.equal(await refusal(exchange(as, client, other, answer)), 'invalid_grant');
});

test('unregistered redirect URI gets a page, not a redirect', async (t) => {
  const { as } = await start(t);
  const { url } = await begin(as, await register(as), { redirect_uri: 'http://localhost:9/elsewhere' });
  const page = await newBrowser(as).open(url.href);
  assert.equal(page.status, 400);
  assert.match(page.text, /This is not WorkOS.*invalid_redirect_uri/s);
});

test('a refresh token works once and keeps the resource', async (t) => {
  const { as } = await start(t);
  const client = await register(as);
  const first = await signIn(as, client, { parameters: { ...OFFLINE, resource: RESOURCE } });
  const second = await refresh(as, client, first.refresh_token);
  assert.notEqual(second.refresh_token, first.refresh_token);
  const claims = await checkedToken(as, second.access_token, RESOURCE);
  assert.equal(claims.sid, decodeJwt(first.access_token).sid);
  assert.equal(await refusal(refresh(as, client, first.refresh_token)), 'invalid_grant');
});

test('machine gets its own scopes and is the subject', async (t) => {
  const { authkit, as } = await start(t);
  const machine = authkit.addMachine({ scopes: ['expenses:read', 'expenses:write'], organizationId: ENGINES_ORG_ID });
  const tokens = await machineTokens(as, machine, { scope: 'expenses:read', resource: RESOURCE });
  const { jti, iat, exp, ...claims } = await checkedToken(as, tokens.access_token, RESOURCE);
  assert.deepEqual(claims, {
    iss: as.issuer,
    aud: RESOURCE,
    sub: machine.clientId,
    client_id: machine.clientId,
    org_id: ENGINES_ORG_ID,
    scope: 'expenses:read',
  });

  const reader = authkit.addMachine({ scopes: ['expenses:read'] });
  const both = await machineTokens(as, reader, { scope: 'expenses:read expenses:write' });
  assert.equal(decodeJwt(both.access_token).scope, 'expenses:read');
  const none = decodeJwt((await machineTokens(as, reader, {})).access_token);
  assert.equal(none.aud, DEFAULT_CLIENT_ID);
  assert.ok(!('scope' in none) && !('org_id' in none) && !('sid' in none));
});

test("a machine's token requires the machine's secret", async (t) => {
  const { authkit, as } = await start(t);
  const machine = authkit.addMachine({ scopes: ['expenses:read'] });
  assert.equal(await refusal(machineTokens(as, { ...machine, clientSecret: 'wrong' }, {})), 'invalid_client');
  const registered = await register(as, {
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
    token_endpoint_auth_method: 'client_secret_post',
  });
  const itself = { clientId: registered.client_id, clientSecret: String(registered.client_secret) };
  assert.equal(await refusal(machineTokens(as, itself, { scope: 'expenses:read' })), 'unauthorized_client');
});

test('introspection answers about own tokens to permitted clients only', async (t) => {
  const { authkit, as } = await start(t);
  const machine = authkit.addMachine();
  const client = await register(as);
  const { access_token: token } = await signIn(as, client);
  /**
   * @param {import('oauth4webapi').Client} asker
   * @param {import('oauth4webapi').ClientAuth} authentication
   * @param {string} asked a token
   */
  const ask = async (asker, authentication, asked) =>
    oauth.processIntrospectionResponse(
      as,
      asker,
      await oauth.introspectionRequest(as, asker, authentication, asked, INSECURE),
    );
  const byMachine = (/** @type {string} */ asked) =>
    ask({ client_id: machine.clientId }, oauth.ClientSecretPost(machine.clientSecret), asked);

  const known = await byMachine(token);
  assert.equal(known.active, true);
  assert.equal(known.sub, ADA_ID);
  assert.equal((await ask(client, oauth.None(), token)).active, true);
  assert.deepEqual(await ask(await register(as), oauth.None(), token), { active: false });
  assert.deepEqual(await byMachine(authkit.mintToken()), { active: false });
  assert.deepEqual(await byMachine(authkit.mintConnectToken({ expSecs: -1 })), { active: false });
});

test('userinfo tells what the scopes open', async (t) => {
  const { as } = await start(t);
  const client = await register(as);
  const ask = async (/** @type {string} */ scope) => {
    const { access_token: token } = await signIn(as, client, { parameters: { scope, resource: RESOURCE } });
    return oauth.processUserInfoResponse(as, client, ADA_ID, await oauth.userInfoRequest(as, client, token, INSECURE));
  };
  assert.deepEqual(await ask('openid'), { sub: ADA_ID });
  assert.deepEqual(await ask('openid profile email'), {
    sub: ADA_ID,
    email: 'ada@example.com',
    email_verified: true,
    name: 'Ada Lovelace',
    given_name: 'Ada',
    family_name: 'Lovelace',
  });
  const response = await fetch(as.userinfo_endpoint);
  assert.equal(response.status, 401);
  assert.match(response.headers.get('www-authenticate') ?? '', /^Bearer error="invalid_token"/);
});

test('a client with a metadata document needs no registration', async (t) => {
  const clientId = 'https://client.example/metadata.json';
  const document = {
    client_id: clientId,
    client_name: 'Documented',
    redirect_uris: [REDIRECT_URI],
    token_endpoint_auth_method: 'none',
    grant_types: ['authorization_code'],
  };
  /** @type {string[]} */
  const fetched = [];
  const { as } = await start(t, {
    fetch: async (url) => {
      fetched.push(String(url));
      return String(url) === clientId ? Response.json(document) : new Response('', { status: 404 });
    },
  });
  const tokens = await signIn(as, { client_id: clientId }, { parameters: { resource: RESOURCE } });
  assert.equal((await checkedToken(as, tokens.access_token, RESOURCE)).client_id, clientId);
  assert.deepEqual([...new Set(fetched)], [clientId]);

  const { url } = await begin(as, { client_id: 'https://client.example/missing.json' });
  assert.equal((await newBrowser(as).open(url.href)).status, 400);
});

test('one key signs sessions, access tokens and ID tokens', async (t) => {
  const { authkit, as } = await start(t);
  /** @returns {Promise<import('jose').JWK[]>} */
  const published = async (/** @type {string} */ url) => (await jsonOf(await fetch(url))).keys;
  const ofConnect = await published(as.jwks_uri);
  const ofSessions = await published(`${authkit.url}/sso/jwks/${DEFAULT_CLIENT_ID}`);
  assert.deepEqual(
    ofConnect.map(({ kid, n }) => [kid, n]),
    ofSessions.map(({ kid, n }) => [kid, n]),
  );
  const client = await register(as);
  const tokens = await signIn(as, client, { parameters: { scope: 'openid email' } });
  for (const keys of [createLocalJWKSet({ keys: ofConnect }), createLocalJWKSet({ keys: ofSessions })]) {
    assert.match(String((await jwtVerify(authkit.mintToken(), keys)).payload.sid), /^session_/);
    assert.equal((await jwtVerify(tokens.access_token, keys)).payload.aud, DEFAULT_CLIENT_ID);
    const { payload } = await jwtVerify(present(tokens.id_token), keys);
    assert.deepEqual([payload.iss, payload.aud, payload.sub], [as.issuer, client.client_id, ADA_ID]);
    assert.ok(!('client_id' in payload) && !('scope' in payload));
  }
});

test('a client that registered itself is refused other scopes than those of AuthKit', async (t) => {
  const { as } = await start(t);
  const client = await register(as);
  for (const scope of ['openid expenses:read', 'mcp:tools']) {
    const { url } = await begin(as, client, { scope, resource: RESOURCE });
    const { headers } = await fetch(url, { redirect: 'manual' });
    const answer = new URL(present(headers.get('location')));
    assert.ok(isAnswer(answer), `${answer}`);
    assert.equal(answer.searchParams.get('error'), 'invalid_scope', scope);
  }
});

test('state file with a separate Connect key is accepted', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'local-authkit-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const stateFile = join(folder, 'state.json');
  const { authkit, as } = await start(t, { stateFile });
  const client = await register(as);
  const { refresh_token: token } = await signIn(as, client, { parameters: OFFLINE });
  await authkit.close();
  const state = JSON.parse(readFileSync(stateFile, 'utf8'));
  writeFileSync(
    stateFile,
    JSON.stringify({ ...state, connectKeys: [{ ...state.keys[0], kid: 'local_key_of_connect' }] }),
  );

  /** @type {string[]} */
  const lines = [];
  const { as: moved } = await start(t, { stateFile, log: (line) => lines.push(line) });
  const { access_token: renewed } = await refresh(moved, client, token);
  const { keys } = await jsonOf(await fetch(moved.jwks_uri));
  assert.equal((await jwtVerify(renewed, createLocalJWKSet({ keys }))).payload.sub, ADA_ID);
  assert.deepEqual(lines, []);
});

test('key rotation keeps clients and refresh tokens', async (t) => {
  const { authkit, as } = await start(t);
  const client = await register(as);
  const before = await signIn(as, client, { parameters: OFFLINE });
  const kid = authkit.rotateKeys({ retireOld: true });
  /** @returns {Promise<import('jose').JWK[]>} */
  const keys = async () => (await jsonOf(await fetch(as.jwks_uri))).keys;
  assert.deepEqual(
    (await keys()).map((key) => key.kid),
    [kid],
  );
  assert.ok((await keys()).every((key) => !('d' in key) && !('p' in key)));

  const after = await refresh(as, client, before.refresh_token);
  assert.equal((await checkedToken(as, after.access_token, DEFAULT_CLIENT_ID)).sub, ADA_ID);
  await assert.rejects(jwtVerify(before.access_token, createLocalJWKSet({ keys: await keys() })));
  authkit.rotateKeys();
  assert.equal((await keys()).length, 2);
});

test('the issuer follows the setting connectIssuer', async (t) => {
  const { authkit } = await start(t);
  authkit.settings.connectIssuer = authkit.url.replace('127.0.0.1', 'localhost');
  const issuer = new URL(authkit.settings.connectIssuer);
  const as = await discover(issuer.origin);
  const tokens = await signIn(as, await register(as));
  assert.equal((await checkedToken(as, tokens.access_token, DEFAULT_CLIENT_ID)).iss, issuer.origin);
  assert.equal(decodeJwt(authkit.mintConnectToken()).iss, issuer.origin);
});

test('token times follow the given clock', async (t) => {
  const aheadMs = 100_000_000;
  const { authkit, as } = await start(t, { now: () => Date.now() + aheadMs });
  const machine = authkit.addMachine();
  const { iat, exp } = decodeJwt((await machineTokens(as, machine, {})).access_token);
  assert.ok(Math.abs(iat - (Date.now() + aheadMs) / 1000) < 5);
  assert.equal(exp - iat, 300);
});

test('hooks fail the metadata and the key set', async (t) => {
  const { authkit, as } = await start(t);
  authkit.hooks.add({ method: 'GET', path: '/oauth2/jwks', status: 503, count: 1 });
  authkit.hooks.add({ method: 'GET', path: '/.well-known/oauth-authorization-server', status: 500, count: 1 });
  assert.equal((await fetch(as.jwks_uri)).status, 503);
  assert.equal((await fetch(as.jwks_uri)).status, 200);
  await assert.rejects(discover(authkit.url));
  assert.deepEqual(await discover(authkit.url), as);
});

test('clients and refresh tokens survive a restart', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'authkit-connect-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const stateFile = join(folder, 'state.json');
  const { authkit, as } = await start(t, { stateFile });
  const client = await register(as);
  const tokens = await signIn(as, client, { parameters: OFFLINE });
  await authkit.close();

  const again = createAuthKit({ stateFile });
  t.after(() => again.close());
  await again.listen();
  const { keys } = await jsonOf(await fetch(`${again.url}/oauth2/jwks`));
  await jwtVerify(tokens.access_token, createLocalJWKSet({ keys }));
  const moved = await discover(again.url);
  assert.equal(decodeJwt((await refresh(moved, client, tokens.refresh_token)).access_token).sub, ADA_ID);
});

test('a script of another origin may register and exchange', async (t) => {
  const { as } = await start(t);
  const headers = {
    origin: 'http://localhost:6274',
    'access-control-request-method': 'POST',
    'access-control-request-headers': 'content-type',
  };
  for (const url of [as.registration_endpoint, as.token_endpoint]) {
    const preflight = await fetch(url, { method: 'OPTIONS', headers });
    assert.equal(preflight.status, 204);
    assert.match(preflight.headers.get('access-control-allow-headers') ?? '', /content-type/i);
    const answer = await fetch(url, { method: 'POST', headers: { origin: headers.origin } });
    assert.match(answer.headers.get('access-control-allow-origin') ?? '', /^(\*|http:\/\/localhost:6274)$/, url);
  }
});

test('a page of an unknown sign-in is refused', async (t) => {
  const { as } = await start(t);
  const { url } = await begin(as, await register(as));
  const page = await newBrowser(as).open(url.href);
  const response = await fetch(page.url);
  assert.equal(response.status, 400);
  assert.match((await jsonOf(response)).message, /No sign-in is under way/);
});
