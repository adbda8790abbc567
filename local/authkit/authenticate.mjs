/** `/user_management/authenticate`: the grants that answer with tokens. */

import express from 'express';

import { ApiError, OAuthError } from './errors.mjs';
import { digest, newSecret, secretsMatch } from './ids.mjs';
import { parametersOf } from './parameters.mjs';
import { sessionClaims, signAccessToken } from './tokens.mjs';
import { membershipOf, userResponse } from './users.mjs';

export const AUTHENTICATE_PATH = '/user_management/authenticate';

/**
 * @param {import('./index.mjs').Context} context
 * @returns {import('express').Router} reads a body that has been parsed already
 */
export function authenticateRoutes(context) {
  const { clients, directory, keys, sessions, settings, now } = context;
  const router = express.Router();
  const grants = new Map([
    ['authorization_code', exchangeCode],
    ['refresh_token', refresh],
  ]);

  router.post(AUTHENTICATE_PATH, async (req, res) => {
    const body = parametersOf(req.body);
    if (!body.grant_type) throw new OAuthError(400, 'invalid_request', 'grant_type is required');
    const grant = grants.get(body.grant_type);
    // WorkOS treats an unknown grant as a malformed body, not as unsupported_grant_type.
    if (!grant) throw new OAuthError(400, 'invalid_request', `grant_type must be ${[...grants.keys()].join(' or ')}`);
    requireClient(body);

    // Up to here and in the grant nothing is awaited: of two requests with one code or refresh
    // token, exactly one wins.
    const { user, session, organizationId } = grant(body);
    const refreshToken = sessions.issueRefreshToken(session, organizationId);

    const organization = directory.organization(organizationId ?? '');
    const claims = sessionClaims(
      { user, sessionId: session.id, organization },
      context.issuer(session.clientId),
      now(),
      settings,
    );
    res.json({
      user: userResponse(user),
      organization_id: organizationId,
      access_token: await signAccessToken(claims, keys.current),
      refresh_token: refreshToken,
      authentication_method: session.authenticationMethod,
      impersonator: user.impersonator ?? undefined,
    });
  });

  /** @param {Record<string, string>} body */
  function requireClient({ client_id, client_secret }) {
    const expected = clients.get(client_id);
    if (expected === undefined) throw new OAuthError(400, 'invalid_client', 'client_id is not known');
    if (!client_secret || !secretsMatch(client_secret, expected)) {
      throw new OAuthError(400, 'invalid_client', 'client_secret is missing or wrong');
    }
  }

  /** @param {Record<string, string>} body */
  function exchangeCode(body) {
    if (!body.code) throw new OAuthError(400, 'invalid_request', 'code is required');
    // WorkOS quotes the code in this description too.
    const refused = () => new OAuthError(400, 'invalid_grant', `No sign-in is waiting for the code '${body.code}'.`);
    const code = sessions.findCode(body.code);
    if (!code || code.clientId !== body.client_id) throw refused();
    if (body.redirect_uri && body.redirect_uri !== code.redirectUri) throw refused();
    if (code.codeChallenge) {
      if (!body.code_verifier) throw new OAuthError(400, 'invalid_request', 'code_verifier is required');
      if (!secretsMatch(digest(body.code_verifier), code.codeChallenge)) throw refused();
    }
    const user = directory.find(code.userId);
    if (!user) throw refused();

    sessions.spendCode(body.code);
    user.lastSignInAt = new Date(now()).toISOString();
    const { authenticationMethod, browserSession, invitationToken, organizationId } = code;
    const session = sessions.startSession({
      userId: user.id,
      clientId: code.clientId,
      authenticationMethod,
      browserSession,
      invitationToken,
      ipAddress: body.ip_address ?? null,
      userAgent: body.user_agent ?? null,
    });
    return { user, session, organizationId };
  }

  /** @param {Record<string, string>} body */
  function refresh(body) {
    if (!body.refresh_token) throw new OAuthError(400, 'invalid_request', 'refresh_token is required');
    const found = sessions.findRefreshToken(body.refresh_token);
    const user = found && directory.find(found.session.userId);
    if (!found || !user || found.session.clientId !== body.client_id) {
      throw new OAuthError(400, 'invalid_grant', 'The refresh token is not valid.');
    }
    const organizationId = body.organization_id ?? found.organizationId;
    // A refused switch leaves the refresh token as it was.
    if (organizationId && organizationId !== found.organizationId) requireAccess(user, organizationId);
    sessions.spendRefreshToken(body.refresh_token);
    return { user, session: found.session, organizationId };
  }

  /**
   * @param {import('./users.mjs').User} user
   * @param {string} organizationId
   * @throws {ApiError} 403
   */
  function requireAccess(user, organizationId) {
    const organization = directory.organization(organizationId);
    if (!organization || !membershipOf(user, organizationId)) {
      throw new ApiError(403, 'organization_membership_not_found', 'The user is not a member of the organization.');
    }
    const requirement = organization.requirement ?? user.requirement;
    if (!requirement) return;
    const pending = { pending_authentication_token: newSecret(), email: user.email };
    // WorkOS itself uses one shape for this refusal and the other for the rest.
    if (requirement === 'sso_required') {
      throw new OAuthError(403, requirement, 'The organization asks for single sign-on.', {
        ...pending,
        connection_ids: [],
      });
    }
    throw new ApiError(403, requirement, 'The sign-in needs a further step.', { ...pending, user: userResponse(user) });
  }

  return router;
}
