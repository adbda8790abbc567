/**
 * Starts commands, shows or hides their output, ends them, and stops scripts with one clear sentence. Every
 * script in this folder runs inside `main`. `setup.mjs` needs this file before any package is installed, so it
 * uses Node's built-ins only.
 */

import { spawn } from 'node:child_process';
import { mkdirSync, rmSync, statSync, utimesSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/** The project's folder. Every command runs in it, whatever the current folder is. */
export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');

/** The number of lines shown of a failed command's hidden output. */
const FAILURE_LINES = 40;
/** The time that a command gets to end after SIGINT. */
const END_GRACE_MS = 5_000;
/** The holder of a lock renews it at the first interval; after the second without renewal it counts as gone. */
const LOCK_BEAT_MS = 1_000;
const LOCK_STALE_MS = 20_000;

/** An error that the user can act on: its message is printed without a stack. */
export class Stop extends Error {
  /** @param {string} sentence @param {number} [exitCode] */
  constructor(sentence, exitCode = 1) {
    super(sentence);
    this.exitCode = exitCode;
  }
}

/** @typedef {import('node:child_process').ChildProcess} ChildProcess */

/** @type {Set<ChildProcess>} */
const running = new Set();
/** The children that lead their own process group. @type {WeakSet<ChildProcess>} */
const leaders = new WeakSet();
/** @type {Set<string>} */
const heldLocks = new Set();
let ending = false;

/**
 * Runs a script's body. A `Stop` is printed as a sentence, any other error with its stack. SIGINT, SIGTERM,
 * SIGHUP and the death of the npm process that started this script end every command started here.
 *
 * @param {() => Promise<void>} body
 */
export async function main(body) {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      // A second Ctrl-C ends at once.
      if (ending) process.exit(interruptedCode);
      void interrupt();
    });
  }
  // The terminal may be closed before this process ends.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  process.on('exit', () => {
    for (const child of running) signalGroup(child, 'SIGKILL');
    for (const lock of heldLocks) rmSync(lock, { recursive: true, force: true });
  });
  endWithNpm();

  try {
    await body();
    process.exitCode ??= 0;
  } catch (error) {
    await stopNow(error);
  }
}

/**
 * Ends every command and then this process, printing the reason. Only the first reason counts: later errors,
 * such as a server's end, follow from it.
 *
 * @param {unknown} error
 */
export async function stopNow(error) {
  if (ending) return;
  ending = true;
  if (error instanceof Stop) console.error(`\n${red(error.message)}`);
  else console.error(error);
  await endAll();
  process.exit(error instanceof Stop ? error.exitCode : 1);
}

/**
 * The script's arguments. `--help` prints the usage and ends it; what the script does not know stops it with the usage.
 *
 * @template {import('node:util').ParseArgsConfig} T
 * @param {T} config
 * @param {string} usage
 */
export function readOptions(config, usage) {
  if (process.argv.includes('--help')) {
    console.log(usage);
    process.exit();
  }
  try {
    return parseArgs(config);
  } catch (error) {
    const [message] = /** @type {Error} */ (error).message.split('. ');
    throw new Stop(`${message}. There is:\n\n${usage}`, 2);
  }
}

/** Whether this script is ending: a command that fails then was ended on request. */
export function isEnding() {
  return ending;
}

let interruptedCode = 130;

/** Sets the exit code after an interrupt; 0 where Ctrl-C is the usual way to end. @param {number} code */
export function setInterruptedCode(code) {
  interruptedCode = code;
}

async function interrupt() {
  ending = true;
  await endAll();
  process.exit(interruptedCode);
}

/** npm does not pass SIGHUP on and cannot pass SIGKILL on, so this script watches for npm's death. */
function endWithNpm() {
  if (!process.env.npm_lifecycle_event) return;
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent && !ending) void interrupt();
  }, 300).unref();
}

/** Ends every command started here and its child processes: first with SIGINT, then with SIGKILL. */
export async function endAll() {
  const ended = [...running].map((child) => new Promise((resolve) => child.once('close', resolve)));
  for (const child of running) signalGroup(child, 'SIGINT');
  await Promise.race([Promise.all(ended), pause(END_GRACE_MS)]);
  for (const child of running) signalGroup(child, 'SIGKILL');
}

/**
 * Starts a long-running command. It leads its own process group, so that its child processes can be ended
 * with it, even after the command itself has died.
 *
 * @param {string} command
 * @param {string[]} args
 * @param {{ env?: Record<string, string>, stdio?: import('node:child_process').StdioOptions, ownGroup?: boolean }} [options]
 */
export function start(command, args, { env = {}, stdio = ['ignore', 'pipe', 'pipe'], ownGroup = true } = {}) {
  const child = spawn(command, args, {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio,
    detached: ownGroup,
  });
  if (ownGroup) leaders.add(child);
  running.add(child);
  child.once('error', () => running.delete(child));
  child.once('close', () => {
    signalGroup(child, 'SIGKILL');
    running.delete(child);
  });
  return child;
}

