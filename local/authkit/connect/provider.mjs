/**
 * The OAuth server itself: `oidc-provider`, set up to behave as WorkOS's Connect does. WorkOS's
 * paths, WorkOS's claims, PKCE for everybody, JWT access tokens whose audience is the resource that
 * was asked for (RFC 8707) or, where none was, the environment's client id.
 */

import { PAGE_HEADERS, refusalPage } from '../pages.mjs';
import { profileClaims } from '../users.mjs';
import { introspect, mayIntrospect } from './bearer.mjs';

/** What AuthKit grants to every client. It refuses others to one that has registered itself. */
const USER_SCOPES = ['openid', 'profile', 'email', 'offline_access'];
/** The two that this application asks of machines. */
export const MACHINE_SCOPES = ['expenses:read', 'expenses:write'];
/** For an authorization request that names no scope, which RFC 6749 (section 3.3) lets the server choose. */
const DEFAULT_SCOPE = 'openid profile email';

export const INTERACTION_PATH = '/oauth2/interaction';
export const REGISTRATION_PATH = '/oauth2/register';
const AUTHORIZE_PATH = '/oauth2/authorize';
const INTROSPECTION_PATH = '/oauth2/introspection';

const DAY_SECS = 24 * 60 * 60;

/**
 * @typedef {object} Machine
 * @property {string} clientId
 * @property {string} clientSecret
 * @property {string[]} scopes
 * @property {string | null} organizationId
 */

/**
 * @typedef {object} ProviderOptions
 * @property {string} issuer
 * @property {string} environmentClientId
 * @property {import('../keys.mjs').KeyRing} keys
 * @property {import('./store.mjs').ConnectStore} store
 * @property {Map<string, Machine>} machines by client id
 * @property {import('../users.mjs').Directory} directory
 * @property {() => number} accessTokenTtlSecs
 * @property {() => number} now milliseconds
 * @property {typeof fetch} fetch for Client ID Metadata Documents
 * @property {(line: string) => void} log
 */

