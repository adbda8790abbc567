/**
 * `wrangler dev` for a Worker that is built again and again. Wrangler serves a copy of the bundle, so a build
 * changes nothing that is served. A reload makes the next copy and leads Wrangler's configuration to it;
 * requests wait only while the runtime takes that copy, for about a second.
 */

import { EventEmitter, once } from 'node:events';
import { closeSync, constants, fstatSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { copyBundle } from './build.mjs';
import { ROOT, Stop, pause, red, start, stopNow } from './commands.mjs';
import { BIN } from './setup.mjs';
import { JURISDICTION } from './vars.mjs';
import { WRANGLER_ENV, isReloadDone, wranglerOutput } from './wrangler.mjs';

const READY_TIMEOUT_MS = 120_000;
/** A reload takes about a second on two idle cores. */
const RELOAD_TIMEOUT_MS = 30_000;
const HEALTH_TIMEOUT_MS = 5_000;

/**
 * Starts Wrangler and waits for the Worker's first answer.
 *
 * @param {object} options
 * @param {import('./build.mjs').Worker} options.worker
 * @param {import('./build.mjs').Mode} options.mode which bundle is served first
 * @param {number} options.port
 * @param {(file: string) => void} options.writeVars writes the Worker's variables; a `Stop` refuses a reload
 * @param {Record<string, string>} [options.env] for Wrangler
 * @returns {Promise<{ reload(mode: import('./build.mjs').Mode): Promise<void> }>}
 */
export async function startDevServer({ worker, mode, port, writeVars, env }) {
  const state = join(ROOT, worker.folder, '.wrangler');
  // One for each port, so that two starts do not disturb each other.
  const folder = join(state, `start-${port}`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

  const configuration = join(folder, 'wrangler.json');
  const output = new EventEmitter();
  let copies = 0;

  /** @param {import('./build.mjs').Mode} from */
  const serveCopy = async (from) => {
    writeVars(join(folder, '.dev.vars'));
    copies += 1;
    const parts = copyBundle(worker, from, join(folder, String(copies)));
    overwrite(configuration, JSON.stringify(await configurationFor(worker, parts), null, 1));
  };

  await serveCopy(mode);
  const child = start(
    process.execPath,
    [
      BIN.wrangler,
      'dev',
      ...['--config', configuration, '--persist-to', join(state, 'state')],
      ...['--ip', '127.0.0.1', '--port', String(port), '--inspector-port', '0'],
      '--show-interactive-dev-session=false',
    ],
    { env: { ...WRANGLER_ENV, ...env } },
  );
  endWith(child, `${capitalised(worker.title)} (wrangler dev)`);
  /** @param {import('node:stream').Readable | null} from @param {(line: string) => void} print */
  const follow = (from, print) => {
    const filter = wranglerOutput();
    eachLine(from, (line) => {
      if (isReloadDone(line)) output.emit('reloaded');
      const kept = filter(line);
      if (kept !== undefined) print(kept);
    });
  };
  follow(child.stdout, console.log);
  follow(child.stderr, console.error);
  await answersHealth(port);

  return {
    async reload(from) {
      const before = readFileSync(configuration, 'utf8');
      const reloaded = once(output, 'reloaded', { signal: AbortSignal.timeout(RELOAD_TIMEOUT_MS) });
      // Awaited below; without this a fault before that would end the process when the time is over.
      reloaded.catch(() => {});
      await serveCopy(from);
      try {
        await reloaded;
      } catch {
        overwrite(configuration, before);
        throw new Stop(
          `Wrangler has not taken the new build within ${RELOAD_TIMEOUT_MS / 1000} s: see its words above.`,
        );
      }
      // The copy before this one may still be read by an asset's request.
      rmSync(join(folder, String(copies - 2)), { recursive: true, force: true });
      const fault = await healthFault(port);
      if (fault) console.error(red(`GET /health is not answered with 200 (${fault}).`));
    },
  };
}

/**
 * The Worker's own configuration, led to a copy of its bundle, without the command that builds it.
 *
 * @param {import('./build.mjs').Worker} worker
 * @param {{ script: string, assets?: string }} parts
 */
async function configurationFor(worker, { script, assets }) {
  // Loaded here because set-up, which installs it, runs after this file has been loaded.
  const { parse } = await import('smol-toml');
  let written;
  try {
    written = parse(readFileSync(join(ROOT, worker.config), 'utf8'));
  } catch (error) {
    throw new Stop(`${worker.config} cannot be read: ${/** @type {Error} */ (error).message}`);
  }
  // The other environments are for deployments, and the local runtime has no jurisdictions.
  const { build: _, env: __, ...configuration } = written;
  const { [JURISDICTION]: ___, ...vars } = /** @type {Record<string, unknown>} */ (configuration.vars ?? {});
  if (assets) configuration.assets = { .../** @type {object} */ (configuration.assets), directory: assets };
  // The terminal shows the person's own work, unless .dev.vars asks for a line of each request.
  return { ...configuration, vars: { LOG_REQUESTS: '0', ...vars }, main: script };
}

/**
 * Overwrites the file that Wrangler watches, in one step. Wrangler's watcher loses a file that
 * another one takes the place of, and would read half of one that is emptied first. JSON may end in spaces.
 *
 * @param {string} file
 * @param {string} text
 */
function overwrite(file, text) {
  const descriptor = openSync(file, constants.O_WRONLY | constants.O_CREAT, 0o600);
  writeSync(descriptor, text.padEnd(fstatSync(descriptor).size));
  closeSync(descriptor);
}

/** Waits for `GET /health`. @param {number} port */
async function answersHealth(port) {
  let last = 'no answer';
  for (const until = Date.now() + READY_TIMEOUT_MS; Date.now() < until; await pause(100)) {
    const fault = await healthFault(port);
    if (fault === undefined) return;
    last = fault;
    // It is up and will not change its mind.
    if (fault.startsWith('500')) break;
  }
  throw new Stop(`The Worker started but GET /health was not answered with 200 (${last}).`);
}

/** @param {number} port @returns {Promise<string | undefined>} what was answered instead of 200 */
async function healthFault(port) {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/health`, { signal: AbortSignal.timeout(HEALTH_TIMEOUT_MS) });
    if (response.status === 200) return undefined;
    return `${response.status}: ${(await response.text()).slice(0, 300)}`;
  } catch {
    return 'no answer';
  }
}

/** One server's end is the end of all. @param {import('node:child_process').ChildProcess} child @param {string} name */
export function endWith(child, name) {
  child.once('close', (code) => {
    void stopNow(
      new Stop(`${name} ended by itself${code === null ? '' : ` (exit code ${code})`}: see its own words above.`),
    );
  });
}

/**
 * Calls `use` for each line of a child's output, where the output is a pipe.
 *
 * @param {import('node:stream').Readable | null} stream
 * @param {(line: string, first: boolean) => void} use
 */
export function eachLine(stream, use) {
  if (!stream) return;
  let first = true;
  createInterface({ input: stream }).on('line', (line) => {
    use(line, first);
    first = false;
  });
}

/** @param {string} text */
function capitalised(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
