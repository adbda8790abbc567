/** Expenses in Chromium: with JavaScript and without, as one user and as two. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { present } from '../e2e/support/values.mjs';
import { expectAccessible, expectFocus, inspect } from './support/looks.mjs';
import { signIn, startVisitors } from './support/visitors.mjs';

const visitors = await startVisitors();
const { world } = visitors;

/** @typedef {import('playwright-core').Page} Page */
/** @typedef {Partial<Record<'description' | 'amount' | 'currency' | 'category' | 'date', string>>} Fields of the form */

/** Fills the form that adds or changes an expense. @param {Page} page @param {Fields} fields */
async function type(page, { description, amount, currency, category, date }) {
  const form = page.locator('form', { has: page.getByRole('button', { name: /Add expense|Save changes/ }) });
  const fields = { Description: description, Amount: amount, Currency: currency, Category: category, Date: date };
  for (const [label, value] of Object.entries(fields)) {
    if (value !== undefined) await form.getByLabel(new RegExp(`^${label}`)).fill(value);
  }
}

/** @param {Page} page @param {Fields} expense */
async function add(page, expense) {
  await type(page, expense);
  await page.getByRole('button', { name: 'Add expense' }).click();
}

/** The descriptions in the list's rows. @param {Page} page */
async function rows(page) {
  const table = page.getByRole('table', { name: 'Expenses, the newest first' });
  if ((await table.count()) === 0) return [];
  // The heads of months are in the column too.
  const names = await table.locator('th.what').allInnerTexts();
  return names.map((name) => name.trim());
}

for (const javaScriptEnabled of [true, false]) {
  test(`the whole story works ${javaScriptEnabled ? 'with' : 'without'} JavaScript`, async (t) => {
    const page = await visitors.newcomer(t, { javaScriptEnabled, locale: 'en-GB' });
    await page.goto('/');
    await signIn(page, javaScriptEnabled ? 'Ada' : 'Grace');
    await page.goto('/expenses');
    assert.ok(await page.getByRole('heading', { name: 'Nothing here yet' }).isVisible());
    if (javaScriptEnabled) await inspect(page, 'expenses-empty');

    const today = await page.getByLabel('Date', { exact: true }).inputValue();
    await add(page, { description: 'Team <b>lunch</b> & "more"', amount: '42.50', currency: 'EUR', category: 'meals' });
    assert.match(await page.getByRole('status').innerText(), /^Added “Team <b>lunch<\/b> & "more"”, .*42\.50/);
    await add(page, { description: 'Train', amount: '89.9', currency: 'EUR', category: 'travel', date: '2026-01-05' });
    // The form keeps the date before.
    await add(page, { description: 'Keyboard', amount: '129', currency: 'USD', category: 'tools', date: today });
    await page.getByRole('status').filter({ hasText: 'Added “Keyboard”' }).waitFor();
    // The list is by date; of one date, the expense that was added last comes first.
    assert.deepEqual(await rows(page), ['Keyboard', 'Team <b>lunch</b> & "more"', 'Train']);
    assert.equal(await page.getByRole('rowheader', { name: /^January 2026/ }).count(), 1);
    await page.getByRole('img', { name: 'Spending by category in EUR' }).waitFor();
    await page.getByRole('img', { name: 'Spending by month in EUR' }).waitFor();
    if (javaScriptEnabled) await inspect(page, 'expenses');
    await page.getByRole('link', { name: 'Newest added' }).click();
    const added = page.getByRole('table', { name: 'Expenses, the newest added first' });
    assert.deepEqual(await added.locator('th.what').allInnerTexts(), [
      'Keyboard',
      'Train',
      'Team <b>lunch</b> & "more"',
    ]);
    await page.getByRole('link', { name: 'By date' }).click();

    await page.getByRole('link', { name: 'Edit Train' }).click();
    if (javaScriptEnabled) await inspect(page, 'expense');
    await type(page, { description: 'Night train', amount: '99.90' });
    await page.getByRole('button', { name: 'Save changes' }).click();
    assert.match(await page.getByRole('status').innerText(), /^Changed “Night train”, .*99\.90/);

    await page.getByLabel('Category', { exact: true }).last().selectOption('travel');
    await page.getByRole('button', { name: 'Filter' }).click();
    assert.deepEqual(await rows(page), ['Night train']);
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('link', { name: 'Download CSV' }).click(),
    ]);
    const csv = readFileSync(await download.path(), 'utf8');
    assert.match(csv, /Night train/);
    assert.doesNotMatch(csv, /Keyboard/);
    await page.getByRole('link', { name: 'Clear' }).click();

    await page.getByRole('link', { name: 'Delete Night train' }).click();
    assert.ok(await page.getByRole('heading', { name: 'Delete this expense?' }).isVisible());
    if (javaScriptEnabled) await inspect(page, 'expense-delete');
    await page.getByRole('link', { name: 'Cancel' }).click();
    await page.getByRole('link', { name: 'Delete Night train' }).click();
    await page.getByRole('button', { name: 'Delete' }).click();
    assert.match(await page.getByRole('status').innerText(), /^Deleted/);
    assert.deepEqual(await rows(page), ['Keyboard', 'Team <b>lunch</b> & "more"']);

    await page.getByRole('button', { name: 'Sign out' }).click();
    assert.ok(await page.getByRole('link', { name: 'Sign in' }).first().isVisible());
  });
}

