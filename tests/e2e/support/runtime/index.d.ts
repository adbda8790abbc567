/** The bundle, build/index.js: the tests load it beside the entry module. */

/** The entry of edge-host. */
export interface Entry {
  fetch(request: Request, env: unknown, context: ExecutionContext): Response | Promise<Response>;
  /** The entry's `[Symbol.for('edge-host.live')]`: how many items of each kind it keeps for events under way. */
  [name: symbol]: () => Record<string, number>;
}
/** The entry of worker-build, which the example has. */
export type EntryClass = new (
  context: ExecutionContext,
  env: unknown,
) => { fetch(request: Request): Promise<Response> };

declare const Bundle: Entry | EntryClass;
export default Bundle;
