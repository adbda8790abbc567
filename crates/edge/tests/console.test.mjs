/** Data points that the runtime refuses. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { writePoint } from '../src/workers/console.js';

test('data point beyond the limit of an invocation is lost', () => {
  /** @type {object[]} */
  const points = [];
  /** @type {any} */
  const dataset = {
    writeDataPoint(/** @type {object} */ point) {
      if (points.length === 250) throw new Error('You have exceeded the number of data points');
      points.push(point);
    },
  };
  for (let number = 0; number < 260; number += 1) writePoint(dataset, JSON.stringify({ doubles: [number] }));
  assert.equal(points.length, 250);
});
