/** Rate limits. */

import { operate, toInbox } from './isolate.js';

/** The longest wait. A limit is counted in the memory of its location, within milliseconds. */
const MAX_MS = 2_000;

/** The result is text when the limit allows the call, and nothing when it does not. @param {number} waiter @param {RateLimit} limit @param {string} key */
export function countCall(waiter, limit, key) {
  const allows = async () => ((await limit.limit({ key })).success ? 'allowed' : undefined);
  operate(waiter, allows, toInbox, MAX_MS);
}
