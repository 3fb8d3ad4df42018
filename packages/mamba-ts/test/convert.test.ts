import {
  type GgufFile,
  memoryFolder,
  memorySource,
  type OpenedModel,
  openGguf,
  openModel,
  openSafetensors,
} from '@mamba-ts/loaders';
import { isMambaError } from '@mamba-ts/tensor';
import { Tokenizer } from '@mamba-ts/tokenizer';
import { describe, expect, test } from 'vitest';
import { loadFixture } from '../../../fixtures/load.ts';
import { type ConvertDType, type ConvertedModel, convertModel } from '../src/convert.ts';

const openFolder = async (folder: string, names = ['config.json', 'model.safetensors']): Promise<OpenedModel> => {
  const files: Record<string, Uint8Array> = {};
  for (const name of names) files[name] = await loadFixture(`${folder}/${name}`);
  return openModel(memoryFolder(folder.replace('/', '-'), files));
};

async function bytesOf(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const piece of pieces) parts.push(piece.slice());
  return new Uint8Array(await new Blob(parts as BlobPart[]).arrayBuffer());
}

async function filesOf({ files }: ConvertedModel): Promise<Record<string, Uint8Array>> {
  const out: Record<string, Uint8Array> = {};
  for (const { name, pieces } of files) out[name] = await bytesOf(pieces);
  return out;
}

const toGguf = async (opened: OpenedModel, dtype?: ConvertDType): Promise<Uint8Array> =>
  Object.values(await filesOf(await convertModel(opened, 'gguf', { dtype })))[0]!;

async function tensorsOf(bytes: Uint8Array): Promise<{ file: GgufFile; data: Map<string, Uint8Array> }> {
  const file = await openGguf(memorySource('f.gguf', bytes));
  const data = new Map(
    file.tensors.map(({ name, begin, end }) => [name, bytes.slice(file.dataStart + begin, file.dataStart + end)]),
  );
  return { file, data };
}

const codeOf = async (run: () => Promise<unknown>): Promise<string> => {
  try {
    await run();
  } catch (error) {
    if (isMambaError(error)) return error.code;
    throw error;
  }
  return 'no error';
};

describe.each([
  ['mamba/plain', 'mamba-plain'],
  ['mamba/falcon', 'mamba-falcon'],
  ['mamba2/group-per-head', 'mamba2-group-per-head'],
  ['gpt_neox/plain', 'gptneox-plain'],
  ['llama/plain', 'llama-plain'],
  ['llama/one-key', 'llama-one-key'],
])('%s', (folder, gguf) => {
  test('becomes the GGUF file that PyPI gguf writes in llama.cpp names and orders: the same tensors, A within 1 ulp', async () => {
    const expected = await tensorsOf(await loadFixture(`gguf/${gguf}.gguf`));
    const found = await tensorsOf(await toGguf(await openFolder(folder)));
    const described = ({ file }: typeof found) =>
      Object.fromEntries(file.tensors.map(({ name, type, shape }) => [name, [type.name, ...shape]]));
    expect(described(found)).toEqual(described(expected));
    for (const [name, bytes] of expected.data) {
      if (!name.endsWith('ssm_a')) expect(found.data.get(name), name).toEqual(bytes);
      else {
        // -exp(A_log) in PyTorch's f32 and in ours, which is f64 rounded once.
        const [a, b] = [bytes, found.data.get(name)!].map((each) => new Float32Array(each.buffer));
        a!.forEach((value, i) => {
          expect(Math.abs(b![i]! / value - 1)).toBeLessThanOrEqual(2 ** -23);
        });
      }
    }
    const { metadata } = found.file;
    for (const [key, value] of expected.file.metadata) {
      // What the reference writer leaves out stands for the same.
      if (key !== 'general.name' && !key.endsWith('context_length')) expect(metadata.get(key), key).toEqual(value);
    }
    expect(metadata.get('general.file_type')).toBe(0);
  });

  test('and back: config.json, names, shapes and values of the folder, A_log within 1e-6', async () => {
    const opened = await openFolder(folder);
    const gguf = await openModel(memorySource('back.gguf', await toGguf(opened)));
    const files = await filesOf(await convertModel(gguf, 'safetensors'));
    const direct = await filesOf(await convertModel(opened, 'safetensors'));
    expect(Object.keys(files)).toEqual(['config.json', 'model.safetensors']);
    const [a, b] = await Promise.all(
      [direct, files].map(async (each) => {
        const bytes = each['model.safetensors']!;
        const { tensors, dataStart } = await openSafetensors(memorySource('model.safetensors', bytes));
        return new Map(
          [...tensors.values()].map(({ name, shape, begin, end }) => [
            name,
            { shape, values: new Float32Array(bytes.slice(dataStart + begin, dataStart + end).buffer) },
          ]),
        );
      }),
    );
    expect([...b!.keys()].sort()).toEqual([...a!.keys()].sort());
    for (const [name, { shape, values }] of a!) {
      const found = b!.get(name)!;
      expect(found.shape, name).toEqual(shape);
      if (!name.endsWith('A_log')) expect(found.values, name).toEqual(values);
      else expect(Math.max(...values.map((value, i) => Math.abs(found.values[i]! - value)))).toBeLessThan(1e-6);
    }
    const original = opened.weights.entries;
    for (const [name, { shape }] of original) if (b!.has(name)) expect(b!.get(name)!.shape, name).toEqual(shape);
    const back = (await openModel(memoryFolder('back', files))).config as Record<string, unknown>;
    const { transformers_version: _, ...own } = opened.config as Record<string, unknown>;
    for (const key of [
      'model_type',
      'hidden_size',
      'num_hidden_layers',
      'vocab_size',
      'rope_parameters',
      'time_step_limit',
      'n_groups',
    ]) {
      if (own[key] !== undefined) expect({ [key]: back[key] }).toMatchObject({ [key]: own[key] });
    }
  });
});

