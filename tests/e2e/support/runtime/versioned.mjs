/** The bundle that `fake-worker-build.mjs` makes: the release bundle, which also tells its version. */

import Bundle from './bundle.js';
import { version } from './version.js';

export * from './bundle.js';

export default {
  /** @param {Request} request @param {unknown} env @param {ExecutionContext} context */
  fetch(request, env, context) {
    if (new URL(request.url).pathname === '/.test/version') return new Response(version);
    return Bundle.fetch(request, env, context);
  },
};
