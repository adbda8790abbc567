/**
 * Finds the browser that the tests in tests/browser run in: any Chromium that is installed. None is
 * downloaded. Node built-ins only.
 *
 *     node local/chromium.mjs     prints where it is, or fails saying what to do
 */

import { accessSync, constants, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { Stop, main } from './commands.mjs';

/** Says where the browser is, whatever else is installed. */
const VARIABLE = 'CHROMIUM_PATH';
const COMMANDS = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome'];
const MAC_APPLICATIONS = ['Chromium', 'Google Chrome'];

export const NO_CHROMIUM =
  'There is no Chromium or Chrome. Install one (Debian: apt-get install chromium; macOS: brew install --cask chromium), ' +
  `or set ${VARIABLE} to where it is.`;

/**
 * @returns {string | undefined}
 * @throws {Stop} when the variable leads nowhere: another browser than the one that was asked for is no help
 */
export function findChromium() {
  const given = process.env[VARIABLE];
  if (given) {
    if (!isExecutable(given)) throw new Stop(`${VARIABLE} is ${given}, where there is no program.`);
    return given;
  }
  const folders = (process.env.PATH ?? '').split(delimiter).filter(Boolean);
  const candidates = COMMANDS.flatMap((command) => folders.map((folder) => join(folder, command)));
  if (process.platform === 'darwin') {
    for (const name of MAC_APPLICATIONS) {
      for (const root of ['/', homedir()])
        candidates.push(join(root, 'Applications', `${name}.app`, 'Contents/MacOS', name));
    }
  }
  return candidates.find(isExecutable);
}

/** @param {string} path */
function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  await main(async () => {
    const path = findChromium();
    if (!path) throw new Stop(NO_CHROMIUM);
    console.log(path);
  });
}
