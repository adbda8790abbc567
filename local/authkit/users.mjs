/** The directory: users, their organizations, and requirements that prevent a sign-in. */

import { newId } from './ids.mjs';

/**
 * @typedef {object} Membership
 * @property {string} organizationId
 * @property {string} [role]
 * @property {string[]} [permissions]
 */

/**
 * @typedef {object} Organization
 * @property {string} id
 * @property {string} name
 * @property {string | null} requirement the code that refuses a switch into it, such as `sso_required`
 * @property {string[]} entitlements
 * @property {string[]} featureFlags
 */

/**
 * @typedef {object} User
 * @property {string} id
 * @property {string} email
 * @property {string | null} firstName
 * @property {string | null} lastName
 * @property {string} createdAt
 * @property {string | null} lastSignInAt
 * @property {Membership[]} memberships the first is where a sign-in that names none leads
 * @property {{email: string, reason: string} | null} impersonator support staff signed in as the user
 * @property {string | null} requirement what an organization switch is refused with, such as `mfa_enrollment`
 */

export const ADA_ID = 'user_01JM0CKADA10VE1ACE00000001';
export const GRACE_ID = 'user_01JM0CKGRACEH0PPER00000002';
export const ENGINES_ORG_ID = 'org_01JM0CKANA1YT1CA1ENG1NE001';
export const COMPILERS_ORG_ID = 'org_01JM0CKC0MP11ERSC0MPANY002';

const SEED_TIME = '2025-01-01T00:00:00.000Z';
/** RFC 5321's limit on a path, less its angle brackets. */
const MAX_EMAIL_CHARS = 254;

/**
 * @param {string} text
 * @returns {boolean} whether it is near enough to an e-mail address to name a user
 */
export function isEmail(text) {
  return text.length <= MAX_EMAIL_CHARS && /^[^\s@\p{Cc}]+@[^\s@\p{Cc}]+$/u.test(text);
}

/**
 * @param {User} user
 * @returns {string} full name, or the e-mail address without one
 */
export function displayName(user) {
  return [user.firstName, user.lastName].filter(Boolean).join(' ') || user.email;
}

/**
 * @param {User} user
 * @returns {Record<string, unknown>} the user object of WorkOS's API
 */
export function userResponse(user) {
  return {
    object: 'user',
    id: user.id,
    email: user.email,
    email_verified: true,
    first_name: user.firstName,
    last_name: user.lastName,
    profile_picture_url: null,
    last_sign_in_at: user.lastSignInAt,
    external_id: null,
    metadata: {},
    locale: null,
    created_at: user.createdAt,
    updated_at: user.lastSignInAt ?? user.createdAt,
  };
}

/**
 * @param {User} user
 * @returns {import('oidc-provider').AccountClaims} OpenID Connect's standard claims
 */
export function profileClaims(user) {
  const claims = {
    email: user.email,
    email_verified: true,
    name: displayName(user),
    given_name: user.firstName,
    family_name: user.lastName,
  };
  const known = Object.entries(claims).filter(([, value]) => value !== null);
  return { sub: user.id, ...Object.fromEntries(known) };
}

export class Directory {
  /** @type {Map<string, User>} */
  #users = new Map();
  /** @type {Map<string, Organization>} */
  #organizations = new Map();
  #seedIds;
  #now;
  #onChange;

  /**
   * @param {object} options
   * @param {() => number} options.now milliseconds
   * @param {() => void} options.onChange
   * @param {User[]} [options.saved] as `toJSON` gave them
   * @throws when `saved` is not a list of users
   */
  constructor({ now, onChange, saved = [] }) {
    this.#now = now;
    this.#onChange = () => {};
    this.addOrganization({ id: ENGINES_ORG_ID, name: 'Analytical Engines' });
    this.addOrganization({ id: COMPILERS_ORG_ID, name: 'Compilers Company' });
    this.addUser({
      id: ADA_ID,
      email: 'ada@example.com',
      firstName: 'Ada',
      lastName: 'Lovelace',
      createdAt: SEED_TIME,
      memberships: [
        {
          organizationId: ENGINES_ORG_ID,
          role: 'admin',
          permissions: ['expenses:read', 'expenses:write', 'members:manage'],
        },
        { organizationId: COMPILERS_ORG_ID, role: 'member', permissions: ['expenses:read'] },
      ],
    });
    this.addUser({
      id: GRACE_ID,
      email: 'grace@example.com',
      firstName: 'Grace',
      lastName: 'Hopper',
      createdAt: SEED_TIME,
      memberships: [
        { organizationId: ENGINES_ORG_ID, role: 'member', permissions: ['expenses:read', 'expenses:write'] },
        { organizationId: COMPILERS_ORG_ID, role: 'admin', permissions: ['expenses:read', 'expenses:write'] },
      ],
    });
    this.#seedIds = new Set(this.#users.keys());
    for (const user of saved) {
      if (typeof user.id !== 'string' || !isEmail(user.email) || !Array.isArray(user.memberships))
        throw new TypeError('not a user');
      this.#users.set(user.id, user);
    }
    this.#onChange = onChange;
  }

  /** @returns {User[]} the records themselves: a change to one takes effect */
  get users() {
    return [...this.#users.values()];
  }

  /** @returns {Organization[]} the records themselves: a change to one takes effect */
  get organizations() {
    return [...this.#organizations.values()];
  }

  /**
   * @param {string} idOrEmail e-mail in any case
   * @returns {User | undefined}
   */
  find(idOrEmail) {
    return (
      this.#users.get(idOrEmail) ?? this.users.find((user) => user.email.toLowerCase() === idOrEmail.toLowerCase())
    );
  }

  /**
   * @param {string} id
   * @returns {Organization | undefined}
   */
  organization(id) {
    return this.#organizations.get(id);
  }

  /**
   * @param {Partial<User> & {email: string}} fields
   * @returns {User}
   */
  addUser(fields) {
    if (!isEmail(fields.email)) throw new TypeError('addUser: email is not an e-mail address');
    if (this.find(fields.email)) throw new TypeError('addUser: there is already a user with this email');
    const now = this.#now();
    /** @type {User} */
    const user = {
      id: newId('user', now),
      firstName: null,
      lastName: null,
      createdAt: new Date(now).toISOString(),
      lastSignInAt: null,
      memberships: [],
      impersonator: null,
      requirement: null,
      ...fields,
    };
    this.#users.set(user.id, user);
    this.#onChange();
    return user;
  }

  /**
   * @param {string} idOrEmail
   * @returns {User} who was removed
   */
  removeUser(idOrEmail) {
    const user = this.find(idOrEmail);
    if (!user) throw new TypeError('removeUser: there is no such user');
    this.#users.delete(user.id);
    this.#onChange();
    return user;
  }

  /**
   * @param {Partial<Organization> & {name: string}} fields
   * @returns {Organization}
   */
  addOrganization(fields) {
    /** @type {Organization} */
    const organization = {
      id: newId('org', this.#now()),
      requirement: null,
      entitlements: [],
      featureFlags: [],
      ...fields,
    };
    this.#organizations.set(organization.id, organization);
    return organization;
  }

  /** @returns {User[]} those that were not there from the start */
  toJSON() {
    return this.users.filter((user) => !this.#seedIds.has(user.id));
  }
}

/**
 * @param {User} user
 * @param {string | null} organizationId
 * @returns {Membership | undefined}
 */
export function membershipOf(user, organizationId) {
  return user.memberships.find((membership) => membership.organizationId === organizationId);
}
