import { memorySource } from '../../packages/loaders/src/byte-source.ts';
import { openModel } from '../../packages/loaders/src/model.ts';
import {
  BOOL,
  F32,
  type Field,
  gguf as fileOf,
  I32,
  type Scalar,
  TEXT,
  type TensorInfo,
  U32,
} from '../../packages/loaders/test/gguf-writer.ts';
import { Tokenizer } from '../../packages/tokenizer/src/index.ts';
import type { Target } from '../fuzz.ts';
import type { Random } from '../random.ts';
import { checkConfig } from './config.ts';
import { useTokenizer } from './tokenizer.ts';

// Sound files whose metadata and tensors are mutated: what they say of a model and of its tokenizer. The file's own layout
// is attacked by the target gguf.

const f32 = (name: string, ...dims: number[]): TensorInfo => ({
  name,
  dims,
  type: 0,
  data: new Uint8Array(4 * dims.reduce((product, axis) => product * axis, 1)).fill(0xbe),
});
/** Axes of 32 and multiples: blocks of q8_0, f16 of small numbers. */
const q8_0 = (name: string, columns: number, rows: number): TensorInfo => ({
  name,
  dims: [columns, rows],
  type: 8,
  data: new Uint8Array((columns / 32) * rows * 34).fill(0x11),
});

const keys = (architecture: string, counts: Readonly<Record<string, number>>, more: readonly Field[] = []): Field[] => [
  ['general.architecture', TEXT, architecture],
  ...Object.entries(counts).map(([key, count]): Field => [`${architecture}.${key}`, U32, count]),
  ...more.map(([key, type, value]): Field => [`${architecture}.${key as string}`, type, value]),
];

const TOKENS = ['<unk>', '<s>', '</s>', ...'abc\u0120\u2581', 'ab', 'bc', '\u2581a', '<0x41>', '<0xC3>'];
const GPT2: readonly Field[] = [
  ['tokenizer.ggml.model', TEXT, 'gpt2'],
  ['tokenizer.ggml.pre', TEXT, 'gpt-2'],
  ['tokenizer.ggml.tokens', [TEXT], TOKENS],
  ['tokenizer.ggml.token_type', [I32], TOKENS.map((_, id) => (id < 3 ? 3 : 1))],
  ['tokenizer.ggml.merges', [TEXT], ['a b', 'b c']],
  ['tokenizer.ggml.bos_token_id', U32, 1],
  ['tokenizer.ggml.eos_token_id', U32, 2],
  ['tokenizer.ggml.add_bos_token', BOOL, true],
];
const SPM: readonly Field[] = [
  ['tokenizer.ggml.model', TEXT, 'llama'],
  ['tokenizer.ggml.tokens', [TEXT], TOKENS],
  [
    'tokenizer.ggml.token_type',
    [I32],
    TOKENS.map((token, id) => (id === 0 ? 2 : id < 3 ? 3 : token.length > 4 ? 6 : 1)),
  ],
  ['tokenizer.ggml.scores', [F32], TOKENS.map((_, id) => -id / 2)],
  ['tokenizer.ggml.bos_token_id', U32, 1],
  ['tokenizer.ggml.add_space_prefix', BOOL, true],
];

const VOCAB = TOKENS.length;
const MAMBA_COUNTS = {
  context_length: 99,
  embedding_length: 32,
  block_count: 1,
  'ssm.conv_kernel': 4,
  'ssm.inner_size': 64,
  'ssm.state_size': 4,
};
const EPS: Field = ['attention.layer_norm_rms_epsilon', F32, 1e-5];
const SSM = [
  f32('blk.0.attn_norm.weight', 32),
  f32('blk.0.ssm_conv1d.bias', 64),
  f32('blk.0.ssm_a', 4, 64),
  f32('blk.0.ssm_d', 64),
];
const TRANSFORMER_COUNTS = {
  context_length: 99,
  embedding_length: 32,
  block_count: 1,
  feed_forward_length: 64,
  'attention.head_count': 2,
  'rope.dimension_count': 16,
};

