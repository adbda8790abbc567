/**
 * An OAuth client as applications have one: `oauth4webapi`, which checks every answer as the
 * specifications ask, and the person who signs in with it.
 */

import * as oauth from 'oauth4webapi';

import { Browser } from './actors.mjs';
import { present } from './values.mjs';

export { oauth };

/** Nothing listens there: the browser stops before it, and the answer is in the address. */
export const REDIRECT_URI = 'http://localhost:9/callback';
/** Everything in these tests is on this computer, without TLS. */
export const INSECURE = { [oauth.allowInsecureRequests]: true };

/**
 * The metadata of a server that has all of Connect's endpoints.
 *
 * @typedef {import('oauth4webapi').AuthorizationServer & {
 *   authorization_endpoint: string,
 *   token_endpoint: string,
 *   registration_endpoint: string,
 *   userinfo_endpoint: string,
 *   jwks_uri: string,
 * }} AuthorizationServer
 */
/** @typedef {import('oauth4webapi').Client} Client */

/** @param {string} issuer @param {'oauth2' | 'oidc'} [algorithm] @returns {Promise<AuthorizationServer>} */
export async function discover(issuer, algorithm = 'oauth2') {
  const url = new URL(issuer);
  const as = await oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, { algorithm, ...INSECURE }));
  return {
    ...as,
    authorization_endpoint: present(as.authorization_endpoint, 'authorization_endpoint'),
    token_endpoint: present(as.token_endpoint, 'token_endpoint'),
    registration_endpoint: present(as.registration_endpoint, 'registration_endpoint'),
    userinfo_endpoint: present(as.userinfo_endpoint, 'userinfo_endpoint'),
    jwks_uri: present(as.jwks_uri, 'jwks_uri'),
  };
}

/** @param {AuthorizationServer} as @param {object} [metadata] over a public client's @returns {Promise<Client>} */
export async function register(as, metadata = {}) {
  const fields = {
    client_name: 'Tester',
    redirect_uris: [REDIRECT_URI],
    token_endpoint_auth_method: 'none',
    grant_types: ['authorization_code', 'refresh_token'],
    ...metadata,
  };
  return oauth.processDynamicClientRegistrationResponse(
    await oauth.dynamicClientRegistrationRequest(as, fields, INSECURE),
  );
}

/**
 * An authorization request, and what its answer is checked and exchanged with.
 *
 * @param {AuthorizationServer} as
 * @param {Client} client
 * @param {Record<string, string | undefined>} [parameters] over the usual ones; `undefined` takes one away
 */
export async function begin(as, client, parameters = {}) {
  const [verifier, state] = [oauth.generateRandomCodeVerifier(), oauth.generateRandomState()];
  const url = new URL(as.authorization_endpoint);
  const query = {
    client_id: client.client_id,
    redirect_uri: REDIRECT_URI,
    response_type: 'code',
    scope: 'openid profile email',
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state,
    ...parameters,
  };
  for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, value);
  return { url, verifier, state };
}

/** Whether an address is the client's own, with an answer. @param {URL} url */
export function isAnswer(url) {
  return url.href.startsWith(`${REDIRECT_URI}?`);
}

/** A browser that has never been anywhere. @param {AuthorizationServer} as */
export function newBrowser(as) {
  return new Browser({ origin: as.issuer, record() {} });
}

/**
 * As a person: signs in, is asked, and allows it.
 *
 * @param {URL} url the authorization request
 * @param {string} name
 * @param {Browser} browser
 * @returns {Promise<URL>} the answer
 */
export async function allow(url, name, browser) {
  const asked = await browser.submit(await browser.open(url.href, { until: isAnswer }), name, { until: isAnswer });
  return (await browser.submit(asked, 'Allow', { until: isAnswer })).next;
}

/**
 * @param {AuthorizationServer} as
 * @param {Client} client
 * @param {{ verifier: string, state: string }} request as `begin` made it
 * @param {URL} answer
 * @param {Record<string, string>} [parameters]
 */
export async function exchange(as, client, { verifier, state }, answer, parameters = {}) {
  const checked = oauth.validateAuthResponse(as, client, answer, state);
  const response = await oauth.authorizationCodeGrantRequest(
    as,
    client,
    authentication(client),
    checked,
    REDIRECT_URI,
    verifier,
    {
      additionalParameters: parameters,
      ...INSECURE,
    },
  );
  return oauth.processAuthorizationCodeResponse(as, client, response);
}

/**
 * The whole of it.
 *
 * @param {AuthorizationServer} as
 * @param {Client} client
 * @param {{ name?: string, parameters?: Record<string, string | undefined> }} [options]
 */
export async function signIn(as, client, { name = 'Ada', parameters = {} } = {}) {
  const request = await begin(as, client, parameters);
  const { resource } = parameters;
  return exchange(as, client, request, await allow(request.url, name, newBrowser(as)), resource ? { resource } : {});
}

/** @param {AuthorizationServer} as @param {Client} client @param {string | undefined} token a refresh token */
export async function refresh(as, client, token) {
  const response = await oauth.refreshTokenGrantRequest(
    as,
    client,
    authentication(client),
    present(token, 'the refresh token'),
    INSECURE,
  );
  return oauth.processRefreshTokenResponse(as, client, response);
}

/**
 * @param {AuthorizationServer} as
 * @param {{ clientId: string, clientSecret: string }} machine
 * @param {Record<string, string>} [parameters]
 */
export async function machineTokens(as, { clientId, clientSecret }, parameters = {}) {
  const client = { client_id: clientId };
  const response = await oauth.clientCredentialsGrantRequest(
    as,
    client,
    oauth.ClientSecretPost(clientSecret),
    parameters,
    INSECURE,
  );
  return oauth.processClientCredentialsResponse(as, client, response);
}

/** @param {Client} client */
function authentication({ client_secret: secret }) {
  return typeof secret === 'string' ? oauth.ClientSecretPost(secret) : oauth.None();
}
