/** `POST /mcp` with the official SDK: one tool, stateless, answered with JSON. */

import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { WebStandardStreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js';
import { z } from 'zod';

import { Expense, LIST_MAX, listExpenses } from './expenses.mjs';

/** @typedef {import('./sessions.mjs').SignedIn} SignedIn */

const input = { limit: z.number().int().min(1).max(LIST_MAX).default(100) };
const output = { expenses: z.array(Expense), next_cursor: z.string().nullable() };

/** A server and a transport for each request, as the SDK demands of stateless ones. @param {import('hono').Context<SignedIn>} c */
export async function answerMessage(c) {
  const server = new McpServer({ name: 'expenses', version: '0.1.0' });
  server.registerTool(
    'list_expenses',
    {
      title: 'List expenses',
      description: "The user's expenses, newest first.",
      inputSchema: input,
      outputSchema: output,
      annotations: { readOnlyHint: true },
    },
    async ({ limit }) => {
      const structuredContent = { expenses: await listExpenses(c.env, c.get('user'), limit), next_cursor: null };
      return { content: [{ type: 'text', text: JSON.stringify(structuredContent) }], structuredContent };
    },
  );
  const transport = new WebStandardStreamableHTTPServerTransport({ enableJsonResponse: true });
  await server.connect(transport);
  return transport.handleRequest(c.req.raw);
}