const MODELS: readonly { readonly fields: readonly Field[]; readonly tensors: readonly TensorInfo[] }[] = [
  {
    fields: [
      ...keys('mamba', { ...MAMBA_COUNTS, 'ssm.time_step_rank': 2 }, [EPS, ['ssm.dt_b_c_rms', BOOL, false]]),
      ...GPT2,
    ],
    tensors: [
      f32('token_embd.weight', 32, VOCAB),
      f32('output_norm.weight', 32),
      q8_0('blk.0.ssm_in.weight', 32, 128),
      f32('blk.0.ssm_conv1d.weight', 4, 64),
      f32('blk.0.ssm_x.weight', 64, 10),
      f32('blk.0.ssm_dt.weight', 2, 64),
      f32('blk.0.ssm_dt.bias', 64),
      q8_0('blk.0.ssm_out.weight', 64, 32),
      ...SSM,
    ],
  },
  {
    fields: [...keys('mamba2', { ...MAMBA_COUNTS, 'ssm.time_step_rank': 4, 'ssm.group_count': 1 }, [EPS]), ...SPM],
    tensors: [
      f32('token_embd.weight', 32, VOCAB),
      f32('output_norm.weight', 32),
      f32('blk.0.ssm_in.weight', 32, 140),
      f32('blk.0.ssm_conv1d.weight', 4, 72),
      f32('blk.0.ssm_dt.bias', 4),
      f32('blk.0.ssm_norm.weight', 64, 1),
      q8_0('blk.0.ssm_out.weight', 64, 32),
      f32('blk.0.attn_norm.weight', 32),
      f32('blk.0.ssm_conv1d.bias', 72),
      f32('blk.0.ssm_a', 1, 4),
      f32('blk.0.ssm_d', 1, 4),
    ],
  },
  {
    fields: [
      ...keys('llama', { ...TRANSFORMER_COUNTS, 'attention.head_count_kv': 1 }, [EPS, ['rope.freq_base', F32, 10_000]]),
      ...SPM,
    ],
    tensors: [
      q8_0('token_embd.weight', 32, VOCAB),
      f32('output_norm.weight', 32),
      f32('output.weight', 32, VOCAB),
      f32('blk.0.attn_norm.weight', 32),
      f32('blk.0.ffn_norm.weight', 32),
      q8_0('blk.0.attn_q.weight', 32, 32),
      f32('blk.0.attn_k.weight', 32, 16),
      f32('blk.0.attn_v.weight', 32, 16),
      f32('blk.0.attn_output.weight', 32, 32),
      f32('blk.0.ffn_gate.weight', 32, 64),
      f32('blk.0.ffn_up.weight', 32, 64),
      f32('blk.0.ffn_down.weight', 64, 32),
    ],
  },
  {
    fields: [
      ...keys('gptneox', TRANSFORMER_COUNTS, [
        ['attention.layer_norm_epsilon', F32, 1e-5],
        ['use_parallel_residual', BOOL, true],
      ]),
      ...GPT2,
    ],
    tensors: [
      f32('token_embd.weight', 32, VOCAB),
      f32('output.weight', 32, VOCAB),
      ...['weight', 'bias'].flatMap((part) => {
        const of = (name: string, ...dims: number[]): TensorInfo =>
          part === 'bias' ? f32(`${name}.bias`, dims.at(-1)!) : f32(`${name}.weight`, ...dims);
        return [
          of('output_norm', 32),
          of('blk.0.attn_norm', 32),
          of('blk.0.ffn_norm', 32),
          of('blk.0.attn_qkv', 32, 96),
          of('blk.0.attn_output', 32, 32),
          of('blk.0.ffn_up', 32, 64),
          of('blk.0.ffn_down', 64, 32),
        ];
      }),
    ],
  },
];
const SEEDS = MODELS.map(({ fields, tensors }) => fileOf(fields, tensors));

