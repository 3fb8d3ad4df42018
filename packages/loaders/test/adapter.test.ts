import { decodeToF32, isMambaError } from '@mamba-ts/tensor';
import { describe, expect, test } from 'vitest';
import {
  adapterConfigText,
  adapterContent,
  type CheckpointSource,
  type LowRankUpdate,
  memoryFolder,
  memorySource,
  mergedSource,
  openAdapter,
  openSafetensors,
  recodedSource,
  renameSource,
  safetensorsWeights,
  type TensorToWrite,
  weightSample,
  writeSafetensors,
} from '../src/index.ts';

const TARGET = 'backbone.layers.0.mixer.in_proj.weight';
const [OUTPUTS, INPUTS, RANK] = [5, 32, 3];
const numbers = (length: number, seed: number): Float32Array =>
  Float32Array.from({ length }, (_, i) => Math.fround(Math.sin(i * seed + 1)));
const W = numbers(OUTPUTS * INPUTS, 1.7);
const UPDATE: LowRankUpdate = {
  inputs: INPUTS,
  outputs: OUTPUTS,
  rank: RANK,
  a: numbers(RANK * INPUTS, 0.3),
  b: numbers(OUTPUTS * RANK, 0.7),
  scale: 2,
  base: weightSample(W),
};
const CONFIG = { rank: RANK, alpha: 6, targets: ['in_proj'], base: 'somewhere/else' };

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

async function file(tensors: readonly TensorToWrite[], metadata?: Readonly<Record<string, string>>) {
  const pieces: Uint8Array[] = [];
  for await (const piece of writeSafetensors(tensors, metadata)) pieces.push(piece.slice());
  return new Uint8Array(await new Blob(pieces as BlobPart[]).arrayBuffer());
}

/** An adapter folder with other fields in its config or other tensors. */
async function folder(fields: object = {}, tensors?: readonly TensorToWrite[]) {
  const content = adapterContent(new Map([[TARGET, UPDATE]]));
  const config = { ...JSON.parse(adapterConfigText(CONFIG)), ...fields };
  return memoryFolder('style', {
    'adapter_config.json': new TextEncoder().encode(JSON.stringify(config)),
    'adapter_model.safetensors': await file(tensors ?? content.tensors, tensors ? undefined : content.metadata),
  });
}

async function model(values = W, shape: readonly number[] = [OUTPUTS, INPUTS]): Promise<CheckpointSource> {
  const tensors: TensorToWrite[] = [
    { name: TARGET, dtype: 'f32', shape, data: bytesOf(values) },
    { name: 'other', dtype: 'f32', shape: [2], data: bytesOf(Float32Array.of(1, 2)) },
  ];
  return safetensorsWeights([await openSafetensors(memorySource('model.safetensors', await file(tensors)))]);
}

async function read(source: Pick<CheckpointSource, 'entries' | 'read'>, name: string): Promise<Float32Array> {
  const values: number[] = [];
  for await (const piece of source.read(name)) values.push(...decodeToF32(piece, source.entries.get(name)!.dtype));
  return Float32Array.from(values);
}

const expected = W.map((w, e) => {
  const [o, i] = [Math.floor(e / INPUTS), e % INPUTS];
  let sum = 0;
  for (let k = 0; k < RANK; k++) sum += UPDATE.b[o * RANK + k]! * UPDATE.a[k * INPUTS + i]!;
  return w + 2 * sum;
});
const furthest = (found: Float32Array): number => Math.max(...found.map((v, i) => Math.abs(v - expected[i]!)));

