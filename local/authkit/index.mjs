/**
 * The local AuthKit: stands in for WorkOS behind `WORKOS_BASE_URL`, on this computer only.
 *
 * It answers on WorkOS's paths as WorkOS's own emulator does, which can take its place. What is
 * here besides is for tests: settings, forged tokens, injected failures, a request log.
 */

import { createServer } from 'node:http';

import { ApiKeyStore } from './api-keys.mjs';
import { createApp } from './app.mjs';
import { Connect } from './connect/index.mjs';
import { ConnectStore } from './connect/store.mjs';
import { Hooks } from './hooks.mjs';
import { newId } from './ids.mjs';
import { KeyRing } from './keys.mjs';
import { RequestLog } from './requests.mjs';
import { SessionStore } from './sessions.mjs';
import { readState, writeState } from './state-file.mjs';
import { mint } from './tokens.mjs';
import { ADA_ID, Directory, userResponse } from './users.mjs';
import { Webhooks } from './webhooks.mjs';

export { AUTO_SIGN_IN_HEADER } from './identify.mjs';
export { ADA_ID, COMPILERS_ORG_ID, ENGINES_ORG_ID, GRACE_ID } from './users.mjs';

export const DEFAULT_CLIENT_ID = 'client_local';
export const DEFAULT_API_KEY = 'sk_test_local';

const LOOPBACK_ADDRESSES = new Set(['127.0.0.1', '::1', 'localhost']);

/**
 * What may be changed at any time.
 *
 * @typedef {object} Settings
 * @property {number} accessTokenTtlSecs default 300
 * @property {number} allowRefreshReuseSecs for how long a spent refresh token still works; default 0
 * @property {string | null} autoSignIn id or e-mail of the user who is signed in without a page
 * @property {string | null} issuer the `iss` claim of session tokens; default: WorkOS's own for the client
 * @property {string | null} connectIssuer Connect's own issuer, an origin that leads here; default: `url`
 * @property {Record<string, Record<string, unknown>>} extraClaims by user id
 * @property {number} minAccessTokenBytes access tokens are padded with permissions up to this
 * @property {import('./webhooks.mjs').Endpoint | null} webhook where events are sent to
 */

/**
 * @typedef {object} Options
 * @property {string} [clientId]
 * @property {string} [apiKey] the client's secret
 * @property {Record<string, string>} [clients] further clients: secret by client id
 * @property {string} [stateFile] where keys, sessions and typed-in users are kept
 * @property {import('node:crypto').KeyObject} [privateKey] the first RSA key that signs session tokens,
 *   Connect tokens and ID tokens alike, as WorkOS's does
 * @property {typeof fetch} [fetch] what Client ID Metadata Documents are fetched with
 * @property {() => number} [now] milliseconds
 * @property {Partial<Settings>} [settings]
 * @property {(line: string) => void} [log] warnings; default: standard error
 */

/**
 * State shared by the routes.
 *
 * @typedef {object} Context
 * @property {Map<string, string>} clients secret by client id
 * @property {Directory} directory
 * @property {SessionStore} sessions
 * @property {ApiKeyStore} apiKeys
 * @property {KeyRing} keys of sessions and of Connect
 * @property {Connect} connect
 * @property {Settings} settings
 * @property {Hooks} hooks
 * @property {RequestLog} requests
 * @property {() => number} now
 * @property {(clientId: string) => string} issuer of a client's session tokens
 * @property {(line: string) => void} log
 */

/**
 * @typedef {object} MintOptions
 * @property {Record<string, unknown>} [claims] merged over sound ones; `undefined` leaves one out
 * @property {Record<string, unknown>} [header] merged over the one that fits the key
 * @property {import('./tokens.mjs').MintKey} [key] default `current`
 * @property {number} [expSecs] from now, may be negative; default: `accessTokenTtlSecs`
 */

/**
 * @param {Options} [options]
 * @returns {AuthKit}
 */
export function createAuthKit(options = {}) {
  return new AuthKit(options);
}

