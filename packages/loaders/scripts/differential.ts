/**
 * Mutants of files through our readers and the reference readers in Python: nothing may be accepted that Python refuses,
 * what both accept must be equal bit for bit, and every error must be a typed one. `blocks` are random and adversarial
 * quantised blocks instead, which both must decode to the same bits. Prints how often each error code came.
 *
 *     python -m venv .venv && .venv/bin/pip install -r fixtures/requirements.txt -r fixtures/requirements-gguf.txt
 *     node packages/loaders/scripts/differential.ts safetensors|gguf|pytorch|blocks [MUTANTS] [SEED] [PYTHON]
 *
 * With SAMPLES=1, for each code one file that Python accepts and we do not.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { DEQUANTIZE, isMambaError } from '@mamba-ts/tensor';
import { mutantOf } from '../../../fuzz/fuzz.ts';
import { Random } from '../../../fuzz/random.ts';
import { gguf } from '../../../fuzz/targets/gguf.ts';
import { pytorch } from '../../../fuzz/targets/pytorch.ts';
import { safetensors } from '../../../fuzz/targets/safetensors.ts';
import { GGML_TYPES } from '../src/gguf/types.ts';
import { memorySource, openGguf, openPytorch, openSafetensors } from '../src/index.ts';
import { pytorchWeights } from '../src/pytorch/file.ts';
import { BLOCK_KINDS, hostileBlocks } from '../test/hostile-blocks.ts';

/** Of each tensor: type, shape, hash of its data (null where it is not compared). */
type Found = Record<string, readonly [string, readonly number[], string | null]>;

interface Side {
  file(seed: number, index: number): Uint8Array;
  read(file: Uint8Array): Promise<Found>;
}

const sha = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');

const TYPES = [...DEQUANTIZE.keys()];

const SIDES: Readonly<Record<string, Side>> = {
  safetensors: {
    file: (seed, index) => mutantOf(safetensors, seed, index).file,
    async read(file) {
      const { tensors, dataStart } = await openSafetensors(memorySource('mutant', file));
      const data = (begin: number, end: number): string => sha(file.subarray(dataStart + begin, dataStart + end));
      return Object.fromEntries([...tensors.values()].map((t) => [t.name, [t.dtype, t.shape, data(t.begin, t.end)]]));
    },
  },
  gguf: {
    file: (seed, index) => mutantOf(gguf, seed, index).file,
    async read(file) {
      const { tensors, dataStart } = await openGguf(memorySource('mutant', file));
      const data = (begin: number, end: number): string => sha(file.subarray(dataStart + begin, dataStart + end));
      return Object.fromEntries(tensors.map((t) => [t.name, [t.type.name, t.shape, data(t.begin, t.end)]]));
    },
  },
  pytorch: {
    file: (seed, index) => mutantOf(pytorch, seed, index).file,
    async read(file) {
      const opened = await openPytorch(memorySource('mutant', file));
      const weights = pytorchWeights([opened]);
      const found: [string, Found[string]][] = [];
      for (const { name, type, shape } of opened.tensors.values()) {
        const hash = weights.entries.has(name) ? createHash('sha256') : null;
        if (hash) for await (const piece of weights.read(name)) hash.update(piece);
        found.push([name, [type, shape, hash?.digest('hex') ?? null]]);
      }
      return Object.fromEntries(found);
    },
  },
  blocks: {
    file(seed, index) {
      const type = TYPES[index % TYPES.length]!;
      const round = Math.floor(index / TYPES.length);
      const kind = BLOCK_KINDS[round % BLOCK_KINDS.length]!;
      // 3,840 files of blocks are every pattern of a scale once, for every type.
      const first = 1024 * Math.floor(round / BLOCK_KINDS.length);
      const blocks = hostileBlocks(new Random(seed, index), type, kind, kind === 'sweep' ? 1024 : 64, first);
      return Buffer.concat([Buffer.from(`${type}\n`), blocks]);
    },
    async read(file) {
      const line = file.indexOf(10);
      const name = new TextDecoder().decode(file.subarray(0, line));
      const { block, bytes } = [...GGML_TYPES.values()].find((type) => type.name === name)!;
      const count = (file.length - line - 1) / bytes;
      const values = new Float32Array(count * block);
      DEQUANTIZE.get(name)!(file.subarray(line + 1), count, values);
      const bits = new Uint32Array(values.buffer);
      // Which NaN it is, no arithmetic says.
      for (let i = 0; i < bits.length; i++) if (Number.isNaN(values[i])) bits[i] = 0x7fc00000;
      return { [name]: ['f32', [bits.length], sha(new Uint8Array(bits.buffer))] };
    },
  },
};

const [reader = '', mutants = '20000', seedText = '1', executable = 'python3'] = process.argv.slice(2);
const side = Object.hasOwn(SIDES, reader) ? SIDES[reader]! : null;
if (!side) throw new Error(`which reader? ${Object.keys(SIDES).join(', ')}`);
const [count, seed] = [Number(mutants), Number(seedText)];
const script = new URL('differential.py', import.meta.url).pathname;
const python = spawn(executable, [script, reader], { stdio: ['pipe', 'pipe', 'ignore'] });
const theirs = createInterface({ input: python.stdout })[Symbol.asyncIterator]();

const codes = new Map<string, number>();
const stats = { both: 0, neither: 0, stricter: 0, slowThere: 0, wrong: 0, slowest: 0 };
const samples = new Map<string, string>();
const sorted = (value: Found): string => JSON.stringify(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
const shown = (file: Uint8Array): string => JSON.stringify(new TextDecoder('latin1').decode(file).slice(0, 2000));

for (let done = 0; done < count; ) {
  const first = done;
  const batch = Array.from({ length: Math.min(500, count - done) }, (_, i) => side.file(seed, first + i));
  done += batch.length;
  for (const file of batch) {
    const prefix = Buffer.alloc(4);
    prefix.writeUInt32LE(file.length);
    python.stdin.write(prefix);
    python.stdin.write(file);
  }
  for (const [i, file] of batch.entries()) {
    let ours: Found | null = null;
    let code = 'accepted';
    const started = performance.now();
    try {
      ours = await side.read(file);
    } catch (error) {
      code = isMambaError(error) ? error.code : 'UNTYPED';
      if (code === 'UNTYPED') console.error(error);
    }
    stats.slowest = Math.max(stats.slowest, performance.now() - started);
    codes.set(code, (codes.get(code) ?? 0) + 1);
    const line = await theirs.next();
    if (line.done) throw new Error('Python ended early');
    const reference = JSON.parse(line.value) as Found | 'slow' | null;
    if (reference === 'slow') stats.slowThere++;
    if (ours && (!reference || reference === 'slow' || sorted(ours) !== sorted(reference))) {
      stats.wrong++;
      console.error(`ACCEPTED WRONGLY: mutant ${first + i}\n${sorted(ours)}\n${JSON.stringify(reference)}`);
      if (process.env.SAMPLES) writeFileSync(`${reader}-${seed}-${first + i}`, file);
    } else if (ours) stats.both++;
    else if (reference && reference !== 'slow') {
      stats.stricter++;
      if (!samples.has(code)) samples.set(code, shown(file));
    } else if (!reference) stats.neither++;
  }
}
python.stdin.end();
console.log(JSON.stringify({ reader, count, seed, ...stats, codes: Object.fromEntries([...codes].sort()) }, null, 2));
if (process.env.SAMPLES) console.log(samples);
process.exitCode = stats.wrong > 0 || codes.has('UNTYPED') ? 1 : 0;
