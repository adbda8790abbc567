#!/usr/bin/env node
/** The local AuthKit as a program. The API key comes from the environment: arguments are public. */

import { parseArgs } from 'node:util';

import { MACHINE_SCOPES } from './connect/provider.mjs';
import { createAuthKit, DEFAULT_API_KEY, DEFAULT_CLIENT_ID } from './index.mjs';

/** A machine-to-machine application to try things with; a secret only in form, like the API key's default. */
const MACHINE = { clientId: 'client_local_machine', clientSecret: 'sk_test_local_machine', scopes: MACHINE_SCOPES };

const USAGE = `Usage: node main.mjs [--port 4100] [--state-file PATH] [--auto-sign-in USER]

  --port          on 127.0.0.1; 0 takes any free one
  --state-file    keeps keys, sessions and typed-in users over a restart
  --auto-sign-in  id or e-mail of the user who is signed in without a page

Environment: WORKOS_CLIENT_ID (default ${DEFAULT_CLIENT_ID}), WORKOS_API_KEY (default ${DEFAULT_API_KEY})
Machine-to-machine application: ${MACHINE.clientId}, ${MACHINE.clientSecret} (${MACHINE.scopes.join(' ')})
`;

/** @returns {{port: number, stateFile?: string, autoSignIn: string | null}} */
function readArguments() {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: '4100' },
      'state-file': { type: 'string' },
      'auto-sign-in': { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    process.exit(0);
  }
  const port = /^\d{1,5}$/.test(values.port) ? Number(values.port) : NaN;
  if (!(port <= 65535)) throw new TypeError('--port must be a number from 0 to 65535');
  return { port, stateFile: values['state-file'], autoSignIn: values['auto-sign-in'] ?? null };
}

let options;
try {
  options = readArguments();
} catch (error) {
  process.stderr.write(`${/** @type {Error} */ (error).message}\n\n${USAGE}`);
  process.exit(2);
}

try {
  const authkit = createAuthKit({
    clientId: process.env.WORKOS_CLIENT_ID || DEFAULT_CLIENT_ID,
    apiKey: process.env.WORKOS_API_KEY || DEFAULT_API_KEY,
    stateFile: options.stateFile,
    settings: { autoSignIn: options.autoSignIn },
  });
  if (options.autoSignIn && !authkit.findUser(options.autoSignIn)) throw new Error('--auto-sign-in names no user');
  authkit.addMachine(MACHINE);
  await authkit.listen({ port: options.port });
  // The address that people type, and that the Worker is told.
  authkit.settings.connectIssuer = `http://localhost:${new URL(authkit.url).port}`;
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => void authkit.close());
  process.stdout.write(`Local AuthKit (not WorkOS) ready at ${authkit.url}\n`);
} catch (error) {
  process.stderr.write(`local AuthKit: ${/** @type {Error} */ (error).message}\n`);
  process.exit(1);
}