test('rotary factors of Llama 3: those of PyPI gguf within 1e-6, and again from the GGUF file to the bit', async () => {
  const factorsOf = (bytes: Uint8Array | undefined): Float32Array => new Float32Array(bytes!.slice().buffer);
  const expected = (await tensorsOf(await loadFixture('gguf/llama-grouped.gguf'))).data;
  const bytes = await toGguf(await openFolder('llama/grouped'));
  const found = (await tensorsOf(bytes)).data;
  expect([...found.keys()].sort()).toEqual([...expected.keys()].sort());
  const [a, b] = [expected, found].map((data) => factorsOf(data.get('rope_freqs.weight')));
  expect(Math.max(...a!.map((value, i) => Math.abs(b![i]! / value - 1)))).toBeLessThan(1e-6);
  expect(new Set(b).size).toBeGreaterThan(2);
  const again = (await tensorsOf(await toGguf(await openModel(memorySource('m.gguf', bytes))))).data;
  expect(factorsOf(again.get('rope_freqs.weight'))).toEqual(b);
});

test('original layout: the names and the config of Hugging Face, infinities as Python reads them', async () => {
  const files = await filesOf(await convertModel(await openFolder('mamba2/original'), 'safetensors', { dtype: 'f16' }));
  const text = new TextDecoder().decode(files['config.json']);
  expect(text).toContain('"model_type": "mamba2"');
  expect(text).toContain('"dtype": "float16"');
  const { config, weights } = await openModel(memoryFolder('m', files));
  expect(config).toMatchObject({ hidden_size: 24, vocab_size: 112, n_groups: 2 });
  expect(weights.entries.get('backbone.embeddings.weight')).toMatchObject({ dtype: 'f16', shape: [112, 24] });
  expect(weights.entries.get('backbone.layers.0.mixer.A_log')).toMatchObject({ dtype: 'f32' });
  expect(weights.metadata.get('format')).toBe('pt');
});

