/** The Worker of `examples/worker`: each kind of route that `axum-authkit` protects. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ADA_ID, GRACE_ID } from '../../local/authkit/index.mjs';
import { build, bundleFolder } from '../../local/build.mjs';
import { EXAMPLE, EXAMPLE_TEST_MODE } from '../../local/example.mjs';
import { assertDetail, assertUnauthorized, assertUnavailable } from './support/assertions.mjs';
import { KV_BINDINGS } from './support/runtime/controls.mjs';
import { startWorld } from './support/world.mjs';

await build('quiet', { worker: EXAMPLE, mode: EXAMPLE_TEST_MODE });
/** More than the `Retry-After` of an outage. */
const RETRY_SECS = 60;

const bundle = {
  folder: bundleFolder(EXAMPLE, EXAMPLE_TEST_MODE),
  kvBinding: KV_BINDINGS.example,
  config: EXAMPLE.config,
};
const world = await startWorld({ bundle });

test('home page and /health respond to everyone', async () => {
  const health = await world.anonymous().request('GET', '/health');
  assert.equal(health.status, 200, `${health}`);
  assert.match((await world.browser().open('/')).text, /href="\/login"/);
  const browser = await world.signedIn('Ada');
  assert.match((await browser.open('/')).text, /action="\/logout"/);
});

test('browser signs in where it asks for a protected page', async () => {
  const browser = world.browser();
  const page = await browser.submit(await browser.open('/secret'), 'Ada');
  assert.equal(page.url.pathname, '/secret');
  assert.equal(page.text, `Hello ${ADA_ID}`);
});

test('protected route takes a session or a token', async () => {
  assertUnauthorized(await world.anonymous().request('GET', '/secret'));
  for (const caller of [await world.signedIn('Ada'), world.bearer()]) {
    const answer = await caller.request('GET', '/secret');
    assert.equal(answer.status, 200, `${answer}`);
    assert.equal(answer.text, `Hello ${ADA_ID}`);
  }
});

test('role is required of a signed-in user', async () => {
  assertUnauthorized(await world.anonymous().request('GET', '/admin'));
  assertDetail(await (await world.signedIn('Grace')).request('GET', '/admin'), 403, /admin/);
  const answer = await (await world.signedIn('Ada')).request('GET', '/admin');
  assert.equal(answer.status, 200, `${answer}`);
});

test('bearer route refuses a session', async () => {
  assertUnauthorized(await (await world.signedIn('Grace')).request('GET', '/api'));
  const token = world.authkit.mintToken({ claims: { sub: GRACE_ID } });
  const answer = await world.bearer(token).request('GET', '/api');
  assert.equal(answer.status, 200, `${answer}`);
  assert.equal(answer.text, `Hello ${GRACE_ID}`);
});

test('sign-out ends the session', async () => {
  const browser = await world.signedIn('Ada');
  await browser.submit(await browser.open('/'), 'Sign out');
  assertUnauthorized(await browser.request('GET', '/secret'));
});

test('outage keeps the session cookie', async () => {
  const browser = await world.expired('Ada');
  const cookies = browser.cookies();
  await world.withoutAuthKit(async () => {
    for (const path of ['/secret', '/']) assertUnavailable(await browser.request('GET', path));
  });
  assert.deepEqual(browser.cookies(), cookies);
  // The isolate remembers the failure for the seconds that `Retry-After` names.
  await world.advanceClock(RETRY_SECS);
  assert.equal((await browser.request('GET', '/secret')).status, 200);
});

test('missing variables and bindings are named', async () => {
  const worker = await world.startWorker({
    vars: { WORKOS_CLIENT_ID: undefined },
    bindKv: false,
    bundle,
  });
  const answer = await world.anonymous(worker).request('GET', '/secret');
  assert.equal(answer.status, 500, `${answer}`);
  assert.match(answer.text, /WORKOS_CLIENT_ID is missing; AUTHKIT is not bound/);
});

test('no secret is in a response or in the log', async () => {
  await world.assertNothingLeaked();
});
