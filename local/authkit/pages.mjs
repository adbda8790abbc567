/** The HTML of the local AuthKit. Every value is escaped by `html`; nothing is fetched or scripted. */

import { createHash } from 'node:crypto';

import { displayName } from './users.mjs';

const STYLE = `
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 26rem; margin: 2rem auto; padding: 0 1rem; }
.notice { border: 1px solid; border-radius: .5rem; padding: .5rem .75rem; }
form { margin: 1rem 0; display: grid; gap: .5rem; }
button, input { font: inherit; padding: .5rem .75rem; width: 100%; box-sizing: border-box; }
button { text-align: start; cursor: pointer; overflow-wrap: anywhere; }
li, dd { overflow-wrap: anywhere; }
`;

/**
 * No `form-action`: browsers apply it to the redirect that follows a form, and that one leads to
 * the application's origin.
 */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`,
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ');

class Html {
  /** @param {string} text */
  constructor(text) {
    this.text = text;
  }
}

/** @type {Record<string, string>} */
const ENTITIES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/**
 * @param {unknown} value
 * @returns {string}
 */
function escaped(value) {
  if (Array.isArray(value)) return value.map(escaped).join('');
  if (value instanceof Html) return value.text;
  return String(value ?? '').replace(/[&<>"']/g, (character) => ENTITIES[character]);
}

/**
 * @param {TemplateStringsArray} strings
 * @param {...unknown} values escaped, unless they come from `html` themselves
 */
function html(strings, ...values) {
  return new Html(String.raw({ raw: strings }, ...values.map(escaped)));
}

/**
 * @param {string} title
 * @param {Html} body
 */
function page(title, body) {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${title} – local AuthKit</title>
<style>${new Html(STYLE)}</style>
</head>
<body>
<main>
<h1>${title}</h1>
<p class="notice"><strong>This is not WorkOS.</strong> It is a local stand-in for AuthKit on this computer. It asks for no password: never type one here.</p>
${body}
</main>
</body>
</html>
`;
}

export const PAGE_HEADERS = {
  'Content-Security-Policy': CONTENT_SECURITY_POLICY,
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
};

/**
 * @param {import('express').Response} res
 * @param {number} status
 * @param {Html} document
 */
export function sendPage(res, status, document) {
  res.status(status).set(PAGE_HEADERS).type('html').send(document.text);
}

/**
 * @param {object} options
 * @param {string} options.action where the forms are sent
 * @param {import('./users.mjs').User[]} options.users
 * @param {Record<string, string>} options.parameters of the authorization request, carried along
 * @param {string} options.email the field's value
 * @param {boolean} options.signUp
 * @param {string | null} options.problem with the e-mail that was sent
 */
export function signInPage({ action, users, parameters, email, signUp, problem }) {
  const carried = Object.entries(parameters).map(
    ([name, value]) => html`<input type="hidden" name="${name}" value="${value}">\n`,
  );
  const invalid = problem ? html` aria-invalid="true" aria-describedby="problem"` : '';
  return page(
    signUp ? 'Sign up' : 'Sign in',
    html`<form method="post" action="${action}" aria-label="Continue as">
${carried}${users.map((user) => html`<button name="user_id" value="${user.id}">${displayName(user)}<br><small>${user.email}</small></button>\n`)}</form>
<form method="post" action="${action}" novalidate>
${carried}<label for="email">Or anyone else, by e-mail</label>
<input id="email" name="email" type="email" autocomplete="email" required value="${email}"${invalid}>
${problem ? html`<p id="problem" role="alert">${problem}</p>` : ''}
<button>Continue</button>
</form>
<form method="post" action="${action}">
${carried}<button name="cancel" value="1">Cancel</button>
</form>`,
  );
}

/**
 * @param {object} options
 * @param {string} options.action where the form is sent
 * @param {string} options.client its name, or its id where it has none
 * @param {import('./users.mjs').User} options.user
 * @param {string} options.redirectUri where the answer goes: a name is anybody's to choose, this is not
 * @param {string[]} options.scopes
 * @param {string[]} options.resources
 */
export function consentPage({ action, client, user, redirectUri, scopes, resources }) {
  return page(
    'Allow access',
    html`<p><strong>${client}</strong> asks for access in the name of ${displayName(user)}, ${user.email}.</p>
<dl>
<dt>For</dt>
<dd>${resources.length > 0 ? resources.map((resource) => html`<code>${resource}</code> `) : 'this environment'}</dd>
<dt>Scopes</dt>
<dd>${scopes.map((scope) => html`<code>${scope}</code> `)}</dd>
<dt>Goes back to</dt>
<dd><code>${redirectUri}</code></dd>
</dl>
<form method="post" action="${action}">
<button name="allow" value="1">Allow access</button>
<button name="cancel" value="1">Cancel</button>
</form>`,
  );
}

/**
 * @param {string} error
 * @param {string | undefined} description
 */
export function refusalPage(error, description) {
  return page('That did not work', html`<p>${description ?? 'The request was refused.'} <small>(${error})</small></p>`);
}

/**
 * @param {object} options
 * @param {string} options.organization its name
 * @param {string} options.purpose what an administrator does there, in WorkOS's Admin Portal
 * @param {string | null} options.returnUrl where the application wants the browser back
 */
export function portalPage({ organization, purpose, returnUrl }) {
  return page(
    'Admin Portal',
    html`<p>With WorkOS, an administrator of <strong>${organization}</strong> would now ${purpose} in WorkOS's Admin Portal. This page stands for it, and has nothing to set up.</p>
${returnUrl ? html`<p><a href="${returnUrl}">Back to the application</a></p>` : ''}`,
  );
}

/** @param {import('./users.mjs').User[]} users */
export function homePage(users) {
  return page(
    'Local AuthKit',
    html`<p>An application whose <code>WORKOS_BASE_URL</code> points here signs people in here. Start there, not on this page.</p>
<h2>Users</h2>
<ul>
${users.map((user) => html`<li>${displayName(user)}, ${user.email}<br><small>${user.id}</small></li>\n`)}</ul>`,
  );
}

export function signedOutPage() {
  return page('Signed out', html`<p>The session has ended. You can close this page.</p>`);
}
