/** Outgoing requests. */

import { operate, toInbox } from './isolate.js';

/** `RESPONSE_HEADERS` of `http_client.rs`, in its order. */
const READ_HEADERS = ['cache-control', 'content-type', 'retry-after'];

/** Other text than UTF-8 is an error. */
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false });

/**
 * The result is the status, the headers that callers read, and the body, each after a line break.
 *
 * @param {number} waiter
 * @param {string} url
 * @param {string} init as JSON
 * @param {number} maxMillis
 */
export function sendRequest(waiter, url, init, maxMillis) {
  const send = async () => {
    const response = await fetch(url, { ...JSON.parse(init), signal: AbortSignal.timeout(maxMillis) });
    const headers = READ_HEADERS.map((name) => response.headers.get(name) ?? '');
    return [response.status, ...headers, decoder.decode(await response.arrayBuffer())].join('\n');
  };
  // The runtime's message may contain addresses, so it goes no further.
  operate(waiter, send, toInbox, 0, () => '');
}
