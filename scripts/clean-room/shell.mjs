/** Steps that are printed as they go, programs with a time limit, and a folder that disappears at the end. */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pinnedEnvironment } from '../setup.mjs';

const children = new Set();

/** Ends a child with everything that it started. */
function end(child) {
  try {
    if (process.platform === 'win32') child.kill('SIGKILL');
    else process.kill(-child.pid, 'SIGKILL');
  } catch {} // it has ended by itself
}

/** A program that goes on in the background until the returned function is called. */
export function start(command, args, { cwd, env = {}, onOutput = () => {} }) {
  const child = spawn(command, args, {
    cwd,
    env: { ...pinnedEnvironment(), CI: 'true', NO_COLOR: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: process.platform !== 'win32',
  });
  children.add(child);
  child.stdout.on('data', (data) => onOutput('stdout', data));
  child.stderr.on('data', (data) => onOutput('stderr', data));
  const ended = new Promise((resolve) => {
    child.on('error', (error) => resolve({ code: error.message }));
    child.on('close', (code, signal) => resolve({ code: code ?? signal }));
  }).finally(() => children.delete(child));
  return { ended, stop: () => end(child) };
}

/** Runs a program and returns its stdout. Throws with all that it said where it fails or takes longer than `seconds`. */
export async function run(command, args, { seconds = 120, ...options } = {}) {
  let stdout = '';
  let said = '';
  const { ended, stop } = start(command, args, {
    ...options,
    onOutput(stream, data) {
      said += data;
      if (stream === 'stdout') stdout += data;
    },
  });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    stop();
  }, seconds * 1000);
  const { code } = await ended;
  clearTimeout(timer);
  if (code !== 0) {
    const how = late ? `took more than ${seconds} s` : `ended with ${code}`;
    throw new Error(`${command} ${args.join(' ')} ${how} in ${options.cwd}:\n${said.trim()}`);
  }
  return stdout;
}

/** Runs and prints one step of the clean room; `describe` says what came out. Returns what `action` returns. */
export async function step(name, action, describe = (result) => (typeof result === 'string' ? result : '')) {
  const begin = performance.now();
  process.stdout.write(`clean room: ${name} … `);
  try {
    const result = await action();
    const seconds = `${((performance.now() - begin) / 1000).toFixed(1)} s`;
    process.stdout.write(`ok (${[describe(result), seconds].filter((part) => part !== '').join(', ')})\n`);
    return result;
  } catch (error) {
    process.stdout.write('FAILED\n');
    throw error;
  }
}

/** Calls `action` with an empty folder outside of the checkout; removes it and ends all programs, whatever happens. */
export async function withFolder(action, { keep = false } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'mamba-clean-room-'));
  const tidy = () => {
    for (const child of children) end(child);
    if (keep) process.stdout.write(`clean room: kept ${folder}\n`);
    else rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  };
  const leave = (signal) => {
    tidy();
    process.exit(signal === 'SIGINT' ? 130 : 143);
  };
  process.once('SIGINT', leave).once('SIGTERM', leave);
  try {
    return await action(folder);
  } finally {
    process.off('SIGINT', leave).off('SIGTERM', leave);
    tidy();
  }
}

/** Writes a file and the folders above it. */
export function write(file, text) {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}

export function expect(found, expected, what) {
  if (found !== expected)
    throw new Error(`${what}: expected\n${JSON.stringify(expected)}\nfound\n${JSON.stringify(found)}`);
}
