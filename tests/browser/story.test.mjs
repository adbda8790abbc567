/** From "Sign in" to "Sign out", as a visitor does it, in Chromium. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { inspect } from './support/looks.mjs';
import { startVisitors } from './support/visitors.mjs';

const visitors = await startVisitors();
const { world } = visitors;

/** @typedef {import('playwright-core').Page} Page */

/** @param {Page} page */
function signOutButton(page) {
  return page.getByRole('button', { name: 'Sign out' });
}

/** The page says that this person is signed in. @param {Page} page @param {string} email */
async function assertSignedIn(page, email) {
  await page.goto('/');
  assert.ok(await page.getByText(email).first().isVisible(), await page.innerText('body'));
  assert.ok(await signOutButton(page).isVisible());
}

/** @param {Page} page */
async function assertSignedOut(page) {
  await page.goto('/');
  assert.ok(await page.getByRole('link', { name: 'Sign in' }).first().isVisible(), await page.innerText('body'));
  assert.equal(await signOutButton(page).count(), 0);
  assert.doesNotMatch(await page.innerText('body'), /@example\.com/);
}

test('visitor reads the home page, signs in and out', async (t) => {
  const page = await visitors.newcomer(t);
  const answer = await page.goto('/');
  assert.equal(answer?.status(), 200);
  assert.match(await page.title(), /\S/);
  assert.equal(await page.getByRole('heading', { level: 1 }).count(), 1);
  await inspect(page, 'home');

  await page.getByRole('link', { name: 'Sign in' }).first().click();
  assert.equal(new URL(page.url()).origin, new URL(world.authkit.url).origin);
  await inspect(page, 'authkit-sign-in');
  await page.getByRole('button', { name: /^Ada\b/ }).click();
  assert.equal(new URL(page.url()).origin, world.worker.origin);

  await assertSignedIn(page, 'ada@example.com');
  await inspect(page, 'home-signed-in');

  await signOutButton(page).click();
  assert.equal(new URL(page.url()).origin, world.worker.origin, page.url());
  await assertSignedOut(page);
});

test('two browsers hold the sessions of two users', async (t) => {
  const [ada, grace] = [await visitors.signedIn(t, 'Ada'), await visitors.signedIn(t, 'Grace')];
  await assertSignedIn(ada, 'ada@example.com');
  await assertSignedIn(grace, 'grace@example.com');
  await signOutButton(ada).click();
  await assertSignedOut(ada);
  await assertSignedIn(grace, 'grace@example.com');
});

test('all of it works without a script', async (t) => {
  const page = await visitors.signedIn(t, 'Grace', { javaScriptEnabled: false });
  await assertSignedIn(page, 'grace@example.com');
  await signOutButton(page).click();
  await assertSignedOut(page);
});

test('all of it works with the keyboard alone', async (t) => {
  const page = await visitors.newcomer(t);
  /**
   * Tabs until the focus is on what a screen reader would call by that name.
   *
   * @param {'link' | 'button'} role
   * @param {string | RegExp} name
   */
  async function tabTo(role, name) {
    const wanted = page.getByRole(role, { name }).first();
    for (let presses = 0; presses < 40; presses += 1) {
      await page.keyboard.press('Tab');
      if (await wanted.evaluate((element) => element === document.activeElement)) return;
    }
    assert.fail(`the ${role} "${name}" is not reached by Tab`);
  }
  await page.goto('/');
  await tabTo('link', 'Sign in');
  await Promise.all([page.waitForURL(`${world.authkit.url}/**`), page.keyboard.press('Enter')]);
  await tabTo('button', /^Ada\b/);
  await Promise.all([page.waitForURL(`${world.worker.origin}/**`), page.keyboard.press('Enter')]);
  await page.goto('/');
  await tabTo('button', 'Sign out');
  await Promise.all([page.waitForEvent('load'), page.keyboard.press('Enter')]);
  await assertSignedOut(page);
});

test('scripts cannot read session cookie on http or https', async (t) => {
  const secure = await world.startWorker({ https: true });
  for (const worker of [world.worker, secure]) {
    const page = await visitors.signedIn(t, 'Ada', undefined, worker);
    const cookies = await page.context().cookies(worker.origin);
    const session = cookies.find(({ name }) => name === (worker === secure ? '__Host-wos-session' : 'wos-session'));
    assert.ok(session, `${worker.origin}: ${cookies.map(({ name }) => name)}`);
    assert.equal(session.httpOnly, true);
    assert.equal(session.sameSite, 'Lax');
    if (worker === secure) assert.equal(session.secure, true);
    assert.equal(await page.evaluate(() => document.cookie), '');
  }
});

test('an expired session is renewed without a visible step', async (t) => {
  const page = await visitors.signedIn(t, 'Ada');
  await world.expire();
  await assertSignedIn(page, 'ada@example.com');
});

test('a sign-in returns to the page that required it', async (t) => {
  const page = await visitors.newcomer(t);
  await page.goto('/expenses?limit=7');
  await page.getByRole('button', { name: /^Grace\b/ }).click();
  assert.equal(page.url(), `${world.worker.origin}/expenses?limit=7`);
});

test('back button after sign-out shows nothing of the user', async (t) => {
  const page = await visitors.signedIn(t, 'Ada');
  // An address of its own, so that nothing newer takes its place in a cache.
  await page.goto('/?before');
  assert.match(await page.innerText('body'), /ada@example\.com/);
  await signOutButton(page).click();
  await page.getByRole('link', { name: 'Sign in' }).first().waitFor();
  await page.goBack();
  assert.equal(page.url(), `${world.worker.origin}/?before`);
  assert.doesNotMatch(await page.innerText('body'), /ada@example\.com/);
});

test('no log line holds a secret', async () => {
  // Something for it to look at: what the visitors saw is looked at by them.
  await world.anonymous().request('GET', '/health');
  await world.assertNothingLeaked();
});
