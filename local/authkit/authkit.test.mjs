import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose';

import { jsonOf, portOf, present } from '../../tests/e2e/support/values.mjs';
import { ADA_ID, AUTO_SIGN_IN_HEADER, COMPILERS_ORG_ID, createAuthKit, ENGINES_ORG_ID, GRACE_ID } from './index.mjs';

const CLIENT = { client_id: 'client_test', client_secret: 'sk_test_secret' };
const OTHER_CLIENT = { client_id: 'client_other', client_secret: 'sk_other_secret' };
/** Shared, because making one takes longer than all the rest of a test. */
const PRIVATE_KEY = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
const REDIRECT_URI = 'http://localhost:8787/callback';

/**
 * A listening AuthKit, closed when the test ends.
 *
 * @param {import('node:test').TestContext} t
 * @param {import('./index.mjs').Options} [options]
 */
async function start(t, options = {}) {
  const authkit = createAuthKit({
    clientId: CLIENT.client_id,
    apiKey: CLIENT.client_secret,
    privateKey: PRIVATE_KEY,
    clients: { [OTHER_CLIENT.client_id]: OTHER_CLIENT.client_secret },
    ...options,
  });
  t.after(() => authkit.close());
  return authkit.listen();
}

function pkce() {
  const verifier = randomBytes(32).toString('base64url');
  return {
    verifier,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  };
}

function authorization(extra = {}) {
  return {
    client_id: CLIENT.client_id,
    redirect_uri: REDIRECT_URI,
    response_type: 'code',
    provider: 'authkit',
    state: 'st',
    ...extra,
  };
}

/** @typedef {Pick<import('./index.mjs').AuthKit, 'url'>} Server a running AuthKit, in this process or in another */
/** @typedef {Record<string, string | undefined>} Parameters of a request, over the usual ones */

/** @param {Server} authkit @param {Parameters} [extra] @param {Record<string, string>} [headers] */
function openSignIn(authkit, extra = {}, headers = {}) {
  const query = new URLSearchParams(authorization(extra));
  return fetch(`${authkit.url}/user_management/authorize?${query}`, { redirect: 'manual', headers });
}

/** @param {Server} authkit @param {Record<string, string>} fields @param {Parameters} [extra] */
function submitSignIn(authkit, fields, extra = {}) {
  const body = new URLSearchParams({ ...authorization(extra), ...fields });
  return fetch(`${authkit.url}/user_management/authorize`, { method: 'POST', body, redirect: 'manual' });
}

/** @param {Response} response */
function locationOf(response) {
  assert.equal(response.status, 302);
  return new URL(present(response.headers.get('location')));
}

/** The `Cookie` header that sends a response's first cookie back. @param {Response} response */
function cookieFrom(response) {
  return response.headers.getSetCookie()[0].split(';')[0];
}

/** @param {Response} response a redirect with an authorization code */
function codeFrom(response) {
  return present(locationOf(response).searchParams.get('code'));
}

/** @param {Server} authkit @param {string} userId @param {Parameters} [extra] */
async function codeFor(authkit, userId, extra = {}) {
  return codeFrom(await submitSignIn(authkit, { user_id: userId }, extra));
}

/** The session that an access token is of. @param {string} accessToken */
function sessionIdOf(accessToken) {
  return String(decodeJwt(accessToken).sid);
}

/** @param {Server} authkit @param {Parameters} body */
async function authenticate(authkit, body) {
  const response = await fetch(`${authkit.url}/user_management/authenticate`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...CLIENT, ...body }),
  });
  return { status: response.status, body: await jsonOf(response) };
}

/** @param {Server} authkit @param {string} code @param {Parameters} [extra] */
const exchange = (authkit, code, extra = {}) =>
  authenticate(authkit, { grant_type: 'authorization_code', code, ...extra });
/** @param {Server} authkit @param {string} token @param {Parameters} [extra] */
const refresh = (authkit, token, extra = {}) =>
  authenticate(authkit, { grant_type: 'refresh_token', refresh_token: token, ...extra });

/** @param {Server} authkit @param {string} [userId] @param {Parameters} [extra] */
async function signedIn(authkit, userId = ADA_ID, extra = {}) {
  const answer = await exchange(authkit, await codeFor(authkit, userId, extra));
  assert.equal(answer.status, 200);
  return answer.body;
}

const SESSION_ISSUER = `https://api.workos.com/user_management/${CLIENT.client_id}`;

/** @param {Server} authkit @param {string} token @param {import('jose').JWTVerifyOptions} [options] */
async function verify(authkit, token, options = {}) {
  const response = await fetch(`${authkit.url}/sso/jwks/${CLIENT.client_id}`);
  return jwtVerify(token, createLocalJWKSet(await jsonOf(response)), {
    algorithms: ['RS256'],
    issuer: SESSION_ISSUER,
    ...options,
  });
}

/**
 * @param {Awaited<ReturnType<typeof authenticate>>} answer
 * @param {number} expectedStatus
 * @param {string} code
 */
