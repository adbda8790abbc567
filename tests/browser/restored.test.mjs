/**
 * Pages that the browser restores from its back/forward cache. Playwright starts Chromium with that cache
 * off; here it is on, as visitors have it.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { startVisitors } from './support/visitors.mjs';

const visitors = await startVisitors({}, { ignoreDefaultArgs: ['--disable-back-forward-cache'] });
const RUNS = 4;
/** Chromium restores most pages, but not every one: where it has restored none, the test goes on. */
const RUNS_MAX = 12;

/** @typedef {import('playwright-core').Page} Page */

/** Notes in the tab's storage when a page is restored, and whether anything of it can be seen. @param {Page} page */
async function noteRestored(page) {
  await page.addInitScript(() => {
    addEventListener('pageshow', ({ persisted }) => {
      if (!persisted) return;
      const noted = JSON.parse(sessionStorage.getItem('restored') ?? '[]');
      const isVisible = document.documentElement.checkVisibility();
      sessionStorage.setItem(
        'restored',
        JSON.stringify([...noted, { path: location.pathname + location.search, isVisible }]),
      );
    });
  });
}

/** @param {Page} page @returns {Promise<{ path: string, isVisible: boolean }[]>} */
function restored(page) {
  return page.evaluate(() => JSON.parse(sessionStorage.getItem('restored') ?? '[]'));
}

/**
 * Goes back, until the page there offers the sign-in, once it is reloaded if it was restored. Playwright's own `goBack`
 * waits for an event that a restored page does not have.
 *
 * @param {Page} page
 * @param {string} path where that leads
 */
async function goBack(page, path) {
  await page.evaluate(() => void setTimeout(() => history.back()));
  await page.waitForURL(path, { waitUntil: 'commit' });
  await page.getByRole('link', { name: 'Sign in' }).first().waitFor();
}

/**
 * Signs Ada in, to end on `path`. Chromium gives up a cached page when its site's cookies change, but not
 * the page that a sign-in ends on: it watches the site where the navigation began, which was AuthKit's.
 *
 * @param {Page} page
 * @param {string} path
 */
async function signInTo(page, path) {
  await page.goto(`/login?${new URLSearchParams({ return_to: path })}`);
  await page.getByRole('button', { name: /^Ada\b/ }).click();
  await page.getByText('ada@example.com').first().waitFor();
}

/** @param {Page} page */
async function signOut(page) {
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('link', { name: 'Sign in' }).first().waitFor();
}

test('page restored after sign-out shows nothing of the user', async (t) => {
  const page = await visitors.newcomer(t);
  await noteRestored(page);
  /** @type {Awaited<ReturnType<typeof restored>>} */
  let pages = [];
  let run = 0;
  for (; run < RUNS || (pages.length === 0 && run < RUNS_MAX); run += 1) {
    await signInTo(page, `/?run=${run}`);
    await signOut(page);
    await goBack(page, `/?run=${run}`);
    pages = await restored(page);
    assert.doesNotMatch(await page.innerText('body'), /ada@example\.com/, `run ${run}: ${JSON.stringify(pages)}`);
  }
  // Otherwise the test would show nothing.
  t.diagnostic(`${pages.length} of ${run} pages were restored`);
  assert.ok(pages.length > 0, 'no page came from the back/forward cache');
  for (const { path, isVisible } of pages) assert.equal(isVisible, false, `${path} was seen before it was reloaded`);
});

test('a page becomes visible again without a reload', async (t) => {
  const page = await visitors.newcomer(t);
  await signInTo(page, '/expenses');
  await page.evaluate(() => {
    dispatchEvent(new PageTransitionEvent('pagehide', { persisted: false }));
    dispatchEvent(new PageTransitionEvent('pageshow', { persisted: false }));
  });
  assert.ok(await page.getByRole('heading', { name: 'Your expenses' }).isVisible());
});