export class AuthKit {
  /** @type {Settings} */
  settings;
  hooks = new Hooks();
  requests = new RequestLog();
  /** @type {Webhooks} */
  webhooks;
  #context;
  #clientId;
  /** @type {import('node:http').Server | undefined} */
  #server;
  /** @type {string | undefined} */
  #url;

  /** @param {Options} options */
  constructor({
    clientId = DEFAULT_CLIENT_ID,
    apiKey = DEFAULT_API_KEY,
    clients = {},
    stateFile,
    privateKey,
    fetch = globalThis.fetch,
    now = Date.now,
    settings = {},
    log = (line) => console.error(line),
  }) {
    this.settings = {
      accessTokenTtlSecs: 300,
      allowRefreshReuseSecs: 0,
      autoSignIn: null,
      issuer: null,
      connectIssuer: null,
      extraClaims: {},
      minAccessTokenBytes: 0,
      webhook: null,
      ...settings,
    };
    this.#clientId = clientId;
    this.webhooks = new Webhooks({ endpoint: () => this.settings.webhook, now });
    const save = () => writeState(stateFile, stores, log);
    const reuseSecs = () => this.settings.allowRefreshReuseSecs;
    const stores = readState(
      stateFile,
      (state) => ({
        keys: new KeyRing({ now, onChange: save, saved: state.keys, firstKey: privateKey }),
        directory: new Directory({ now, onChange: save, saved: state.directory }),
        sessions: new SessionStore({ now, onChange: save, reuseSecs, saved: state.sessions }),
        apiKeys: new ApiKeyStore({ now, onChange: save, saved: state.apiKeys }),
        connectStore: new ConnectStore({ onChange: save, saved: state.connectStore }),
      }),
      log,
    );
    save();
    const { keys, directory, sessions, apiKeys } = stores;
    this.#context = {
      keys,
      directory,
      sessions,
      apiKeys,
      connect: new Connect({
        environmentClientId: clientId,
        issuer: () => this.settings.connectIssuer ?? this.url,
        keys,
        store: stores.connectStore,
        directory,
        accessTokenTtlSecs: () => this.settings.accessTokenTtlSecs,
        now,
        fetch,
        log,
      }),
      clients: new Map([[clientId, apiKey], ...Object.entries(clients)]),
      settings: this.settings,
      hooks: this.hooks,
      requests: this.requests,
      now,
      // As WorkOS names itself, wherever its tokens come from: its own emulator does so too.
      issuer: (/** @type {string} */ id) => this.settings.issuer ?? `https://api.workos.com/user_management/${id}`,
      log,
    };
  }

  /**
   * Starts to listen; again after `close`, with everything it knew.
   *
   * @param {{port?: number, host?: string}} [options] port 0 takes any free one
   * @returns {Promise<AuthKit>}
   */
  async listen({ port = 0, host = '127.0.0.1' } = {}) {
    if (!LOOPBACK_ADDRESSES.has(host))
      throw new Error(`the local AuthKit listens on a loopback address only, not on ${host}`);
    if (this.#server) throw new Error('the local AuthKit is listening already');
    const server = createServer(createApp(this.#context));
    await new Promise((resolve, reject) => {
      server.once('error', (/** @type {NodeJS.ErrnoException} */ error) => {
        const taken = error.code === 'EADDRINUSE';
        reject(
          taken
            ? new Error(`port ${port} on ${host} is taken: is another local AuthKit running?`, { cause: error })
            : error,
        );
      });
      server.listen(port, host, () => resolve(undefined));
    });
    this.#server = server;
    const bound = /** @type {import('node:net').AddressInfo} */ (server.address()).port;
    this.#url = `http://${host.includes(':') ? `[${host}]` : host}:${bound}`;
    return this;
  }

  /** Stops listening and drops open connections, as an outage would. */
  async close() {
    const server = this.#server;
    if (!server) return;
    this.#server = undefined;
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  }

  /** @returns {string} the origin, without a slash at its end; the last one after `close` */
  get url() {
    if (this.#url === undefined) throw new Error('the local AuthKit has not listened yet');
    return this.#url;
  }

  /** @returns {import('./users.mjs').User[]} live records: a change takes effect */
  get users() {
    return this.#context.directory.users;
  }

  /** @returns {import('./users.mjs').Organization[]} live records: a change takes effect */
  get organizations() {
    return this.#context.directory.organizations;
  }

  /** @returns {import('./sessions.mjs').Session[]} */
  get sessions() {
    return this.#context.sessions.sessions;
  }

  /**
   * @param {string} idOrEmail
   * @returns {import('./users.mjs').User | undefined} a live record
   */
  findUser(idOrEmail) {
    return this.#context.directory.find(idOrEmail);
  }

  /**
   * @param {Partial<import('./users.mjs').User> & {email: string}} fields
   * @returns {import('./users.mjs').User}
   */
  addUser(fields) {
    return this.#context.directory.addUser(fields);
  }

  /**
   * Deletes a user as an administrator would: their sessions and API keys end, their access tokens run out,
   * and the event is there to be delivered. Ada and Grace come back with the next start.
   *
   * @param {string} idOrEmail
   * @returns {import('./webhooks.mjs').Event} `user.deleted`
   */
  deleteUser(idOrEmail) {
    const { apiKeys, directory, sessions } = this.#context;
    const user = directory.removeUser(idOrEmail);
    apiKeys.delete(({ owner }) => owner.id === user.id);
    for (const { id, userId } of sessions.sessions) if (userId === user.id) sessions.endSession(id);
    return this.webhooks.event('user.deleted', userResponse(user));
  }

  /**
   * @param {Partial<import('./users.mjs').Organization> & {name: string}} fields
   * @returns {import('./users.mjs').Organization}
   */
  addOrganization(fields) {
    return this.#context.directory.addOrganization(fields);
  }

  /**
   * Ends a session as an administrator would: its refresh tokens die, its access token runs out.
   *
   * @param {string} sessionId
   * @returns {boolean} whether there was one
   */
  revokeSession(sessionId) {
    return this.#context.sessions.endSession(sessionId);
  }

  /**
   * @param {import('./api-keys.mjs').NewApiKey} fields
   * @returns {{id: string, value: string}}
   */
  createApiKey(fields) {
    const { key, value } = this.#context.apiKeys.create(fields);
    return { id: key.id, value };
  }

  /**
   * Deletes an API key as its owner would in WorkOS's widget.
   *
   * @param {string} id
   * @returns {boolean} whether there was one
   */
  deleteApiKey(id) {
    return this.#context.apiKeys.delete((key) => key.id === id);
  }

  /**
   * @param {{retireOld?: boolean}} [options]
   * @returns {string} the new `kid`
   */
  rotateKeys(options) {
    const { keys, connect } = this.#context;
    const kid = keys.rotate(options);
    connect.renewKeys();
    return kid;
  }

  /**
   * A token like Ada's session's, or as far from it as asked. It belongs to no session.
   *
   * @param {MintOptions} [options]
   * @returns {string}
   */
  mintToken(options) {
    const { issuer, now } = this.#context;
    return this.#mint({ iss: issuer(this.#clientId), sub: ADA_ID, sid: newId('session', now()) }, options);
  }

  /**
   * A token like one of Connect's for a client that Ada uses and that named no resource, or as far from
   * it as asked. It belongs to no consent.
   *
   * @param {MintOptions} [options]
   * @returns {string}
   */
  mintConnectToken(options) {
    return this.#mint(this.#context.connect.soundClaims(ADA_ID), options);
  }

  /**
   * A machine-to-machine application, which gets its tokens with the client credentials grant.
   *
   * @param {Partial<import('./connect/provider.mjs').Machine>} [fields]
   * @returns {import('./connect/provider.mjs').Machine}
   */
  addMachine(fields) {
    return this.#context.connect.addMachine(fields);
  }

  /**
   * @param {Record<string, unknown>} sound claims
   * @param {MintOptions} [options]
   * @returns {string}
   */
  #mint(sound, { claims = {}, header = {}, key = 'current', expSecs = this.settings.accessTokenTtlSecs } = {}) {
    const { keys, now } = this.#context;
    const iat = Math.floor(now() / 1000);
    const times = { jti: newId('jti', now()), iat, exp: iat + expSecs };
    return mint(header, { ...sound, ...times, ...claims }, key, keys.current);
  }
}
