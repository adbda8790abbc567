/**
 * `npm run deploy`: set-up, bundle, `wrangler deploy`. Further arguments go to Wrangler, so that
 * `npm run deploy -- --dry-run` checks everything but the upload, without an account.
 */

import { build } from './build.mjs';
import { Stop, main, runInTerminal } from './commands.mjs';
import { BIN, setUp } from './setup.mjs';
import { WRANGLER_ENV } from './wrangler.mjs';

await main(async () => {
  await setUp();
  await build('steps');
  const code = await runInTerminal(process.execPath, [BIN.wrangler, 'deploy', ...process.argv.slice(2)], WRANGLER_ENV);
  if (code !== 0) throw new Stop("The Worker was not deployed: see Wrangler's own words above.", code);
});
