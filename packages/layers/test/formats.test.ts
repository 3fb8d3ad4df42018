/**
 * Every format with every architecture that it can hold. docs/formats.md is made from the names of these tests
 * (scripts/formats-table.mjs): `FORMAT × ARCHITECTURE: what is compared`.
 */
import { type ConfigJson, findArchitecture, listParameters, loadLanguageModel, randomWeights } from '@mamba-ts/layers';
import {
  type CheckpointSource,
  ggufContent,
  memoryFolder,
  memorySource,
  type OpenedModel,
  openModel,
  openSafetensors,
  writeGguf,
} from '@mamba-ts/loaders';
import { decodeToF32, f32ToBf16, f32ToF16 } from '@mamba-ts/tensor';
import { createReferenceBackend } from '@mamba-ts/tensor/reference';
import { describe, expect, test } from 'vitest';
import { loadFixture } from '../../../fixtures/load.ts';
import { expectedOf, maxDifference, spread } from './checkpoint.ts';

/** One model of each architecture and layout, by its folder in fixtures/. */
const MODELS: Readonly<Record<string, string>> = {
  mamba: 'mamba/plain',
  'mamba (original layout)': 'mamba/original',
  falcon_mamba: 'mamba/falcon',
  mamba2: 'mamba2/group-per-head',
  'mamba2 (original layout)': 'mamba2/original',
  'mamba3 (SISO)': 'mamba3/siso',
  'mamba3 (MIMO)': 'mamba3/mimo',
  gpt_neox: 'gpt_neox/plain',
  llama: 'llama/plain',
};

const open = async (files: Readonly<Record<string, string | Uint8Array>>): Promise<OpenedModel> => {
  const read = Object.entries(files).map(
    async ([name, from]) => [name, typeof from === 'string' ? await loadFixture(from) : from] as const,
  );
  return openModel(memoryFolder('m', Object.fromEntries(await Promise.all(read))));
};

async function logitsOf(opened: OpenedModel, original: string): Promise<Float32Array> {
  const architecture = await findArchitecture(opened.config);
  const config = opened.config as Record<string, unknown>;
  const model = await loadLanguageModel(architecture, config, opened.weights, createReferenceBackend());
  const { ids } = await expectedOf(original);
  return model.forward(ids, model.createState(), 'all');
}

/** The largest difference of the logits from those of transformers, as a share of their range. */
async function distance(opened: OpenedModel, original: string): Promise<number> {
  const expected = await (await expectedOf(original)).values('logits');
  return maxDifference(await logitsOf(opened, original), expected) / spread(expected);
}

