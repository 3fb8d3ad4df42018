// Compares this package with Python's `tokenizers` on a given tokenizer.json, on random Unicode strings.
//
//   pip install -r fixtures/requirements-tokenizer.txt
//   PYTHON=python3 node packages/tokenizer/scripts/diff-neox.mjs PATH/tokenizer.json [--count 20000] [--seed 1]
//   … --code-points    compares every code point of Unicode in place of random strings
//
// Needs a Node that runs TypeScript (22.18 or later). Exit code 1 when anything differs.
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Tokenizer } from '../src/index.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    count: { type: 'string', default: '20000' },
    seed: { type: 'string', default: '1' },
    'code-points': { type: 'boolean', default: false },
  },
});
const [path] = positionals;
if (path === undefined)
  throw new Error('usage: diff-neox.mjs PATH/tokenizer.json [--count N] [--seed N] [--code-points]');

const everyCodePoint = values['code-points'];
const expected = everyCodePoint ? 0x110000 - 0x800 : Number(values.count);
const tokenizer = Tokenizer.fromJSON(await readFile(path));
const script = fileURLToPath(new URL('../../../fixtures/tokenizer.py', import.meta.url));
const oracle = spawn(
  process.env.PYTHON ?? 'python3',
  [
    script,
    '--oracle',
    path,
    '--count',
    values.count,
    '--seed',
    values.seed,
    ...(everyCodePoint ? ['--code-points'] : []),
  ],
  { stdio: ['ignore', 'pipe', 'inherit'] },
);
const exit = new Promise((resolve, reject) => {
  oracle.on('error', reject);
  oracle.on('exit', resolve);
});

let lines = 0;
const equal = { encode: 0, decode: 0, 'decode without special tokens': 0, streaming: 0 };
let shown = 0;
for await (const line of createInterface({ input: oracle.stdout, crlfDelay: Number.POSITIVE_INFINITY })) {
  const [text, ids, sequence, decoded, withoutSpecial] = JSON.parse(line);
  lines++;
  const stream = tokenizer.createDecoder({ skipSpecialTokens: false });
  const pairs = {
    encode: [tokenizer.encode(text).join(), ids.join()],
    decode: [tokenizer.decode(sequence, { skipSpecialTokens: false }), decoded],
    'decode without special tokens': [tokenizer.decode(sequence), withoutSpecial],
    streaming: [sequence.map((id) => stream.push(id)).join('') + stream.flush(), decoded],
  };
  for (const [name, [ours, theirs]] of Object.entries(pairs)) {
    if (ours === theirs) equal[name]++;
    else if (shown++ < 10) console.log(JSON.stringify({ name, text, sequence, ours, theirs }));
  }
}
if ((await exit) !== 0 || lines !== expected) throw new Error(`the oracle wrote ${lines} lines and failed`);
for (const [name, count] of Object.entries(equal)) console.log(`${name}: ${count} of ${lines} equal`);
process.exitCode = Object.values(equal).every((count) => count === lines) ? 0 : 1;
