/** The page of API keys in Chromium: with JavaScript and without, by mouse and by keyboard. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { expectFocus, inspect } from './support/looks.mjs';
import { startVisitors } from './support/visitors.mjs';

const visitors = await startVisitors({ vars: { WORKOS_API_KEYS: 'on' } });
const { world } = visitors;

for (const javaScriptEnabled of [true, false]) {
  const name = javaScriptEnabled ? 'Ada' : 'Grace';
  test(`${name} manages API keys ${javaScriptEnabled ? 'with' : 'without'} JavaScript`, async (t) => {
    const page = await visitors.signedIn(t, name, { javaScriptEnabled, locale: 'en-GB' });
    await page.goto('/account');
    await page.getByRole('link', { name: 'Your API keys' }).click();
    assert.ok(await page.getByText('You have no API keys.').isVisible());
    if (javaScriptEnabled) await inspect(page, 'api-keys-empty');

    await page.getByRole('button', { name: 'Create key' }).click();
    const alert = page.getByRole('alert');
    assert.match(await alert.innerText(), /Give the key a name.*Choose what the key may do/s);
    if (javaScriptEnabled) {
      await inspect(page, 'api-keys-invalid');
      await expectFocus(alert);
    }

    // By keyboard alone.
    await page.getByLabel('Name').focus();
    await page.keyboard.type('Laptop of <Ada>');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Space');
    await page.keyboard.press('Enter');
    const notice = page.getByRole('status');
    await notice.filter({ hasText: 'The key is created' }).waitFor();
    const value = (await notice.locator('code').innerText()).trim();
    assert.match(value, /^sk_\w+/);
    world.keepSecret(value, 'an API key');
    assert.ok(!page.url().includes(value));
    if (javaScriptEnabled) await inspect(page, 'api-keys-created');
    const answer = await world.bearer(value).request('GET', '/expenses');
    assert.equal(answer.status, 200, `${answer}`);

    await page.getByRole('link', { name: 'Your API keys' }).click();
    const row = page.getByRole('listitem').filter({ hasText: 'Laptop of <Ada>' });
    assert.match(await row.innerText(), /expenses:read; created on .*; last used on /);
    assert.ok(!(await page.content()).includes(value));
    const revoke = row.getByRole('button', { name: 'Revoke this key' });
    assert.ok(!(await revoke.isVisible()));
    // Chromium counts a summary as focusable, and opens it by Enter.
    await row.locator('summary').press('Enter');
    if (javaScriptEnabled) await inspect(page, 'api-keys');
    await revoke.press('Enter');
    await page.getByRole('status').filter({ hasText: 'The key is revoked.' }).waitFor();
    assert.ok(await page.getByText('You have no API keys.').isVisible());
    assert.equal((await world.bearer(value).request('GET', '/expenses')).status, 401);
  });
}

test('the account has no link to keys where the Worker takes none', async (t) => {
  const worker = await world.startWorker();
  const page = await visitors.signedIn(t, 'Ada', {}, worker);
  await page.goto('/account');
  assert.equal(await page.getByRole('link', { name: 'Your API keys' }).count(), 0);
});
