/** Values that a test knows to be there, with their types narrowed to say so. */

import assert from 'node:assert/strict';

/**
 * @template T
 * @param {T} value
 * @param {string} [name] what the error calls it
 * @returns {NonNullable<T>}
 */
export function present(value, name = 'a value that the test needs') {
  assert.ok(value !== undefined && value !== null, `${name} is missing`);
  return value;
}

/** The port of a server that listens. @param {{ address(): import('node:net').AddressInfo | string | null }} server */
export function portOf(server) {
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null, 'the server listens on a TCP port');
  return address.port;
}

/**
 * The body of a response, parsed: tests assert its form, so it has no type.
 *
 * @param {Response} response
 */
export async function jsonOf(response) {
  return JSON.parse(await response.text());
}

/**
 * The rows of a table of test cases, each a tuple: an array literal alone has one type for all its columns.
 *
 * @template {[unknown, ...unknown[]]} Row
 * @param {Row[]} rows
 */
export function cases(rows) {
  return rows;
}