function assertRefused({ status, body }, expectedStatus, code) {
  assert.equal(status, expectedStatus);
  assert.equal(body.error ?? body.code, code);
}

/** @param {import('node:test').TestContext} t */
function temporaryStateFile(t) {
  const folder = mkdtempSync(join(tmpdir(), 'authkit-test-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return { folder, stateFile: join(folder, 'state.json') };
}

test('sign-in page lists users and returns code and state', async (t) => {
  const authkit = await start(t);
  const response = await openSignIn(authkit);
  const page = await response.text();
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('cache-control'), 'no-store');
  assert.match(page, /Ada Lovelace/);
  assert.match(page, /Grace Hopper/);
  assert.match(page, /This is not WorkOS/);

  const back = locationOf(await submitSignIn(authkit, { user_id: ADA_ID }));
  assert.equal(back.origin + back.pathname, REDIRECT_URI);
  assert.equal(back.searchParams.get('state'), 'st');
  assert.ok(back.searchParams.get('code'));
});

test('a code buys the user, organization and both tokens', async (t) => {
  const authkit = await start(t);
  const { verifier, ...challenge } = pkce();
  const code = await codeFor(authkit, ADA_ID, challenge);
  const { status, body } = await exchange(authkit, code, {
    code_verifier: verifier,
    ip_address: '192.0.2.7',
    user_agent: 'tester',
  });
  assert.equal(status, 200);
  assert.equal(body.user.id, ADA_ID);
  assert.equal(body.user.email, 'ada@example.com');
  assert.equal(body.organization_id, ENGINES_ORG_ID);
  assert.equal(body.authentication_method, 'MagicAuth');
  assert.ok(!('impersonator' in body));
  const { payload } = await verify(authkit, body.access_token);
  assert.equal(authkit.sessions[0].id, payload.sid);
  assert.equal(authkit.sessions[0].ipAddress, '192.0.2.7');
  assert.equal(authkit.sessions[0].userAgent, 'tester');
});

test('a code works once', async (t) => {
  const authkit = await start(t);
  const code = await codeFor(authkit, ADA_ID);
  assert.equal((await exchange(authkit, code)).status, 200);
  assertRefused(await exchange(authkit, code), 400, 'invalid_grant');
});

test('a code runs out after ten minutes', async (t) => {
  let now = Date.now();
  const authkit = await start(t, { now: () => now });
  const [early, late] = [await codeFor(authkit, ADA_ID), await codeFor(authkit, ADA_ID)];
  now += 10 * 60 * 1000 - 1;
  assert.equal((await exchange(authkit, early)).status, 200);
  now += 1;
  assertRefused(await exchange(authkit, late), 400, 'invalid_grant');
});

test('a code with a challenge requires its verifier', async (t) => {
  const authkit = await start(t);
  const { verifier, ...challenge } = pkce();
  const code = await codeFor(authkit, ADA_ID, challenge);
  assertRefused(await exchange(authkit, code), 400, 'invalid_request');
  assertRefused(await exchange(authkit, code, { code_verifier: pkce().verifier }), 400, 'invalid_grant');
  assertRefused(await exchange(authkit, code, { code_verifier: challenge.code_challenge }), 400, 'invalid_grant');
  assert.equal((await exchange(authkit, code, { code_verifier: verifier })).status, 200);
});

test('a code is bound to client and redirect URI', async (t) => {
  const authkit = await start(t);
  const code = await codeFor(authkit, ADA_ID);
  assertRefused(await exchange(authkit, code, OTHER_CLIENT), 400, 'invalid_grant');
  assertRefused(await exchange(authkit, code, { redirect_uri: 'http://localhost:8787/other' }), 400, 'invalid_grant');
  assert.equal((await exchange(authkit, code, { redirect_uri: REDIRECT_URI })).status, 200);
});

test('a client without its secret gets nothing', async (t) => {
  const authkit = await start(t);
  const code = await codeFor(authkit, ADA_ID);
  assertRefused(await exchange(authkit, code, { client_secret: 'wrong' }), 400, 'invalid_client');
  assertRefused(await exchange(authkit, code, { client_secret: undefined }), 400, 'invalid_client');
  assertRefused(await exchange(authkit, code, { client_id: 'client_nobody' }), 400, 'invalid_client');
  assert.equal((await exchange(authkit, code)).status, 200);
});

test('a malformed authenticate request gets an OAuth error', async (t) => {
  const authkit = await start(t);
  for (const body of [{}, { grant_type: 'password' }, { grant_type: 'constructor' }, { grant_type: 'refresh_token' }]) {
    const answer = await authenticate(authkit, body);
    assertRefused(answer, 400, 'invalid_request');
    assert.equal(typeof answer.body.error_description, 'string');
  }
  const response = await fetch(`${authkit.url}/user_management/authenticate`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"client_secret": "sk_test',
  });
  const text = await response.text();
  assert.equal(response.status, 400);
  assert.equal(JSON.parse(text).code, 'invalid_request_body');
  assert.doesNotMatch(text, /sk_test/);
});

