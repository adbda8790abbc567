import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { dollars, tables, useOfADay, withTables } from './capacity.mjs';
import { ROOT } from './commands.mjs';

const README = readFileSync(join(ROOT, 'README.md'), 'utf8');

test("a day's use sums its actions", () => {
  const rows = [
    '| a page of the list, up to 1,000 expenses | 0 | 0 | 0 | 1 | 1 | 0 |',
    '| create with an `Idempotency-Key` | 0 | 1 | 0 | 0 | 3 | 9 |',
    '| one expense | 1 | 0 | 0 | 0 | 1 | 0 |',
    '| change | 1 | 1 | 0 | 0 | 2 | 5 |',
    '| renewal of a session | 0 | 0 | 0 | 0 | 2 | 2 |',
  ];
  assert.deepEqual(useOfADay(rows.join('\n')), {
    reads: 2,
    writes: 3,
    deletes: 0,
    lists: 10,
    objects: 25,
    rows: 29,
    requests: 13,
  });
  assert.throws(() => useOfADay(rows.slice(1).join('\n')), /has no row "a page of the list/);
});

test('dollars begin beyond what the plan includes', () => {
  const lists = { name: '', included: 1_000_000, million: 5, used: () => 0 };
  assert.equal(dollars(lists, 999_999), 0);
  assert.equal(dollars(lists, 3_000_000), 10);
});

test('document with other figures gets new tables', () => {
  const document = readFileSync(join(ROOT, 'docs/capacity.md'), 'utf8');
  assert.ok(document.includes(tables(README)));
  assert.equal(withTables(document.replace(/\| KV lists \| 10 /, '| KV lists | 11 '), README), document);
  assert.throws(() => withTables('', README), /has lost its mark/);
});
