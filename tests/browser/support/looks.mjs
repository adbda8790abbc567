/** How a page looks, to eyes and to assistive technology, at every width and in both colour schemes. */

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import axe from 'axe-core';

import { ROOT } from '../../e2e/support/worker.mjs';

/** Pictures to look at after a change of a page. Not committed. */
const FOLDER = join(ROOT, 'screenshots');
const WINDOWS = [
  { width: 320, height: 640 },
  { width: 768, height: 1024 },
  { width: 1600, height: 1000 },
];
const COLOUR_SCHEMES = /** @type {const} */ (['light', 'dark']);

/** @typedef {import('playwright-core').Page} Page */

/**
 * Everything that is to be said of any page: it fits, it is accessible, and here is a picture.
 *
 * @param {Page} page
 * @param {string} name of the pictures
 */
export async function inspect(page, name) {
  await expectToFit(page);
  await expectAccessible(page);
  await screenshots(page, name);
}

/**
 * Writes the whole page as it is at each width, in light and in dark, to `screenshots/`.
 *
 * @param {Page} page
 * @param {string} name
 */
export async function screenshots(page, name) {
  mkdirSync(FOLDER, { recursive: true });
  await inEveryWindow(page, async ({ width }) => {
    for (const colorScheme of COLOUR_SCHEMES) {
      await page.emulateMedia({ colorScheme });
      const path = join(FOLDER, `${name}-${width}-${colorScheme}.png`);
      await page.screenshot({ path, fullPage: true, animations: 'disabled' });
    }
  });
}

/**
 * That an element has the focus. A browser gives it to an element with `autofocus` when it draws the page, which is later
 * than the element can be found.
 *
 * @param {import('playwright-core').Locator} element
 */
export async function expectFocus(element) {
  await element.and(element.page().locator(':focus')).waitFor();
}

/**
 * Waits for the next frame of a page with scripts. By its first one, focus and scroll position are where they are to be.
 *
 * @param {Page} page
 */
export async function nextFrame(page) {
  await page.evaluate(() => new Promise(requestAnimationFrame));
}

/**
 * That nothing has to be scrolled sideways to be read. 320 pixels are also a window of 1,280 at four
 * times the size (WCAG 2.2, success criterion 1.4.10).
 *
 * @param {Page} page
 */
export async function expectToFit(page) {
  await inEveryWindow(page, async ({ width }) => {
    const content = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(content <= width, `${page.url()} is ${content} pixels wide in a window of ${width}`);
  });
}

/**
 * That axe finds nothing to say against the page, at each width, in light and in dark.
 *
 * @param {Page} page
 */
export async function expectAccessible(page) {
  const isLoaded = await page.evaluate(() => 'axe' in globalThis);
  // By the debugger, which no policy of the page's keeps out.
  if (!isLoaded) await page.evaluate(axe.source);
  // A page without a background is painted in the scheme's own, which axe takes for white.
  await page.evaluate(() => {
    const transparent = (/** @type {Element} */ element) =>
      getComputedStyle(element).backgroundColor === 'rgba(0, 0, 0, 0)';
    if ([document.documentElement, document.body].every(transparent))
      document.documentElement.style.backgroundColor = 'Canvas';
  });
  await inEveryWindow(page, async ({ width }) => {
    for (const colorScheme of COLOUR_SCHEMES) {
      await page.emulateMedia({ colorScheme });
      const { violations } = await page.evaluate(() => {
        const { axe: loaded } = /** @type {{ axe: typeof axe }} */ (/** @type {unknown} */ (globalThis));
        return loaded.run(document, { resultTypes: ['violations'] });
      });
      assert.equal(
        violations.length,
        0,
        `axe, ${page.url()}, ${width} pixels, ${colorScheme}:\n${described(violations)}`,
      );
    }
  });
}

/** @param {import('axe-core').Result[]} violations */
function described(violations) {
  return violations
    .map(({ id, impact, help, nodes }) => {
      const places = nodes.map(({ target, html, failureSummary }) =>
        [`    at ${target.join(' ')}`, html.slice(0, 200), ...(failureSummary ?? '').split('\n')].join('\n      '),
      );
      return [`  ${id} (${impact}): ${help}`, ...places].join('\n');
    })
    .join('\n');
}

/** @param {Page} page @param {(window: { width: number, height: number }) => Promise<void>} body */
async function inEveryWindow(page, body) {
  const before = page.viewportSize();
  try {
    for (const window of WINDOWS) {
      await page.setViewportSize(window);
      await body(window);
    }
  } finally {
    await page.emulateMedia({ colorScheme: null });
    if (before) await page.setViewportSize(before);
  }
}
