import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { PLANTED } from '../tests/simulation/planted.mjs';
import { ROOT } from './commands.mjs';

test('each planted fault changes one place of the source', () => {
  for (const { name, file, from } of PLANTED) {
    const places = readFileSync(join(ROOT, file), 'utf8').split(from).length - 1;
    assert.equal(places, 1, `${name}: ${file} has ${places} places with ${from}`);
  }
});
