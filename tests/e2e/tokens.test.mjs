import assert from 'node:assert/strict';
import { createHmac, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';

import { SignJWT } from 'jose';

import { ADA_ID, GRACE_ID } from '../../local/authkit/index.mjs';
import { assertInvalidToken, assertUnauthorized, assertUnavailable } from './support/assertions.mjs';
import { CLIENT_ID, startWorld } from './support/world.mjs';

const JWKS_PATH = `/sso/jwks/${CLIENT_ID}`;

const world = await startWorld();
const { authkit } = world;
const publicKey = createPublicKey(world.privateKey);

/** @param {string} part of a token */
function decoded(part) {
  return JSON.parse(Buffer.from(part, 'base64url').toString());
}

/** @param {unknown} value */
function encoded(value) {
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
}

/** The `kid` of the key that AuthKit signs with now. */
function currentKid() {
  return decoded(authkit.mintToken().split('.')[0]).kid;
}

test('a session access token works like the cookie', async () => {
  const bearer = world.bearer();
  const me = await bearer.request('GET', '/me');
  assert.equal(me.status, 200, `${me}`);
  assert.equal(me.json.user.id, ADA_ID);
  assert.equal(me.setCookies.length, 0);
  const created = await bearer.request('POST', '/expenses', { json: { description: 'by token', amount: 1 } });
  assert.equal(created.status, 201, `${created}`);
  const browser = await world.signedIn('Ada');
  assert.equal((await browser.request('GET', created.header('location'))).json.description, 'by token');
});

test('a bearer token is accepted from any origin', async () => {
  const headers = { origin: 'https://example.com', 'sec-fetch-site': 'cross-site' };
  const answer = await world.bearer().request('POST', '/expenses', { json: { description: 'x', amount: 1 }, headers });
  assert.equal(answer.status, 201, `${answer}`);
});

for (const scheme of ['bearer', 'BEARER', 'Bearer']) {
  test(`the scheme may be written ${scheme}`, async () => {
    const headers = { authorization: `${scheme} ${authkit.mintToken()}` };
    assert.equal((await world.anonymous().request('GET', '/me', { headers })).json.user.id, ADA_ID);
  });
}

test('a token longer than a cookie is accepted', async () => {
  const permissions = Array.from({ length: 500 }, (_, index) => `resource-${index}:read`);
  const answer = await world.bearer(authkit.mintToken({ claims: { permissions } })).request('GET', '/me');
  assert.equal(answer.status, 200, `${answer}`);
  assert.deepEqual(answer.json.permissions, permissions);
});

test('claims of a custom template are accepted', async () => {
  const claims = { permissions: 'all', roles: null, org_id: 7, act: 'x', feature_flags: { a: 1 }, extra: [1] };
  const answer = await world.bearer(authkit.mintToken({ claims })).request('GET', '/me');
  assert.equal(answer.status, 200, `${answer}`);
  assert.equal(answer.json.user.id, ADA_ID);
});

/** Each is refused, and says so. @type {Record<string, () => string | Promise<string>>} */
const REFUSED = {
  'that expired a second ago': () => authkit.mintToken({ expSecs: -1 }),
  'that expired a year ago': () => authkit.mintToken({ expSecs: -31_536_000 }),
  'without an expiry': () => authkit.mintToken({ claims: { exp: undefined } }),
  'whose expiry is no number': () => authkit.mintToken({ claims: { exp: 'never' } }),
  'that is not valid yet': () => authkit.mintToken({ claims: { nbf: Math.floor(Date.now() / 1000) + 120 } }),
  'of another issuer': () => authkit.mintToken({ claims: { iss: 'https://x.example' } }),
  'without an issuer': () => authkit.mintToken({ claims: { iss: undefined } }),
  'without a session': () => authkit.mintToken({ claims: { sid: undefined } }),
  'of another client': () => authkit.mintToken({ claims: { client_id: 'client_other' } }),
  'for another audience': () => authkit.mintToken({ claims: { aud: 'https://other.example/mcp' } }),
  'with a scope': () => authkit.mintToken({ claims: { scope: 'openid' } }),
  'with a nonce': () => authkit.mintToken({ claims: { nonce: 'x' } }),
  'of type at+jwt': () => authkit.mintToken({ header: { typ: 'at+jwt' } }),
  'of Connect, where Connect is off': () => authkit.mintConnectToken(),
  'without a subject': () => authkit.mintToken({ claims: { sub: undefined } }),
  'with an empty subject': () => authkit.mintToken({ claims: { sub: '' } }),
  'with alg none and no signature': () => authkit.mintToken({ key: 'none' }),
  'with alg None and no signature': () => authkit.mintToken({ key: 'none', header: { alg: 'None' } }),
  'with alg none and a good signature': () => authkit.mintToken({ header: { alg: 'none' } }),
  'of good alg and no signature': () => authkit.mintToken({ key: 'none', header: { alg: 'RS256' } }),
  "with HS256 and the public key's PEM for a secret": () => authkit.mintToken({ key: 'hs256-public' }),
  "with HS256 and the public key's DER for a secret": () =>
    hmacToken(publicKey.export({ format: 'der', type: 'spki' })),
  "with HS256 and the public key's modulus for a secret": () =>
    hmacToken(Buffer.from(String(publicKey.export({ format: 'jwk' }).n), 'base64url')),
  "with HS256 and the JWK's text for a secret": () => hmacToken(JSON.stringify(publicKey.export({ format: 'jwk' }))),
  "that another key has signed under this key's name": () => authkit.mintToken({ key: 'stranger' }),
  'with a kid that nobody has': () => authkit.mintToken({ header: { kid: 'nobody' } }),
  'with a kid that is a path': () => authkit.mintToken({ header: { kid: '../../../../dev/null' } }),
  'with a kid that is very long': () => authkit.mintToken({ header: { kid: 'k'.repeat(5_000) } }),
  'that brings its own key': () => {
    const { privateKey, publicKey: own } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    return authkit.mintToken({ key: privateKey, header: { jwk: own.export({ format: 'jwk' }) } });
  },
  'with a critical header that is not understood': () => authkit.mintToken({ header: { crit: ['exp'], exp: 1 } }),
  'that says ES256': () => authkit.mintToken({ header: { alg: 'ES256' } }),
  'that says RS512 and is RS256': () => authkit.mintToken({ header: { alg: 'RS512' } }),
  'that is RS512, which the key does not declare': () => jwt('RS512'),
  'that is PS256, which the key does not declare': () => jwt('PS256'),
  'with other claims than were signed': () => {
    const [header, claims, signature] = authkit.mintToken().split('.');
    return [header, encoded({ ...decoded(claims), sub: GRACE_ID }), signature].join('.');
  },
  'with another header than was signed': () => {
    const [header, claims, signature] = authkit.mintToken().split('.');
    return [encoded({ ...decoded(header), typ: 'at+jwt' }), claims, signature].join('.');
  },
  'with a changed signature': () => {
    const [header, claims, signature] = authkit.mintToken().split('.');
    const bytes = Buffer.from(signature, 'base64url');
    bytes[100] ^= 1;
    return [header, claims, bytes.toString('base64url')].join('.');
  },
  'with a signature that is cut': () => authkit.mintToken().slice(0, -8),
  'of two parts': () => authkit.mintToken().split('.').slice(0, 2).join('.'),
  'of four parts': () => `${authkit.mintToken()}.x`,
  'of five parts, as if encrypted': () => `${authkit.mintToken()}.x.y`,
  'that is no token': () => 'nonsense',
  'that is dots': () => '..',
  'that is JSON': () => encoded({ sub: ADA_ID }),
  'of 40 KB': () => authkit.mintToken({ claims: { padding: 'x'.repeat(30_000) }, key: 'stranger' }),
};

/** A token that the right key has signed in a way that it does not declare. @param {string} alg */
function jwt(alg) {
  const [, claims] = authkit.mintToken().split('.');
  return new SignJWT(decoded(claims)).setProtectedHeader({ alg, kid: currentKid() }).sign(world.privateKey);
}

/** @param {string | Buffer} secret */
function hmacToken(secret) {
  const [, claims] = authkit.mintToken().split('.');
  const input = `${encoded({ alg: 'HS256', typ: 'JWT', kid: currentKid() })}.${claims}`;
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
}

for (const [what, make] of Object.entries(REFUSED)) {
  test(`a token ${what} is refused`, async () => {
    const answer = await world.bearer(await make()).request('GET', '/expenses');
    assertInvalidToken(answer);
    assert.ok(!answer.text.includes(ADA_ID), `${answer}`);
    assert.equal(answer.setCookies.length, 0);
  });
}

test('a token is refused from its expiry on', async () => {
  const worker = await world.startWorker();
  const bearer = world.bearer(authkit.mintToken({ expSecs: 300 }), worker);
  assert.equal((await bearer.request('GET', '/me')).status, 200);
  await worker.advanceClock(301);
  assertInvalidToken(await bearer.request('GET', '/me'));
});

test('a good token under another scheme is no credential', async () => {
  const token = authkit.mintToken();
  for (const authorization of [
    `Basic ${token}`,
    `Basic ${Buffer.from(`user:${token}`).toString('base64')}`,
    `DPoP ${token}`,
    `Token ${token}`,
    token,
    'Bearer',
    'Bearer ',
    `Bearer${token}`,
  ]) {
    assertUnauthorized(await world.anonymous().request('GET', '/me', { headers: { authorization } }));
  }
});

test('a token in query or cookie is ignored', async () => {
  const token = authkit.mintToken();
  assertUnauthorized(await world.anonymous().request('GET', `/me?access_token=${token}`));
  assertUnauthorized(await world.anonymous().request('GET', '/me', { headers: { cookie: `wos-session=${token}` } }));
});

test('WORKOS_ISSUER refuses tokens of other issuers', async () => {
  const worker = await world.startWorker({ vars: { WORKOS_ISSUER: 'https://auth.example.com' } });
  const ask = (/** @type {string | undefined} */ iss) =>
    world.bearer(authkit.mintToken({ claims: { iss } }), worker).request('GET', '/me');
  assert.equal((await ask('https://auth.example.com')).status, 200);
  for (const iss of ['https://auth.example.com/', 'https://auth.example.com.evil.example', '', undefined]) {
    assertInvalidToken(await ask(iss));
  }
  // Without it only WorkOS's own issuers count: the key signs other tokens than sessions too.
  const other = authkit.mintToken({ claims: { iss: 'https://auth.example.com' } });
  assertInvalidToken(await world.bearer(other).request('GET', '/me'));
});

test('concurrent requests share one fetch of the keys', async () => {
  const worker = await world.startWorker();
  const before = world.keyFetches();
  const bearer = world.bearer(undefined, worker);
  const answers = await Promise.all(Array.from({ length: 30 }, () => bearer.request('GET', '/me')));
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
  for (let count = 0; count < 10; count += 1) assert.equal((await bearer.request('GET', '/me')).status, 200);
  assert.equal(world.keyFetches() - before, 1);
});

test('requests waiting for slow keys all succeed', async () => {
  const worker = await world.startWorker();
  const before = world.keyFetches();
  authkit.hooks.add({ method: 'GET', path: JWKS_PATH, delay_ms: 300, count: 1 });
  const bearer = world.bearer(undefined, worker);
  const answers = await Promise.all(Array.from({ length: 10 }, () => bearer.request('GET', '/me')));
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
  assert.equal(world.keyFetches() - before, 1);
});

test('unknown kids cause one key request in 30 seconds', async () => {
  const worker = await world.startWorker();
  const flood = async () => {
    const before = world.keyFetches();
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, index) =>
        world.bearer(authkit.mintToken({ header: { kid: `made-up-${index}` } }), worker).request('GET', '/me'),
      ),
    );
    answers.forEach(assertInvalidToken);
    return world.keyFetches() - before;
  };
  assert.equal(await flood(), 1);
  assert.equal(await flood(), 0);
  await worker.advanceClock(31);
  assert.equal(await flood(), 1);
  assert.equal((await world.bearer(undefined, worker).request('GET', '/me')).status, 200);
});