/** @param {ProviderOptions} options */
export async function createProvider(options) {
  const { issuer, keys, store, machines, directory } = options;
  const { Provider, errors } = await importProvider();

  const provider = new Provider(issuer, {
    adapter: (/** @type {string} */ model) =>
      model === 'Client' ? clientAdapter(store, machines) : store.adapter(model),
    jwks: { keys: keys.toJSON().map((jwk) => ({ ...jwk, alg: 'RS256', use: 'sig' })) },
    findAccount: (_, id) => account(directory, id),

    routes: {
      authorization: AUTHORIZE_PATH,
      token: '/oauth2/token',
      jwks: '/oauth2/jwks',
      registration: REGISTRATION_PATH,
      introspection: INTROSPECTION_PATH,
      userinfo: '/oauth2/userinfo',
      end_session: '/oauth2/logout',
    },
    // Cookies know no ports: without a path they would go to the application too.
    cookies: {
      names: {
        session: 'local-authkit-connect',
        interaction: 'local-authkit-interaction',
        resume: 'local-authkit-resume',
      },
      long: { httpOnly: true, sameSite: 'lax', path: '/oauth2' },
      short: { httpOnly: true, sameSite: 'lax' },
    },
    interactions: { url: (_, /** @type {{uid: string}} */ { uid }) => `${INTERACTION_PATH}/${uid}` },

    responseTypes: ['code'],
    scopes: USER_SCOPES,
    // Clients of authorization requests have registered themselves.
    extraParams: {
      scope(_, requested) {
        const refused = requested?.split(' ').find((scope) => !USER_SCOPES.includes(scope));
        if (refused) throw new errors.InvalidScope('the client may not request this scope', refused);
      },
    },
    claims: {
      openid: ['sub'],
      profile: ['name', 'given_name', 'family_name'],
      email: ['email', 'email_verified'],
    },
    clientAuthMethods: ['none', 'client_secret_post', 'client_secret_basic'],
    pkce: { required: () => true },
    // A browser's scripts may be clients too: MCP Inspector is one.
    clientBasedCORS: () => true,
    rotateRefreshToken: true,
    issueRefreshToken: async (_, client, code) =>
      client.grantTypeAllowed('refresh_token') && code.scopes.has('offline_access'),
    expiresWithSession: async () => false,
    ttl: {
      AccessToken: options.accessTokenTtlSecs,
      ClientCredentials: options.accessTokenTtlSecs,
      IdToken: options.accessTokenTtlSecs,
      AuthorizationCode: 10 * 60,
      Interaction: 60 * 60,
      Grant: 30 * DAY_SECS,
      RefreshToken: 30 * DAY_SECS,
      Session: 30 * DAY_SECS,
    },

    features: {
      devInteractions: { enabled: false },
      dPoP: { enabled: false },
      pushedAuthorizationRequests: { enabled: false },
      rpInitiatedLogout: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: {
        enabled: true,
        allowedPolicy: async (_, client, token) => mayIntrospect(client, token.clientId),
      },
      registration: { enabled: true, issueRegistrationAccessToken: false },
      // The draft as far as the library has it: https documents of up to 5 KB, cached as their
      // headers say, on no private or loopback address.
      clientIdMetadataDocument: { enabled: true, ack: 'draft-02' },
      resourceIndicators: {
        enabled: true,
        // The library takes a resource to be a URL, and lets its audience be another name.
        defaultResource: async (_, __, oneOf) => oneOf ?? issuer,
        useGrantedResource: async () => true,
        getResourceServerInfo: async (ctx, /** @type {string} */ resource, client) => {
          const machine = machines.get(client.clientId);
          // A client that registered itself is no machine of the environment's.
          if (ctx.oidc.params?.grant_type === 'client_credentials' && !machine) {
            throw new errors.UnauthorizedClient('the client is no machine-to-machine application');
          }
          return {
            audience: resource === issuer ? options.environmentClientId : resource,
            scope: (machine ? machine.scopes : USER_SCOPES).join(' '),
            accessTokenFormat: 'jwt',
            jwt: { sign: { alg: 'RS256', kid: keys.current.kid } },
          };
        },
      },
    },
    extraTokenClaims: async (_, token) => {
      if (token.kind === 'ClientCredentials')
        return given({ org_id: machines.get(token.clientId ?? '')?.organizationId });
      const organizationId = directory.find(token.accountId ?? '')?.memberships[0]?.organizationId;
      return given({ sid: `app_consent_${token.grantId}`, org_id: organizationId });
    },
    formats: {
      customizers: {
        // The library has only the computer's clock, and tests set this one.
        jwt: async (_, __, { payload }) => {
          const aheadSecs = Math.round((options.now() - Date.now()) / 1000);
          payload.iat = Number(payload.iat) + aheadSecs;
          payload.exp = Number(payload.exp) + aheadSecs;
        },
      },
    },
    fetch: options.fetch,
    renderError: async (ctx, { error, error_description: description }) => {
      ctx.set(PAGE_HEADERS);
      ctx.type = 'html';
      ctx.body = refusalPage(error, description).text;
    },
  });

  provider.use(async (ctx, next) => {
    if (ctx.path === AUTHORIZE_PATH) ctx.query = asConnectReads(ctx.query);
    await next();
    // The library looks up stored tokens only, which JWTs are not. It has authenticated the client by then.
    if (ctx.path === INTROSPECTION_PATH && ctx.body?.error === 'unsupported_token_type') {
      ctx.status = 200;
      ctx.body = await introspect(ctx.oidc.params.token, ctx.oidc.client, options);
    }
  });
  provider.on('server_error', (ctx, error) =>
    options.log(`${ctx.method} ${ctx.path} failed: ${error?.name ?? 'unknown error'}`),
  );
  return provider;
}

/**
 * An authorization request as the library has to see it: it grants no scope by default, and `offline_access` only to a
 * client that asks for the user's consent.
 *
 * @param {Record<string, string | string[] | undefined>} query
 */
function asConnectReads({ scope, ...query }) {
  const read = { ...query, scope: scope || DEFAULT_SCOPE };
  return read.scope.includes('offline_access') ? { prompt: 'consent', ...read } : read;
}

/**
 * The library, imported when it is first needed: it takes as long as all the rest. On Node 20 it
 * says that it is made for 22; what is used of it here runs on both, as the tests do.
 */
async function importProvider() {
  const { warn } = console;
  console.warn = (/** @type {unknown[]} */ ...given) => {
    if (!String(given[0]).includes('Unsupported runtime')) warn(...given);
  };
  try {
    return await import('oidc-provider');
  } finally {
    console.warn = warn;
  }
}

/**
 * Clients that registered themselves, and machines.
 *
 * @param {import('./store.mjs').ConnectStore} store
 * @param {Map<string, Machine>} machines
 */
function clientAdapter(store, machines) {
  const registered = store.adapter('Client');
  return {
    ...registered,
    find: async (/** @type {string} */ id) => {
      const machine = machines.get(id);
      if (!machine) return registered.find(id);
      return {
        client_id: machine.clientId,
        client_secret: machine.clientSecret,
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
        token_endpoint_auth_method: 'client_secret_post',
      };
    },
  };
}

/**
 * @param {import('../users.mjs').Directory} directory
 * @param {string} id
 * @returns {import('oidc-provider').Account | undefined}
 */
function account(directory, id) {
  const user = directory.find(id);
  return user && { accountId: user.id, claims: () => profileClaims(user) };
}

/** @param {Record<string, unknown>} claims @returns {Record<string, unknown>} those that have a value */
function given(claims) {
  return Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== undefined && value !== null));
}
