/** The bundle that `fake-worker-build.mjs` makes: the release bundle, which also tells its version. */

import Bundle from './bundle.js';
import { version } from './version.js';

export * from './bundle.js';

export default class extends Bundle {
  /**
   * @override
   * @param {Request} request
   */
  async fetch(request) {
    if (new URL(request.url).pathname === '/.test/version') return new Response(version);
    return super.fetch(request);
  }
}
