/** The release bundle, under the name that `fake-worker-build.mjs` gives it. */
import type { Entry } from './index.js';

declare const Bundle: Entry;
export default Bundle;
