/** Access tokens (JWT, RS256) as AuthKit issues them, and the forgeries a verifier must refuse. */

import { createHmac, sign as cryptoSign } from 'node:crypto';

import { SignJWT } from 'jose';

import { newId } from './ids.mjs';
import { generatePrivateKey } from './keys.mjs';
import { membershipOf } from './users.mjs';

/** Base64url characters of a 2048-bit RSA signature. */
const SIGNATURE_CHARS = 342;

/**
 * @typedef {object} TokenSettings
 * @property {number} accessTokenTtlSecs
 * @property {number} minAccessTokenBytes
 * @property {Record<string, Record<string, unknown>>} extraClaims by user id; they win over the
 *   claims made here, as those of a WorkOS JWT template do
 */

/**
 * @param {object} subject
 * @param {import('./users.mjs').User} subject.user
 * @param {string} subject.sessionId
 * @param {import('./users.mjs').Organization | undefined} subject.organization
 * @param {string} issuer
 * @param {number} nowMs
 * @param {TokenSettings} settings
 * @returns {Record<string, unknown>} the claims of a session's access token
 */
export function sessionClaims({ user, sessionId, organization }, issuer, nowMs, settings) {
  const iat = Math.floor(nowMs / 1000);
  const membership = organization && membershipOf(user, organization.id);
  /** @type {Record<string, unknown>} */
  const claims = {
    iss: issuer,
    sub: user.id,
    sid: sessionId,
    jti: newId('jti', nowMs).slice('jti_'.length),
    iat,
    exp: iat + settings.accessTokenTtlSecs,
  };
  if (membership) {
    claims.org_id = organization.id;
    claims.role = membership.role ?? 'member';
    claims.roles = [claims.role];
    claims.permissions = membership.permissions ?? [];
    if (organization.entitlements.length > 0) claims.entitlements = organization.entitlements;
    if (organization.featureFlags.length > 0) claims.feature_flags = organization.featureFlags;
  }
  if (user.impersonator) {
    claims.act = { sub: user.impersonator.email };
    claims.impersonator = user.impersonator;
  }
  return padded({ ...claims, ...settings.extraClaims[user.id] }, settings.minAccessTokenBytes);
}

/**
 * @param {Record<string, unknown>} claims
 * @param {import('./keys.mjs').SigningKey} key
 * @returns {Promise<string>}
 */
export function signAccessToken(claims, key) {
  return new SignJWT(claims).setProtectedHeader({ alg: 'RS256', typ: 'JWT', kid: key.kid }).sign(key.privateKey);
}

/**
 * How a minted token is signed: `current` by the published key, `stranger` by an unpublished key
 * under the published `kid`, `none` not at all, `hs256-public` by HMAC with the published key's
 * PEM as the secret (algorithm confusion); or any RSA private key.
 *
 * @typedef {'current' | 'stranger' | 'none' | 'hs256-public' | import('node:crypto').KeyObject} MintKey
 */

/**
 * Serializes and signs whatever it is given, sound or not.
 *
 * @param {Record<string, unknown>} header merged over the one that fits `mintKey`
 * @param {Record<string, unknown>} claims
 * @param {MintKey} mintKey
 * @param {import('./keys.mjs').SigningKey} current
 * @returns {string}
 */
export function mint(header, claims, mintKey, current) {
  const alg = mintKey === 'none' ? 'none' : mintKey === 'hs256-public' ? 'HS256' : 'RS256';
  const input = [{ alg, typ: 'JWT', kid: current.kid, ...header }, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.');
  return `${input}.${signature(input, mintKey, current)}`;
}

/**
 * @param {string} input
 * @param {MintKey} mintKey
 * @param {import('./keys.mjs').SigningKey} current
 * @returns {string}
 */
function signature(input, mintKey, current) {
  if (mintKey === 'none') return '';
  if (mintKey === 'hs256-public') {
    const secret = current.publicKey.export({ format: 'pem', type: 'spki' });
    return createHmac('sha256', secret).update(input).digest('base64url');
  }
  const key = mintKey === 'current' ? current.privateKey : mintKey === 'stranger' ? generatePrivateKey() : mintKey;
  return cryptoSign('sha256', Buffer.from(input), key).toString('base64url');
}

/**
 * @param {Record<string, unknown>} claims
 * @param {number} minTokenBytes
 * @returns {Record<string, unknown>} the claims, with permissions added until the token is as long
 */
function padded(claims, minTokenBytes) {
  const missing = Math.ceil(((minTokenBytes - SIGNATURE_CHARS) * 3) / 4) - JSON.stringify(claims).length;
  if (missing <= 0) return claims;
  const permission = (/** @type {number} */ n) => `padding:${String(n).padStart(5, '0')}`;
  const count = Math.ceil(missing / `${JSON.stringify(permission(0))},`.length);
  const own = Array.isArray(claims.permissions) ? claims.permissions : [];
  return { ...claims, permissions: [...own, ...Array.from({ length: count }, (_, n) => permission(n))] };
}
