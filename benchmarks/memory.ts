/**
 * How much memory does loading a large file take? A GGUF model of random f16 numbers is written to a temporary folder and
 * loaded in a process of its own, whose most resident memory (as the system counts it) must stay below the file's size and
 * a margin. A second process gives the loading up half-way. See docs/trust/README.md.
 *
 *     node benchmarks/memory.ts [--bytes 2500000000] [--margin 268435456] [--dir FOLDER] [--json] [--greedy]
 *
 * Prints figures (JSON with --json), progress to stderr; exit code 1 where a promise was broken. `--greedy` keeps the file
 * in memory as well, to show that it is seen.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { fromPretrained } from 'mamba-ts/node';
import { F32, type Field, gguf, TEXT, type TensorInfo, U32 } from '../packages/loaders/test/gguf-writer.ts';

const { values } = parseArgs({
  options: {
    bytes: { type: 'string', default: '2500000000' },
    margin: { type: 'string', default: String(256 << 20) },
    dir: { type: 'string', default: tmpdir() },
    json: { type: 'boolean', default: false },
    greedy: { type: 'boolean', default: false },
    load: { type: 'string' },
    abort: { type: 'boolean', default: false },
  },
});

const LAYERS = 8;
const STATE = 16;
const [F32_TYPE, F16_TYPE] = [0, 1];

/** Names, axes (the contiguous one first) and types of a Mamba model of `width` columns and `vocab` tokens. */
function tensorsOf(width: number, vocab: number): { name: string; dims: number[]; type: number }[] {
  const [inner, rank] = [2 * width, width / 16];
  const layer = (n: number): [string, number[], number][] => [
    [`blk.${n}.attn_norm.weight`, [width], F32_TYPE],
    [`blk.${n}.ssm_in.weight`, [width, 2 * inner], F16_TYPE],
    [`blk.${n}.ssm_conv1d.weight`, [4, inner], F32_TYPE],
    [`blk.${n}.ssm_conv1d.bias`, [inner], F32_TYPE],
    [`blk.${n}.ssm_x.weight`, [inner, rank + 2 * STATE], F16_TYPE],
    [`blk.${n}.ssm_dt.weight`, [rank, inner], F16_TYPE],
    [`blk.${n}.ssm_dt.bias`, [inner], F32_TYPE],
    [`blk.${n}.ssm_a`, [STATE, inner], F32_TYPE],
    [`blk.${n}.ssm_d`, [inner], F32_TYPE],
    [`blk.${n}.ssm_out.weight`, [inner, width], F16_TYPE],
  ];
  const all: [string, number[], number][] = [
    ['token_embd.weight', [width, vocab], F16_TYPE],
    ['output_norm.weight', [width], F32_TYPE],
    ...Array.from({ length: LAYERS }, (_, n) => layer(n)).flat(),
  ];
  return all.map(([name, dims, type]) => ({ name, dims, type }));
}

const bytesOf = ({ dims, type }: { dims: readonly number[]; type: number }): number =>
  dims.reduce((product, axis) => product * axis, type === F16_TYPE ? 2 : 4);

/** 1 MiB of numbers of either sign: f16 of 2^-7 to 2^-6, f32 of -2 to -1 (A is negative, and nothing else minds). */
function chunkOf(type: number): Buffer {
  const out = Buffer.alloc(1 << 20);
  let state = 1;
  for (let at = 0; at < out.length; at += 4) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    out.writeUInt32LE(
      type === F16_TYPE ? ((state & 0x83ff83ff) | 0x20002000) >>> 0 : ((state & 0x007fffff) | 0xbf800000) >>> 0,
      at,
    );
  }
  return out;
}