test('tokenizer and chat template go along, both ways', async () => {
  const opened: OpenedModel = {
    ...(await openFolder('mamba/plain')),
    tokenizerJson: new TextEncoder().encode(
      JSON.stringify({
        model: { type: 'BPE', vocab: { a: 0, b: 1, ab: 2 }, merges: ['a b'] },
        added_tokens: [
          {
            id: 3,
            content: '<eos>',
            special: true,
            normalized: false,
            single_word: false,
            lstrip: false,
            rstrip: false,
          },
        ],
        pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
        decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
      }),
    ),
    chatTemplate: new TextEncoder().encode('{{ messages[0].content }}{{ eos_token }}'),
    tokenizerConfig: new TextEncoder().encode('{"eos_token": "<eos>"}'),
  };
  const bytes = await toGguf({ ...opened, config: { ...(opened.config as object), eos_token_id: 3 } });
  const gguf = await openModel(memorySource('m.gguf', bytes));
  expect(gguf.tokenizerGguf!.get('tokenizer.chat_template')).toBe('{{ messages[0].content }}{{ eos_token }}');
  expect(gguf.config).toMatchObject({ eos_token_id: 3 });
  const again = await openModel(memorySource('m.gguf', await toGguf(gguf, 'q8_0')));
  expect(again.tokenizerGguf).toEqual(
    new Map(gguf.tokenizerGguf).set('general.file_type', 7).set('general.quantization_version', 2),
  );
  const files = await filesOf(await convertModel(gguf, 'safetensors'));
  expect(Object.keys(files)).toEqual([
    'config.json',
    'tokenizer.json',
    'tokenizer_config.json',
    'chat_template.jinja',
    'model.safetensors',
  ]);
  expect(files['chat_template.jinja']).toEqual(opened.chatTemplate);
  expect(JSON.parse(new TextDecoder().decode(files['tokenizer_config.json']))).toMatchObject({ eos_token: '<eos>' });
  const tokenizer = Tokenizer.fromJSON(files['tokenizer.json']!);
  expect(tokenizer.encode('ab<eos>b')).toEqual([2, 3, 1]);
});

describe('what cannot be said is refused, not left out', () => {
  test.each([
    ['mamba3/siso', 'gguf', undefined, 'CONVERT'],
    ['mamba/original-mlp', 'gguf', undefined, 'CONFIG'],
    ['mamba/falcon-bias', 'gguf', undefined, 'GGUF_CONFIG'],
    ['gpt_neox/odd-turn', 'gguf', undefined, 'GGUF_CONFIG'],
    ['mamba/plain', 'safetensors', 'q8_0', 'CONVERT'],
  ] as const)('%s to %s', async (folder, to, dtype, code) => {
    const opened = await openFolder(folder);
    expect(await codeOf(() => convertModel(opened, to, { dtype }))).toBe(code);
  });

  test('a Mamba without selection, for which GGUF has no words', async () => {
    const opened = await openFolder('mamba/plain');
    const config = { ...(opened.config as object), selective: false };
    await expect(convertModel({ ...opened, config }, 'gguf')).rejects.toMatchObject({
      code: 'GGUF_CONFIG',
      message: 'config.json: "selective" must be nothing or true in a GGUF file, found false',
    });
  });

  test('a weight beyond the type', async () => {
    const opened = await openFolder('mamba/plain');
    const huge: OpenedModel = {
      ...opened,
      weights: {
        ...opened.weights,
        async *read(name) {
          const { byteLength } = opened.weights.entries.get(name)!;
          yield new Uint8Array(new Float32Array(byteLength / 4).fill(1e5).buffer);
        },
      },
    };
    expect(await codeOf(async () => filesOf(await convertModel(huge, 'gguf', { dtype: 'f16' })))).toBe('TENSOR_RANGE');
    expect(await codeOf(async () => filesOf(await convertModel(huge, 'gguf', { dtype: 'q8_0' })))).toBe('TENSOR_RANGE');
  });

  test('an aborted conversion ends with the reason', async () => {
    const controller = new AbortController();
    const converted = await convertModel(await openFolder('mamba/plain'), 'gguf', {
      signal: controller.signal,
      onProgress: () => controller.abort('enough'),
    });
    await expect(filesOf(converted)).rejects.toBe('enough');
  });
});
