/** `/user_management/authorize`: identifies the user and redirects to the application with a code. */

import express from 'express';

import { ApiError } from './errors.mjs';
import { automaticUser, chosenUser } from './identify.mjs';
import { sendPage, signInPage } from './pages.mjs';
import { cookieOf, loopbackUrl, parametersOf } from './parameters.mjs';
import { SESSION_TTL_MS } from './sessions.mjs';
import { membershipOf } from './users.mjs';

/**
 * Cookies ignore ports, so the application's own requests on the same host would carry this one
 * too, were it not for its path.
 *
 * @type {import('express').CookieOptions}
 */
export const COOKIE_OPTIONS = { httpOnly: true, sameSite: 'lax', path: '/user_management' };
export const COOKIE_NAME = 'local-authkit-session';

const PATH = '/user_management/authorize';
/** Base64url of a SHA-256. */
const S256_CHALLENGE = /^[A-Za-z0-9_-]{43}$/;
const CARRIED = [
  'client_id',
  'redirect_uri',
  'response_type',
  'provider',
  'connection_id',
  'organization_id',
  'state',
  'code_challenge',
  'code_challenge_method',
  'screen_hint',
  'invitation_token',
  'prompt',
  'max_age',
];

/** @typedef {Record<string, string> & {client_id: string, redirect_uri: string}} AuthorizationRequest */

/**
 * @param {import('./index.mjs').Context} context
 * @returns {import('express').Router}
 */
export function authorizeRoutes(context) {
  const { directory, sessions } = context;
  const router = express.Router();

  router.get(PATH, (req, res) => {
    const parameters = parametersOf(req.query);
    const request = authorizationRequest(parameters, context);
    const organization = directory.organization(request.organization_id);

    const auto = automaticUser(req, context);
    if (auto) return signIn(res, request, auto);

    const cookie = cookieOf(req, COOKIE_NAME);
    const known = directory.find(sessions.browserUser(cookie) ?? '');
    const askAgain =
      parameters.prompt === 'login' ||
      parameters.screen_hint === 'sign-up' ||
      // In seconds, as in OpenID Connect: 0 asks every time.
      (parameters.max_age !== undefined &&
        (sessions.browserSessionAgeMs(cookie) ?? 0) >= Number(parameters.max_age) * 1000) ||
      // A session cannot vouch for an organization with a requirement of its own.
      (request.organization_id &&
        known &&
        (organization?.requirement || !membershipOf(known, request.organization_id)));
    if (known && cookie && !askAgain) return sendCode(res, request, known, cookie);
    if (parameters.prompt === 'none') return sendError(res, request, 'login_required', 'The user is not signed in.');

    return showPage(res, 200, request, parameters.login_hint ?? '', null);
  });

  router.post(PATH, express.urlencoded({ extended: false }), (req, res) => {
    const form = parametersOf(req.body);
    const request = authorizationRequest(form, context);
    if (form.cancel) return sendError(res, request, 'access_denied', 'The sign-in was cancelled.');

    const { user, email, problem } = chosenUser(form, directory);
    return user ? signIn(res, request, user) : showPage(res, 400, request, email, problem);
  });

  /**
   * @param {import('express').Response} res
   * @param {number} status
   * @param {AuthorizationRequest} request
   * @param {string} email
   * @param {string | null} problem
   */
  function showPage(res, status, request, email, problem) {
    const parameters = Object.fromEntries(CARRIED.filter((name) => request[name]).map((name) => [name, request[name]]));
    const signUp = request.screen_hint === 'sign-up';
    sendPage(res, status, signInPage({ action: PATH, users: directory.users, parameters, email, signUp, problem }));
  }

  /**
   * @param {import('express').Response} res
   * @param {AuthorizationRequest} request
   * @param {import('./users.mjs').User} user
   */
  function signIn(res, request, user) {
    const cookie = sessions.startBrowserSession(user.id);
    res.cookie(COOKIE_NAME, cookie, { ...COOKIE_OPTIONS, maxAge: SESSION_TTL_MS });
    sendCode(res, request, user, cookie);
  }

  /**
   * @param {import('express').Response} res
   * @param {AuthorizationRequest} request
   * @param {import('./users.mjs').User} user
   * @param {string} cookie
   */
  function sendCode(res, request, user, cookie) {
    const asked = request.organization_id;
    if (asked && !membershipOf(user, asked)) {
      return sendError(res, request, 'access_denied', 'The user is not a member of the organization.');
    }
    const organizationId = asked ?? user.memberships[0]?.organizationId ?? null;
    const code = sessions.issueCode({
      userId: user.id,
      clientId: request.client_id,
      redirectUri: request.redirect_uri,
      organizationId,
      codeChallenge: request.code_challenge ?? null,
      invitationToken: request.invitation_token ?? null,
      authenticationMethod: authenticationMethod(request, user, directory.organization(asked)),
      cookie,
    });
    redirect(res, request, { code });
  }

  return router;
}

/**
 * @param {Record<string, string>} parameters
 * @param {import('./index.mjs').Context} context
 * @returns {AuthorizationRequest}
 * @throws {ApiError} 400
 */
function authorizationRequest(parameters, { clients }) {
  const invalid = (/** @type {string} */ message, code = 'invalid_request') => new ApiError(400, code, message);
  const { client_id, redirect_uri, response_type, code_challenge, code_challenge_method } = parameters;

  if (!redirect_uri) throw invalid('redirect_uri is required');
  loopbackUrl('redirect_uri', redirect_uri);
  if (!client_id) throw invalid('client_id is required');
  if (!clients.has(client_id)) throw invalid('client_id is not known', 'invalid_client_id');
  if (response_type !== 'code')
    throw invalid('response_type must be code', response_type ? 'unsupported_response_type' : undefined);
  if (!parameters.provider && !parameters.connection_id && !parameters.organization_id) {
    throw invalid('one of provider, connection_id and organization_id is required');
  }
  if (code_challenge ? code_challenge_method !== 'S256' : code_challenge_method) {
    throw invalid('code_challenge goes with code_challenge_method, which must be S256');
  }
  if (parameters.max_age !== undefined && !/^\d{1,9}$/.test(parameters.max_age)) {
    throw invalid('max_age must be a whole number of seconds');
  }
  if (code_challenge && !S256_CHALLENGE.test(code_challenge))
    throw invalid('code_challenge must be the base64url of a SHA-256');
  return /** @type {AuthorizationRequest} */ (parameters);
}

/**
 * @param {AuthorizationRequest} request
 * @param {import('./users.mjs').User} user
 * @param {import('./users.mjs').Organization | undefined} organization
 * @returns {string} as the authenticate endpoint reports it
 */
function authenticationMethod(request, user, organization) {
  if (user.impersonator) return 'Impersonation';
  if (request.connection_id || organization?.requirement === 'sso_required') return 'SSO';
  return request.provider && request.provider !== 'authkit' ? request.provider : 'MagicAuth';
}

/**
 * @param {import('express').Response} res
 * @param {AuthorizationRequest} request
 * @param {string} error
 * @param {string} description
 */
function sendError(res, request, error, description) {
  redirect(res, request, { error, error_description: description });
}

/**
 * @param {import('express').Response} res
 * @param {AuthorizationRequest} request
 * @param {Record<string, string>} answer
 */
function redirect(res, request, answer) {
  const url = new URL(request.redirect_uri);
  for (const [name, value] of Object.entries(answer)) url.searchParams.set(name, value);
  if (request.state) url.searchParams.set('state', request.state);
  res.redirect(302, url.href);
}