test('authenticate takes a form as well as JSON', async (t) => {
  const authkit = await start(t);
  const code = await codeFor(authkit, ADA_ID);
  const body = new URLSearchParams({ ...CLIENT, grant_type: 'authorization_code', code });
  const response = await fetch(`${authkit.url}/user_management/authenticate`, { method: 'POST', body });
  assert.equal(response.status, 200);
});

test('a refresh token rotates and works once', async (t) => {
  const authkit = await start(t);
  const first = await signedIn(authkit);
  const second = await refresh(authkit, first.refresh_token);
  assert.equal(second.status, 200);
  assert.notEqual(second.body.refresh_token, first.refresh_token);
  assert.equal(decodeJwt(second.body.access_token).sid, decodeJwt(first.access_token).sid);
  assert.notEqual(decodeJwt(second.body.access_token).jti, decodeJwt(first.access_token).jti);
  assertRefused(await refresh(authkit, first.refresh_token), 400, 'invalid_grant');
  assert.equal((await refresh(authkit, second.body.refresh_token)).status, 200);
});

test('of parallel refreshes with one token exactly one wins', async (t) => {
  const authkit = await start(t);
  const { refresh_token } = await signedIn(authkit);
  const answers = await Promise.all(Array.from({ length: 8 }, () => refresh(authkit, refresh_token)));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 400, 400, 400, 400, 400, 400, 400]);
  assert.equal(
    authkit.requests.count({ method: 'POST', path: '/user_management/authenticate', grantType: 'refresh_token' }),
    8,
  );
  assert.equal(authkit.requests.count({ grantType: 'refresh_token', status: 200 }), 1);
  authkit.requests.clear();
  assert.equal(authkit.requests.count(), 0);
});

test('a spent refresh token works while reuse is allowed', async (t) => {
  let now = Date.now();
  const authkit = await start(t, { now: () => now, settings: { allowRefreshReuseSecs: 10 } });
  const { refresh_token } = await signedIn(authkit);
  assert.equal((await refresh(authkit, refresh_token)).status, 200);
  now += 9_999;
  assert.equal((await refresh(authkit, refresh_token)).status, 200);
  now += 1;
  assertRefused(await refresh(authkit, refresh_token), 400, 'invalid_grant');
});

test('a refresh token is bound to its client', async (t) => {
  const authkit = await start(t);
  const { refresh_token } = await signedIn(authkit);
  assertRefused(await refresh(authkit, refresh_token, OTHER_CLIENT), 400, 'invalid_grant');
  assert.equal((await refresh(authkit, refresh_token)).status, 200);
});

test('a refresh switches the organization for later refreshes too', async (t) => {
  const authkit = await start(t);
  const first = await signedIn(authkit, GRACE_ID);
  assert.equal(first.organization_id, ENGINES_ORG_ID);
  const second = (await refresh(authkit, first.refresh_token, { organization_id: COMPILERS_ORG_ID })).body;
  assert.equal(second.organization_id, COMPILERS_ORG_ID);
  assert.equal(decodeJwt(second.access_token).role, 'admin');
  const third = (await refresh(authkit, second.refresh_token)).body;
  assert.equal(decodeJwt(third.access_token).org_id, COMPILERS_ORG_ID);
});

test('a refused switch gives the reason and spends nothing', async (t) => {
  const authkit = await start(t);
  const { refresh_token } = await signedIn(authkit, GRACE_ID);
  const foreign = await refresh(authkit, refresh_token, { organization_id: 'org_nobody' });
  assertRefused(foreign, 403, 'organization_membership_not_found');

  const compilers = present(authkit.organizations.find(({ id }) => id === COMPILERS_ORG_ID));
  for (const requirement of ['sso_required', 'mfa_enrollment']) {
    compilers.requirement = requirement;
    const answer = await refresh(authkit, refresh_token, { organization_id: COMPILERS_ORG_ID });
    assertRefused(answer, 403, requirement);
    assert.ok(answer.body.pending_authentication_token);
  }
  compilers.requirement = null;
  present(authkit.findUser(GRACE_ID)).requirement = 'mfa_enrollment';
  assertRefused(await refresh(authkit, refresh_token, { organization_id: COMPILERS_ORG_ID }), 403, 'mfa_enrollment');
  assert.equal((await refresh(authkit, refresh_token)).status, 200);
});

test('a sign-in may request an organization of the user', async (t) => {
  const authkit = await start(t);
  assert.equal(
    (await signedIn(authkit, GRACE_ID, { organization_id: COMPILERS_ORG_ID })).organization_id,
    COMPILERS_ORG_ID,
  );
  const { id: foreign } = authkit.addOrganization({ name: 'Foreign' });
  const refused = locationOf(await submitSignIn(authkit, { user_id: ADA_ID }, { organization_id: foreign }));
  assert.equal(refused.searchParams.get('error'), 'access_denied');
  assert.equal(refused.searchParams.get('code'), null);
});

