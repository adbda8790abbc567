/** The Worker of `worker/`, as `local/build.mjs` builds it: it runs one operation per request. */

import { bundleFolder } from '../../../local/build.mjs';
import { KV_BINDINGS } from '../../../tests/e2e/support/runtime/controls.mjs';

/** @type {import('../../../local/build.mjs').Worker} */
export const TEST_WORKER = {
  title: "the Worker of edge-host's tests",
  folder: 'crates/edge/tests/worker',
  config: 'wrangler.toml',
  sources: ['crates/edge'],
  hasThinEntry: true,
};

/** Seen from the crate's folder. Not inside of `crates/`, whose files are sources of other bundles. */
const OUT_DIR = '../../../../build/edge-tests';

/**
 * With the profile of the release bundle, because most dependencies are compiled for that already.
 *
 * @type {import('../../../local/build.mjs').Mode}
 */
export const TEST_WORKER_MODE = {
  profile: 'release',
  args: ['--release', '--no-opt'],
  folder: OUT_DIR,
  isStripped: false,
  about: '(seconds, after the release bundle)',
};

/** Its bundle, for the harness. */
export const TEST_BUNDLE = {
  folder: bundleFolder(TEST_WORKER, TEST_WORKER_MODE),
  kvBinding: KV_BINDINGS.edgeHost,
  config: 'crates/edge/tests/worker/wrangler.toml',
};
