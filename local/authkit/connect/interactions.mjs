/**
 * The pages of Connect: sign-in, and consent to the client's request.
 * With a user named by header or setting, neither is shown.
 */

import express from 'express';

import { ApiError } from '../errors.mjs';
import { automaticUser, chosenUser } from '../identify.mjs';
import { consentPage, sendPage, signInPage } from '../pages.mjs';
import { parametersOf } from '../parameters.mjs';
import { INTERACTION_PATH } from './provider.mjs';

/**
 * @param {import('../index.mjs').Context} context
 * @param {() => Promise<any>} currentProvider
 * @returns {import('express').Router}
 */
export function interactionRoutes(context, currentProvider) {
  const { directory } = context;
  const router = express.Router();

  router.get(`${INTERACTION_PATH}/:uid`, async (req, res) => {
    const { provider, details } = await interaction(req, res);
    const auto = automaticUser(req, context);
    if (details.prompt.name === 'login') {
      if (auto) return finish(provider, req, res, signedIn(auto));
      return showSignIn(res, 200, details, details.params.login_hint ?? '', null);
    }
    if (auto) return finish(provider, req, res, await consent(provider, details));
    return sendPage(res, 200, consentPage(await asked(provider, details)));
  });

  router.post(`${INTERACTION_PATH}/:uid`, express.urlencoded({ extended: false }), async (req, res) => {
    const { provider, details } = await interaction(req, res);
    const form = parametersOf(req.body);
    if (form.cancel)
      return finish(provider, req, res, { error: 'access_denied', error_description: 'The sign-in was cancelled.' });
    if (details.prompt.name === 'login') {
      const { user, email, problem } = chosenUser(form, directory);
      return user ? finish(provider, req, res, signedIn(user)) : showSignIn(res, 400, details, email, problem);
    }
    if (!form.allow) throw new ApiError(400, 'invalid_request', 'allow or cancel is required');
    return finish(provider, req, res, await consent(provider, details));
  });

  /** @param {import('express').Request} req @param {import('express').Response} res */
  async function interaction(req, res) {
    const provider = await currentProvider();
    try {
      return { provider, details: await provider.interactionDetails(req, res) };
    } catch (error) {
      if (/** @type {any} */ (error)?.error !== 'invalid_request') throw error;
      throw new ApiError(
        400,
        'invalid_request',
        'No sign-in is under way in this browser: go back to the application.',
      );
    }
  }

  /**
   * @param {import('express').Response} res
   * @param {number} status
   * @param {any} details
   * @param {string} email
   * @param {string | null} problem
   */
  function showSignIn(res, status, details, email, problem) {
    const action = `${INTERACTION_PATH}/${details.uid}`;
    sendPage(
      res,
      status,
      signInPage({ action, users: directory.users, parameters: {}, email, signUp: false, problem }),
    );
  }

  /** The content of the page. */
  async function asked(/** @type {any} */ provider, /** @type {any} */ details) {
    const client = await provider.Client.find(details.params.client_id);
    const user = directory.find(details.session.accountId);
    if (!user) throw new ApiError(400, 'invalid_request', 'The user has gone: go back to the application.');
    return {
      action: `${INTERACTION_PATH}/${details.uid}`,
      client: client.clientName ?? client.clientId,
      user,
      redirectUri: details.params.redirect_uri,
      scopes: (details.params.scope ?? '').split(' ').filter(Boolean),
      // The issuer itself stands for no resource in particular.
      resources: [details.params.resource ?? []].flat().filter((resource) => resource !== provider.issuer),
    };
  }

  return router;
}

/** @param {import('../users.mjs').User} user */
function signedIn(user) {
  return { login: { accountId: user.id } };
}

/**
 * Grants all requested scopes, beside those that the user has granted this client before.
 *
 * @param {any} provider
 * @param {any} details
 */
async function consent(provider, { grantId, session, params, prompt }) {
  const grant = grantId
    ? await provider.Grant.find(grantId)
    : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  const { missingOIDCScope, missingResourceScopes } = prompt.details;
  if (missingOIDCScope) grant.addOIDCScope(missingOIDCScope.join(' '));
  for (const [resource, scopes] of Object.entries(missingResourceScopes ?? {}))
    grant.addResourceScope(resource, scopes.join(' '));
  return { consent: { grantId: await grant.save() } };
}

/**
 * @param {any} provider
 * @param {import('express').Request} req
 * @param {import('express').Response} res
 * @param {Record<string, unknown>} result
 */
function finish(provider, req, res, result) {
  return provider.interactionFinished(req, res, result, { mergeWithLastSubmission: true });
}