/** @param {ChildProcess} child @param {NodeJS.Signals} signal */
function signalGroup(child, signal) {
  if (child.pid === undefined) return;
  try {
    if (leaders.has(child)) process.kill(-child.pid, signal);
    else child.kill(signal);
  } catch {
    // ESRCH: the process has ended.
  }
}

/**
 * Runs a command to its end; returns its exit code and output.
 *
 * @param {string} command
 * @param {string[]} args
 * @param {{ env?: Record<string, string>, show?: boolean }} [options] `show` also prints the output as it comes
 * @returns {Promise<{ code: number, output: string, missing: boolean }>}
 */
export function capture(command, args, { env, show = false } = {}) {
  return new Promise((resolve) => {
    const child = start(command, args, { env });
    let output = '';
    const keep = (/** @type {NodeJS.WriteStream} */ to) => (/** @type {string} */ text) => {
      output += text;
      if (show) to.write(text);
    };
    child.stdout?.setEncoding('utf8').on('data', keep(process.stdout));
    child.stderr?.setEncoding('utf8').on('data', keep(process.stderr));
    child.once('error', (/** @type {NodeJS.ErrnoException} */ error) =>
      resolve({ code: 127, output: error.message, missing: error.code === 'ENOENT' }),
    );
    child.once('close', (code) => resolve({ code: code ?? 1, output, missing: false }));
  });
}

/**
 * Runs a long command with its output hidden: prints the title with its reason, then the duration. On failure
 * it prints the last lines of the output and stops with `failure`.
 *
 * @param {string} title
 * @param {string} command
 * @param {string[]} args
 * @param {{ env?: Record<string, string>, failure: string }} options
 */
export async function step(title, command, args, { env, failure }) {
  const began = Date.now();
  const seconds = () => `${Math.round((Date.now() - began) / 1000)} s`;
  process.stdout.write(`${title} …`);
  if (!process.stdout.isTTY) process.stdout.write('\n');
  const ticking = process.stdout.isTTY
    ? setInterval(() => process.stdout.write(`\r${title} … ${dim(seconds())}`), 1000)
    : undefined;
  const { code, output } = await capture(command, args, { env });
  clearInterval(ticking);
  if (code === 0) {
    process.stdout.write(
      process.stdout.isTTY ? `\r${title} … ${dim(`done in ${seconds()}`)}\n` : `  done in ${seconds()}\n`,
    );
    return;
  }
  // Ended on request: `main` prints nothing then.
  if (ending) return new Promise(() => {});
  console.error(`\n${output.trimEnd().split('\n').slice(-FAILURE_LINES).join('\n')}`);
  throw new Stop(failure);
}

/**
 * Runs a command in this terminal to its end, for commands that ask questions.
 *
 * @param {string} command
 * @param {string[]} args
 * @param {Record<string, string>} [env]
 * @returns {Promise<number>} its exit code
 */
export function runInTerminal(command, args, env) {
  return new Promise((resolve) => {
    // In this process's own group: a background group must not read from the terminal.
    const child = start(command, args, { env, stdio: 'inherit', ownGroup: false });
    child.once('error', () => resolve(127));
    child.once('close', (code) => resolve(code ?? 1));
  });
}

/**
 * Runs `body` while no other process of this project holds the lock of that name.
 *
 * @template T
 * @param {string} name
 * @param {() => Promise<T>} body
 * @returns {Promise<T>}
 */
export async function withLock(name, body) {
  const lock = join(ROOT, '.tools', `${name}.lock`);
  mkdirSync(dirname(lock), { recursive: true });
  for (let waits = 0; !takeLock(lock); waits += 1) {
    if (waits === 5) console.log(`Waiting for another command of this project (${name}) to finish …`);
    await pause(200);
  }
  heldLocks.add(lock);
  const beat = setInterval(() => {
    const now = new Date();
    try {
      utimesSync(lock, now, now);
    } catch {
      // Somebody has removed the lock; this renewal does not matter then.
    }
  }, LOCK_BEAT_MS);
  try {
    return await body();
  } finally {
    clearInterval(beat);
    heldLocks.delete(lock);
    rmSync(lock, { recursive: true, force: true });
  }
}

/** @param {string} lock */
function takeLock(lock) {
  try {
    mkdirSync(lock);
    return true;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST') throw error;
  }
  // A lock that is not renewed belongs to a process that was killed.
  try {
    if (Date.now() - statSync(lock).mtimeMs > LOCK_STALE_MS) rmSync(lock, { recursive: true, force: true });
  } catch {
    // Its holder has just released it.
  }
  return false;
}

/** @param {number} ms */
export function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** @type {(code: string) => (text: string) => string} */
const colour = (code) => (text) =>
  process.stdout.isTTY && !process.env.NO_COLOR ? `\x1b[${code}m${text}\x1b[0m` : text;
export const bold = colour('1');
export const dim = colour('2');
export const red = colour('31');
export const green = colour('32');
