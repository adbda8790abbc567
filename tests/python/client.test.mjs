/**
 * A Python client that `openapi-python-client` makes of the API's description, without a warning, and with
 * which `story.py` does what users do.
 */

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { capture } from '../../local/commands.mjs';
import { installPythonPackages } from '../../local/python.mjs';
import { newSub } from '../e2e/support/expenses.mjs';
import { startWorld } from '../e2e/support/world.mjs';

const STORY = fileURLToPath(new URL('story.py', import.meta.url));

const python = await installPythonPackages();
const world = await startWorld();
const folder = mkdtempSync(join(tmpdir(), 'authkit-edge-python-'));
after(() => rmSync(folder, { recursive: true }));

test('a generated Python client manages expenses without warnings', async () => {
  const document = join(folder, 'openapi.json');
  writeFileSync(document, (await world.anonymous().request('GET', '/openapi.json')).text);
  const client = join(folder, 'client');
  const generate = [
    '-m',
    'openapi_python_client',
    'generate',
    '--path',
    document,
    '--output-path',
    client,
    '--fail-on-warning',
  ];
  const made = await capture(python.command, generate, { env: python.env });
  assert.equal(made.code, 0, made.output);
  assert.ok(readdirSync(client).includes('expenses_api_client'), `${readdirSync(client)}`);

  const token = world.authkit.mintToken({ claims: { sub: newSub() } });
  world.keepSecret(token, 'an access token');
  const told = await capture(python.command, ['-W', 'error', STORY], {
    env: {
      ...python.env,
      PYTHONPATH: [client, python.env.PYTHONPATH].filter(Boolean).join(':'),
      PYTHONDONTWRITEBYTECODE: '1',
      BASE_URL: world.worker.origin,
      ACCESS_TOKEN: token,
    },
  });
  assert.equal(told.code, 0, told.output);
  assert.match(told.output, /^\d+ modules, and the story is told$/m);
});

test('no answer and no log line holds a secret', () => world.assertNothingLeaked());
