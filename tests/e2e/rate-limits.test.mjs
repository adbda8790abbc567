/** The rate limits of wrangler.toml, on the runtime's own limiter. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { newcomer } from './support/expenses.mjs';
import { startWorld } from './support/world.mjs';

const LUNCH = { description: 'Lunch', amount: 1 };
const ADDRESS = { 'cf-connecting-ip': '192.0.2.7' };

const world = await startWorld({ rateLimits: true });

/** @typedef {import('./support/http.mjs').Answer} Answer */

/** Some were served, and the others told when to come again. @param {Answer[]} answers @param {number} served @param {string} secs */
function assertLimited(answers, served, secs) {
  const refused = answers.filter(({ status }) => status === 429);
  assert.ok(refused.length > 0, 'none was refused');
  for (const answer of refused) {
    assert.equal(answer.header('retry-after'), secs);
    assert.match(answer.json.detail, /^Too many requests: try again in \d+ seconds$/);
  }
  const others = answers.filter(({ status }) => status !== 429);
  assert.ok(others.length > 0, 'none was served');
  for (const answer of others) assert.equal(answer.status, served, `${answer}`);
}

test('250 creates at once of one user are limited', async () => {
  const ada = newcomer(world);
  const creates = Array.from({ length: 250 }, () => ada.request('POST', '/expenses', { json: LUNCH }));
  assertLimited(await Promise.all(creates), 201, '10');
  assert.equal((await newcomer(world).request('POST', '/expenses', { json: LUNCH })).status, 201, 'another user');
});

test('250 sign-ins from one address are limited', async () => {
  const anonymous = world.anonymous();
  const begin = (/** @type {Record<string, string>} */ headers) => anonymous.request('GET', '/login', { headers });
  assertLimited(await Promise.all(Array.from({ length: 250 }, () => begin(ADDRESS))), 302, '60');
  assert.equal((await begin({ 'cf-connecting-ip': '192.0.2.8' })).status, 302, 'another address');
});

test('no answer and no log line holds a secret', () => world.assertNothingLeaked());