test("an organization's requirement overrides the browser session", async (t) => {
  const authkit = await start(t);
  const cookie = cookieFrom(await submitSignIn(authkit, { user_id: GRACE_ID }));
  assert.equal((await openSignIn(authkit, { organization_id: COMPILERS_ORG_ID }, { cookie })).status, 302);
  present(authkit.organizations.find(({ id }) => id === COMPILERS_ORG_ID)).requirement = 'sso_required';
  assert.equal((await openSignIn(authkit, { organization_id: COMPILERS_ORG_ID }, { cookie })).status, 200);
  const { authentication_method } = await signedIn(authkit, GRACE_ID, { organization_id: COMPILERS_ORG_ID });
  assert.equal(authentication_method, 'SSO');
});

test('browser session skips the page unless sign-in is requested', async (t) => {
  const authkit = await start(t);
  const signIn = await submitSignIn(authkit, { user_id: ADA_ID });
  assert.match(signIn.headers.getSetCookie()[0], /; Path=\/user_management; .*HttpOnly; SameSite=Lax/);
  const cookie = cookieFrom(signIn);
  assert.ok(locationOf(await openSignIn(authkit, {}, { cookie })).searchParams.get('code'));
  assert.equal((await openSignIn(authkit, { prompt: 'login' }, { cookie })).status, 200);
  assert.equal((await openSignIn(authkit, { screen_hint: 'sign-up' }, { cookie })).status, 200);
  assert.equal((await openSignIn(authkit, {}, { cookie: `${cookie}x` })).status, 200);
});

test('max_age requests another sign-in, and prompt=none shows no page', async (t) => {
  let now = Date.now();
  const authkit = await start(t, { now: () => now });
  const cookie = cookieFrom(await submitSignIn(authkit, { user_id: ADA_ID }));
  now += 60_000;
  assert.equal((await openSignIn(authkit, { max_age: '0' }, { cookie })).status, 200);
  assert.equal((await openSignIn(authkit, { max_age: '60' }, { cookie })).status, 200);
  assert.equal((await openSignIn(authkit, { max_age: '61' }, { cookie })).status, 302);
  assert.equal((await openSignIn(authkit, { max_age: 'x' }, { cookie })).status, 400);
  assert.ok(locationOf(await openSignIn(authkit, { prompt: 'none' }, { cookie })).searchParams.get('code'));
  assert.equal(locationOf(await openSignIn(authkit, { prompt: 'none' })).searchParams.get('error'), 'login_required');
});

test('a session records the invitation that its user accepted', async (t) => {
  const authkit = await start(t);
  await signedIn(authkit, ADA_ID, { invitation_token: 'an invitation' });
  await signedIn(authkit, GRACE_ID);
  assert.deepEqual(
    authkit.sessions.map(({ invitationToken }) => invitationToken),
    ['an invitation', null],
  );
});

test('sign-out ends the refresh token and the browser session', async (t) => {
  const authkit = await start(t);
  const signIn = await submitSignIn(authkit, { user_id: ADA_ID });
  const cookie = cookieFrom(signIn);
  const { body } = await exchange(authkit, codeFrom(signIn));
  const query = new URLSearchParams({
    session_id: sessionIdOf(body.access_token),
    return_to: 'http://localhost:8787/',
  });
  const response = await fetch(`${authkit.url}/user_management/sessions/logout?${query}`, {
    redirect: 'manual',
    headers: { cookie },
  });
  assert.equal(locationOf(response).href, 'http://localhost:8787/');
  assert.match(
    response.headers.getSetCookie()[0],
    /^local-authkit-session=; Path=\/user_management; Expires=Thu, 01 Jan 1970/,
  );
  assertRefused(await refresh(authkit, body.refresh_token), 400, 'invalid_grant');
  assert.equal((await openSignIn(authkit, {}, { cookie })).status, 200);
});

test('sign-out requires a session and a loopback return address', async (t) => {
  const authkit = await start(t);
  const logout = (/** @type {string} */ query) =>
    fetch(`${authkit.url}/user_management/sessions/logout?${query}`, { redirect: 'manual' });
  assert.equal((await logout('')).status, 422);
  assert.equal((await logout('session_id=s&return_to=https://example.com/')).status, 400);
  assert.equal((await logout('session_id=s')).status, 200);
});

test('the revoke endpoint ends a session with the API key', async (t) => {
  const authkit = await start(t);
  const { body } = await exchange(authkit, codeFrom(await submitSignIn(authkit, { user_id: ADA_ID })));
  const session_id = sessionIdOf(body.access_token);
  const revoke = (/** @type {object} */ content, key = CLIENT.client_secret) =>
    fetch(`${authkit.url}/user_management/sessions/revoke`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
      body: JSON.stringify(content),
    });
  assert.equal((await revoke({ session_id }, 'sk_test_wrong')).status, 401);
  assert.equal((await revoke({})).status, 400);
  assert.equal((await revoke({ session_id })).status, 200);
  assertRefused(await refresh(authkit, body.refresh_token), 400, 'invalid_grant');
  const again = await revoke({ session_id });
  assert.equal(again.status, 404);
  assert.match((await jsonOf(again)).message, /Session not found/);
});