test('two people see each their own', async (t) => {
  const [ada, grace] = [await visitors.signedIn(t, 'Ada'), await visitors.signedIn(t, 'Grace')];
  await ada.goto('/expenses');
  await add(ada, { description: 'A thing of Ada’s', amount: '1' });
  await ada.getByRole('link', { name: 'Edit A thing of Ada’s' }).click();
  const answer = await grace.goto(new URL(ada.url()).pathname);
  assert.equal(answer?.status(), 404);
  await grace.goto('/expenses');
  assert.ok(!(await rows(grace)).includes('A thing of Ada’s'));
});

/** @type {[keyof Fields, string, string, RegExp][]} */
const MISTAKES = [
  ['description', 'Description', '   ', /Say what it was/],
  ['amount', 'Amount', 'a lot', /amount/i],
  ['amount', 'Amount', '0', /more than/i],
  ['amount', 'Amount', '1.234', /./],
  ['currency', 'Currency', 'dollar', /./],
  ['category', 'Category', 'c'.repeat(51), /./],
];
for (const [field, label, bad, message] of MISTAKES) {
  test(`${label} “${bad.slice(0, 12)}” gets a message beside its field`, async (t) => {
    const page = await visitors.signedIn(t, 'Grace', { locale: 'en-GB' });
    await page.goto('/expenses');
    const before = await rows(page);
    await add(page, { description: 'Kept', amount: '5', [field]: bad });
    const input = page.getByLabel(new RegExp(`^${label}`));
    assert.equal(await input.getAttribute('aria-invalid'), 'true');
    assert.equal(await input.inputValue(), bad);
    const described = present(await input.getAttribute('aria-describedby'))
      .split(' ')
      .map((id) => page.locator(`#${id}`).innerText());
    assert.match((await Promise.all(described)).join(' '), message);
    if (field !== 'description')
      assert.equal(await page.getByLabel('Description', { exact: true }).inputValue(), 'Kept');
    // The summary of what is wrong has the focus, and leads to the field.
    await expectFocus(page.getByRole('alert'));
    await expectAccessible(page);
    if (field === 'amount' && bad === 'a lot') await inspect(page, 'expense-refused');
    await page.goto('/expenses');
    assert.deepEqual(await rows(page), before);
  });
}

test('a double click adds one expense', async (t) => {
  const page = await visitors.signedIn(t, 'Ada');
  await page.goto('/expenses');
  await type(page, { description: 'Only once', amount: '3' });
  await page.getByRole('button', { name: 'Add expense' }).dblclick({ noWaitAfter: true });
  await page.getByRole('status').waitFor();
  await page.goto('/expenses');
  assert.equal((await rows(page)).filter((row) => row === 'Only once').length, 1);
});

