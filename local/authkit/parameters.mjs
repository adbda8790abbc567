/** Reads the parameters of browsers and applications. */

import { ApiError } from './errors.mjs';

const LOOPBACK_HOSTS = new Set(['localhost', '127.0.0.1', '[::1]']);
/** Browsers resolve these names to this computer (RFC 6761, section 6.3). */
const LOOPBACK_SUFFIX = '.localhost';

/**
 * @param {unknown} source a parsed query or body
 * @returns {Record<string, string>} its members that are non-empty strings
 * @throws {ApiError} 400 when a parameter is given twice
 */
export function parametersOf(source) {
  /** @type {Record<string, string>} */
  const parameters = Object.create(null);
  for (const [name, value] of Object.entries(source ?? {})) {
    if (Array.isArray(value)) throw new ApiError(400, 'invalid_request', `${name} is given more than once`);
    if (typeof value === 'string' && value !== '') parameters[name] = value;
  }
  return parameters;
}

/**
 * @param {string} name of the parameter
 * @param {string} text
 * @returns {URL}
 * @throws {ApiError} 400 unless it is http(s) on this computer
 */
export function loopbackUrl(name, text) {
  // `new URL` drops control characters instead of refusing them, so they are looked for first.
  const url = !/\p{Cc}/u.test(text) && URL.canParse(text) ? new URL(text) : undefined;
  const isLoopback = url && (LOOPBACK_HOSTS.has(url.hostname) || url.hostname.endsWith(LOOPBACK_SUFFIX));
  if (!isLoopback || !/^https?:$/.test(url.protocol)) {
    throw new ApiError(
      400,
      'invalid_redirect_uri',
      `${name} must be an http or https URL on localhost, 127.0.0.1 or [::1]`,
    );
  }
  return url;
}

/**
 * @param {import('express').Request} req
 * @param {string} name
 * @returns {string | undefined}
 */
export function cookieOf(req, name) {
  for (const pair of (req.headers.cookie ?? '').split(';')) {
    const [key, value] = pair.trim().split('=', 2);
    if (key === name) return value;
  }
  return undefined;
}
