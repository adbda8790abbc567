/**
 * Stands in for Wrangler in tests: answers from the JSON in `STUB_WRANGLER_ACCOUNT`, and notes each call in the file
 * `STUB_WRANGLER_CALLS`, with the secrets that it is given.
 */

import { appendFileSync, readFileSync, statSync } from 'node:fs';

const args = process.argv.slice(2);
const account = JSON.parse(process.env.STUB_WRANGLER_ACCOUNT ?? '{}');
const at = args.indexOf('--secrets-file');
const file = at < 0 ? undefined : args[at + 1];
const call = {
  args,
  ...(file && { file, secrets: JSON.parse(readFileSync(file, 'utf8')), mode: statSync(file).mode & 0o777 }),
};
appendFileSync(process.env.STUB_WRANGLER_CALLS ?? '', `${JSON.stringify(call)}\n`);

switch (args.slice(0, 2).join(' ')) {
  case 'whoami --json':
    process.exit(account.isSignedIn ? 0 : 1);
    break;
  case 'deployments status':
    if (!account.bindings) {
      console.error('✘ [ERROR] This Worker does not exist on your account. [code: 10007]');
      process.exit(1);
    }
    console.log(JSON.stringify({ versions: [{ version_id: 'version-1', percentage: 100 }] }));
    break;
  case 'versions view':
    console.log(JSON.stringify({ id: args[2], resources: { bindings: account.bindings } }));
    break;
  default:
    process.exit(account.deployCode ?? 0);
}
