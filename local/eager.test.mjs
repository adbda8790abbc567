import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { withEagerFunctions } from './eager.mjs';

const SCRIPT = `
  import { sep } from 'node:path';
  // Called above its declaration.
  export const early = twice(2);
  function twice(number) { return number * 2; }
  async function later() { return (await Promise.resolve(twice(3))) + 1; }
  function* count() { const text = 'a (b'; yield text; yield* (function* () { yield sep; })(); }
  export function shown() { function inner() { return this === undefined; } return inner(); }
  const table = { add: function (a, b) { return a + b; }, less(a, b) { return a - b; }, named: (a) => a };
  class Box { #value = function () { return 'boxed'; }; get value() { return this.#value(); } }
  export const all = [await later(), [...count()], table.add(1, 2), table.less(3, 1), table.named(4), new Box().value];
  export const names = [twice, later, count, table.add, shown].map(({ name }) => name);
`;

/** @param {string} script */
const run = (script) => import(`data:text/javascript,${encodeURIComponent(script)}`);

test('functions in parentheses do the same', async () => {
  const eager = withEagerFunctions(SCRIPT);
  assert.notEqual(eager, SCRIPT);
  const [before, after] = [await run(SCRIPT), await run(eager)];
  assert.deepEqual([after.early, after.all, after.names], [before.early, before.all, before.names]);
  assert.deepEqual([after.early, after.shown()], [4, true]);
});

test('V8 compiles uncalled functions with the script', () => {
  const script = `function declared(a) { return a; }
    const table = { assigned: function (a) { return a; } };
    export const use = () => [declared, table];`;
  const folder = mkdtempSync(join(tmpdir(), 'eager-'));
  const compiled = (/** @type {string} */ text) => {
    const [file, log] = [join(folder, 'script.mjs'), join(folder, 'v8.log')];
    writeFileSync(file, text);
    const flags = ['--log-function-events', '--no-logfile-per-isolate', `--logfile=${log}`];
    assert.equal(spawnSync(process.execPath, [...flags, file]).status, 0);
    const lines = readFileSync(log, 'utf8').split('\n');
    return ['declared', 'assigned'].filter((name) =>
      lines.some((line) => line.startsWith('function,interpreter,') && line.endsWith(`,${name}`)),
    );
  };
  try {
    assert.deepEqual(compiled(script), []);
    assert.deepEqual(compiled(withEagerFunctions(script)), ['declared', 'assigned']);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
