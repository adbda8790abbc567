/** A CSV file is imported by the page: with JavaScript and without, by keyboard, at every width. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { inspect } from './support/looks.mjs';
import { startVisitors } from './support/visitors.mjs';

const visitors = await startVisitors();

/** @param {string} bakery */
const bank = (bakery) =>
  [
    'Booked;Payee;Amount;Currency;Reference number of the bank, which is long enough to be wider than a phone',
    `03/04/2026;${bakery};-4,50;EUR;AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA`,
    `05/04/2026;<b>Train</b> to the ${bakery};-12,00;EUR;BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB`,
    '06/04/2026;Salary;2000,00;EUR;',
  ].join('\r\n');

/** @param {string} text */
function file(text) {
  return { name: 'bank.csv', mimeType: 'text/csv', buffer: Buffer.from(text) };
}

for (const javaScriptEnabled of [true, false]) {
  test(`a bank's file is imported ${javaScriptEnabled ? 'with' : 'without'} JavaScript`, async (t) => {
    const page = await visitors.signedIn(t, 'Ada', { locale: 'en-GB', javaScriptEnabled });
    // Equal rows would be there already.
    const rows = bank(javaScriptEnabled ? 'bakery' : 'baker');
    await page.goto('/expenses');
    await page.getByRole('link', { name: /^import/i }).click();
    await page.getByRole('heading', { name: 'Import expenses' }).waitFor();
    if (javaScriptEnabled) await inspect(page, 'import');
    await page.getByLabel('CSV file').setInputFiles(file(rows));
    await page.getByRole('button', { name: 'Continue' }).press('Enter');

    // Nobody knows the bank's name of the date.
    const alert = page.getByRole('alert');
    await alert.getByText('Say which column is what').waitFor();
    assert.match(await page.title(), /^Error: /);
    await alert.getByRole('link', { name: /date/ }).press('Enter');
    await page.getByLabel('Date', { exact: true }).selectOption('Booked');
    await page.getByLabel(/negative numbers/).check();
    await page.getByRole('button', { name: 'Read again' }).click();

    await alert.getByText('3 rows of 3 cannot be read').waitFor();
    if (javaScriptEnabled) await inspect(page, 'import-faults');
    await page.getByLabel(/03\/04\/2026/).selectOption('day-first');
    await page.getByRole('button', { name: 'Read again' }).click();
    await alert.getByText('1 row of 3 cannot be read').waitFor();
    assert.match(await alert.innerText(), /Line 4, amount/);
    await page.getByRole('button', { name: 'Import 2 expenses, skip 1 row' }).press('Enter');

    const notice = page.getByRole('status');
    assert.equal(await notice.innerText(), 'Imported 2 expenses. 1 row was left out.');
    assert.match(await page.locator('.list table').innerText(), /<b>Train<\/b>/);
    await page.reload();
    assert.equal(await notice.count(), 0);

    // The same file again, now read right at once.
    await page.goto('/expenses/import');
    await page
      .getByLabel('CSV file')
      .setInputFiles(file(rows.replace('Booked', 'Date').split('\r\n').slice(0, 3).join('\n')));
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.getByLabel(/negative numbers/).check();
    await page.getByLabel(/03\/04\/2026/).selectOption('day-first');
    await page.getByRole('button', { name: 'Read again' }).click();
    await page.getByText('2 expenses can be imported').waitFor();
    if (javaScriptEnabled) await inspect(page, 'import-ready');
    await page.getByRole('button', { name: 'Import 2 expenses' }).click();
    assert.equal(await notice.innerText(), 'Imported 0 expenses, and 2 stood here already.');
  });
}

test('a download is imported into another account at once', async (t) => {
  const ada = await visitors.signedIn(t, 'Ada');
  await ada.goto('/expenses');
  await ada.getByLabel('Description', { exact: true }).fill('=1+1, "quoted"');
  await ada.getByLabel('Amount', { exact: true }).fill('7.25');
  await ada.getByRole('button', { name: 'Add expense' }).click();
  await ada.getByRole('status').waitFor();
  const [download] = await Promise.all([
    ada.waitForEvent('download'),
    ada.getByRole('link', { name: 'Download CSV' }).click(),
  ]);
  const grace = await visitors.signedIn(t, 'Grace');
  await grace.goto('/expenses/import');
  await grace.getByLabel('CSV file').setInputFiles(await download.path());
  await grace.getByRole('button', { name: 'Continue' }).click();
  assert.match(await grace.getByRole('status').innerText(), /^Imported \d+ expenses?\.$/);
  assert.match(await grace.locator('.list table').innerText(), /=1\+1, "quoted"/);
});
