/** The list in Chromium: order, months, search and filter, with JavaScript and without. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { expectFocus, inspect, nextFrame } from './support/looks.mjs';
import { startVisitors } from './support/visitors.mjs';

const visitors = await startVisitors();

/** @typedef {import('playwright-core').Page} Page */

const NOW = new Date();
const TODAY = NOW.toISOString().slice(0, 10);
const [LAST_MONTH, MONTH_BEFORE] = [1, 2].map((months) =>
  new Date(Date.UTC(NOW.getUTCFullYear(), NOW.getUTCMonth() - months, 15)).toISOString().slice(0, 10),
);

/** Newest addition last. */
const EXPENSES = [
  ['Café Müller', '4.50', 'EUR', 'meals', TODAY],
  [
    'Flight to Łódź with a name that is long enough for two lines on every phone',
    '1289.90',
    'EUR',
    'Travel',
    LAST_MONTH,
  ],
  ['Team lunch', '42.50', 'USD', 'Meals', TODAY],
  ['Rent', '900.00', 'EUR', 'housing', MONTH_BEFORE],
  ['Lunch, again', '9.00', 'EUR', 'meals', TODAY],
];

/** A visitor who has only {@link EXPENSES}. @param {import('node:test').TestContext} t @param {object} [options] */
async function visitor(t, options = {}) {
  const page = await visitors.signedIn(t, 'Grace', { locale: 'en-GB', ...options });
  const { origin } = new URL(page.url());
  const headers = { origin };
  const listed = await page.request.get(`${origin}/expenses?limit=1000`, { headers: { accept: 'application/json' } });
  for (const { id } of await listed.json()) await page.request.delete(`${origin}/expenses/${id}`, { headers });
  for (const [description, amount, currency, category, date] of EXPENSES) {
    const data = { description, amount, currency, category, date };
    const added = await page.request.post(`${origin}/expenses`, { data, headers });
    assert.equal(added.status(), 201);
  }
  await page.goto('/expenses');
  return page;
}

/** The first words of the descriptions in the list. @param {Page} page */
async function rows(page) {
  const names = await page.locator('.list th.what').allInnerTexts();
  return names.map((name) => name.trim().split(/[ ,]/)[0]);
}

/** That the head of the list is at the top of the window. @param {Page} page */
async function expectAtList(page) {
  await nextFrame(page);
  const top = await page.locator('#list').evaluate((element) => element.getBoundingClientRect().top);
  const { room, y } = await page.evaluate(() => ({
    room: document.documentElement.scrollHeight - window.innerHeight,
    y: window.scrollY,
  }));
  assert.ok(Math.abs(top) < 2 || Math.abs(room - y) < 2, `the head of the list is at ${top}, scrolled ${y} of ${room}`);
}

for (const javaScriptEnabled of [true, false]) {
  test(`list is filtered in place ${javaScriptEnabled ? 'with' : 'without'} JavaScript`, async (t) => {
    const page = await visitor(t, { javaScriptEnabled, viewport: { width: 320, height: 640 } });
    assert.deepEqual(await rows(page), ['Lunch', 'Team', 'Café', 'Flight', 'Rent']);
    assert.equal(await page.locator('.list tr.group').count(), 3);
    if (javaScriptEnabled) await inspect(page, 'list');

    const form = page.getByRole('form', { name: 'Filter the list' });
    await form.getByLabel('Search').fill('LUNCH');
    await form.getByLabel('Search').press('Enter');
    assert.deepEqual(await rows(page), ['Lunch', 'Team']);
    if (javaScriptEnabled) await expectAtList(page);
    await form.getByText('Amount and currency').click();
    await form.getByLabel('To amount').fill('20');
    await form.getByRole('button', { name: 'Filter' }).click();
    assert.deepEqual(await rows(page), ['Lunch']);
    if (javaScriptEnabled) await inspect(page, 'list-filtered');

    // An edit and a deletion lead back here.
    await page.getByRole('link', { name: 'Edit Lunch, again' }).click();
    await page.getByLabel('Amount').fill('8');
    await page.getByRole('button', { name: 'Save changes' }).click();
    assert.match(await page.getByRole('status').innerText(), /^Changed “Lunch, again”/);
    assert.deepEqual(await rows(page), ['Lunch']);
    if (javaScriptEnabled) await expectAtList(page);
    await page.getByRole('link', { name: 'Delete Lunch, again' }).click();
    await page.getByRole('link', { name: 'Cancel' }).click();
    assert.deepEqual(await rows(page), ['Lunch']);
    await page.getByRole('link', { name: 'Delete Lunch, again' }).click();
    await page.getByRole('button', { name: 'Delete' }).click();
    assert.match(await page.getByRole('status').innerText(), /^Deleted/);
    assert.ok(await page.getByText('No expenses match.').isVisible());
    await page.getByRole('link', { name: 'Clear' }).click();
    assert.deepEqual(await rows(page), ['Team', 'Café', 'Flight', 'Rent']);

    await page.getByRole('link', { name: 'This year' }).click();
    assert.equal(await page.getByRole('link', { name: 'This year' }).getAttribute('aria-current'), 'true');
    await form.getByLabel('From', { exact: true }).fill('2026-12-31');
    await form.getByLabel('To', { exact: true }).fill('2026-01-01');
    await form.getByRole('button', { name: 'Filter' }).click();
    assert.ok(await page.getByRole('heading', { name: 'The list cannot be filtered like that' }).isVisible());
    if (javaScriptEnabled) await inspect(page, 'list-refused');
  });
}

test('the keyboard reaches the result of a filter next', async (t) => {
  const page = await visitor(t, { viewport: { width: 1200, height: 800 } });
  await page.getByLabel('Search').focus();
  await page.keyboard.type('travel');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Filtered expenses' }).waitFor();
  assert.deepEqual(await rows(page), ['Flight']);
  await expectAtList(page);
  await expectFocus(page.locator('#list'));
  await page.keyboard.press('Tab');
  assert.equal(
    await page.evaluate(() => /** @type {HTMLElement} */ (document.activeElement).innerText),
    'Newest added',
  );
  // The list comes before the charts.
  const order = await page.evaluate(() =>
    Array.from(document.querySelectorAll('.list, .charts'), (element) => element.className.split(' ').at(-1)),
  );
  assert.deepEqual(order, ['list', 'charts']);
});

test('row takes two lines on a phone', async (t) => {
  const page = await visitor(t, { viewport: { width: 320, height: 640 } });
  const heights = await page
    .locator('.list tbody tr:not(.group)')
    .evaluateAll((all) =>
      all.map((row) => [
        row.querySelector('.what')?.textContent?.slice(0, 6),
        row.getBoundingClientRect().height / Number.parseFloat(getComputedStyle(row).lineHeight),
      ]),
    );
  for (const [name, lines] of heights) {
    if (name !== 'Flight') assert.ok(Number(lines) < 3.2, `${name}: ${lines} lines with its padding`);
  }
});
