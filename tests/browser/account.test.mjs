/** The account's page in Chromium: organizations, what a role may do, and the Admin Portal. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { inspect } from './support/looks.mjs';
import { startVisitors } from './support/visitors.mjs';

const visitors = await startVisitors();
const { world } = visitors;

test('a keyboard switches the organization, and the pages follow the role', async (t) => {
  const page = await visitors.signedIn(t, 'Ada');
  await page.goto('/expenses');
  await page.getByLabel('Description').fill('Lunch');
  await page.getByLabel('Amount').fill('12.50');
  await page.getByRole('button', { name: 'Add expense' }).click();
  await page.getByRole('link', { name: 'Your account' }).click();
  await page.getByRole('heading', { name: 'Your account' }).waitFor();
  await inspect(page, 'account');

  const button = page.getByRole('button', { name: 'Switch Compilers Company' });
  // From the skip link on, by Tab alone.
  for (let steps = 0; steps < 20 && !(await button.evaluate((it) => it === document.activeElement)); steps += 1)
    await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.getByRole('status').filter({ hasText: 'Organization switched.' }).waitFor();
  await page.getByText('You can see your expenses, but not add or change any').waitFor();
  assert.equal(await page.getByRole('button', { name: 'Set up single sign-on' }).count(), 0);
  await inspect(page, 'account-reader');

  await page.getByRole('link', { name: 'Back to your expenses' }).click();
  await page.getByText('You can see your expenses, but not add or change any').waitFor();
  assert.ok(await page.getByRole('rowheader', { name: 'Lunch' }).isVisible());
  for (const name of ['Edit Lunch', 'Delete Lunch']) assert.equal(await page.getByRole('link', { name }).count(), 0);
  assert.equal(await page.getByRole('button', { name: 'Add expense' }).count(), 0);
  await inspect(page, 'expenses-reader');
});

for (const javaScriptEnabled of [true, false]) {
  test(`buttons open the portal ${javaScriptEnabled ? 'with' : 'without'} JavaScript`, async (t) => {
    const page = await visitors.signedIn(t, 'Ada', { javaScriptEnabled });
    for (const [name, purpose] of [
      ['Set up single sign-on', 'set up single sign-on'],
      ['Directory sync', 'connect a directory'],
      ['Domain verification', 'verify a domain'],
      ['Audit logs', 'read the audit log'],
    ]) {
      await page.goto('/account');
      await page.getByRole('button', { name }).click();
      // The browser follows the form's redirect only where the page's policy allows it.
      await page.getByText(purpose).waitFor();
      assert.equal(new URL(page.url()).origin, world.authkit.url);
      await page.getByRole('link', { name: 'Back to the application' }).click();
      await page.getByRole('heading', { name: 'Your account' }).waitFor();
    }
  });
}
