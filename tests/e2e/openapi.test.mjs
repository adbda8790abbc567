/**
 * The API's description: it has no fault that a public linter knows, what the Worker answers is what it
 * says, and the page on it is whole.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { createConfig, lintFromString } from '@redocly/openapi-core';
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';

import { cases, present } from './support/values.mjs';
import { ROOT } from './support/worker.mjs';
import { startWorld } from './support/world.mjs';

const world = await startWorld();
const { authkit } = world;

const answer = await world.anonymous().request('GET', '/openapi.json');
const document = answer.json;

const ajv = new Ajv2020({ strict: true, allErrors: true });
formats.default(ajv);
// Words of OpenAPI that JSON Schema does not know.
for (const word of ['openapi', 'info', 'servers', 'paths', 'components', 'tags', 'security', 'example'])
  ajv.addKeyword(word);
ajv.addSchema(document, 'openapi');

/**
 * Fails unless the answer is one that the description has for the operation.
 *
 * @param {import('./support/http.mjs').Answer} answer
 * @param {string} method
 * @param {string} path
 */
function assertDescribed(answer, method, path) {
  const operation = document.paths[path][method];
  let response = operation.responses[answer.status] ?? assert.fail(`${method} ${path} is not said to answer ${answer}`);
  let pointer = ['paths', path, method, 'responses', String(answer.status)];
  if (response.$ref) {
    pointer = response.$ref.slice(2).split('/');
    response = document.components.responses[present(pointer.at(-1))];
  }
  for (const name of Object.keys(response.headers ?? {})) {
    // Not on a last page, not with every answer, only without the ledger, not where no token lacks a scope.
    if (
      ['Link', 'Set-Cookie', 'Expenses-Consistency'].includes(name) ||
      (answer.status === 403 && name === 'WWW-Authenticate')
    )
      continue;
    assert.ok(answer.headers[name.toLowerCase()], `${method} ${path} answers ${answer.status} without ${name}`);
  }
  if (!response.content) return assert.equal(answer.text, '', `${answer}`);
  const type = answer.header('content-type').split(';')[0];
  const content = response.content[type] ?? assert.fail(`${method} ${path} is not said to answer with ${type}`);
  if (type !== 'application/json') return;
  const validate = ajv.compile({ $ref: `openapi#/${[...pointer, 'content', type, 'schema'].map(escaped).join('/')}` });
  assert.ok(validate(answer.json), `${method} ${path}: ${ajv.errorsText(validate.errors)}: ${answer}`);
  if (content.example) assert.ok(validate(content.example), `${method} ${path}: its own example`);
}

/** A step of a JSON pointer in a URI (RFC 6901, section 6). @param {string} step */
function escaped(step) {
  return encodeURIComponent(step.replaceAll('~', '~0').replaceAll('/', '~1'));
}

test('a public linter finds no error in the description', async () => {
  const config = await createConfig({ extends: ['recommended'] });
  const problems = await lintFromString({ source: answer.text, absoluteRef: 'openapi.json', config });
  const told = problems.map(
    ({ severity, ruleId, message, location }) => `${severity} ${ruleId}: ${message} ${location[0]?.pointer}`,
  );
  assert.deepEqual(
    told.filter((text) => text.startsWith('error')),
    [],
  );
  // Sign-in only ever redirects, and what is public and takes no input cannot be asked wrongly.
  const expected = ['operation-2xx-response', 'operation-4xx-response'];
  assert.deepEqual(
    problems.map(({ ruleId }) => ruleId).filter((rule) => !expected.includes(rule)),
    [],
    told.join('\n'),
  );
});

test('every schema is valid JSON Schema', () => {
  for (const name of Object.keys(document.components.schemas))
    ajv.compile({ $ref: `openapi#/components/schemas/${name}` });
});

