/** `/docs`: operations tried on the page use the browser's session. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { expectToFit, screenshots } from './support/looks.mjs';
import { startVisitors } from './support/visitors.mjs';

const visitors = await startVisitors();

/**
 * The response that the page shows for an operation, tried as it is offered.
 *
 * @param {import('playwright-core').Page} page
 * @param {string} operation
 */
async function tried(page, operation) {
  const block = page.locator(`[id$="-${operation}"]`);
  await block.getByRole('button', { name: /^(get|post) / }).click();
  await block.getByRole('button', { name: 'Execute' }).click();
  const answer = block.locator('.live-responses-table tbody tr').first();
  await answer.waitFor();
  return answer.innerText();
}

test("operation tried on the page uses the browser's session", async (t) => {
  const page = await visitors.signedIn(t, 'Ada');
  await page.goto('/docs');
  assert.match(await tried(page, 'create_expense'), /^201.*"description": "Team lunch"/s);
  assert.match(await tried(page, 'list_expenses'), /^200.*"description": "Team lunch"/s);
});

test('a redirecting operation is offered as a working link', async (t) => {
  const page = await visitors.signedIn(t, 'Ada');
  await page.goto('/docs');
  for (const operation of ['begin_sign_in', 'finish_sign_in', 'sign_out_by_form', 'sign_out_by_link']) {
    const block = page.locator(`[id$="-${operation}"]`);
    await block.getByRole('button', { name: /^(get|post) / }).click();
    await block.getByText('This redirects to AuthKit').waitFor();
    assert.equal(await block.getByRole('button', { name: /Execute|Try it out/ }).count(), 0, operation);
  }
  assert.match(await tried(page, 'show_current_user'), /^200.*"email": "ada@example.com"/s);
  await page.getByRole('link', { name: 'Open /logout' }).click();
  await page.getByRole('link', { name: 'Sign in' }).first().waitFor();
  assert.equal(new URL(page.url()).origin, visitors.world.worker.origin);
  await page.goto('/docs');
  assert.match(await page.innerText('header'), /Not signed in/);
});

test('documentation and pages link each other and name user', async (t) => {
  const page = await visitors.newcomer(t);
  await page.goto('/');
  await page.getByRole('link', { name: 'API documentation' }).click();
  assert.equal(new URL(page.url()).pathname, '/docs');
  await page.locator('.opblock').first().waitFor();
  await expectToFit(page);
  await screenshots(page, 'docs');
  await page.getByRole('link', { name: 'Sign in' }).click();
  await page.getByRole('button', { name: /^Grace\b/ }).click();
  assert.equal(new URL(page.url()).pathname, '/docs');
  assert.match(await page.innerText('header'), /Signed in as\s+grace@example\.com/);
  await page.locator('.opblock').first().waitFor();
  await page.locator('[id$="-sign_out_by_link"]').getByRole('button', { name: /^get / }).click();
  await expectToFit(page);
  await screenshots(page, 'docs-signed-in');
  await page.getByRole('link', { name: 'Your expenses' }).click();
  assert.equal(new URL(page.url()).pathname, '/');
  await page.getByRole('link', { name: 'API documentation' }).click();
  assert.equal(new URL(page.url()).pathname, '/docs');
});
