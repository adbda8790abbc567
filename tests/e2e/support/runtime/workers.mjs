/** `cloudflare:workers` as the bundle sees it: its environment is the test's. */

import { env as own } from 'cloudflare:workers';

import { HARNESS } from './controls.mjs';
import { testEnv } from './env.mjs';

export * from 'cloudflare:workers';

const bindings = /** @type {Record<string, unknown>} */ (own);
export const env = testEnv(bindings, String(bindings[HARNESS.location]));
