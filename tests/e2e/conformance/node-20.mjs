/**
 * Lets the conformance runner start on Node 20: of what Node 22 brought it names one function, which
 * testing a server never calls. `node --import` this before the runner.
 */

import { register } from 'node:module';

const HOOKS = `
export async function resolve(specifier, context, next) {
  if (specifier !== 'fs' || !context.parentURL?.includes('/@modelcontextprotocol/conformance/')) return next(specifier, context);
  const source = "export * from 'node:fs'; export { default } from 'node:fs'; export function globSync() { throw new Error('needs Node 22'); }";
  return { url: 'data:text/javascript,' + encodeURIComponent(source), shortCircuit: true };
}
`;

if (Number(process.versions.node.split('.')[0]) < 22) register(`data:text/javascript,${encodeURIComponent(HOOKS)}`);
