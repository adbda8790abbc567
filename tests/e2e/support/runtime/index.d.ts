/** The bundle, build/index.js: the tests load it beside the entry module. */
import { WorkerEntrypoint } from 'cloudflare:workers';

export default class Bundle extends WorkerEntrypoint {
  constructor(ctx: ExecutionContext, env: unknown);
  fetch(request: Request): Promise<Response>;
}