/** The model whose vocabulary makes the file as long as `bytes`, or a little longer. */
function writeModel(path: string, bytes: number): void {
  const width = bytes < 1e9 ? 512 : 4096;
  const rest = tensorsOf(width, 0).reduce((sum, tensor) => sum + bytesOf(tensor), 0);
  const vocab = Math.max(256, Math.ceil((bytes - rest) / (2 * width)));
  let offset = 0;
  const tensors = tensorsOf(width, vocab).map((tensor): TensorInfo => {
    const placed = { ...tensor, offset, data: new Uint8Array(0) };
    offset += Math.ceil(bytesOf(tensor) / 32) * 32;
    return placed;
  });
  const counts: Record<string, number> = {
    context_length: 4096,
    embedding_length: width,
    block_count: LAYERS,
    'ssm.conv_kernel': 4,
    'ssm.inner_size': 2 * width,
    'ssm.state_size': STATE,
    'ssm.time_step_rank': width / 16,
  };
  const fields: Field[] = [
    ['general.architecture', TEXT, 'mamba'],
    ...Object.entries(counts).map(([key, count]): Field => [`mamba.${key}`, U32, count]),
    ['mamba.attention.layer_norm_rms_epsilon', F32, 1e-5],
  ];
  const chunks = [chunkOf(F32_TYPE), chunkOf(F16_TYPE)];
  const file = openSync(path, 'w');
  writeSync(file, gguf(fields, tensors));
  for (const tensor of tensorsOf(width, vocab)) {
    const length = Math.ceil(bytesOf(tensor) / 32) * 32;
    for (let done = 0; done < length; )
      done += writeSync(file, chunks[tensor.type]!, 0, Math.min(1 << 20, length - done));
  }
  closeSync(file);
}

interface Outcome {
  readonly peakBytes: number;
  readonly seconds: number;
  /** Calls of `onProgress`, and the most seconds between two of them. */
  readonly progress: number;
  readonly longestSilence: number;
  /** From the abort to the rejection. */
  readonly abortMs?: number;
  /** Tokens that the model was tried on. */
  readonly scored: number;
}

/** What the processes of their own do: load `path` and score three tokens, or give up half-way. */
async function load(path: string): Promise<Outcome> {
  const kept = values.greedy ? readFileSync(path) : null;
  const started = performance.now();
  const controller = new AbortController();
  let [told, progress, longestSilence, aborted] = [started, 0, 0, 0];
  let scored = 0;
  try {
    const model = await fromPretrained(path, {
      worker: false,
      signal: controller.signal,
      onProgress({ done, total }) {
        const now = performance.now();
        longestSilence = Math.max(longestSilence, (now - told) / 1000);
        [told, progress] = [now, progress + 1];
        if (values.abort && done > total / 2 && !aborted) {
          aborted = now;
          controller.abort(new Error('given up'));
        }
      },
    });
    scored = (await model.score([1, 2, 3, 4])).scored;
    await model.dispose();
  } catch (error) {
    if (!values.abort || (error as Error).message !== 'given up') throw error;
  }
  const ended = performance.now();
  if (kept) process.stderr.write(`the file of ${kept.length} bytes was kept\n`);
  return {
    peakBytes: process.resourceUsage().maxRSS * 1024,
    seconds: (ended - started) / 1000,
    progress,
    longestSilence,
    ...(values.abort && { abortMs: ended - aborted }),
    scored,
  };
}

function inProcess(path: string, abort: boolean): Outcome {
  const script = fileURLToPath(import.meta.url);
  const flags = [...(abort ? ['--abort'] : []), ...(values.greedy ? ['--greedy'] : [])];
  const { status, stdout } = spawnSync(process.execPath, [script, '--load', path, ...flags], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (status !== 0) throw new Error(`loading ended with ${status}`);
  return JSON.parse(stdout) as Outcome;
}

function measure(): void {
  const folder = mkdtempSync(join(values.dir, 'mamba-memory-'));
  const path = join(folder, 'random.gguf');
  try {
    process.stderr.write(`writing ${values.bytes} bytes\n`);
    writeModel(path, Number(values.bytes));
    const { size } = statSync(path);
    process.stderr.write('loading\n');
    const whole = inProcess(path, false);
    process.stderr.write('loading half\n');
    const half = inProcess(path, true);
    const margin = Number(values.margin);
    const problems: string[] = [];
    for (const [what, { peakBytes }] of Object.entries({ loading: whole, 'giving up': half })) {
      if (peakBytes >= size + margin) problems.push(`${what}: ${peakBytes} bytes, above ${size} + ${margin}`);
    }
    if (whole.scored !== 3) problems.push(`the model scored ${whole.scored} tokens, not 3`);
    if (whole.progress < 10) problems.push(`progress was told ${whole.progress} times`);
    if (!((half.abortMs ?? Number.POSITIVE_INFINITY) < 1000) || half.scored > 0) {
      problems.push(`loading went on for ${half.abortMs} ms after the abort`);
    }
    const beyondFile = whole.peakBytes - size;
    const result = { node: process.version, fileBytes: size, beyondFile, whole, half, problems };
    console.log(values.json ? JSON.stringify(result) : JSON.stringify(result, null, 2));
    if (problems.length > 0) process.exitCode = 1;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

if (values.load === undefined) measure();
else console.log(JSON.stringify(await load(values.load)));
