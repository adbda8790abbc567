/**
 * What lives between requests: authorization codes, application sessions with their refresh
 * tokens, and browser sessions (the local AuthKit's own cookie).
 *
 * Codes, refresh tokens and cookies are kept as SHA-256 digests.
 */

import { digest, newId, newSecret } from './ids.mjs';

/** WorkOS: a code lives for 10 minutes. */
const CODE_TTL_MS = 10 * 60 * 1000;
/** WorkOS's emulator: a session and its refresh tokens live for 30 days. */
export const SESSION_TTL_MS = 30 * 24 * 60 * 60 * 1000;

/**
 * @typedef {object} AuthorizationCode
 * @property {string} userId
 * @property {string} clientId
 * @property {string} redirectUri
 * @property {string | null} organizationId
 * @property {string | null} codeChallenge
 * @property {string | null} invitationToken
 * @property {string} authenticationMethod
 * @property {string} browserSession digest of the cookie it was given under
 * @property {number} expiresAt
 */

/**
 * @typedef {object} Session
 * @property {string} id
 * @property {string} userId
 * @property {string} clientId
 * @property {string} authenticationMethod
 * @property {string} browserSession
 * @property {string | null} invitationToken which the user accepted by signing in
 * @property {string | null} ipAddress as the application reported it at sign-in
 * @property {string | null} userAgent as the application reported it at sign-in
 * @property {number} expiresAt
 */

/**
 * @typedef {object} RefreshToken
 * @property {string} sessionId
 * @property {string | null} organizationId
 * @property {number | null} spentAt
 */

export class SessionStore {
  /** @type {Map<string, AuthorizationCode>} by digest */
  #codes = new Map();
  /** @type {Map<string, Session>} by id */
  #sessions;
  /** @type {Map<string, RefreshToken>} by digest */
  #refreshTokens;
  /** @type {Map<string, {userId: string, expiresAt: number}>} by digest */
  #browserSessions;
  #now;
  #onChange;
  #reuseSecs;

  /**
   * @param {object} options
   * @param {() => number} options.now milliseconds
   * @param {() => void} options.onChange
   * @param {() => number} options.reuseSecs for how long a spent refresh token still works
   * @param {any} [options.saved] as `toJSON` gave it
   * @throws when `saved` is not of that form
   */
  constructor({ now, onChange, reuseSecs, saved = { sessions: [], refreshTokens: [], browserSessions: [] } }) {
    this.#now = now;
    this.#onChange = onChange;
    this.#reuseSecs = reuseSecs;
    this.#sessions = new Map(saved.sessions);
    this.#refreshTokens = new Map(saved.refreshTokens);
    this.#browserSessions = new Map(saved.browserSessions);
    this.#prune();
  }

  /** @returns {Session[]} */
  get sessions() {
    this.#prune();
    return [...this.#sessions.values()];
  }

  /**
   * @param {Omit<AuthorizationCode, 'browserSession' | 'expiresAt'> & {cookie: string}} grant
   * @returns {string} the code
   */
  issueCode({ cookie, ...grant }) {
    const code = newSecret();
    this.#codes.set(digest(code), { ...grant, browserSession: digest(cookie), expiresAt: this.#now() + CODE_TTL_MS });
    return code;
  }

  /**
   * @param {string} code
   * @returns {AuthorizationCode | undefined} nothing for an unknown, spent or expired one
   */
  findCode(code) {
    this.#prune();
    return this.#codes.get(digest(code));
  }

  /** @param {string} code */
  spendCode(code) {
    this.#codes.delete(digest(code));
  }

  /**
   * @param {Omit<Session, 'id' | 'expiresAt'>} fields
   * @returns {Session}
   */
  startSession(fields) {
    const now = this.#now();
    const session = { ...fields, id: newId('session', now), expiresAt: now + SESSION_TTL_MS };
    this.#sessions.set(session.id, session);
    this.#onChange();
    return session;
  }

  /**
   * Ends a session, its refresh tokens and the browser session it came from.
   *
   * @param {string} id
   * @returns {boolean} whether there was one
   */
  endSession(id) {
    const session = this.#sessions.get(id);
    if (!session) return false;
    this.#sessions.delete(id);
    this.#browserSessions.delete(session.browserSession);
    this.#prune();
    this.#onChange();
    return true;
  }

  /**
   * @param {Session} session
   * @param {string | null} organizationId
   * @returns {string} the refresh token
   */
  issueRefreshToken(session, organizationId) {
    const token = newSecret();
    this.#refreshTokens.set(digest(token), { sessionId: session.id, organizationId, spentAt: null });
    this.#onChange();
    return token;
  }

  /**
   * @param {string} token
   * @returns {{session: Session, organizationId: string | null} | undefined} nothing for an
   *   unknown, revoked, expired or spent one
   */
  findRefreshToken(token) {
    this.#prune();
    const found = this.#refreshTokens.get(digest(token));
    const session = found && this.#sessions.get(found.sessionId);
    return session && { session, organizationId: found.organizationId };
  }

  /** @param {string} token */
  spendRefreshToken(token) {
    const found = this.#refreshTokens.get(digest(token));
    if (found) found.spentAt ??= this.#now();
    this.#prune();
    this.#onChange();
  }

  /**
   * @param {string} userId
   * @returns {string} the cookie's value
   */
  startBrowserSession(userId) {
    const cookie = newSecret();
    this.#browserSessions.set(digest(cookie), { userId, expiresAt: this.#now() + SESSION_TTL_MS });
    this.#onChange();
    return cookie;
  }

  /**
   * @param {string | undefined} cookie
   * @returns {string | undefined} the user's id
   */
  browserUser(cookie) {
    this.#prune();
    return cookie === undefined ? undefined : this.#browserSessions.get(digest(cookie))?.userId;
  }

  /**
   * @param {string | undefined} cookie
   * @returns {number | undefined} how long ago the browser's user signed in
   */
  browserSessionAgeMs(cookie) {
    const found = cookie === undefined ? undefined : this.#browserSessions.get(digest(cookie));
    return found && this.#now() - (found.expiresAt - SESSION_TTL_MS);
  }

  /** @param {string | undefined} cookie */
  endBrowserSession(cookie) {
    if (cookie !== undefined && this.#browserSessions.delete(digest(cookie))) this.#onChange();
  }

  toJSON() {
    this.#prune();
    return {
      sessions: [...this.#sessions],
      refreshTokens: [...this.#refreshTokens],
      browserSessions: [...this.#browserSessions],
    };
  }

  #prune() {
    const now = this.#now();
    for (const map of [this.#codes, this.#sessions, this.#browserSessions]) {
      for (const [key, { expiresAt }] of map) if (expiresAt <= now) map.delete(key);
    }
    const reuseMs = this.#reuseSecs() * 1000;
    for (const [key, { sessionId, spentAt }] of this.#refreshTokens) {
      const spent = spentAt !== null && spentAt + reuseMs <= now;
      if (spent || !this.#sessions.has(sessionId)) this.#refreshTokens.delete(key);
    }
  }
}