test('a new key works beside the published old one', async () => {
  const worker = await world.startWorker();
  const old = world.bearer(authkit.mintToken({ expSecs: 86_400 }), worker);
  assert.equal((await old.request('GET', '/me')).status, 200);

  authkit.rotateKeys();
  await worker.advanceClock(31);
  const before = world.keyFetches();
  const fresh = world.bearer(authkit.mintToken({ expSecs: 86_400 }), worker);
  assert.equal((await fresh.request('GET', '/me')).status, 200);
  assert.equal((await old.request('GET', '/me')).status, 200);
  assert.equal(world.keyFetches() - before, 1);

  // A key that has been withdrawn stops working without a restart too.
  authkit.rotateKeys({ retireOld: true });
  await worker.advanceClock(31);
  const newest = world.bearer(authkit.mintToken({ expSecs: 86_400 }), worker);
  assert.equal((await newest.request('GET', '/me')).status, 200);
  assertInvalidToken(await fresh.request('GET', '/me'));
  assertInvalidToken(await old.request('GET', '/me'));
});

for (const [what, hook] of Object.entries({
  'an outage': { status: 503 },
  'too many requests': { status: 429 },
  'a page instead of keys': { status: 200, body: { hello: 'world' } },
})) {
  test(`${what} in place of keys gets 503`, async () => {
    const worker = await world.startWorker();
    const { id } = authkit.hooks.add({ method: 'GET', path: JWKS_PATH, ...hook });
    const bearer = world.bearer(undefined, worker);
    assertUnavailable(await bearer.request('GET', '/me'));
    authkit.hooks.remove(id);
    await worker.advanceClock(31);
    assert.equal((await bearer.request('GET', '/me')).status, 200);
  });
}

test('an outage during a key change keeps known keys', async () => {
  const worker = await world.startWorker();
  const bearer = world.bearer(undefined, worker);
  assert.equal((await bearer.request('GET', '/me')).status, 200);
  await worker.advanceClock(31);
  await world.withoutAuthKit(async () => {
    // Whether this key exists cannot be decided during the outage.
    assertUnavailable(await world.bearer(authkit.mintToken({ header: { kid: 'new' } }), worker).request('GET', '/me'));
    assert.equal((await bearer.request('GET', '/me')).status, 200);
  });
});

test('no answer and no log line holds a secret', () => world.assertNothingLeaked());