test('documented examples are accepted and responses are as described', async () => {
  const browser = await world.signedIn('Ada');
  for (const name of ['ExpenseRequest', 'ExpensePatch']) {
    assert.ok(document.components.schemas[name].examples.length > 0);
  }
  const [json] = document.components.schemas.ExpenseRequest.examples;
  const created = await browser.request('POST', '/expenses', { json });
  assert.equal(created.status, 201);
  assertDescribed(created, 'post', '/expenses');
  const path = `/expenses/${created.json.id}`;
  const [patch] = document.components.schemas.ExpensePatch.examples;
  for (const [method, operation, answer] of cases([
    ['get', '/', await browser.request('GET', '/')],
    ['get', '/health', await browser.request('GET', '/health')],
    ['get', '/openapi.json', await browser.request('GET', '/openapi.json')],
    ['get', '/me', await browser.request('GET', '/me')],
    ['get', '/expenses', await browser.request('GET', '/expenses')],
    ['get', '/expenses/summary', await browser.request('GET', '/expenses/summary')],
    ['get', '/expenses/{id}', await browser.request('GET', path)],
    ['put', '/expenses/{id}', await browser.request('PUT', path, { json })],
    ['patch', '/expenses/{id}', await browser.request('PATCH', path, { json: patch })],
    ['delete', '/expenses/{id}', await browser.request('DELETE', path)],
  ])) {
    assert.ok(answer.status < 300, `${answer}`);
    assertDescribed(answer, method, operation);
  }
  assertDescribed(
    await world.bearer(authkit.mintToken({ claims: { sub: 'user_bearer' } })).request('GET', '/me'),
    'get',
    '/me',
  );
  const csv = await browser.request('GET', '/expenses', { headers: { accept: 'text/csv' } });
  assertDescribed(csv, 'get', '/expenses');
  assert.equal(
    document.paths['/expenses'].get.responses[200].content['text/csv'].example.split('\r\n')[0],
    csv.text.split('\r\n')[0],
  );
});

test('refusals are as they are described', async () => {
  const browser = await world.signedIn('Grace');
  const missing = '/expenses/7YBQTH74KQWD7F4WYKK73HGRCC';
  const json = { description: 'x', amount: 1 };
  const key = { 'idempotency-key': 'a key' };
  await browser.request('POST', '/expenses', { json, headers: key });
  for (const [status, method, operation, answer] of cases([
    [401, 'get', '/expenses', await world.anonymous().request('GET', '/expenses')],
    [
      403,
      'post',
      '/expenses',
      await browser.request('POST', '/expenses', { json, headers: { 'sec-fetch-site': 'cross-site' } }),
    ],
    [404, 'get', '/expenses/{id}', await browser.request('GET', missing)],
    [404, 'put', '/expenses/{id}', await browser.request('PUT', missing, { json })],
    [404, 'delete', '/expenses/{id}', await browser.request('DELETE', missing)],
    [
      422,
      'post',
      '/expenses',
      await browser.request('POST', '/expenses', { json: { ...json, amount: 2 }, headers: key }),
    ],
    [
      413,
      'post',
      '/expenses',
      await browser.request('POST', '/expenses', { json: { description: 'x'.repeat(70_000) } }),
    ],
    [
      415,
      'post',
      '/expenses',
      await browser.request('POST', '/expenses', { body: 'x', headers: { 'content-type': 'text/plain' } }),
    ],
    [422, 'post', '/expenses', await browser.request('POST', '/expenses', { json: { amount: 'x', note: 1 } })],
    [
      422,
      'post',
      '/expenses',
      await browser.request('POST', '/expenses', { body: '{"a', headers: { 'content-type': 'application/json' } }),
    ],
    [422, 'get', '/expenses', await browser.request('GET', '/expenses?limit=0')],
    [422, 'get', '/expenses/summary', await browser.request('GET', '/expenses/summary?from=x')],
    [405, 'post', '/expenses/{id}', await browser.request('POST', missing, { json })],
    [405, 'post', '/expenses/{id}/delete', await browser.request('POST', `${missing}/delete`, { json })],
    [
      415,
      'post',
      '/organization',
      await world.bearer(authkit.mintToken()).request('POST', '/organization', {
        body: 'organization_id=org_1',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
      }),
    ],
    [422, 'post', '/organization', await browser.request('POST', '/organization', { json: {} })],
    [400, 'get', '/callback', await world.anonymous().request('GET', '/callback?error=access_denied')],
  ])) {
    assert.equal(answer.status, status, `${answer}`);
    assertDescribed(answer, method, operation);
  }
  await world.worker.failKv('list');
  try {
    const answer = await browser.request('GET', '/expenses');
    assert.equal(answer.status, 503);
    assertDescribed(answer, 'get', '/expenses');
  } finally {
    await world.worker.failKv();
  }
});

test("the documentation page loads this origin's assets only", async () => {
  const page = await (await world.signedIn('Ada')).open('/docs');
  const files = [...page.answer.text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => path);
  assert.ok(files.length >= 5, page.answer.text);
  // The others are the Worker's own answers.
  for (const path of files.filter((path) => !['/openapi.json', '/account', '/'].includes(path))) {
    assert.ok(readFileSync(join(ROOT, 'build/assets', path)).length > 0, path);
  }
});
