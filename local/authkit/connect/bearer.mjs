/** Connect's own reading of its access tokens: introspection (RFC 7662) and OpenID Connect's userinfo. */

import express from 'express';
import { createLocalJWKSet, jwtVerify } from 'jose';

import { OAuthError } from '../errors.mjs';
import { profileClaims } from '../users.mjs';

/**
 * @typedef {object} Verifier
 * @property {string} issuer
 * @property {import('../keys.mjs').KeyRing} keys
 * @property {() => number} now milliseconds
 */

/** The claims of OpenID Connect Core, section 5.4, but for `sub`, by the scope that opens them. */
const CLAIMS_OF_SCOPE = {
  profile: ['name', 'given_name', 'family_name'],
  email: ['email', 'email_verified'],
};

/**
 * @param {string} token
 * @param {Verifier} verifier
 * @returns {Promise<import('jose').JWTPayload | undefined>} nothing for one that is not good, or no longer
 */
async function verifiedClaims(token, { issuer, keys, now }) {
  try {
    const { payload } = await jwtVerify(token, createLocalJWKSet(keys.jwks()), {
      issuer,
      algorithms: ['RS256'],
      currentDate: new Date(now()),
    });
    return payload;
  } catch {
    return undefined;
  }
}

/**
 * @param {import('oidc-provider').Client} client the client that asks
 * @param {unknown} clientId whose token it is
 * @returns {boolean} a client that has no secret may be anybody, and learns of its own tokens only
 */
export function mayIntrospect(client, clientId) {
  return client.clientAuthMethod !== 'none' || clientId === client.clientId;
}

/**
 * @param {string} token
 * @param {import('oidc-provider').Client} client the client that asks
 * @param {Verifier} verifier
 * @returns {Promise<Record<string, unknown>>}
 */
export async function introspect(token, client, verifier) {
  const claims = await verifiedClaims(token, verifier);
  return claims && mayIntrospect(client, claims.client_id)
    ? { active: true, token_type: 'Bearer', ...claims }
    : { active: false };
}

/**
 * @param {() => Verifier & {directory: import('../users.mjs').Directory}} current as it is at the request
 * @returns {import('express').Router}
 */
export function userinfoRoutes(current) {
  const router = express.Router();
  const answer = async (
    /** @type {import('express').Request} */ req,
    /** @type {import('express').Response} */ res,
  ) => {
    const { directory, ...verifier } = current();
    const refused = (/** @type {number} */ status, /** @type {string} */ code, /** @type {string} */ message) => {
      res.set('WWW-Authenticate', `Bearer error="${code}"`);
      return new OAuthError(status, code, message);
    };
    const token = /^Bearer +(\S+)$/i.exec(req.get('authorization') ?? '')?.[1];
    const claims = token && (await verifiedClaims(token, verifier));
    const user = claims && directory.find(String(claims.sub));
    if (!user) throw refused(401, 'invalid_token', 'The access token is missing, expired or not of this issuer.');
    const scopes = String(claims.scope ?? '').split(' ');
    if (!scopes.includes('openid')) throw refused(403, 'insufficient_scope', 'The access token has no scope openid.');

    const open = [
      'sub',
      ...scopes.flatMap((scope) => CLAIMS_OF_SCOPE[/** @type {'profile' | 'email'} */ (scope)] ?? []),
    ];
    res.set('Access-Control-Allow-Origin', '*');
    res.json(Object.fromEntries(Object.entries(profileClaims(user)).filter(([name]) => open.includes(name))));
  };
  router.get('/oauth2/userinfo', answer);
  router.post('/oauth2/userinfo', answer);
  return router;
}
