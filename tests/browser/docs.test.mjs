/** `/docs`: what the API's description offers to try works with the session that the browser has. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { startVisitors } from './support/visitors.mjs';

const visitors = await startVisitors();

/** The answer that the page shows for an operation, tried as it is offered. */
async function tried(page, operation) {
  const block = page.locator(`[id$="-${operation}"]`);
  await block.getByRole('button', { name: /^(get|post) / }).click();
  await block.getByRole('button', { name: 'Execute' }).click();
  const answer = block.locator('.live-responses-table tbody tr').first();
  await answer.waitFor();
  return answer.innerText();
}

test('what is tried on the page runs with the browser\'s session', async (t) => {
  const page = await visitors.signedIn(t, 'Ada');
  await page.goto('/docs');
  assert.match(await tried(page, 'create_expense'), /^201[^]*"description": "Team lunch"/);
  assert.match(await tried(page, 'list_expenses'), /^200[^]*"description": "Team lunch"/);
});
