/**
 * Lets the conformance runner start on Node 20, which has no `globSync` in `fs`: the runner imports the
 * name for a command that is not used here. All else it needs is there. A Node 22 from npm would be
 * 180 MB, for each platform another.
 */

import { register } from 'node:module';

const FS = 'export * from "node:fs"; export { globSync } from "data:text/javascript,export const globSync = undefined";';

const HOOKS = `
export function resolve(specifier, context, next) {
  if (specifier !== 'fs' || !context.parentURL.includes('/@modelcontextprotocol/conformance/')) return next(specifier, context);
  return { url: 'data:text/javascript,' + ${JSON.stringify(encodeURIComponent(FS))}, shortCircuit: true };
}
`;

register(`data:text/javascript,${encodeURIComponent(HOOKS)}`);