test('sign-out of an unknown session ends the browser session', async (t) => {
  const authkit = await start(t);
  const cookie = cookieFrom(await submitSignIn(authkit, { user_id: ADA_ID }));
  await fetch(`${authkit.url}/user_management/sessions/logout?session_id=session_gone`, { headers: { cookie } });
  assert.equal((await openSignIn(authkit, {}, { cookie })).status, 200);
});

test('a revoked session cannot be refreshed or reused', async (t) => {
  const authkit = await start(t);
  const signIn = await submitSignIn(authkit, { user_id: ADA_ID });
  const { access_token, refresh_token } = (await exchange(authkit, codeFrom(signIn))).body;
  assert.equal(authkit.revokeSession(sessionIdOf(access_token)), true);
  assert.equal(authkit.revokeSession(sessionIdOf(access_token)), false);
  assertRefused(await refresh(authkit, refresh_token), 400, 'invalid_grant');
  assert.equal((await openSignIn(authkit, {}, { cookie: cookieFrom(signIn) })).status, 200);
});

test('access tokens carry session claims and no audience', async (t) => {
  const authkit = await start(t);
  const { payload, protectedHeader } = await verify(authkit, (await signedIn(authkit)).access_token);
  assert.equal(protectedHeader.alg, 'RS256');
  const { iss, sub, sid, jti, iat, exp, ...rest } = payload;
  assert.equal(iss, SESSION_ISSUER);
  assert.equal(sub, ADA_ID);
  assert.match(sid, /^session_[0-9A-Z]{26}$/);
  assert.match(jti, /^[0-9A-Z]{26}$/);
  assert.equal(exp - iat, 300);
  assert.deepEqual(rest, {
    org_id: ENGINES_ORG_ID,
    role: 'admin',
    roles: ['admin'],
    permissions: ['expenses:read', 'expenses:write', 'members:manage'],
  });
});

test('a user without an organization gets no organization claim', async (t) => {
  const authkit = await start(t);
  const { id } = authkit.addUser({ email: 'alone@example.com' });
  const { access_token, organization_id } = await signedIn(authkit, id);
  assert.equal(organization_id, null);
  assert.deepEqual(Object.keys(decodeJwt(access_token)).sort(), ['exp', 'iat', 'iss', 'jti', 'sid', 'sub']);
});

test('settings shape the tokens', async (t) => {
  const authkit = await start(t, { settings: { accessTokenTtlSecs: 2, issuer: 'https://issuer.example' } });
  authkit.settings.extraClaims[ADA_ID] = { plan: 'gold' };
  authkit.settings.minAccessTokenBytes = 8192;
  present(authkit.findUser(ADA_ID)).impersonator = { email: 'support@example.com', reason: 'help' };
  Object.assign(authkit.organizations[0], { entitlements: ['audit'], featureFlags: ['beta'] });
  const { access_token, impersonator, authentication_method } = await signedIn(authkit);
  const claims = decodeJwt(access_token);
  assert.equal(claims.exp - claims.iat, 2);
  assert.equal(claims.iss, 'https://issuer.example');
  assert.equal(claims.plan, 'gold');
  assert.deepEqual(claims.entitlements, ['audit']);
  assert.deepEqual(claims.feature_flags, ['beta']);
  assert.deepEqual(claims.act, { sub: 'support@example.com' });
  assert.deepEqual(claims.impersonator, { email: 'support@example.com', reason: 'help' });
  assert.deepEqual(impersonator, { email: 'support@example.com', reason: 'help' });
  assert.equal(authentication_method, 'Impersonation');
  assert.ok(access_token.length >= 8192 && access_token.length < 8400, `${access_token.length} bytes`);
});

test('the key set publishes RS256 keys per known client', async (t) => {
  const authkit = await start(t);
  const { keys } = await jsonOf(await fetch(`${authkit.url}/sso/jwks/${CLIENT.client_id}`));
  assert.equal(keys.length, 1);
  assert.deepEqual(Object.keys(keys[0]).sort(), ['alg', 'e', 'kid', 'kty', 'n', 'use']);
  assert.equal(keys[0].use, 'sig');
  assert.equal(keys[0].alg, 'RS256');
  assert.equal((await fetch(`${authkit.url}/sso/jwks/client_nobody`)).status, 404);
});

test('key rotation publishes the old key until its retirement', async (t) => {
  const authkit = await start(t);
  const old = (await signedIn(authkit)).access_token;
  const kid = authkit.rotateKeys();
  const fresh = (await signedIn(authkit)).access_token;
  assert.equal(decodeProtectedHeader(fresh).kid, kid);
  assert.notEqual(decodeProtectedHeader(old).kid, kid);
  await verify(authkit, old);
  await verify(authkit, fresh);
  authkit.rotateKeys({ retireOld: true });
  await assert.rejects(verify(authkit, old), { code: 'ERR_JWKS_NO_MATCHING_KEY' });
  await assert.rejects(verify(authkit, fresh), { code: 'ERR_JWKS_NO_MATCHING_KEY' });
});

