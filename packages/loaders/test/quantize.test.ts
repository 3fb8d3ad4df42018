import { DEQUANTIZE } from '@mamba-ts/tensor';
import { expect, test } from 'vitest';
import { loadFixture } from '../../../fixtures/load.ts';
import { QUANTIZE } from '../src/gguf/quantize.ts';
import { GGML_TYPES } from '../src/gguf/types.ts';
import { memorySource, openSafetensors } from '../src/index.ts';

const REMAKE = 'the fixture is made by: .venv/bin/python fixtures/gguf_quantized.py LIBRARY';

async function fixture(): Promise<(name: string) => Uint8Array> {
  const bytes = await loadFixture('gguf-quantized.safetensors');
  const { tensors, dataStart } = await openSafetensors(memorySource('blocks', bytes));
  return (name) => {
    const { begin, end } = tensors.get(name)!;
    return bytes.slice(dataStart + begin, dataStart + end);
  };
}

test.each([...QUANTIZE])('%s: the bytes of llama.cpp, random and adversarial values', async (name, quantize) => {
  const part = await fixture();
  const values = new Float32Array(part('values').buffer);
  const expected = part(name);
  const type = [...GGML_TYPES.values()].find((each) => each.name === name)!;
  const blocks = values.length / type.block;
  // What was there before must not shine through.
  const found = new Uint8Array(expected.length).fill(0xff);
  quantize(values, blocks, found);
  for (let block = 0; block < blocks; block++) {
    const span = (bytes: Uint8Array) => bytes.subarray(block * type.bytes, (block + 1) * type.bytes);
    expect(span(found), `block ${block}. ${REMAKE}`).toEqual(span(expected));
  }
  // And they are worth something: the reader gets back what was written, within half a step.
  const back = new Float32Array(values.length);
  DEQUANTIZE.get(name)!(found, blocks, back);
  const worst = Math.max(...values.subarray(0, 256).map((value, i) => Math.abs(value - back[i]!)));
  expect(worst).toBeGreaterThan(0);
  expect(worst).toBeLessThan(name.startsWith('q8') ? 0.02 : name.startsWith('q4') ? 0.35 : 0.15);
});
