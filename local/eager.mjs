/**
 * When V8 compiles the functions of a script. It reads a function twice: with the script, to find its end, and at its first
 * call, to compile it, while a request waits. A function in parentheses it takes for one that is called at once, and
 * compiles it with the script: https://v8.dev/blog/preparser#pife. A runtime that starts isolates ahead of requests has
 * done that before the first one.
 */

import ts from 'typescript';

/**
 * The script with its functions in parentheses: those that its top level declares, and all that are expressions. Methods
 * and arrow functions stay as they are.
 *
 * @param {string} script a module
 */
export function withEagerFunctions(script) {
  const source = ts.createSourceFile('script.js', script, ts.ScriptTarget.Latest, true, ts.ScriptKind.JS);
  /** @type {string[]} */
  const declared = [];
  /** @type {string[]} */
  const others = [];
  for (const statement of source.statements) (isDeclared(statement) ? declared : others).push(textOf(statement));
  // Before everything else, as functions are that a script declares: the statements above them may call them.
  return `${[...declared, ...others].join('\n')}\n`;
}

/**
 * Whether the top level declares a function, and keeps it to itself.
 *
 * @param {ts.Node} node
 * @returns {node is ts.FunctionDeclaration & { name: ts.Identifier }}
 */
function isDeclared(node) {
  if (!ts.isFunctionDeclaration(node) || !node.name || !ts.isSourceFile(node.parent)) return false;
  return !(ts.getCombinedModifierFlags(node) & ts.ModifierFlags.Export);
}

/** The text of a node with its functions in parentheses. @param {ts.Node} node @returns {string} */
function textOf(node) {
  const script = node.getSourceFile().text;
  const name = isDeclared(node) ? node.name : undefined;
  let text = '';
  let at = node.getStart();
  ts.forEachChild(node, (child) => {
    text += script.slice(at, child.getStart());
    if (child !== name) text += textOf(child);
    at = child.end;
  });
  text += script.slice(at, node.end);
  if (name) return `var ${name.text}=(${text});`;
  return ts.isFunctionExpression(node) && !ts.isParenthesizedExpression(node.parent) ? `(${text})` : text;
}
