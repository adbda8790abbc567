/** The official MCP client, and the person who signs in for it. */

import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

import { allow, REDIRECT_URI } from './oauth-client.mjs';
import { present } from './values.mjs';

/** @typedef {import('@modelcontextprotocol/sdk/client/auth.js').OAuthClientProvider} OAuthClientProvider */
/** @typedef {import('@modelcontextprotocol/sdk/shared/auth.js').OAuthClientInformationMixed} ClientInformation */
/** @typedef {import('@modelcontextprotocol/sdk/shared/auth.js').OAuthTokens} OAuthTokens */

/**
 * The state that a client keeps for one server, and its sign-in, which a person does on AuthKit's pages.
 *
 * @implements {OAuthClientProvider}
 */
export class Person {
  /** How often the person has been asked. */
  signIns = 0;
  /** The last authorization request. @type {URL | undefined} */
  request;
  redirectUrl = REDIRECT_URI;
  clientMetadata = {
    client_name: 'MCP tester',
    redirect_uris: [REDIRECT_URI],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: 'none',
  };
  #name;
  #browser;
  /** @type {ClientInformation | undefined} */
  #client;
  /** @type {OAuthTokens | undefined} */
  #tokens;
  /** @type {string | undefined} */
  #verifier;
  /** @type {string | null} */
  #code = null;

  /**
   * @param {'Ada' | 'Grace'} name
   * @param {import('./actors.mjs').Browser} browser
   * @param {string} [clientMetadataUrl] of a client that has a metadata document
   */
  constructor(name, browser, clientMetadataUrl) {
    this.#name = name;
    this.#browser = browser;
    this.clientMetadataUrl = clientMetadataUrl;
  }

  /** The code that the last sign-in brought. */
  get code() {
    return this.#code;
  }

  clientInformation() {
    return this.#client;
  }

  /** @param {ClientInformation} client */
  saveClientInformation(client) {
    this.#client = client;
  }

  tokens() {
    return this.#tokens;
  }

  /** @param {OAuthTokens} tokens */
  saveTokens(tokens) {
    this.#tokens = tokens;
  }

  codeVerifier() {
    return present(this.#verifier, 'the code verifier');
  }

  /** @param {string} verifier */
  saveCodeVerifier(verifier) {
    this.#verifier = verifier;
  }

  /** @param {URL} url */
  async redirectToAuthorization(url) {
    this.signIns += 1;
    this.request = url;
    this.#code = (await allow(url, this.#name, this.#browser)).searchParams.get('code');
  }
}

/**
 * A client of the server at `url`, connected. Where the server asks for it, the person signs in.
 *
 * @param {string} url
 * @param {OAuthClientProvider & { code?: string | null }} provider
 * @returns {Promise<Client>}
 */
export async function connect(url, provider) {
  const client = new Client({ name: 'tester', version: '1.0.0' });
  const transport = () => new StreamableHTTPClientTransport(new URL(url), { authProvider: provider });
  const first = transport();
  try {
    await client.connect(first);
  } catch (error) {
    if (!(error instanceof UnauthorizedError)) throw error;
    await first.finishAuth(present(provider.code, 'the authorization code'));
    await client.connect(transport());
  }
  return client;
}