const COUNTS = [0, 1, 2, 3, 4, 5, 8, 16, 31, 32, 64, 96, 99, 1024, 1025, 2 ** 16, 2 ** 20, 2 ** 31 - 1, 2 ** 32 - 1];
const FLOATS = [0, -0, 1e-5, 1e-45, 1, -1, 10_000, 3e38, Number.POSITIVE_INFINITY, Number.NaN];
const TEXTS = [
  ...[
    'mamba',
    'mamba2',
    'llama',
    'gptneox',
    'qwen2',
    'gpt2',
    'gpt-2',
    'llama-bpe',
    'default',
    'linear',
    'yarn',
    'none',
    '',
  ],
  ...['a b', 'ab', '\u2581', '<0x41>', '<0xZZ>', '<s>', '\ud83d\udc0d', 'x'.repeat(1500), '__proto__', ' '],
];
const NEW_KEYS = [
  ...[
    'rope.scaling.type',
    'rope.scaling.factor',
    'attention.key_length',
    'attention.value_length',
    'vocab_size',
    'expert_count',
  ],
  ...['attention.head_count_kv', 'ssm.dt_b_c_rms', 'rope.dimension_sections', 'attention.sliding_window'],
];
const TOKENIZER_KEYS =
  'unknown_token_id eos_token_id add_eos_token add_bos_token add_space_prefix pre chat_template scores'.split(' ');

function value(random: Random, type: number): Scalar {
  if (type === TEXT) return random.pick(TEXTS);
  if (type === BOOL) return random.chance(0.5);
  return random.pick(type === F32 ? FLOATS : COUNTS);
}

function changeField(random: Random, [key, type, old]: Field): Field {
  const scalars = [U32, I32, F32, BOOL, TEXT];
  if (random.chance(0.1))
    return [key, random.chance(0.5) ? random.pick(scalars) : [random.pick(scalars)], []] as unknown as Field;
  if (typeof type === 'number') {
    const other = random.chance(0.85) ? type : random.pick(scalars);
    return [key, other, value(random, other)];
  }
  const list = [...(old as Scalar[])];
  for (let n = 1 + random.below(3); n > 0; n--) {
    const at = random.below(list.length + 1);
    const how = random.next();
    if (how < 0.5) list[Math.min(at, list.length)] = value(random, type[0]);
    else if (how < 0.65) list.splice(at, 1);
    else if (how < 0.8 && list.length > 0) list.splice(at, 0, random.pick(list));
    else if (how < 0.9 && list.length > 0)
      list.splice(at, 0, ...Array<Scalar>(random.below(40)).fill(random.pick(list)));
    else list.splice(at, 0, value(random, type[0]));
  }
  return [key, type, list];
}

function changeTensor(random: Random, tensor: TensorInfo): TensorInfo {
  const how = random.next();
  if (how < 0.25)
    return { ...tensor, name: tensor.name.replace(/blk\.\d+/, `blk.${random.pick([0, 1, 7, 9999, '00', '-1'])}`) };
  if (how < 0.45) return { ...tensor, name: random.pick(random.pick(MODELS).tensors).name };
  if (how < 0.6) return { ...tensor, dims: [...tensor.dims].reverse() };
  if (how < 0.85) {
    const dims = tensor.dims.map((axis) => (random.chance(0.5) ? random.pick([1, 2, 32, 64]) : Number(axis)));
    const elements = dims.reduce((product, axis) => product * axis, 1);
    return { ...tensor, dims, type: 0, data: new Uint8Array(4 * elements).fill(0x3e) };
  }
  const elements = tensor.dims.reduce<number>((product, axis) => product * Number(axis), 1);
  // f16 of infinity, i32, q4_0 of NaN.
  if (how < 0.9) return { ...tensor, type: 1, data: new Uint8Array(2 * elements).fill(0x7c) };
  if (how < 0.95) return { ...tensor, type: 26, data: new Uint8Array(4 * elements) };
  return { ...tensor, type: 2, data: new Uint8Array((elements / 32) * 18).fill(0x7e) };
}

