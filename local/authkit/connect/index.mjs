/**
 * AuthKit Connect, locally: the OAuth server that MCP clients, other applications and machines get
 * their access tokens from. The protocol is `oidc-provider`'s; here is what makes it WorkOS's.
 */

import express from 'express';

import { newId, newSecret } from '../ids.mjs';
import { userinfoRoutes } from './bearer.mjs';
import { interactionRoutes } from './interactions.mjs';
import { createProvider, MACHINE_SCOPES, REGISTRATION_PATH } from './provider.mjs';

const PATHS = /^\/(?:oauth2\/|\.well-known\/(?:oauth-authorization-server|openid-configuration)$)/;

export class Connect {
  /** @type {Map<string, import('./provider.mjs').Machine>} */
  #machines = new Map();
  #options;
  /** @type {Promise<{issuer: string, provider: any, handle: import('express').RequestHandler}> | undefined} */
  #made;

  /**
   * @param {object} options
   * @param {string} options.environmentClientId
   * @param {() => string} options.issuer
   * @param {import('../keys.mjs').KeyRing} options.keys those of sessions too
   * @param {import('./store.mjs').ConnectStore} options.store
   * @param {import('../users.mjs').Directory} options.directory
   * @param {() => number} options.accessTokenTtlSecs
   * @param {() => number} options.now milliseconds
   * @param {typeof fetch} options.fetch for Client ID Metadata Documents
   * @param {(line: string) => void} options.log
   */
  constructor(options) {
    this.#options = options;
  }

  get issuer() {
    return this.#options.issuer();
  }

  /**
   * @param {string} userId
   * @returns {Record<string, unknown>} the claims but for the times: no resource, and both scopes
   */
  soundClaims(userId) {
    const { environmentClientId, now } = this.#options;
    return {
      iss: this.issuer,
      aud: environmentClientId,
      sub: userId,
      client_id: newId('client', now()),
      sid: newId('app_consent', now()),
      scope: ['openid', 'profile', 'email', ...MACHINE_SCOPES].join(' '),
    };
  }

  /**
   * @param {Partial<import('./provider.mjs').Machine>} [fields]
   * @returns {import('./provider.mjs').Machine}
   */
  addMachine({
    clientId = newId('client', this.#options.now()),
    clientSecret = newSecret(),
    scopes = [],
    organizationId = null,
  } = {}) {
    const machine = { clientId, clientSecret, scopes, organizationId };
    this.#machines.set(clientId, machine);
    return machine;
  }

  /** Takes up keys that have been rotated. */
  renewKeys() {
    this.#made = undefined;
  }

  /**
   * @param {import('../index.mjs').Context} context
   * @returns {import('express').Router}
   */
  routes(context) {
    const router = express.Router();
    router.use(userinfoRoutes(() => ({ ...this.#options, issuer: this.issuer })));
    router.use(interactionRoutes(context, async () => (await this.#current()).provider));
    router.all(REGISTRATION_PATH, allowAnyOrigin);
    router.use(async (req, res, next) => {
      if (!PATHS.test(req.path)) return next();
      return (await this.#current()).handle(req, res, next);
    });
    return router;
  }

  /** The library's server has one issuer and one set of keys for ever: with others it is another one. */
  async #current() {
    const { issuer } = this;
    if (!this.#made || (await this.#made).issuer !== issuer) this.#made = this.#make(issuer);
    return this.#made;
  }

  /** @param {string} issuer */
  async #make(issuer) {
    const provider = await createProvider({ ...this.#options, issuer, machines: this.#machines });
    return { issuer, provider, handle: provider.callback() };
  }
}

/**
 * The library answers scripts of other origins everywhere but at its registration.
 *
 * @type {import('express').RequestHandler}
 */
function allowAnyOrigin(req, res, next) {
  res.set('Access-Control-Allow-Origin', '*');
  if (req.method !== 'OPTIONS') return next();
  return res
    .set({ 'Access-Control-Allow-Methods': 'POST', 'Access-Control-Allow-Headers': 'content-type' })
    .status(204)
    .end();
}
