/**
 * The module names that a TypeScript source asks for: static, dynamic and type imports, re-exports, `require`,
 * `import.meta.resolve` and `new URL('…', import.meta.url)`. A small lexer, because TypeScript 7 has no API for it
 * and because names inside comments, strings and regular expressions must not count.
 */
export function importsOf(source) {
  const tokens = lex(source);
  const found = [];
  const text = (index) => tokens[index]?.text;
  const string = (index) => (tokens[index]?.kind === 'string' ? tokens[index].text : undefined);
  const add = (name, token) => {
    if (name !== undefined) found.push({ name, line: token.line });
  };
  for (const [i, token] of tokens.entries()) {
    if (token.kind !== 'word' || text(i - 1) === '.') continue;
    if (token.text === 'require' && text(i + 1) === '(') add(string(i + 2), token);
    // new URL('…', import.meta.url)
    if (token.text === 'new' && text(i + 1) === 'URL' && text(i + 5) === 'import') add(string(i + 3), token);
    // import('…')   import '…'   import.meta.resolve('…')
    if (token.text === 'import') {
      if (text(i + 1) === '(') add(string(i + 2), token);
      else if (text(i + 1) !== '.') add(string(i + 1), token);
      else if (text(i + 4) === 'resolve') add(string(i + 6), token);
    }
    // import [type] x, { a as b } from '…'   export [type] { a } from '…'   export * as x from '…'
    if (token.text === 'import' || (token.text === 'export' && /^(type|\{|\*)$/.test(text(i + 1)))) {
      let j = i + 1;
      const inClause = () => tokens[j]?.kind === 'word' || tokens[j]?.kind === 'string' || /^[{},*]$/.test(text(j));
      const atFrom = () => tokens[j]?.kind === 'word' && text(j) === 'from' && string(j + 1) !== undefined;
      while (inClause() && !atFrom()) j += 1;
      if (atFrom()) add(string(j + 1), token);
    }
  }
  return found;
}

/** A `/` after one of these starts a regular expression; after any other word, a name or a closing bracket it divides. */
const beforeRegex = /^(return|typeof|case|in|of|do|else|void|delete|throw|new|await|yield|[^\w$)\]}])$/;

/** Words, strings (without their quotes; a template with `${` is no string) and single punctuation characters. */
function lex(source) {
  const tokens = [];
  const templates = []; // open braces inside each `${ … }`
  let line = 1;
  let i = 0;
  const push = (kind, text) => tokens.push({ kind, text, line });
  const skip = (length) => {
    for (const character of source.slice(i, i + length)) if (character === '\n') line += 1;
    i += length;
  };
  const template = () => {
    const match = /^(?:[^`\\$]|\\[\s\S]|\$(?!\{))*(`|\$\{|$)/.exec(source.slice(i));
    if (match[1] === '${') templates.push(0);
    return match;
  };
  while (i < source.length) {
    const rest = source.slice(i, i + 2);
    const character = rest[0];
    let match;
    if (rest === '//') skip((source.indexOf('\n', i) + 1 || source.length + 1) - 1 - i);
    else if (rest === '/*') skip((source.indexOf('*/', i + 2) + 1 || source.length) + 1 - i);
    else if (/\s/.test(character)) skip(1);
    else if (character === '"' || character === "'") {
      match = /^(['"])((?:\\[\s\S]|(?!\1)[^\\\n])*)\1?/.exec(source.slice(i));
      push('string', match[2]);
      skip(match[0].length);
    } else if (character === '`') {
      skip(1);
      match = template();
      push(match[1] === '`' ? 'string' : 'template', match[0].slice(0, -1));
      skip(match[0].length);
    } else if (character === '}' && templates.at(-1) === 0) {
      templates.pop();
      skip(1);
      match = template();
      push('template', match[0]);
      skip(match[0].length);
    } else if (
      character === '/' &&
      (tokens.length === 0 || beforeRegex.test(tokens.at(-1).text)) &&
      tokens.at(-1)?.kind !== 'string'
    ) {
      match = /^\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\[\n])+\/[a-z]*/.exec(source.slice(i)) ?? ['/'];
      push('regex', match[0]);
      skip(match[0].length);
    } else if (/[\w$]/.test(character)) {
      match = /^[\w$]+/.exec(source.slice(i));
      push('word', match[0]);
      skip(match[0].length);
    } else {
      if (templates.length > 0 && character === '{') templates[templates.length - 1] += 1;
      if (templates.length > 0 && character === '}') templates[templates.length - 1] -= 1;
      push('punctuation', character);
      skip(1);
    }
  }
  return tokens;
}
