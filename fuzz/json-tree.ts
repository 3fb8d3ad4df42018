/**
 * JSON as a tree that keeps what `JSON.parse` hides: the order and duplicates of members, and how each scalar is spelled.
 * Scalars may be spelled in any way (`01`, `NaN`, `'a'`): mutants are to try those too.
 */
export type JsonNode = { text: string } | { items: JsonNode[] } | { members: [key: string, value: JsonNode][] };

const SPACE = ' \t\n\r';
const MARKS = '{}[],:';

/**
 * The end of the token at `start`: a string in quotes, a mark, or a run of anything else up to space, mark or quote. By
 * hand, as a regular expression overflows its stack on a string of megabytes.
 */
function tokenEnd(text: string, start: number): number {
  if (MARKS.includes(text[start]!)) return start + 1;
  if (text[start] === '"') {
    for (let at = start + 1; at < text.length; at++) {
      if (text[at] === '\\') at++;
      else if (text[at] === '"') return at + 1;
    }
    return start + 1;
  }
  let at = start + 1;
  while (at < text.length && text[at] !== '"' && !SPACE.includes(text[at]!) && !MARKS.includes(text[at]!)) at++;
  return at;
}

/**
 * The tree of a text, and the text without spaces; null where brackets, commas and colons do not fit together. Iterative,
 * so that any depth will do.
 */
export function parseTree(text: string): { root: JsonNode; canonical: string } | null {
  const canonical: string[] = [];
  /** The containers that are open, and for an object the key that waits for its value. */
  const open: { node: { items: JsonNode[] } | { members: [string, JsonNode][] }; key: string | null }[] = [];
  let root: JsonNode | null = null;
  let want: 'value' | 'value or ]' | 'key' | 'key or }' | ':' | ', or end' = 'value';
  let at = 0;
  while (true) {
    while (at < text.length && SPACE.includes(text[at]!)) at++;
    if (at === text.length) break;
    if (root !== null && open.length === 0) return null;
    const end = tokenEnd(text, at);
    const token = text.slice(at, end);
    at = end;
    canonical.push(token);
    const top = open.at(-1);
    if (want === ':') {
      if (token !== ':') return null;
      want = 'value';
    } else if ((want === 'key' || want === 'key or }') && token.startsWith('"')) {
      top!.key = token;
      want = ':';
    } else if (token === '}' || token === ']') {
      const fits = want === ', or end' || want === (token === ']' ? 'value or ]' : 'key or }');
      if (!top || !fits || 'items' in top.node !== (token === ']')) return null;
      open.pop();
      want = ', or end';
    } else if (want === ', or end') {
      if (token !== ',') return null;
      want = 'items' in top!.node ? 'value' : 'key';
    } else if (want === 'key' || want === 'key or }' || token === ',' || token === ':') {
      return null;
    } else {
      const node: JsonNode = token === '{' ? { members: [] } : token === '[' ? { items: [] } : { text: token };
      if (!top) root = node;
      else if ('items' in top.node) top.node.items.push(node);
      else top.node.members.push([top.key!, node]);
      if ('text' in node) want = ', or end';
      else {
        open.push({ node, key: null });
        want = 'items' in node ? 'value or ]' : 'key or }';
      }
    }
  }
  return root === null || open.length > 0 ? null : { root, canonical: canonical.join('') };
}

export function printTree(node: JsonNode): string {
  if ('text' in node) return node.text;
  if ('items' in node) return `[${node.items.map(printTree).join()}]`;
  return `{${node.members.map(([key, value]) => `${key}:${printTree(value)}`).join()}}`;
}

export function cloneTree(node: JsonNode): JsonNode {
  if ('text' in node) return { text: node.text };
  if ('items' in node) return { items: node.items.map(cloneTree) };
  return { members: node.members.map(([key, value]) => [key, cloneTree(value)]) };
}
