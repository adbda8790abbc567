/**
 * The edit-reload loop of `npm start`: notices saved files, updates the Worker after each save, and
 * prints what happens and how long it takes. It knows nothing of cargo or Wrangler: `update` does that.
 */

import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { ROOT, Stop, dim, green, isEnding, red, stopNow } from './commands.mjs';

/**
 * How often files are looked at. Looking takes about 1 ms for 100 files, works on every file system (network,
 * containers, WSL) and sees files that editors replace, folders that appear, and lists that grow.
 */
const LOOK_EVERY_MS = 300;
/** How many changed files are named. */
const NAMED_FILES = 3;

/**
 * Calls `changed` with the paths of the files whose content has changed since the last call.
 *
 * @param {() => string[]} list the files, relative to the project's folder; absent ones are watched too
 * @param {(paths: string[]) => void} changed
 * @returns {() => void} stops watching
 */
export function watchFiles(list, changed) {
  /** @type {Map<string, { stat: string, hash: string }>} */
  let seen = new Map();
  const look = () => {
    const now = new Map(
      list().map((path) => {
        const stat = statOf(path);
        const before = seen.get(path);
        return [path, before?.stat === stat ? before : { stat, hash: hashOf(path) }];
      }),
    );
    const paths = [...new Set([...seen.keys(), ...now.keys()])];
    const differing = paths.filter((path) => (seen.get(path)?.hash ?? '') !== (now.get(path)?.hash ?? ''));
    seen = now;
    return differing;
  };
  look();
  const timer = setInterval(() => {
    try {
      const paths = look();
      if (paths.length > 0) changed(paths);
    } catch (error) {
      // A folder was removed while it was read: the next look reads it again.
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'ENOENT') void stopNow(error);
    }
  }, LOOK_EVERY_MS);
  return () => clearInterval(timer);
}

/** @param {string} path */
function statOf(path) {
  const stat = statSync(join(ROOT, path), { throwIfNoEntry: false });
  return stat ? `${stat.mtimeMs} ${stat.size} ${stat.ino}` : '';
}

/** @param {string} path @returns {string} of the content; empty for an absent file */
function hashOf(path) {
  try {
    return createHash('sha256')
      .update(readFileSync(join(ROOT, path)))
      .digest('hex');
  } catch {
    return '';
  }
}

/**
 * Runs `update` after every save, one update at a time: saves during an update share the next one. A `Stop`
 * that `update` throws is printed, and the loop goes on.
 *
 * @param {object} options
 * @param {() => string[]} options.list
 * @param {(paths: string[]) => Promise<void>} options.update
 * @param {(line: string) => void} [options.print]
 * @returns {{ begin(prepare?: () => Promise<void>): void, close(): void }} saves are noticed from now on, and
 *   wait for `begin`, which runs `prepare` first
 */
export function updateOnSave({ list, update, print = console.log }) {
  /** @type {Set<string>} */
  const waiting = new Set();
  let isBusy = true;

  const work = async () => {
    if (isBusy) return;
    isBusy = true;
    while (waiting.size > 0) {
      const paths = [...waiting];
      waiting.clear();
      print(`${named(paths)} changed. Building …`);
      await timed(() => update(paths), 'Reloaded');
    }
    isBusy = false;
  };

  /** @param {() => Promise<void>} run @param {string} done */
  const timed = async (run, done) => {
    const began = performance.now();
    const seconds = () => `${((performance.now() - began) / 1000).toFixed(1)} s`;
    try {
      await run();
      print(`${green(done)} in ${seconds()}.`);
    } catch (error) {
      if (isEnding()) return;
      if (!(error instanceof Stop)) return stopNow(error);
      print(`${red(`${error.message} The last good build is still served.`)} ${dim(`(${seconds()})`)}`);
    }
  };

  const close = watchFiles(list, (paths) => {
    for (const path of paths) waiting.add(path);
    void work();
  });
  return {
    close,
    async begin(prepare) {
      if (prepare) {
        print('Preparing the development build, which makes reloads fast …');
        await timed(prepare, 'Prepared');
      }
      isBusy = false;
      void work();
    },
  };
}

/** @param {string[]} paths */
function named(paths) {
  const more = paths.length - NAMED_FILES;
  return more > 0 ? `${paths.slice(0, NAMED_FILES).join(', ')} and ${more} more` : paths.join(', ');
}
