/** The decimal places of a currency by ISO 4217, and the currency that a form begins with. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { assertProblems } from './support/assertions.mjs';
import { add, newcomer, sendText } from './support/expenses.mjs';
import { startWorld } from './support/world.mjs';

const world = await startWorld();

test('an amount has the places of its currency', async () => {
  const actor = newcomer(world);
  for (const [currency, sent, written] of [
    ['JPY', '100', '100.00'],
    ['EUR', '42.5', '42.50'],
    ['BHD', '1.234', '1.234'],
    ['BHD', '42.5', '42.500'],
  ]) {
    const body = `{"description":"x","amount":${sent},"currency":"${currency}"}`;
    const answer = await sendText(actor, 'POST', '/expenses', body);
    assert.equal(answer.status, 201, `${answer}`);
    assert.ok(answer.text.includes(`"amount":${written},`), answer.text);
  }
  const refused = await sendText(actor, 'POST', '/expenses', '{"description":"x","amount":100.5,"currency":"JPY"}');
  assertProblems(refused, [['decimal_max_places', 'body', 'amount']]);
  const { text } = await actor.request('GET', '/expenses/summary');
  assert.ok(text.includes('"currency":"BHD","total":43.734,'), text);
  const csv = await actor.request('GET', '/expenses.csv');
  assert.ok(csv.text.includes(',42.500,"BHD",'), csv.text);
});

test('a change of the currency alone keeps an amount that the currency has', async () => {
  const actor = newcomer(world);
  const { id } = await add(actor, { amount: 42.5, currency: 'EUR' });
  const refused = await actor.request('PATCH', `/expenses/${id}`, { json: { currency: 'JPY' } });
  assertProblems(refused, [['decimal_max_places', 'body', 'amount']]);
  assert.deepEqual(refused.json.detail[0].ctx, { decimal_places: 0 });
  const changed = await actor.request('PATCH', `/expenses/${id}`, { json: { currency: 'BHD' } });
  assert.ok(changed.text.includes('"amount":42.500,'), changed.text);
});

test('a form begins with the last currency of the browser', async () => {
  const browser = world.browser();
  await browser.signIn('Ada');
  const page = await browser.open('/expenses');
  const fill = { description: 'Tea', amount: '3', currency: 'chf' };
  assert.equal((await browser.submit(page, 'Add expense', { fill })).status, 200);
  await add(browser, { currency: 'SEK' });
  const next = await browser.open('/expenses');
  assert.match(next.text, /name="currency" value="CHF"/);
  assert.match(next.text, /<datalist id="currencies"><option value="(SEK|CHF)"><\/option><option value="(SEK|CHF)">/);
});