/** The safetensors file of a fixture with each matrix through `encode`, under the dtype's name in the header. */
async function reencoded(
  folder: string,
  dtype: string,
  encode: (values: Float32Array) => Uint8Array,
): Promise<Uint8Array> {
  const bytes = await loadFixture(`${folder}/model.safetensors`);
  const file = await openSafetensors(memorySource('model.safetensors', bytes));
  const header: Record<string, unknown> = {};
  const pieces: Uint8Array[] = [];
  let end = 0;
  for (const { name, shape, begin, end: last } of file.tensors.values()) {
    const raw = bytes.slice(file.dataStart + begin, file.dataStart + last);
    const matrix = shape.length >= 2;
    const piece = matrix ? encode(decodeToF32(raw, 'f32')) : raw;
    header[name] = { dtype: matrix ? dtype : 'F32', shape, data_offsets: [end, end + piece.length] };
    end += piece.length;
    pieces.push(piece);
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const whole = new Uint8Array(8 + json.length + end);
  new DataView(whole.buffer).setBigUint64(0, BigInt(json.length), true);
  whole.set(json, 8);
  let at = 8 + json.length;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

interface Coded {
  readonly encode: (values: Float32Array) => Uint8Array;
  readonly decode: (bytes: Uint8Array) => Float32Array;
}

const halves = (dtype: 'f16' | 'bf16', convert: (value: number) => number) => async (): Promise<Coded> => ({
  encode: (values) => new Uint8Array(Uint16Array.from(values, convert).buffer),
  decode: (bytes) => decodeToF32(bytes, dtype),
});

/** The code of the nearest value, by PyTorch's table of all 256. */
const eighths = (name: 'e4m3' | 'e5m2') => async (): Promise<Coded> => {
  const bytes = await loadFixture('safetensors/fp8.safetensors');
  const file = await openSafetensors(memorySource('fp8', bytes));
  const { begin, end } = file.tensors.get(`${name}.values`)!;
  const values = decodeToF32(bytes.slice(file.dataStart + begin, file.dataStart + end), 'f32');
  const table = [...values]
    .map((value, code) => ({ value, code }))
    .filter(({ value }) => Number.isFinite(value))
    .sort((a, b) => a.value - b.value);
  const nearest = (value: number): number => {
    let [low, high] = [0, table.length - 1];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (table[middle]!.value <= value) low = middle;
      else high = middle;
    }
    return value - table[low]!.value <= table[high]!.value - value ? table[low]!.code : table[high]!.code;
  };
  return {
    encode: (from) => Uint8Array.from(from, nearest),
    decode: (codes) => Float32Array.from(codes, (code) => values[code]!),
  };
};

const CODES: Readonly<Record<string, () => Promise<Coded>>> = {
  F16: halves('f16', f32ToF16),
  BF16: halves('bf16', f32ToBf16),
  F8_E4M3: eighths('e4m3'),
  F8_E5M2: eighths('e5m2'),
};

describe('safetensors', () => {
  for (const [architecture, folder] of Object.entries(MODELS)) {
    const config = `${folder}/config.json`;

    test(`safetensors F32 × ${architecture}: logits within 2e-4 of their range`, async () => {
      const opened = await open({ 'config.json': config, 'model.safetensors': `${folder}/model.safetensors` });
      expect(await distance(opened, folder)).toBeLessThanOrEqual(2e-4);
    });

    for (const [dtype, coded] of Object.entries(CODES)) {
      test(`safetensors ${dtype} × ${architecture}: the logits of the same values in f32, to the bit`, async () => {
        const { encode, decode } = await coded();
        const logits = async (file: Uint8Array): Promise<Float32Array> =>
          logitsOf(await open({ 'config.json': config, 'model.safetensors': file }), folder);
        const found = await logits(await reencoded(folder, dtype, encode));
        const rounded = (values: Float32Array): Uint8Array => new Uint8Array(decode(encode(values)).buffer);
        expect(found).toEqual(await logits(await reencoded(folder, 'F32', rounded)));
        expect(found).not.toEqual(await logits(await loadFixture(`${folder}/model.safetensors`)));
      });
    }
  }

  test('safetensors in shards × mamba: logits within 2e-4 of their range', async () => {
    const names = [
      'model-00001-of-00002.safetensors',
      'model-00002-of-00002.safetensors',
      'model.safetensors.index.json',
    ];
    const folder = 'mamba/bf16-shards';
    const files = Object.fromEntries(['config.json', ...names].map((name) => [name, `${folder}/${name}`]));
    expect(await distance(await open(files), folder)).toBeLessThanOrEqual(2e-4);
  });
});

describe('PyTorch', () => {
  const FILES = {
    mamba: ['pytorch/plain/pytorch_model.bin', 'mamba/plain'],
    'mamba (original layout)': ['pytorch/mamba-original.bin', 'mamba/original'],
    falcon_mamba: ['pytorch/mamba-falcon.bin', 'mamba/falcon'],
    mamba2: ['pytorch/mamba2-plain.bin', 'mamba2/plain'],
    'mamba3 (SISO)': ['pytorch/mamba3-siso.bin', 'mamba3/siso'],
    gpt_neox: ['pytorch/gpt_neox-plain.bin', 'gpt_neox/plain'],
    llama: ['pytorch/llama-plain.bin', 'llama/plain'],
  } as const;
  for (const [architecture, [file, original]] of Object.entries(FILES)) {
    test(`PyTorch × ${architecture}: logits within 2e-4 of their range`, async () => {
      const opened = await open({ 'config.json': `${original}/config.json`, 'pytorch_model.bin': file });
      expect(await distance(opened, original)).toBeLessThanOrEqual(2e-4);
    });
  }

  test('PyTorch in shards × mamba: logits within 2e-4 of their range', async () => {
    const names = [1, 2].map((n) => `pytorch_model-0000${n}-of-00002.bin`).concat('pytorch_model.bin.index.json');
    const files = Object.fromEntries(['config.json', ...names].map((name) => [name, `pytorch/shards/${name}`]));
    expect(await distance(await open(files), 'mamba/bf16-shards')).toBeLessThanOrEqual(2e-4);
  });
});

describe('GGUF', () => {
  const FILES = {
    'GGUF F32 × mamba': [['mamba-plain'], 'mamba/plain'],
    'GGUF F32 × falcon_mamba': [['mamba-falcon'], 'mamba/falcon'],
    'GGUF BF16, in parts × mamba': [['mamba-bf16-00001-of-00002', 'mamba-bf16-00002-of-00002'], 'mamba/bf16-shards'],
    'GGUF F32 × mamba2': [['mamba2-group-per-head'], 'mamba2/group-per-head'],
    'GGUF F32 × gpt_neox': [['gptneox-plain'], 'gpt_neox/plain'],
    'GGUF F32 × llama': [['llama-plain'], 'llama/plain'],
    'GGUF F32 × llama (one key head)': [['llama-one-key'], 'llama/one-key'],
    'GGUF F32 × llama (rotary factors of Llama 3)': [['llama-grouped'], 'llama/grouped'],
  } as const;
  for (const [name, [parts, original]] of Object.entries(FILES)) {
    test(`${name}: logits within 2e-4 of their range`, async () => {
      const opened = await open(Object.fromEntries(parts.map((part) => [`${part}.gguf`, `gguf/${part}.gguf`])));
      expect(await distance(opened, original)).toBeLessThanOrEqual(2e-4);
    });
  }
});

describe('GGUF files that we write', () => {
  const wide = { vocab_size: 97, hidden_size: 256, num_hidden_layers: 1, tie_word_embeddings: true };
  const heads = { num_attention_heads: 4, intermediate_size: 256, max_position_embeddings: 64 };
  const CONFIGS: Readonly<Record<string, ConfigJson>> = {
    mamba: { ...wide, model_type: 'mamba', expand: 1, state_size: 4, time_step_rank: 16 },
    falcon_mamba: { ...wide, model_type: 'falcon_mamba', expand: 1, state_size: 4, tie_word_embeddings: false },
    mamba2: { ...wide, model_type: 'mamba2', expand: 1, state_size: 16, num_heads: 4, head_dim: 64, n_groups: 2 },
    gpt_neox: { ...wide, ...heads, model_type: 'gpt_neox', tie_word_embeddings: false },
    llama: { ...wide, ...heads, model_type: 'llama', num_key_value_heads: 2 },
  };
  const TYPES = ['f16', 'bf16', 'q8_0', 'q4_0', 'q4_k', 'q5_k', 'q6_k'] as const;

  /** The same values, decoded. */
  const inF32 = (weights: CheckpointSource): CheckpointSource => ({
    ...weights,
    entries: new Map([...weights.entries].map(([name, entry]) => [name, { ...entry, dtype: 'f32' }])),
    async *read(name) {
      const { dtype } = weights.entries.get(name)!;
      for await (const piece of weights.read(name)) yield new Uint8Array(decodeToF32(piece, dtype).buffer);
    },
  });

  for (const [name, json] of Object.entries(CONFIGS)) {
    for (const dtype of TYPES) {
      test(`GGUF ${dtype.toUpperCase()} × ${name}: the logits of the same values in f32, to the bit`, async () => {
        const architecture = await findArchitecture(json);
        const config = architecture.huggingFaceConfig!(json);
        const tree = architecture.createModel(architecture.parseConfig(config)).parameters;
        const weights = randomWeights(tree, 'f32', 1);
        const written = ggufContent({ name, config, parameters: listParameters(tree), weights, dtype });
        const pieces: Uint8Array[] = [];
        for await (const piece of writeGguf(written.metadata, written.tensors)) pieces.push(piece.slice());
        const file = new Uint8Array(await new Blob(pieces as BlobPart[]).arrayBuffer());
        const opened = await openModel(memorySource('m.gguf', file));
        expect([...opened.weights.entries.values()].filter((entry) => entry.dtype === dtype).length).toBeGreaterThan(1);
        const original = MODELS[name]!;
        const found = await logitsOf(opened, original);
        expect(found).toEqual(await logitsOf({ ...opened, weights: inF32(opened.weights) }, original));
        expect(found).not.toEqual(
          await logitsOf({ ...opened, config, weights: { ...opened.weights, ...weights } }, original),
        );
      });
    }
  }
});
