/** A session that is too long for one cookie, in a browser that drops every cookie of more than 4,096 bytes. */

import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import { ADA_ID } from '../../local/authkit/index.mjs';
import { SESSION_COOKIE, startWorld } from './support/world.mjs';

const TOKEN_BYTES = 8_192;

const world = await startWorld({ isolates: [{}, {}, {}] });
const { authkit } = world;
const { isolates } = world.worker;

beforeEach(() => sizeTokens(0));

/** Every access token that AuthKit gives from now on is at least as long. @param {number} bytes */
function sizeTokens(bytes) {
  authkit.settings.minAccessTokenBytes = bytes;
}

/**
 * The names of the session's cookies: none is left over, and none is missing.
 *
 * @param {import('./support/actors.mjs').Browser} browser
 */
function cookieNames(browser) {
  return [...browser.cookies('/').keys()].sort();
}

/**
 * The session is complete, opens, and is all that the browser holds.
 *
 * @param {import('./support/actors.mjs').Browser} browser
 * @param {number} parts how many cookies carry it
 */
function assertWhole(browser, parts) {
  const names =
    parts === 1 ? [SESSION_COOKIE] : Array.from({ length: parts }, (_, index) => `${SESSION_COOKIE}.${index}`);
  assert.deepEqual(cookieNames(browser), names);
  assert.deepEqual(browser.droppedCookies, []);
  const session = world.sessionOf(browser);
  assert.equal(session.user.id, ADA_ID);
  return session;
}

/** @param {import('./support/actors.mjs').Browser} browser */
function partsFor(browser) {
  return cookieNames(browser).length;
}

/** @param {number} bytes */
async function signedInAt(bytes) {
  sizeTokens(bytes);
  const browser = await world.signedIn('Ada');
  const session = assertWhole(browser, partsFor(browser));
  assert.ok(session.access_token.length >= bytes, `${session.access_token.length}`);
  return browser;
}

/** @param {import('./support/actors.mjs').Browser} browser @param {number} bytes */
async function renewedAt(browser, bytes, isolate = isolates[0]) {
  sizeTokens(bytes);
  await world.expire();
  const before = world.refreshes();
  const answer = await browser.at(isolate).request('GET', '/me');
  assert.equal(answer.status, 200, `${answer}`);
  assert.equal(world.refreshes() - before, 1);
  return answer;
}

test('access token of 8 KB fits into session parts', async () => {
  sizeTokens(TOKEN_BYTES);
  const browser = world.browser();
  const page = await browser.signIn('Ada');
  assert.equal(page.status, 200, `${page}`);
  assert.equal(page.answer.json.user.id, ADA_ID);
  assert.ok(page.answer.json.permissions.length > 250);
  const lines = page.to('/callback')[0].setCookies.filter((line) => line.startsWith(`${SESSION_COOKIE}.`));
  assert.ok(lines.length >= 3);
  for (const line of lines) {
    assert.ok(Buffer.byteLength(line) <= 4096, `${Buffer.byteLength(line)} bytes`);
    assert.match(line, /; Path=\/; Max-Age=34560000; SameSite=Lax; HttpOnly$/);
  }
  assertWhole(browser, lines.length);
  const opened = await browser.open('/expenses');
  assert.equal(opened.hops.length, 1);
  assert.equal(opened.status, 200);
});

test('a large session is renewed repeatedly and stays large', async () => {
  const browser = await signedInAt(TOKEN_BYTES);
  const parts = partsFor(browser);
  for (const isolate of isolates) {
    const before = world.sessionOf(browser).refresh_token;
    await renewedAt(browser, TOKEN_BYTES, isolate);
    assert.notEqual(assertWhole(browser, parts).refresh_token, before);
    for (const other of isolates) assert.equal((await browser.at(other).request('GET', '/me')).status, 200);
  }
});

test('a session that changes size leaves no stale part', async () => {
  const browser = await signedInAt(0);
  assertWhole(browser, 1);
  const counts = [];
  for (const bytes of [TOKEN_BYTES, 4_000, 13_000, 5_500, 0, 13_000, 0]) {
    await renewedAt(browser, bytes);
    counts.push(partsFor(browser));
    assertWhole(browser, counts.at(-1) ?? 0);
    const again = await browser.request('GET', '/me');
    assert.equal(again.status, 200, `${again}`);
    assert.deepEqual(again.setCookies, []);
  }
  const [large, , largest, medium, small] = counts;
  assert.ok(largest > large && large > medium && medium > small && small === 1, `${counts}`);
});

test('a navigation renews a large session', async () => {
  const browser = await signedInAt(TOKEN_BYTES);
  await world.expire();
  const page = await browser.open('/me');
  assert.equal(page.hops.length, 1, `${page}`);
  assert.equal(page.status, 200);
  assertWhole(browser, partsFor(browser));
});

test('fifty requests renew a large session once per isolate', async (t) => {
  const browser = await signedInAt(TOKEN_BYTES);
  const parts = partsFor(browser);
  await world.expire();
  const before = world.refreshes();
  const answers = await Promise.all(
    Array.from({ length: 50 }, (_, index) => browser.at(isolates[index % isolates.length]).request('GET', '/me')),
  );
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
  t.diagnostic(`AuthKit calls: ${world.refreshes() - before}`);
  assert.ok(world.refreshes() - before <= isolates.length);
  // Whatever the order of the answers: the parts are of one sealing.
  assertWhole(browser, parts);
  assert.equal((await browser.request('GET', '/me')).status, 200);
});

test('an ended large session leaves no part behind', async (t) => {
  t.after(() => world.worker.limitTimers(Infinity));
  await world.worker.limitTimers(20);
  const browser = await signedInAt(TOKEN_BYTES);
  authkit.revokeSession((await browser.request('GET', '/me')).json.session_id);
  await world.expire();
  assert.equal((await browser.request('GET', '/me')).status, 401);
  assert.deepEqual(cookieNames(browser), []);
});

test('sign-out of a renewed large session leaves no part', async () => {
  const browser = await signedInAt(0);
  await renewedAt(browser, TOKEN_BYTES);
  const page = await browser.open('/logout');
  assert.equal(page.url.pathname, '/', `${page}`);
  assert.deepEqual(cookieNames(browser), []);
  assert.equal((await browser.request('GET', '/me')).status, 401);
});

test("a smaller session's sign-in leaves no part behind", async () => {
  const browser = await signedInAt(13_000);
  sizeTokens(0);
  assert.equal((await browser.open('/login?return_to=/me')).status, 200);
  assertWhole(browser, 1);
});

test('no answer and no log line holds a secret', () => world.assertNothingLeaked());
