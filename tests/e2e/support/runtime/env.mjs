/** The bundle's environment: its own, with the test's services before the runtime's. */

import { HARNESS, KV_BINDINGS } from './controls.mjs';
import { kvAt } from './kv.mjs';
import { withFaults } from './namespaces.mjs';

/** By location: what the isolate keeps is made once. @type {Map<string, Record<string, unknown>>} */
const made = new Map();

/** The name of the error that every rate limit throws; nothing where they work. */
export const limitFaults = { error: '' };

/** The data points of this isolate. @type {object[]} */
export const points = [];

/** The environment at a location. @param {Record<string, unknown>} env @param {string} location */
export function testEnv(env, location) {
  const known = made.get(location);
  if (known) return known;
  const changed = { ...env };
  for (const [name, value] of Object.entries(env)) {
    if (Object.values(KV_BINDINGS).includes(name))
      changed[name] = kvAt(/** @type {KVNamespace} */ (value), env, location);
    else if (isObjects(value)) changed[name] = withFaults(value, name);
    else if (isRateLimit(value)) changed[name] = withLimitFaults(value);
  }
  // Miniflare's own dataset drops every point.
  if (HARNESS.counts in env)
    changed.ANALYTICS = { writeDataPoint: (/** @type {object} */ point) => points.push(point) };
  made.set(location, changed);
  return changed;
}

/** @param {unknown} value @returns {value is DurableObjectNamespace} */
function isObjects(value) {
  return typeof value === 'object' && value !== null && 'idFromName' in value;
}

/** @param {unknown} value @returns {value is RateLimit} */
function isRateLimit(value) {
  return typeof value === 'object' && value !== null && 'limit' in value;
}

/** @param {RateLimit} binding */
function withLimitFaults(binding) {
  return {
    /** @param {RateLimitOptions} options */
    async limit(options) {
      if (limitFaults.error) throw Object.assign(new Error('made to fail'), { name: limitFaults.error });
      return binding.limit(options);
    },
  };
}
