/** The short form of `npm run soak`, whose long one needs ten minutes. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { soak, verdict } from './support/soak.mjs';

const SECONDS = 15;

test('mixed load with faults gets right responses or errors', async (t) => {
  const figures = await soak({ seconds: SECONDS });
  t.diagnostic(`${figures.requests} requests, ${JSON.stringify(figures.memory)}`);
  assert.deepEqual(verdict(figures), []);
  assert.ok(figures.requests > 100, `${figures.requests} requests`);
});
