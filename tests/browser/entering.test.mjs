/** Entering one expense after the other by keyboard, and undoing a deletion: with JavaScript and without. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { expectFocus, inspect, nextFrame } from './support/looks.mjs';
import { signIn, startVisitors } from './support/visitors.mjs';

const visitors = await startVisitors();
const NARROW = { width: 320, height: 640 };

/** @typedef {import('playwright-core').Page} Page */

/** @param {Page} page */
function status(page) {
  return page.getByRole('status');
}

test('several receipts are entered by keyboard alone', async (t) => {
  const page = await visitors.signedIn(t, 'Ada', { locale: 'en-GB' });
  await page.goto('/expenses');
  await page.getByLabel('Description', { exact: true }).focus();
  await page.keyboard.type('Bread');
  await page.keyboard.press('Tab');
  await page.keyboard.type('3.20');
  await page.locator('#category').fill('groceries');
  await page.getByLabel('Date', { exact: true }).fill('2026-01-31');
  await page.getByLabel('Amount', { exact: true }).press('Enter');
  for (const [description, amount] of [
    ['Cheese', '7.90'],
    ['Apples', '2.10'],
  ]) {
    await status(page).filter({ hasText: 'Added' }).waitFor();
    await expectFocus(page.locator('#description'));
    assert.equal(await page.locator('#category').inputValue(), 'groceries');
    assert.equal(await page.getByLabel('Date', { exact: true }).inputValue(), '2026-01-31');
    const describing = await page.getByLabel('Description', { exact: true }).getAttribute('aria-describedby');
    assert.match(await page.locator(`#${describing}`).innerText(), /^Added “/);
    await page.keyboard.type(description);
    await page.keyboard.press('Tab');
    await page.keyboard.type(amount);
    await page.keyboard.press('Enter');
    await status(page).filter({ hasText: description }).waitFor();
  }
  await inspect(page, 'expenses-added');
  await page.reload();
  assert.equal(await status(page).count(), 0);
  await nextFrame(page);
  assert.notEqual(await page.evaluate(() => document.activeElement?.id), 'description');
});

test('a page restored from the cache repeats no message', async (t) => {
  const page = await visitors.signedIn(t, 'Ada', { locale: 'en-GB' });
  await page.goto('/expenses');
  await page.getByLabel('Description', { exact: true }).fill('Stamp');
  await page.getByLabel('Amount', { exact: true }).fill('1');
  await page.getByRole('button', { name: 'Add expense' }).click();
  await status(page).waitFor();
  await page.goto('/docs');
  await page.goBack();
  await page.getByRole('heading', { name: 'Your expenses' }).waitFor();
  assert.equal(await status(page).count(), 0);
});

for (const javaScriptEnabled of [true, false]) {
  test(`a deletion is undone ${javaScriptEnabled ? 'with' : 'without'} JavaScript`, async (t) => {
    const page = await visitors.newcomer(t, { javaScriptEnabled, locale: 'en-GB', viewport: NARROW });
    await page.goto('/');
    await signIn(page, 'Grace');
    await page.goto('/expenses');
    const name = javaScriptEnabled ? 'Cinema' : 'Theatre';
    await page.getByLabel('Description', { exact: true }).fill(name);
    await page.getByLabel('Amount', { exact: true }).fill('12');
    await page.getByRole('button', { name: 'Add expense' }).click();
    await page.getByRole('link', { name: `Delete ${name}` }).click();
    await page.getByRole('button', { name: 'Delete' }).click();
    assert.match(await status(page).innerText(), new RegExp(`^Deleted “${name}”, .*12\\.00`));
    assert.equal(await page.getByRole('link', { name: `Delete ${name}` }).count(), 0);
    if (javaScriptEnabled) await inspect(page, 'expenses-deleted');
    await page.getByRole('button', { name: 'Undo' }).press('Enter');
    await status(page)
      .filter({ hasText: `Restored “${name}”` })
      .waitFor();
    assert.equal(await page.getByRole('link', { name: `Delete ${name}` }).count(), 1);
  });
}
