import { F32, type Field, gguf, I32, TEXT, U32 } from '../../../packages/loaders/test/gguf-writer.ts';

/** A file that is computed where it is read, never held: the same bytes at the same place every time. */
export interface RandomFile {
  readonly size: number;
  read(offset: number, length: number): Uint8Array;
}

/** The 256 bytes as GPT-2 writes them: printable ones as they are, the others from U+0100 on. */
function byteTokens(): string[] {
  let next = 256;
  const printable = (byte: number): boolean => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : next++));
}

/** 32 random bits of a place (the finaliser of MurmurHash3). */
function bitsAt(place: number): number {
  let h = (place + 0x9e3779b9) | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** Two f16 in ±[2^-7, 2^-6): of any bits, so small that sums over thousands stay near 1. */
const halves = (bits: number): number => (bits & 0x83ff83ff) | 0x20002000;
/** An f32 in [0.5, 1). */
const positive = (bits: number): number => (bits & 0x007fffff) | 0x3f000000;
/** An f32 in (-1, -0.5]: A, and a delta bias. */
const negative = (bits: number): number => positive(bits) | 0x80000000;

/** A Mamba of random f16 weights that speaks in single bytes. 6 layers of width 2048 make 320 MB. */
export function randomGguf({ layers, width }: { layers: number; width: number }): RandomFile {
  const [inner, state, rank] = [2 * width, 16, width / 16];
  const tokens = [...byteTokens(), '<|end|>'];
  const fields: Field[] = [
    ['general.architecture', TEXT, 'mamba'],
    ['mamba.embedding_length', U32, width],
    ['mamba.block_count', U32, layers],
    ['mamba.ssm.conv_kernel', U32, 4],
    ['mamba.ssm.inner_size', U32, inner],
    ['mamba.ssm.state_size', U32, state],
    ['mamba.ssm.time_step_rank', U32, rank],
    ['mamba.attention.layer_norm_rms_epsilon', F32, 1e-5],
    ['tokenizer.ggml.model', TEXT, 'gpt2'],
    ['tokenizer.ggml.pre', TEXT, 'gpt-2'],
    ['tokenizer.ggml.tokens', [TEXT], tokens],
    ['tokenizer.ggml.token_type', [I32], tokens.map((_, id) => (id < 256 ? 1 : 3))],
    ['tokenizer.ggml.merges', [TEXT], []],
  ];
  const [f32, f16] = [0, 1];
  const tensors: { name: string; dims: number[]; type: number; offset: number; end: number; word: typeof halves }[] =
    [];
  const add = (name: string, dims: number[], word: typeof halves): void => {
    const type = word === halves ? f16 : f32;
    const bytes = dims.reduce((a, b) => a * b) * (type === f16 ? 2 : 4);
    const offset = Math.ceil((tensors.at(-1)?.end ?? 0) / 32) * 32;
    tensors.push({ name, dims, type, offset, end: offset + bytes, word });
  };
  add('token_embd.weight', [width, tokens.length], halves);
  add('output_norm.weight', [width], positive);
  for (let i = 0; i < layers; i++) {
    add(`blk.${i}.attn_norm.weight`, [width], positive);
    add(`blk.${i}.ssm_in.weight`, [width, 2 * inner], halves);
    add(`blk.${i}.ssm_conv1d.weight`, [4, inner], positive);
    add(`blk.${i}.ssm_conv1d.bias`, [inner], negative);
    add(`blk.${i}.ssm_x.weight`, [inner, rank + 2 * state], halves);
    add(`blk.${i}.ssm_dt.weight`, [rank, inner], halves);
    add(`blk.${i}.ssm_dt.bias`, [inner], negative);
    add(`blk.${i}.ssm_a`, [state, inner], negative);
    add(`blk.${i}.ssm_d`, [inner], positive);
    add(`blk.${i}.ssm_out.weight`, [inner, width], halves);
  }
  const none = new Uint8Array(0);
  const header = gguf(
    fields,
    tensors.map(({ name, dims, type, offset }) => ({ name, dims, type, offset, data: none })),
  );
  const size = header.length + Math.ceil(tensors.at(-1)!.end / 32) * 32;
  return {
    size,
    read(offset, length) {
      // Whole words, then cut.
      const [first, last] = [Math.floor(offset / 4), Math.ceil((offset + length) / 4)];
      const words = new Int32Array(last - first);
      for (const { offset: begin, end, word } of tensors) {
        const [from, to] = [(header.length + begin) / 4, (header.length + end) / 4];
        for (let at = Math.max(from, first); at < Math.min(to, last); at++) words[at - first] = word(bitsAt(at));
      }
      const bytes = new Uint8Array(words.buffer);
      if (4 * first < header.length) bytes.set(header.subarray(4 * first, 4 * last));
      return bytes.subarray(offset - 4 * first, offset - 4 * first + length);
    },
  };
}
