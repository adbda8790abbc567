/** The Express application: the order of its layers and the small routes. */

import express from 'express';

import { apiKeyRoutes } from './api-keys.mjs';
import { AUTHENTICATE_PATH, authenticateRoutes } from './authenticate.mjs';
import { authorizeRoutes, COOKIE_NAME, COOKIE_OPTIONS } from './authorize.mjs';
import { ApiError, errorHandler } from './errors.mjs';
import { organizationRoutes } from './organizations.mjs';
import { homePage, sendPage, signedOutPage } from './pages.mjs';
import { cookieOf, loopbackUrl, parametersOf } from './parameters.mjs';
import { requireServerKey } from './server-key.mjs';

/**
 * @param {import('./index.mjs').Context} context
 * @returns {import('express').Express}
 */
export function createApp(context) {
  const { requests, hooks, log } = context;
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');

  app.use((_req, res, next) => {
    res.set('Cache-Control', 'no-store');
    next();
  });
  app.use(requests.record());
  // Parsed ahead of the hooks, so that a refresh which meets an injected failure counts as one.
  app.post(AUTHENTICATE_PATH, express.json(), express.urlencoded({ extended: false }), requests.recordGrantType());
  app.use(hooks.intercept());

  app.use(hooks.routes());
  app.use(authorizeRoutes(context));
  app.use(authenticateRoutes(context));
  app.use(sessionRoutes(context));
  app.use(organizationRoutes(context));
  app.use(apiKeyRoutes(context));
  // No parser above touches these bodies: `oidc-provider` reads the request stream itself.
  app.use(context.connect.routes(context));

  app.use(() => {
    throw new ApiError(404, 'not_found', 'There is nothing at this path of the local AuthKit.');
  });
  app.use(errorHandler(log));
  return app;
}

/**
 * @param {import('./index.mjs').Context} context
 * @returns {import('express').Router}
 */
function sessionRoutes({ clients, directory, keys, sessions }) {
  const router = express.Router();

  router.get('/', (_req, res) => sendPage(res, 200, homePage(directory.users)));
  router.get('/health', (_req, res) => void res.json({ status: 'ok' }));

  router.get('/sso/jwks/:clientId', (req, res) => {
    if (!clients.has(req.params.clientId)) throw new ApiError(404, 'not_found', 'client_id is not known');
    res.json(keys.jwks());
  });

  router.get('/user_management/sessions/logout', (req, res) => {
    const { session_id, return_to } = parametersOf(req.query);
    if (!session_id) throw new ApiError(422, 'invalid_request', 'session_id is required');
    const returnTo = return_to && loopbackUrl('return_to', return_to);
    sessions.endSession(session_id);
    sessions.endBrowserSession(cookieOf(req, COOKIE_NAME));
    res.clearCookie(COOKIE_NAME, COOKIE_OPTIONS);
    if (returnTo) return res.redirect(302, returnTo.href);
    return sendPage(res, 200, signedOutPage());
  });

  router.post('/user_management/sessions/revoke', requireServerKey(clients), express.json(), (req, res) => {
    const { session_id } = parametersOf(req.body);
    if (!session_id) throw new ApiError(400, 'invalid_request', 'session_id is required');
    if (!sessions.endSession(session_id)) {
      throw new ApiError(404, 'entity_not_found', `Session not found: '${session_id}'.`);
    }
    res.status(200).end();
  });

  return router;
}