test('minted tokens are sound, or forged as asked', async (t) => {
  const authkit = await start(t);
  const { payload } = await verify(authkit, authkit.mintToken({ claims: { sub: 'user_x', jti: undefined, plan: 1 } }));
  assert.equal(payload.sub, 'user_x');
  assert.equal(payload.plan, 1);
  assert.ok(!('jti' in payload));
  await assert.rejects(verify(authkit, authkit.mintToken({ expSecs: -1 })), { code: 'ERR_JWT_EXPIRED' });
  await assert.rejects(verify(authkit, authkit.mintToken({ key: 'stranger' })), {
    code: 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED',
  });

  const unsigned = authkit.mintToken({ key: 'none' });
  assert.equal(decodeProtectedHeader(unsigned).alg, 'none');
  assert.ok(unsigned.endsWith('.'));

  const confused = authkit.mintToken({ key: 'hs256-public' });
  const [{ kid, ...jwk }] = (await jsonOf(await fetch(`${authkit.url}/sso/jwks/${CLIENT.client_id}`))).keys;
  assert.equal(decodeProtectedHeader(confused).kid, kid);
  const pem = createPublicKey({ key: jwk, format: 'jwk' }).export({ format: 'pem', type: 'spki' });
  await jwtVerify(confused, Buffer.from(pem), { algorithms: ['HS256'] });
});

test('an invalid authorization request is refused with a reason', async (t) => {
  const authkit = await start(t);
  /** @type {[Parameters, string][]} */
  const wrong = [
    [{ redirect_uri: '' }, 'invalid_request'],
    [{ client_id: '' }, 'invalid_request'],
    [{ client_id: 'client_nobody' }, 'invalid_client_id'],
    [{ response_type: '' }, 'invalid_request'],
    [{ response_type: 'token' }, 'unsupported_response_type'],
    [{ provider: '' }, 'invalid_request'],
    [{ code_challenge: 'short', code_challenge_method: 'S256' }, 'invalid_request'],
    [{ ...pkce(), code_challenge_method: 'plain' }, 'invalid_request'],
    [{ ...pkce(), code_challenge_method: '' }, 'invalid_request'],
    [{ code_challenge_method: 'S256' }, 'invalid_request'],
  ];
  for (const [extra, code] of wrong) {
    for (const response of [
      await openSignIn(authkit, extra),
      await submitSignIn(authkit, { user_id: ADA_ID }, extra),
    ]) {
      assert.equal(response.status, 400, JSON.stringify(extra));
      const body = await jsonOf(response);
      assert.equal(body.code, code, JSON.stringify(extra));
      assert.equal(typeof body.message, 'string');
    }
  }
});

test('a redirect leads to this computer only', async (t) => {
  const authkit = await start(t);
  for (const uri of [
    'http://127.0.0.1:1/cb',
    'https://localhost/cb',
    'http://app.localhost:8787/cb',
    'http://[::1]:8787/cb',
  ]) {
    assert.equal((await openSignIn(authkit, { redirect_uri: uri })).status, 200, uri);
  }
  const elsewhere = [
    'https://example.com/',
    'http://localhost.example.com/',
    'http://notlocalhost/',
    'http://localhost@example.com/',
    'javascript:alert(1)',
  ];
  for (const uri of [...elsewhere, 'localhost:1/cb', '/callback', 'http://local\thost/cb', 'ftp://localhost/cb']) {
    const response = await submitSignIn(authkit, { user_id: ADA_ID }, { redirect_uri: uri });
    assert.equal(response.status, 400, uri);
    assert.equal((await jsonOf(response)).code, 'invalid_redirect_uri');
  }
});

test('cancelling goes back with access_denied', async (t) => {
  const authkit = await start(t);
  const back = locationOf(await submitSignIn(authkit, { cancel: '1' }));
  assert.equal(back.searchParams.get('error'), 'access_denied');
  assert.ok(back.searchParams.get('error_description'));
  assert.equal(back.searchParams.get('state'), 'st');
  assert.equal(back.searchParams.get('code'), null);
});

test('only an unknown e-mail address creates a user', async (t) => {
  const authkit = await start(t);
  const sub = async (/** @type {string} */ email) => {
    const { body } = await exchange(authkit, codeFrom(await submitSignIn(authkit, { email })));
    return body.user.id;
  };
  const id = await sub('new@example.com');
  assert.match(id, /^user_[0-9A-Z]{26}$/);
  assert.equal(await sub('NEW@example.com'), id);
  assert.equal(await sub('Ada@Example.com'), ADA_ID);
  assert.equal(authkit.users.length, 3);
});

test('an e-mail that is none is asked for again', async (t) => {
  const authkit = await start(t);
  for (const email of ['', 'nobody', 'a b@example.com', `${'a'.repeat(250)}@example.com`]) {
    const response = await submitSignIn(authkit, { email });
    assert.equal(response.status, 400);
    assert.match(await response.text(), /role="alert"/);
  }
  assert.equal(authkit.users.length, 2);
});

