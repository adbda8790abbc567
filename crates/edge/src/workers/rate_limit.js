/** Rate limits. */

import { operate, toInbox } from './isolate.js';

/** The longest wait. A limit is counted in the memory of its location, within milliseconds. */
const MAX_MS = 2_000;

/** What the result says, as in `rate_limit.rs`. */
const ALLOWED = 'allowed';

/** The result is {@link ALLOWED}, or no text. @param {number} waiter @param {RateLimit} limit @param {string} key */
export function countCall(waiter, limit, key) {
  operate(
    waiter,
    () => limit.limit({ key }),
    ({ success }) => (success ? toInbox(ALLOWED) : 0),
    MAX_MS,
  );
}
