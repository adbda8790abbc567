/**
 * The state that survives a restart, as one JSON file readable by its owner only: the signing keys
 * are in it.
 */

import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

const VERSION = 1;

/**
 * @template T
 * @param {string | undefined} path nothing: nothing is kept
 * @param {(state: any) => T} restore throws when the state is not usable; `{}` always is
 * @param {(line: string) => void} log
 * @returns {T}
 */
export function readState(path, restore, log) {
  /** @type {string} */
  let text;
  try {
    if (path === undefined) return restore({});
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'ENOENT') return restore({});
    throw error;
  }
  try {
    const state = JSON.parse(text);
    if (state?.version !== VERSION) throw new TypeError('unknown version');
    return restore(state);
  } catch {
    // The error is not shown: JSON.parse quotes its input, which may hold a key.
    log(`local AuthKit: ${path} is not a state file of this version; starting afresh, everyone is signed out`);
    return restore({});
  }
}

/**
 * Replaces the file in one step, so that a crash leaves the old or the new one.
 *
 * @param {string | undefined} path
 * @param {Record<string, unknown>} state
 * @param {(line: string) => void} log
 */
export function writeState(path, state, log) {
  if (path === undefined) return;
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    // Removed first: `mode` is only heeded for a file that `writeFileSync` creates.
    rmSync(temporary, { force: true });
    writeFileSync(temporary, JSON.stringify({ version: VERSION, ...state }), { mode: 0o600, flag: 'wx' });
    renameSync(temporary, path);
  } catch (error) {
    log(`local AuthKit: could not write ${path} (${/** @type {NodeJS.ErrnoException} */ (error).code})`);
  }
}
