import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { ROOT, Stop } from './commands.mjs';
import { updateOnSave } from './watch.mjs';

const LIMIT_MS = 10_000;
/** Longer than two looks at the files. */
const QUIET_MS = 1_000;

/**
 * An update under way.
 *
 * @typedef {object} Update
 * @property {string[]} names of the changed files
 * @property {() => void} resolve
 * @property {(reason: unknown) => void} reject
 */

/** A loop on a folder of its own, with updates that last until the test ends them. @param {import('node:test').TestContext} t */
function startLoop(t) {
  const folder = mkdtempSync(join(tmpdir(), 'authkit-edge-watch-'));
  /** @type {Update[]} */
  const updates = [];
  /** @type {string[]} */
  const lines = [];
  const loop = updateOnSave({
    list: () =>
      readdirSync(folder, { recursive: true })
        .map((name) => join(folder, String(name)))
        .filter((path) => statSync(path).isFile())
        .map((path) => relative(ROOT, path)),
    update: (paths) =>
      new Promise((resolve, reject) => {
        updates.push({ names: paths.map((path) => relative(folder, join(ROOT, path))).sort(), resolve, reject });
      }),
    print: (line) => lines.push(line),
  });
  t.after(() => {
    loop.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const save = (/** @type {string} */ name, /** @type {string} */ text) => {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  };
  /** The update of that number, as soon as it has begun. */
  const update = async (/** @type {number} */ number) => {
    for (const end = Date.now() + LIMIT_MS; updates.length < number; await pause(20)) {
      assert.ok(Date.now() < end, `update ${number} has not begun: ${lines.join('\n')}`);
    }
    return updates[number - 1];
  };
  const printed = async (/** @type {RegExp} */ pattern) => {
    for (const end = Date.now() + LIMIT_MS; !pattern.test(lines.at(-1) ?? ''); await pause(20)) {
      assert.ok(Date.now() < end, `not ${pattern}: ${lines.join('\n')}`);
    }
  };
  return { loop, save, update, updates, printed, lines };
}

test('saves during an update share the next update', async (t) => {
  const { loop, save, update, updates, printed, lines } = startLoop(t);
  void loop.begin();
  save('one.rs', '1');
  const first = await update(1);
  assert.deepEqual(first.names, ['one.rs']);
  save('two.rs', '2');
  await pause(QUIET_MS);
  save('three.rs', '3');
  await pause(QUIET_MS);
  assert.equal(updates.length, 1, 'one update at a time');
  first.resolve();
  const second = await update(2);
  assert.deepEqual(second.names, ['three.rs', 'two.rs']);
  second.resolve();
  await printed(/^Reloaded in \d+\.\d s\.$/);
  await pause(QUIET_MS);
  assert.equal(updates.length, 2);
  assert.deepEqual(
    lines.map((line) => line.replace(/\d+\.\d s/, 'N s').replaceAll(/\S*\//g, '')),
    ['one.rs changed. Building …', 'Reloaded in N s.', 'two.rs, three.rs changed. Building …', 'Reloaded in N s.'],
  );
});

test('a failed update is printed, and the next save starts another', async (t) => {
  const { loop, save, update, printed } = startLoop(t);
  void loop.begin();
  save('one.rs', '1');
  (await update(1)).reject(new Stop('The Worker was not built.'));
  await printed(/^The Worker was not built\. The last good build is still served\. \(\d+\.\d s\)$/);
  save('one.rs', '2');
  (await update(2)).resolve();
  await printed(/^Reloaded/);
});

test('a new folder and an edit start updates; equal content does not', async (t) => {
  const { loop, save, update, updates } = startLoop(t);
  void loop.begin();
  save('a/b/new.rs', '1');
  const first = await update(1);
  assert.deepEqual(first.names, ['a/b/new.rs']);
  first.resolve();
  save('a/b/new.rs', '1');
  await pause(QUIET_MS);
  assert.equal(updates.length, 1, 'written again with the same content');
  save('a/b/new.rs', '2');
  (await update(2)).resolve();
});

test('saves before the beginning wait for it', async (t) => {
  const { loop, save, update, updates, printed } = startLoop(t);
  save('one.rs', '1');
  await pause(QUIET_MS);
  assert.equal(updates.length, 0);
  const preparation = new EventEmitter();
  void loop.begin(async () => {
    await once(preparation, 'done');
  });
  await printed(/^Preparing/);
  await pause(QUIET_MS);
  assert.equal(updates.length, 0, 'what is prepared comes first');
  preparation.emit('done');
  (await update(1)).resolve();
  await printed(/^Reloaded/);
});
