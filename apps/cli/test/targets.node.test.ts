import { expect, test } from 'vitest';
import { type SuiteRow, summarize, targetsOf } from '../src/suite/report.ts';

const row = (model: string, dtype: string, decode: number): SuiteRow => ({
  model,
  dtype,
  threads: 1,
  file_bytes: 1,
  limits: { read_gb_s: 1, f32_gflop_s: 1, dot_gop_s: 1 },
  engines: { node: { version: '', prefill_tok_s: summarize([1]), decode_tok_s: summarize([decode]) } },
  ratio_decode: 0.9,
  ratio_prefill: 0.5,
  against: { wllama: { decode: 5, prefill: 8 } },
});

test('the targets of each row: 4 bits against 8 for Mambas, for information for the rival', () => {
  const rows = ['mamba-130m', 'mamba2-130m', 'pythia-160m'].flatMap((model) => [
    row(model, 'q8_0', 10),
    row(model, 'q4_k', 14),
  ]);
  const told = targetsOf(rows).map(({ target, wanted, met }) => `${target} ${wanted} ${met}`);
  const mamba = (model: string): string[] => [
    `${model} q8_0, 1 thread: decode over the limit 0.85 true`,
    `${model} q8_0, 1 thread: decode over wllama 6 false`,
    `${model} q8_0, 1 thread: prefill over the limit 0.6 false`,
    `${model} q8_0, 1 thread: prefill over wllama 7 true`,
    `${model} q4_k, 1 thread: decode over wllama 6 false`,
    `${model} q4_k, 1 thread: decode over our q8_0 1.3 true`,
  ];
  expect(told).toEqual([
    ...mamba('mamba-130m'),
    ...mamba('mamba2-130m'),
    'pythia-160m q8_0, 1 thread: decode over wllama 4 true',
    'pythia-160m q8_0, 1 thread: prefill over wllama 5 true',
  ]);
});
