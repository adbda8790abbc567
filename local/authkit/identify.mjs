/** Who signs in: the user that a request names without a page, or that a person chose on one. */

import { ApiError } from './errors.mjs';
import { isEmail } from './users.mjs';

/** Signs the user it names (id or e-mail) in without a page: `autoSignIn` for one request. */
export const AUTO_SIGN_IN_HEADER = 'x-local-authkit-user';

/**
 * @param {import('express').Request} req
 * @param {Pick<import('./index.mjs').Context, 'directory' | 'settings'>} context
 * @returns {import('./users.mjs').User | undefined}
 * @throws {ApiError} 400 when the one it names does not exist
 */
export function automaticUser(req, { directory, settings }) {
  const named = req.get(AUTO_SIGN_IN_HEADER) ?? settings.autoSignIn;
  if (!named) return undefined;
  const user = directory.find(named);
  if (!user) throw new ApiError(400, 'invalid_request', 'the user to sign in without a page does not exist');
  return user;
}

/**
 * @param {Record<string, string>} form of the sign-in page; an unknown e-mail address creates a user
 * @param {import('./users.mjs').Directory} directory
 * @returns {{user?: import('./users.mjs').User, email: string, problem: string | null}}
 * @throws {ApiError} 400 when `user_id` is unknown
 */
export function chosenUser(form, directory) {
  if (form.user_id) {
    const user = directory.find(form.user_id);
    if (!user) throw new ApiError(400, 'invalid_request', 'user_id names no user');
    return { user, email: user.email, problem: null };
  }
  const email = (form.email ?? '').trim();
  if (!isEmail(email)) return { email, problem: 'Enter an e-mail address, such as name@example.com.' };
  return { user: directory.find(email) ?? directory.addUser({ email }), email, problem: null };
}
