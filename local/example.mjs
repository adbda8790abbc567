/**
 * `npm run example`: the Worker of `examples/worker` beside the local AuthKit, built and reloaded after every
 * save. Its ports are other ones than those of `npm start`, so both run at the same time.
 *
 *     npm run example -- [--port 8797] [--authkit-port 4110]
 */

import { pathToFileURL } from 'node:url';

import { main } from './commands.mjs';
import { serve } from './start.mjs';

/** @type {import('./build.mjs').Worker} */
export const EXAMPLE = {
  title: 'the example',
  folder: 'examples/worker',
  config: 'examples/worker/wrangler.toml',
  sources: ['examples/worker/src', 'crates'],
};

/**
 * The bundle of the tests: with the profile of the release bundle, for which the dependencies are compiled
 * already, and without `wasm-opt`.
 *
 * @type {import('./build.mjs').Mode}
 */
export const EXAMPLE_TEST_MODE = {
  profile: 'release',
  args: ['--release', '--no-opt'],
  folder: 'build/tests',
  isStripped: false,
  about: '(seconds, after the release bundle)',
};

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  await main(() => serve(EXAMPLE, { command: 'npm run example', port: 8797, authkitPort: 4110 }));
}
