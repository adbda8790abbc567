/** The application's own key, which its server sends to WorkOS's API as a bearer token. */

import { ApiError } from './errors.mjs';
import { secretsMatch } from './ids.mjs';

/**
 * @param {Map<string, string>} clients secret by client id
 * @returns {import('express').RequestHandler} refuses a request without one of the secrets
 */
export function requireServerKey(clients) {
  return (req, _res, next) => {
    const key = /^Bearer (.+)$/.exec(req.get('authorization') ?? '')?.[1];
    const isKnown = key !== undefined && [...clients.values()].some((secret) => secretsMatch(key, secret));
    if (!isKnown) throw new ApiError(401, 'unauthorized', 'The API key is missing or wrong.');
    next();
  };
}