describe('an adapter', () => {
  test('is read as it was written', async () => {
    const adapter = await openAdapter(await folder());
    expect(adapter).toEqual({ name: 'style', updates: new Map([[TARGET, UPDATE]]) });
  });

  test('rank-stabilised: the scale is alpha by the root of the rank', async () => {
    const { updates } = await openAdapter(await folder({ use_rslora: true }));
    expect(updates.get(TARGET)!.scale).toBe(6 / Math.sqrt(3));
  });

  test.each([
    ['ADAPTER_KIND', { peft_type: 'LOHA' }],
    ['ADAPTER_KIND', { peft_type: undefined }],
    ['ADAPTER_KIND', { use_dora: true }],
    ['ADAPTER_KIND', { bias: 'all' }],
    ['ADAPTER_KIND', { modules_to_save: ['lm_head'] }],
    ['ADAPTER_KIND', { rank_pattern: { in_proj: 4 } }],
    ['ADAPTER_KIND', { init_lora_weights: 'pissa' }],
    ['ADAPTER_CONFIG', { r: 0 }],
    ['ADAPTER_CONFIG', { r: '3' }],
    ['ADAPTER_CONFIG', { lora_alpha: null }],
    ['ADAPTER_TENSOR', { r: 4 }],
  ])('%s: %j', async (code, fields) => {
    await expect(openAdapter(await folder(fields))).rejects.toMatchObject({ code });
  });

  const prefix = `base_model.model.${TARGET.replace('.weight', '')}`;
  const f32 = (name: string, shape: number[]): TensorToWrite => ({
    name,
    dtype: 'f32',
    shape,
    data: new Uint8Array(4 * shape.reduce((a, b) => a * b, 1)),
  });
  test.each([
    ['a name of another kind', [f32(`${prefix}.lora_embedding_A`, [3, 4])]],
    ['A alone', [f32(`${prefix}.lora_A.weight`, [3, 4])]],
    ['B alone', [f32(`${prefix}.lora_B.weight`, [4, 3])]],
    ['a rank of its own', [f32(`${prefix}.lora_A.weight`, [2, 4]), f32(`${prefix}.lora_B.weight`, [4, 2])]],
    ['three axes', [f32(`${prefix}.lora_A.weight`, [3, 4, 1]), f32(`${prefix}.lora_B.weight`, [4, 3])]],
    ['nothing', []],
    ['integers', [{ ...f32(`${prefix}.lora_A.weight`, [3, 4]), dtype: 'i32' as const }]],
  ])('ADAPTER_TENSOR: %s', async (_, tensors) => {
    await expect(openAdapter(await folder({}, tensors))).rejects.toMatchObject({ code: 'ADAPTER_TENSOR' });
  });

  test('a file that is missing, and a config that is no JSON', async () => {
    await expect(openAdapter(memoryFolder('none', {}))).rejects.toMatchObject({ code: 'FILE_MISSING' });
    const broken = memoryFolder('broken', { 'adapter_config.json': Uint8Array.of(1) });
    await expect(openAdapter(broken)).rejects.toMatchObject({ code: 'ADAPTER_CONFIG_JSON' });
  });
});

describe('mergedSource', () => {
  test('W + scale B A within 1e-6, other tensors as they are', async () => {
    const merged = mergedSource(await model(), await openAdapter(await folder()));
    expect(furthest(await read(merged, TARGET))).toBeLessThanOrEqual(1e-6);
    expect(await read(merged, 'other')).toEqual(Float32Array.of(1, 2));
    expect(merged.entries.get(TARGET)).toEqual((await model()).entries.get(TARGET));
  });

  test('under the names of another layout, and from an adapter that does not tell its base', async () => {
    const renamed = renameSource(await model(W.map((w) => w + 1)), (name) => `old.${name}`);
    const { name, updates } = await openAdapter(await folder());
    const silent = { name, updates: new Map([[TARGET, { ...updates.get(TARGET)!, base: null }]]) };
    const merged = mergedSource(renamed, silent, (old) => old.replace('old.', ''));
    const found = await read(merged, `old.${TARGET}`);
    expect(furthest(found.map((w) => w - 1))).toBeLessThanOrEqual(1e-6);
  });

  test('a 16-bit weight stays one, a quantised one becomes f16 (within 0.02)', async () => {
    const { name, updates } = await openAdapter(await folder());
    const adapter = { name, updates: new Map([[TARGET, { ...updates.get(TARGET)!, base: null }]]) };
    for (const [dtype, after] of [
      ['f16', 'f16'],
      ['bf16', 'bf16'],
      ['q8_0', 'f16'],
    ] as const) {
      const source = { ...(await model()), ...recodedSource(await model(), TARGET, dtype) };
      const merged = mergedSource(source, adapter);
      expect(merged.entries.get(TARGET)).toMatchObject({ dtype: after, byteLength: 2 * OUTPUTS * INPUTS });
      expect(furthest(await read(merged, TARGET))).toBeLessThanOrEqual(0.02);
    }
  });

  test('ADAPTER_BASE: a weight that is missing, of another shape, of other values', async () => {
    const adapter = await openAdapter(await folder());
    const other = renameSource(await model(), (name) => name.replace('layers.0', 'layers.1'));
    const code = (merge: () => unknown): unknown => {
      try {
        merge();
      } catch (error) {
        return isMambaError(error) && error.code;
      }
      return null;
    };
    expect(code(() => mergedSource(other, adapter))).toBe('ADAPTER_BASE');
    const turned = await model(W, [INPUTS, OUTPUTS]);
    expect(code(() => mergedSource(turned, adapter))).toBe('ADAPTER_BASE');
    const changed = mergedSource(await model(W.map((w, i) => (i === 40 ? w + 1e-3 : w))), adapter);
    await expect(read(changed, TARGET)).rejects.toMatchObject({ code: 'ADAPTER_BASE' });
  });
});
