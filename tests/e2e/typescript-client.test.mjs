/**
 * A TypeScript client: types that `openapi-typescript` makes of the API's description, without a warning,
 * for `openapi-fetch`. `typescript-client/story.ts` does with it what users do; `tsc` compiles it, strictly.
 */

import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { capture } from '../../local/commands.mjs';
import { newSub } from './support/expenses.mjs';
import { ROOT } from './support/worker.mjs';
import { startWorld } from './support/world.mjs';

const STORY = fileURLToPath(new URL('typescript-client/story.ts', import.meta.url));
const GENERATOR = join(ROOT, 'node_modules/openapi-typescript/bin/cli.js');
const COMPILER = join(ROOT, 'node_modules/typescript/bin/tsc');

const world = await startWorld();
// In the project's folder: there the compiler and the story find openapi-fetch.
mkdirSync(join(ROOT, 'build'), { recursive: true });
const folder = mkdtempSync(join(ROOT, 'build', 'typescript-client-'));
after(() => rmSync(folder, { recursive: true }));

/** @param {string[]} args @param {Record<string, string>} [env] */
async function run(args, env) {
  const { code, output } = await capture(process.execPath, args, { env: { NO_COLOR: '1', ...env } });
  assert.equal(code, 0, output);
  return output;
}

test('a generated TypeScript client manages expenses without warnings', async () => {
  const document = join(folder, 'openapi.json');
  writeFileSync(document, (await world.anonymous().request('GET', '/openapi.json')).text);
  // A field of a request that has a default may be left out; without the option it may not.
  const said = await run([
    GENERATOR,
    document,
    '--output',
    join(folder, 'schema.d.ts'),
    '--default-non-nullable',
    'false',
  ]);
  assert.doesNotMatch(said, /warn|error|⚠|✘/i);
  copyFileSync(STORY, join(folder, 'story.ts'));
  writeFileSync(join(folder, 'package.json'), '{"type": "module"}');
  const options = [
    '--strict',
    '--noUncheckedIndexedAccess',
    '--target',
    'es2022',
    '--module',
    'nodenext',
    '--lib',
    'es2022,dom',
    '--types',
    'node',
    '--skipLibCheck',
  ];
  await run([COMPILER, ...options, join(folder, 'story.ts')]);

  const token = world.authkit.mintToken({ claims: { sub: newSub() } });
  world.keepSecret(token, 'an access token');
  const told = await run([join(folder, 'story.js')], { BASE_URL: world.worker.origin, ACCESS_TOKEN: token });
  assert.match(told, /^The story is told$/m);
});

test('no answer and no log line holds a secret', () => world.assertNothingLeaked());
