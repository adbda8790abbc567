/**
 * `npm run deploy`: set-up, bundle, checks, `wrangler deploy`. `--check` uploads nothing and lists the problems;
 * `--help` lists the options. `local/deployment/` has the parts.
 */

import { build } from './build.mjs';
import { main } from './commands.mjs';
import { deploy, readArguments } from './deployment/deploy.mjs';
import { setUp } from './setup.mjs';

await main(async () => {
  const options = readArguments(process.argv.slice(2));
  await setUp();
  await build('steps');
  await deploy(options);
});