test('pages escape everything they were given', async (t) => {
  const authkit = await start(t);
  const hostile = `"><script>alert('x')</script>&`;
  authkit.addUser({ email: '<img/src=x>@example.com', firstName: '<b>Bobby</b>' });
  const responses = [
    await openSignIn(authkit, { state: hostile, login_hint: hostile, redirect_uri: `${REDIRECT_URI}?x=${hostile}` }),
    await submitSignIn(authkit, { email: hostile }, { state: hostile }),
    await fetch(authkit.url),
  ];
  for (const response of responses) {
    const page = await response.text();
    assert.doesNotMatch(page, /<script|<img|<b>/);
    assert.match(page, /&lt;img\/src=x&gt;@example\.com/);
    assert.match(response.headers.get('content-security-policy') ?? '', /^default-src 'none'; style-src 'sha256-/);
    assert.match(page, /<html lang="en">/);
  }
  assert.equal(
    locationOf(await submitSignIn(authkit, { user_id: ADA_ID }, { state: hostile })).searchParams.get('state'),
    hostile,
  );
});

test('autoSignIn or a header signs in without a page', async (t) => {
  const authkit = await start(t, { settings: { autoSignIn: 'grace@example.com' } });
  const userBy = async (/** @type {Response} */ response) => (await exchange(authkit, codeFrom(response))).body.user.id;
  assert.equal(await userBy(await openSignIn(authkit)), GRACE_ID);
  assert.equal(await userBy(await openSignIn(authkit, {}, { [AUTO_SIGN_IN_HEADER]: ADA_ID })), ADA_ID);
  assert.equal((await openSignIn(authkit, {}, { [AUTO_SIGN_IN_HEADER]: 'nobody' })).status, 400);
  authkit.settings.autoSignIn = null;
  assert.equal((await openSignIn(authkit)).status, 200);
});

test('hooks inject failures over HTTP, as often as asked', async (t) => {
  const authkit = await start(t);
  const hooksUrl = `${authkit.url}/_emulate/hooks`;
  const add = (/** @type {Partial<import('./hooks.mjs').HookInput>} */ hook) =>
    fetch(hooksUrl, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(hook) });
  const jwks = () => fetch(`${authkit.url}/sso/jwks/${CLIENT.client_id}`);

  const created = await add({
    method: 'GET',
    path: '/sso/*',
    status: 503,
    body: { message: 'down', code: 'x' },
    count: 2,
  });
  assert.equal(created.status, 201);
  assert.match((await jsonOf(created)).id, /^hook_/);
  assert.equal((await jsonOf(await fetch(hooksUrl))).length, 1);
  const failed = await jwks();
  assert.equal(failed.status, 503);
  assert.deepEqual(await jsonOf(failed), { message: 'down', code: 'x' });
  assert.equal((await jwks()).status, 503);
  assert.equal((await jwks()).status, 200);

  const { id } = await jsonOf(await add({ method: '*', path: '*', status: 429 }));
  assert.equal((await jsonOf(await jwks())).code, 'rate_limit_exceeded');
  assert.equal((await fetch(`${hooksUrl}/${id}`, { method: 'DELETE' })).status, 204);
  assert.equal((await fetch(`${hooksUrl}/${id}`, { method: 'DELETE' })).status, 404);
  assert.equal((await jwks()).status, 200);

  await add({ method: 'get', path: `/sso/jwks/${CLIENT.client_id}`, status: 500 });
  assert.equal((await fetch(hooksUrl, { method: 'DELETE' })).status, 204);
  assert.equal((await jwks()).status, 200);

  for (const hook of [
    {},
    { method: 'GET', path: '/' },
    { method: 'GET', path: '/', status: 99 },
    { method: 'GET', path: '/', status: 500, count: 0 },
  ]) {
    assert.equal((await add(hook)).status, 400);
  }
});

test('hook with only a delay postpones the real response', async (t) => {
  const authkit = await start(t);
  authkit.hooks.add({ method: 'GET', path: '/health', delay_ms: 60, count: 1 });
  const before = performance.now();
  assert.deepEqual(await jsonOf(await fetch(`${authkit.url}/health`)), { status: 'ok' });
  assert.ok(performance.now() - before >= 55);
});

test('refresh that fails by a hook keeps its token', async (t) => {
  const authkit = await start(t);
  const { refresh_token } = await signedIn(authkit);
  authkit.hooks.add({ method: 'POST', path: '/user_management/authenticate', status: 503, count: 1 });
  assert.equal((await refresh(authkit, refresh_token)).status, 503);
  assert.equal((await refresh(authkit, refresh_token)).status, 200);
  assert.equal(authkit.requests.count({ grantType: 'refresh_token' }), 2);
  assert.equal(authkit.requests.count({ grantType: 'refresh_token', status: 503 }), 1);
});