test('a session ending under an open form loses nothing', async (t) => {
  const page = await visitors.signedIn(t, 'Ada');
  await page.goto('/expenses');
  await type(page, { description: 'Typed for long', amount: '12' });
  await page.context().clearCookies();
  await page.getByRole('button', { name: 'Add expense' }).click();
  assert.ok(await page.getByRole('heading', { name: 'You are signed out' }).isVisible());
  assert.equal(await page.getByLabel('Description', { exact: true }).inputValue(), 'Typed for long');
  const [tab] = await Promise.all([
    page.context().waitForEvent('page'),
    page.getByRole('link', { name: 'sign in in a new tab' }).click(),
  ]);
  await tab.getByRole('button', { name: /^Ada\b/ }).click();
  await tab.waitForURL(`${world.worker.origin}/**`);
  await page.getByRole('button', { name: 'Add expense' }).click();
  assert.match(await page.getByRole('status').innerText(), /^Added “Typed for long”/);
});

test('the keyboard alone is enough to add an expense', async (t) => {
  const page = await visitors.signedIn(t, 'Grace');
  await page.goto('/expenses');
  const focus = () =>
    page.evaluate(() => {
      const element = /** @type {HTMLElement} */ (document.activeElement);
      return element.id || element.innerText;
    });
  await page.keyboard.press('Tab');
  assert.match(await focus(), /^Skip/);
  for (let presses = 0; (await focus()) !== 'description'; presses += 1) {
    assert.ok(presses < 20, `the form is not reached: ${await focus()}`);
    await page.keyboard.press('Tab');
  }
  await page.keyboard.type('By keyboard');
  await page.keyboard.press('Tab');
  await page.keyboard.type('7');
  await page.keyboard.press('Enter');
  assert.match(await page.getByRole('status').innerText(), /^Added “By keyboard”/);
});

test('German visitor reads and writes amounts with a comma', async (t) => {
  const page = await visitors.signedIn(t, 'Ada', { locale: 'de-DE' });
  await page.goto('/expenses');
  await add(page, { description: 'Miete', amount: '1234,50', currency: 'EUR' });
  assert.match(await page.getByRole('status').innerText(), /1\.234,50\s€/);
});

test('the first page is small and loads its style alone', async (t) => {
  const page = await visitors.newcomer(t);
  /** @type {string[]} */
  const requests = [];
  page.on('request', (request) => requests.push(request.url()));
  const loaded = page.waitForResponse((response) => response.url().includes('/style.css?v='));
  const answer = await page.goto('/');
  const style = await loaded;
  assert.ok((await present(answer).body()).length + (await style.body()).length < 30_000);
  assert.match(style.headers()['cache-control'], /^public, max-age=3600/);
  await page.waitForLoadState('networkidle');
  const others = requests.slice(1).filter((url) => url !== style.url());
  assert.ok(
    others.every((url) => url.startsWith('data:') || url.endsWith('.ico')),
    others.join(' '),
  );
});

test('every page shows who impersonates the user, and why', async (t) => {
  const grace = present(world.authkit.findUser('grace@example.com'));
  grace.impersonator = { email: 'support@example.com', reason: 'ticket <7>' };
  t.after(() => {
    grace.impersonator = null;
  });
  const page = await visitors.signedIn(t, 'Grace');
  await page.goto('/expenses');
  await add(page, { description: 'By support', amount: '1' });
  const pages = [
    '/',
    '/expenses',
    present(await page.getByRole('link', { name: 'Edit By support' }).first().getAttribute('href')),
  ];
  for (const path of pages) {
    await page.goto(path);
    const body = await page.innerText('body');
    assert.match(body, /support@example\.com/, path);
    assert.match(body, /ticket <7>/, path);
  }
  await expectAccessible(page);
});