function mutate(random: Random, seed: number): Uint8Array {
  const fields = [...MODELS[seed]!.fields];
  const tensors = [...MODELS[seed]!.tensors];
  const architecture = fields[0]![2] as string;
  for (let n = 1 + random.below(random.chance(0.7) ? 1 : 4); n > 0; n--) {
    const f = random.below(fields.length);
    const t = random.below(tensors.length);
    const how = random.next();
    if (how < 0.55 && fields[f]) fields[f] = changeField(random, fields[f]);
    else if (how < 0.6) fields.splice(f, 1);
    else if (how < 0.7) {
      const key = random.chance(0.5)
        ? `${architecture}.${random.pick(NEW_KEYS)}`
        : `tokenizer.ggml.${random.pick(TOKENIZER_KEYS)}`;
      const type = random.pick([U32, F32, BOOL, TEXT]);
      const at = fields.findIndex(([old]) => old === key);
      fields.splice(at < 0 ? fields.length : at, at < 0 ? 0 : 1, [key, type, value(random, type)]);
    } else if (how < 0.72) fields[0] = ['general.architecture', TEXT, random.pick(TEXTS)];
    else if (how < 0.76) tensors.splice(t, 1);
    // Two spellings of one layer.
    else if (how < 0.78 && tensors[t])
      tensors.push({ ...tensors[t], name: tensors[t].name.replace('blk.0', 'blk.00') });
    else if (tensors[t]) tensors[t] = changeTensor(random, tensors[t]);
  }
  return fileOf(fields, tensors);
}

/** Many layers, many tokens, many merges of the same, a text as long as it may be. */
const withField = (seed: number, ...changed: readonly Field[]): Uint8Array => {
  const { fields, tensors } = MODELS[seed]!;
  const kept = fields.filter(([key]) => !changed.some(([other]) => other === key));
  return fileOf([...kept, ...changed], tensors);
};
const LARGE: readonly (() => Uint8Array)[] = [
  () => withField(0, ['mamba.block_count', U32, 2 ** 32 - 1]),
  () => withField(1, ['mamba2.ssm.inner_size', U32, 2 ** 31], ['mamba2.ssm.time_step_rank', U32, 2 ** 31]),
  () => withField(2, ['llama.attention.head_count', U32, 1], ['llama.attention.key_length', U32, 2 ** 31]),
  () => withField(0, ['tokenizer.ggml.merges', [TEXT], Array<string>(50_000).fill('a b')]),
  () => withField(1, ['tokenizer.ggml.tokens', [TEXT], TOKENS.with(3, 'a'.repeat(1 << 20))]),
  () =>
    withField(
      1,
      ['tokenizer.ggml.tokens', [TEXT], Array.from({ length: 20_000 }, (_, i) => `a${i}`)],
      ['tokenizer.ggml.token_type', [I32], Array<number>(20_000).fill(4)],
      ['tokenizer.ggml.scores', [F32], Array.from({ length: 20_000 }, (_, i) => i)],
    ),
];

async function read(file: Uint8Array): Promise<void> {
  const { config, weights, tokenizerGguf } = await openModel(memorySource('mutant.gguf', file));
  await checkConfig(config);
  for (const { name, byteLength } of weights.entries.values()) {
    let bytes = 0;
    for await (const piece of weights.read(name)) bytes += piece.length;
    if (bytes !== byteLength) throw new Error(`tensor ${name} of ${byteLength} bytes gave ${bytes}`);
  }
  if (tokenizerGguf) useTokenizer(Tokenizer.fromGguf(tokenizerGguf));
}

export const ggufModel: Target = {
  name: 'gguf-model',
  codes: [
    ...['GGUF_ARCHITECTURE', 'GGUF_METADATA', 'GGUF_TENSOR', 'GGUF_SHAPE', 'CONFIG', 'TENSOR_NAME', 'TENSOR_MISSING'],
    ...['GGUF_DUPLICATE', 'GGUF_LIMIT'],
    ...['TOKENIZER_JSON', 'TOKENIZER_UNSUPPORTED', 'TOKENIZER_LIMIT'],
  ],
  seeds: SEEDS,
  mutate,
  large: LARGE,
  structure: (file) => new TextDecoder('latin1').decode(file),
  fixture: /never/,
  declaredLength: (file) => file.length,
  read,
};
