/** The visitor's time zone (`Request.cf`): pages have the visitor's date, the API has UTC's. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { formsOf } from './support/html.mjs';
import { present } from './support/values.mjs';
import { startWorld } from './support/world.mjs';

const world = await startWorld();

/** The date at the world's time. @param {string} timeZone */
function dateIn(timeZone) {
  const parts = new Intl.DateTimeFormat('en', {
    timeZone,
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
  }).formatToParts(world.now());
  const value = (/** @type {string} */ name) => parts.find(({ type }) => type === name)?.value;
  return `${value('year')}-${value('month')}-${value('day')}`;
}

/** The date that the form to add an expense offers. @param {import('./support/actors.mjs').Page} page */
function offeredDate(page) {
  return present(formsOf(page.text).find(({ action }) => action === '/expenses')).fields.date;
}

// Two of them are 26 hours apart, so that their dates differ at any time.
for (const timeZone of ['Pacific/Kiritimati', 'Etc/GMT+12', 'Asia/Calcutta', 'America/St_Johns']) {
  test(`visitor in ${timeZone} gets the local date, program UTC's`, async () => {
    const worker = await world.startWorker({ timeZone });
    const browser = await world.signedIn('Ada', worker);
    const before = dateIn(timeZone);
    const page = await browser.open('/expenses');
    assert.ok([before, dateIn(timeZone)].includes(offeredDate(page)), `${offeredDate(page)}, not ${before}`);
    const today = dateIn('UTC');
    const { json } = await browser.request('POST', '/expenses', { json: { description: 'Lunch', amount: 1 } });
    assert.ok([today, dateIn('UTC')].includes(json.date), `${json.date}, not ${today}`);
    await worker.stop();
  });
}

for (const timeZone of [undefined, '', 'Mars/Olympus_Mons', 'x'.repeat(10_000)]) {
  test(`a visitor in ${String(timeZone).slice(0, 20) || 'no'} time zone gets UTC's date`, async () => {
    const worker = await world.startWorker({ timeZone });
    const browser = await world.signedIn('Ada', worker);
    const before = dateIn('UTC');
    const page = await browser.open('/');
    assert.ok([before, dateIn('UTC')].includes(offeredDate(page)), `${offeredDate(page)}, not ${before}`);
    await worker.stop();
  });
}

test("a month's last evening in Chicago belongs to it", async () => {
  const timeZone = 'America/Chicago';
  // The last evening of some month: UTC is in the next one already.
  const lastEvening = new Date(world.now());
  lastEvening.setUTCMonth(lastEvening.getUTCMonth() + 2, 1);
  lastEvening.setUTCHours(2, 0, 0, 0);
  await world.advanceClock(Math.round((lastEvening.getTime() - world.now()) / 1000));
  const worker = await world.startWorker({ timeZone });
  const browser = await world.signedIn('Ada', worker);
  await browser.request('POST', '/expenses', { json: { description: 'Rent', amount: 700, date: dateIn(timeZone) } });
  const page = await browser.open('/');
  const month = new Intl.DateTimeFormat('en', { timeZone, month: 'long', year: 'numeric' }).format(world.now());
  assert.match(page.text, new RegExp(`This month<span class="muted">, ${month}<`));
  assert.match(page.text, /<p class="total">USD.700\.00</);
});

test('no log line and no answer holds a secret', async () => {
  await world.assertNothingLeaked();
});
