/**
 * Finds the Python that the tests in tests/python run in, and installs the client generator that
 * they use into .tools. The project's own set-up needs no Python; these tests alone do. Node built-ins only.
 *
 *     node local/python.mjs     prints which Python it is, or fails saying what to do
 */

import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { ROOT, Stop, capture, main, step, withLock } from './commands.mjs';

/** What `requirements.txt` asks for. */
const PYTHON_MINOR = 11;
const COMMANDS = ['python3', 'python'];

const REQUIREMENTS = join(ROOT, 'tests', 'python', 'requirements.txt');
const FOLDER = join(ROOT, '.tools', 'python');
/** Records the installed packages. */
const INSTALLED = join(FOLDER, 'installed.txt');

export const NO_PYTHON =
  `There is no Python 3.${PYTHON_MINOR} or later that can install packages. ` +
  'Install one (Debian: apt-get install python3 python3-venv; macOS: brew install python).';

/** Says whether a Python is new enough, and how it installs packages. */
const INSPECT = join(ROOT, 'local', 'inspect_python.py');

/**
 * The command of a Python that is new enough and can install packages: into a virtual environment, or
 * where Debian has left that out, with a pip of its own.
 *
 * @returns {Promise<{ command: string, version: string, installs: 'venv' | 'pip' } | undefined>}
 */
export async function findPython() {
  for (const command of COMMANDS) {
    const { code, output } = await capture(command, [INSPECT, String(PYTHON_MINOR)]);
    if (code !== 0) continue;
    const [version, installs] = output.trim().split(' ');
    return { command, version, installs: /** @type {'venv' | 'pip'} */ (installs) };
  }
  return undefined;
}

/**
 * Installs the packages of `requirements.txt`, unless they are there.
 *
 * @returns {Promise<{ command: string, env: Record<string, string> }>} a Python that finds them
 * @throws {Stop} where there is no Python
 */
export async function installPythonPackages() {
  const python = await findPython();
  if (!python) throw new Stop(NO_PYTHON);
  const wanted = `${JSON.stringify(python)}\n${readFileSync(REQUIREMENTS, 'utf8')}`;
  const usesVenv = python.installs === 'venv';
  const packages = join(FOLDER, 'packages');
  const installed = {
    command: usesVenv ? join(FOLDER, 'bin', 'python') : python.command,
    env: {
      PATH: `${usesVenv ? join(FOLDER, 'bin') : join(packages, 'bin')}${delimiter}${process.env.PATH}`,
      ...(usesVenv ? {} : { PYTHONPATH: packages }),
    },
  };
  if (read(INSTALLED) === wanted) return installed;
  await withLock('python', async () => {
    if (read(INSTALLED) === wanted) return;
    rmSync(FOLDER, { recursive: true, force: true });
    mkdirSync(FOLDER, { recursive: true });
    const failure =
      "The Python packages could not be installed: see pip's own words above, check the network, and run the command again.";
    if (usesVenv)
      await step('Making a virtual environment in .tools/python (once)', python.command, ['-m', 'venv', FOLDER], {
        failure,
      });
    const where = usesVenv ? [] : ['--target', packages];
    const pip = [
      '-m',
      'pip',
      'install',
      '--quiet',
      '--disable-pip-version-check',
      '--no-input',
      ...where,
      '--requirement',
      REQUIREMENTS,
    ];
    await step('Installing the Python packages of tests/python/requirements.txt (once)', installed.command, pip, {
      failure,
    });
    // Written last, so that an interrupted installation does not count as complete.
    writeFileSync(`${INSTALLED}.new`, wanted);
    renameSync(`${INSTALLED}.new`, INSTALLED);
  });
  return installed;
}

/** @param {string} path */
function read(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  await main(async () => {
    const python = await findPython();
    if (!python) throw new Stop(NO_PYTHON);
    console.log(`${python.command} ${python.version}`);
  });
}
