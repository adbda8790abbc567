/** Who sends a request: by the session cookie as the SDK seals and checks it, or by an access token. */

import { WorkOS } from '@workos-inc/node';
import { getCookie } from 'hono/cookie';
import { createMiddleware } from 'hono/factory';
import { jwtVerify } from 'jose';

/** @typedef {import('./index.mjs').Bindings} Bindings */
/** @typedef {{ Bindings: Bindings, Variables: { user: string, email: string } }} SignedIn */

const COOKIE = 'wos-session';

/** The client of an isolate, which keeps the key set. @type {WorkOS | undefined} */
let client;

/** @param {Bindings} env */
function workos(env) {
  const { protocol, hostname, port } = new URL(env.WORKOS_BASE_URL);
  client ??= new WorkOS(env.WORKOS_API_KEY, {
    clientId: env.WORKOS_CLIENT_ID,
    apiHostname: hostname,
    https: protocol === 'https:',
    ...(port === '' ? {} : { port: Number(port) }),
  });
  return client;
}

/** Lets signed-in users through, as often as the limit allows. */
export const signedIn = createMiddleware(
  /** @param {import('hono').Context<SignedIn>} c */
  async (c, next) => {
    const caller = (await bearerOf(c)) ?? (await sessionOf(c));
    if (!caller) return c.json({ detail: 'Not authenticated' }, 401);
    const { success } = await c.env.CALLER_RATE_LIMIT.limit({ key: caller.user });
    if (!success) return c.json({ detail: 'Too many requests' }, 429);
    c.set('user', caller.user);
    c.set('email', caller.email);
    return next();
  },
);

/** Lets access tokens through, and no cookies. */
export const hasToken = createMiddleware(
  /** @param {import('hono').Context<SignedIn>} c */
  async (c, next) => {
    const caller = await bearerOf(c);
    if (!caller) return c.json({ detail: 'Not authenticated' }, 401);
    const { success } = await c.env.MCP_RATE_LIMIT.limit({ key: caller.user });
    if (!success) return c.json({ detail: 'Too many requests' }, 429);
    c.set('user', caller.user);
    return next();
  },
);

/** @param {import('hono').Context<SignedIn>} c */
async function sessionOf(c) {
  const sessionData = getCookie(c, COOKIE);
  if (sessionData === undefined) return undefined;
  const cookiePassword = c.env.WORKOS_COOKIE_PASSWORD;
  const session = workos(c.env).userManagement.loadSealedSession({ sessionData, cookiePassword });
  const result = await session.authenticate();
  return result.authenticated ? { user: result.user.id, email: result.user.email } : undefined;
}

/** @param {import('hono').Context<SignedIn>} c */
async function bearerOf(c) {
  const token = /^Bearer (.+)$/i.exec(c.req.header('authorization') ?? '')?.[1];
  if (token === undefined) return undefined;
  const keys = await workos(c.env).userManagement.getJWKS();
  if (!keys) return undefined;
  try {
    const { payload } = await jwtVerify(token, keys, { requiredClaims: ['sub', 'sid', 'exp'] });
    return payload.sub === undefined ? undefined : { user: payload.sub, email: payload.sub };
  } catch {
    return undefined;
  }
}