test('keys, sessions and typed-in users survive a restart', async (t) => {
  const { folder, stateFile } = temporaryStateFile(t);
  const before = await start(t, { stateFile });
  const signIn = await submitSignIn(before, { email: 'kept@example.com' });
  const { body } = await exchange(before, codeFrom(signIn));
  await before.close();

  assert.equal(statSync(stateFile).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(folder), ['state.json']);
  assert.ok(!readFileSync(stateFile, 'utf8').includes(body.refresh_token));

  // A key of its own would show if the saved one were not used.
  const after = await start(t, { stateFile, privateKey: undefined });
  await verify(after, body.access_token);
  assert.equal(
    locationOf(await openSignIn(after, {}, { cookie: cookieFrom(signIn) })).origin,
    new URL(REDIRECT_URI).origin,
  );
  const refreshed = await refresh(after, body.refresh_token);
  assert.equal(refreshed.body.user.id, body.user.id);

  const third = await start(t, { stateFile });
  assertRefused(await refresh(third, body.refresh_token), 400, 'invalid_grant');
});

test('a corrupt state file is replaced without being quoted', async (t) => {
  const { stateFile } = temporaryStateFile(t);
  const corrupt = [
    'sekret',
    '{"version":1,"keys":["sekret"]}',
    '{"version":1,"sessions":{"sessions":[["sekret",null]]}}',
    '{"version":9}',
    'null',
  ];
  for (const text of corrupt) {
    writeFileSync(stateFile, text, { mode: 0o644 });
    /** @type {string[]} */
    const lines = [];
    const authkit = await start(t, { stateFile, log: (line) => lines.push(line) });
    assert.equal(lines.length, 1, text);
    assert.doesNotMatch(lines[0], /sekret/);
    await verify(authkit, (await signedIn(authkit)).access_token);
    assert.equal(JSON.parse(readFileSync(stateFile, 'utf8')).keys.length, 1);
    assert.equal(statSync(stateFile).mode & 0o777, 0o600);
  }
});

test('listen after close keeps all state', async (t) => {
  const authkit = await start(t);
  const { refresh_token } = await signedIn(authkit);
  const { url } = authkit;
  await authkit.close();
  await assert.rejects(fetch(url));
  await authkit.listen({ port: Number(new URL(url).port) });
  assert.equal(authkit.url, url);
  assert.equal((await refresh(authkit, refresh_token)).status, 200);
});

test('the error names a port that is in use', async (t) => {
  const other = createServer().listen(0, '127.0.0.1');
  t.after(() => other.close());
  await once(other, 'listening');
  const port = portOf(other);
  await assert.rejects(
    createAuthKit({ privateKey: PRIVATE_KEY }).listen({ port }),
    new RegExp(`port ${port} on 127\\.0\\.0\\.1 is taken`),
  );
});

test('it listens on loopback addresses only', async (t) => {
  const authkit = await start(t);
  assert.match(authkit.url, /^http:\/\/127\.0\.0\.1:\d+$/);
  for (const host of ['0.0.0.0', '::', '192.0.2.1', 'example.com']) {
    await assert.rejects(createAuthKit({ privateKey: PRIVATE_KEY }).listen({ host }), /loopback/);
  }
});

test('program announces itself, logs no secret, stops on signals', async (t) => {
  const main = fileURLToPath(new URL('./main.mjs', import.meta.url));
  const env = { ...process.env, WORKOS_CLIENT_ID: CLIENT.client_id, WORKOS_API_KEY: CLIENT.client_secret };
  const child = spawn(process.execPath, [main, '--port', '0', '--auto-sign-in', ADA_ID], { env });
  t.after(() => child.kill('SIGKILL'));
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
  await once(child.stdout, 'data');
  const url = present(/ready at (http:\/\/127\.0\.0\.1:\d+)/.exec(output))[1];
  const code = codeFrom(await openSignIn({ url }));
  const { body } = await exchange({ url }, code);
  assert.equal(body.user.id, ADA_ID);

  const { issuer, token_endpoint: tokenEndpoint } = await jsonOf(
    await fetch(`${url}/.well-known/oauth-authorization-server`),
  );
  assert.equal(issuer, url.replace('127.0.0.1', 'localhost'));
  const machine = {
    client_id: 'client_local_machine',
    client_secret: 'sk_test_local_machine',
    grant_type: 'client_credentials',
  };
  const response = await fetch(tokenEndpoint, {
    method: 'POST',
    body: new URLSearchParams({ ...machine, scope: 'expenses:read' }),
  });
  assert.equal(decodeJwt((await jsonOf(response)).access_token).scope, 'expenses:read');

  child.kill('SIGTERM');
  assert.deepEqual(await once(child, 'exit'), [0, null]);
  assert.equal(output.trim().split('\n').length, 1, output);
  for (const secret of [code, body.refresh_token, CLIENT.client_secret]) assert.ok(!output.includes(secret));
});

test('the program explains an argument it does not understand', async () => {
  const main = fileURLToPath(new URL('./main.mjs', import.meta.url));
  const child = spawn(process.execPath, [main, '--port', 'many']);
  let output = '';
  child.stderr.on('data', (chunk) => (output += chunk));
  assert.deepEqual(await once(child, 'exit'), [2, null]);
  assert.match(output, /--port must be a number/);
});
