/**
 * `npm start`, as a user who has just cloned the project runs it: in a folder of its own, so that
 * neither the developer's expenses nor their .dev.vars are touched.
 */

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { ROOT } from './worker.mjs';
import { portOf, present } from './values.mjs';

const READY_MS = 60_000;
const END_MS = 15_000;
/** Of the computer that it runs on, as far as it knows: 14 hours ahead of UTC. */
export const TIME_ZONE = 'Pacific/Kiritimati';
/** Files that a start keeps or is given, which a clone lacks, and files that a build would change. */
const LEFT_OUT = new Set(['.wrangler', '.local', '.git', '.dev.vars', 'target']);

/** Where the project is cloned to, for one test file. */
export const clone = mkdtempSync(join(tmpdir(), 'authkit-edge-clone-'));
/** @type {Set<import('node:child_process').ChildProcess>} */
const running = new Set();
after(async () => {
  // Only after a failure: npm start ends its own processes when it is interrupted.
  for (const child of running) {
    const ended = once(child, 'close');
    child.kill('SIGINT');
    await Promise.race([ended, pause(END_MS, undefined, { ref: false })]);
    child.kill('SIGKILL');
  }
  rmSync(clone, { recursive: true, force: true });
});

// Scripts are copied, because they take the folder that they are in for the project's; the bundle is, so that
// it stays as it is, and the sources are, so that tests may edit them. The rest, which is large and is only
// read, is linked to.
for (const name of readdirSync(ROOT)) {
  const [from, to] = [join(ROOT, name), join(clone, name)];
  if (name === 'local' || name === 'src') cpSync(from, to, { recursive: true });
  else if (name === 'build') cpSync(from, to, { recursive: true, filter: (path) => path !== join(from, 'dev') });
  else if (name === '.tools') linkTools(join(from, 'bin'), join(to, 'bin'));
  else if (!LEFT_OUT.has(name)) symlinkSync(from, to);
}

/** The project's tools, with a stand-in for worker-build: compiling takes minutes. @param {string} from @param {string} to */
function linkTools(from, to) {
  mkdirSync(to, { recursive: true });
  const standIn = fileURLToPath(new URL('./fake-worker-build.mjs', import.meta.url));
  for (const name of readdirSync(from)) {
    symlinkSync(name === 'worker-build' ? standIn : join(from, name), join(to, name));
  }
}

/** A port that nothing listens on. */
export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const port = portOf(server);
  server.close();
  await once(server, 'close');
  return port;
}

/** Two of them: the Worker's and AuthKit's. @returns {Promise<[number, number]>} */
export async function freePorts() {
  return [await freePort(), await freePort()];
}

/** @param {number} port @returns {Promise<boolean>} */
function isListening(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const answer = (/** @type {boolean} */ value) => () => {
      socket.destroy();
      resolve(value);
    };
    socket.once('connect', answer(true)).once('error', answer(false));
  });
}

/**
 * @param {() => boolean | Promise<boolean>} condition
 * @param {string} what the error says of a condition that does not hold in time
 * @param {number} limitMs
 */
async function until(condition, what, limitMs) {
  for (const end = Date.now() + limitMs; !(await condition()); await pause(50)) {
    if (Date.now() > end) assert.fail(`${what} within ${limitMs} ms`);
  }
}

/** Every process of this computer that has not ended: its parent by its id. @returns {Map<number, number>} */
function processes() {
  if (!existsSync('/proc/self/stat')) {
    const rows = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,stat='], { encoding: 'utf8' }).trim().split('\n');
    return new Map(
      rows
        .map((row) => row.trim().split(/\s+/))
        .filter(([, , state]) => !state.startsWith('Z'))
        .map(([pid, ppid]) => [Number(pid), Number(ppid)]),
    );
  }
  // proc(5): `pid (command) state ppid …`, where the command may hold anything.
  const parents = new Map();
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const [state, ppid] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (state !== 'Z') parents.set(Number(pid), Number(ppid));
    } catch {
      // Ended in this very moment.
    }
  }
  return parents;
}

/** Every process that has come from `pid`. @param {number} pid @returns {number[]} */
function descendants(pid) {
  const parents = [...processes()];
  const found = [pid];
  for (const parent of found) found.push(...parents.filter(([, ppid]) => ppid === parent).map(([child]) => child));
  return found.slice(1);
}

/** @param {number} port @param {number} authkitPort */
export function start(port, authkitPort) {
  const child = spawn(
    process.execPath,
    [join(clone, 'local', 'start.mjs'), '--port', String(port), '--authkit-port', String(authkitPort)],
    {
      cwd: clone,
      env: { ...process.env, TZ: TIME_ZONE, NO_COLOR: '1', CI: 'true', CARGO_TARGET_DIR: join(clone, 'target') },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  const started = { child, output: '', exit: once(child, 'close') };
  running.add(child);
  child.once('close', () => running.delete(child));
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8');
    stream.on('data', (text) => (started.output += text));
  }
  return started;
}

/** @param {ReturnType<typeof start>} started @returns {Promise<string>} the address it says to open */
export async function printedAddress(started) {
  const address = () => /Open (http:\/\/localhost:\d+)/.exec(started.output)?.[1];
  await until(
    () => {
      assert.equal(started.child.exitCode, null, `npm start has ended: ${started.output}`);
      assert.doesNotMatch(
        started.output,
        /Building the Worker/,
        'the bundle in build/ is older than its sources: run npm run build first',
      );
      return address() !== undefined;
    },
    `npm start has printed no address (${started.output})`,
    READY_MS,
  );
  return present(address());
}

/**
 * Waits for what npm start prints.
 *
 * @param {ReturnType<typeof start>} started
 * @param {RegExp} pattern
 * @param {number} [from] how much of the output was there before
 */
export async function printed(started, pattern, from = 0) {
  await until(
    () => pattern.test(started.output.slice(from)),
    `npm start has not printed ${pattern} (${started.output.slice(from)})`,
    READY_MS,
  );
}

/**
 * Ctrl-C, and everything that has to follow from it.
 *
 * @param {ReturnType<typeof start>} started
 * @param {number[]} ports
 */
export async function interrupt(started, ports) {
  const children = descendants(present(started.child.pid));
  assert.ok(children.length >= 2, 'AuthKit and the Worker at least');
  started.child.kill('SIGINT');
  const [code] = await Promise.race([started.exit, pause(END_MS, ['did not end'], { ref: false })]);
  assert.equal(code, 0, `exit code after Ctrl-C: ${started.output}`);
  for (const port of ports) assert.equal(await isListening(port), false, `port ${port} is still open`);
  await until(() => !children.some((pid) => processes().has(pid)), 'a process that it started has not ended', END_MS);
}
