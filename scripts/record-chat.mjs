/**
 * `node scripts/record-chat.mjs`: records docs/chat.md's terminal session anew, from real runs with a fixed seed.
 * scripts/record-chat.test.ts tells when that is due.
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cliPath } from './setup.mjs';

export const page = fileURLToPath(new URL('../docs/chat.md', import.meta.url));

/** The kernels are named, for the last bits of others may differ, and with them a token. */
const RUNS = [
  [
    ['--seed', '9', '--temperature', '0.6', '--backend', 'wasm-simd'],
    [
      'ROMEO:',
      'JULIET:',
      '/retry',
      '/fork balcony',
      'ROMEO: What shall I swear by?',
      '/switch main',
      'Nurse:',
      '/undo',
      'Nurse:',
      '/stats',
      '/save verona.session',
      '/exit',
    ],
  ],
  [
    ['--load', 'verona.session', '--backend', 'wasm-simd'],
    ['/undo', 'Nurse:', ''],
  ],
];

/** stdout and stderr of one run in the order in which a terminal would show them. */
async function record(args, lines, cwd) {
  const log = join(cwd, 'log');
  const file = openSync(log, 'w');
  const child = spawn(process.execPath, [cliPath, 'chat', ...args], { cwd, stdio: ['pipe', file, file] });
  child.stdin.end(lines.map((line) => `${line}\n`).join(''));
  const code = await new Promise((resolve) => child.once('exit', resolve));
  closeSync(file);
  if (code !== 0) throw new Error(`mamba chat ended with ${code}: ${await readFile(log, 'utf8')}`);
  return `$ mamba chat ${args.join(' ')}\n${await readFile(log, 'utf8')}`;
}

/** The whole session; of all that is shown, only the speed depends on the machine. */
export async function transcript() {
  const cwd = await mkdtemp(join(tmpdir(), 'mamba-record-'));
  try {
    const parts = [];
    for (const [args, lines] of RUNS) parts.push(await record(args, lines, cwd));
    return parts
      .join('')
      .trimEnd()
      .replaceAll(/ at \d+ tokens\/s/g, ' at … tokens/s');
  } finally {
    await rm(cwd, { recursive: true });
  }
}

const BLOCK = /(```console\n)([\s\S]*?)(\n```)/;

/** The session that the page shows. */
export async function recorded() {
  return BLOCK.exec(await readFile(page, 'utf8'))?.[2];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const text = await transcript();
  const before = await readFile(page, 'utf8');
  if (!BLOCK.test(before)) throw new Error(`${page} has no \`\`\`console block`);
  await writeFile(
    page,
    before.replace(BLOCK, (_, open, _old, close) => `${open}${text}${close}`),
  );
}
