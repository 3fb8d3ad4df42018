import { createInterface } from 'node:readline';

const PROMPT = '> ';

/** Where the user's lines come from; null after the last. */
export type Lines = () => Promise<string | null>;

/**
 * Lines typed at a terminal, with editing and history. Keys are read one by one only while a line is awaited: during an
 * answer the terminal keeps what is typed, and Ctrl-C is the system's signal.
 */
function terminalLines(onInterrupt: () => void): Lines {
  const reader = createInterface({ input: process.stdin, output: process.stderr, terminal: true, prompt: PROMPT });
  // Several lines may be pasted at once.
  const typed: string[] = [];
  let ended = false;
  let deliver: ((line: string | null) => void) | null = null;
  const rest = (): void => {
    reader.pause();
    process.stdin.setRawMode(false);
  };
  reader.on('line', (line) => {
    if (!deliver) return typed.push(line);
    rest();
    deliver(line);
    deliver = null;
  });
  reader.on('close', () => {
    ended = true;
    deliver?.(null);
  });
  reader.on('SIGINT', () => {
    onInterrupt();
    // The half-typed line goes.
    reader.write(null, { ctrl: true, name: 'e' });
    reader.write(null, { ctrl: true, name: 'u' });
    reader.prompt();
  });
  rest();
  return async () => {
    const next = typed.shift();
    if (next !== undefined) {
      process.stderr.write(`${PROMPT}${next}\n`);
      return next;
    }
    if (ended) return null;
    return new Promise((resolve) => {
      deliver = resolve;
      process.stdin.setRawMode(true);
      reader.prompt();
    });
  };
}

/**
 * Lines of a pipe or file. They are repeated on stderr, so that a log of both outputs reads as the conversation does at
 * a terminal.
 */
function pipedLines(): Lines {
  const lines = createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY })[Symbol.asyncIterator]();
  return async () => {
    const { value, done } = await lines.next();
    if (done) return null;
    process.stderr.write(`${PROMPT}${value}\n`);
    return value;
  };
}

export const openLines = (onInterrupt: () => void): Lines =>
  process.stdin.isTTY ? terminalLines(onInterrupt) : pipedLines();
