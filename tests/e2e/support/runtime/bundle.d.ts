/** The release bundle, under the name that `fake-worker-build.mjs` gives it. */
export { default } from './index.js';
