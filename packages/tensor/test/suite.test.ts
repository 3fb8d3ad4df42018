import { expect, test } from 'vitest';
import type { Backend, Segment, Tensor } from '../src/index.ts';
import { createReferenceBackend } from '../src/reference/index.ts';
import { conformanceSuite } from '../src/testing/index.ts';

// A suite is worth what it catches: each fault below, built into an otherwise right backend, must turn a test red.

/** The titles of the tests that fail for `create`, among those whose title matches. */
async function failures(create: () => Backend, among: RegExp): Promise<string[]> {
  const tests: [title: string, body: () => Promise<void>][] = [];
  conformanceSuite(
    { name: 'faulty', create: async () => create(), cases: 60 },
    { describe: (_, body) => body(), test: (title, body) => void tests.push([title, body]), expect },
  );
  const failed: string[] = [];
  for (const [title, body] of tests) if (among.test(title)) await body().catch(() => failed.push(title));
  return failed;
}

const always = (segments: readonly Segment[], reset: boolean): Segment[] => segments.map((s) => ({ ...s, reset }));

/** Changes the values of what an op returns. */
function changed(y: Tensor, change: (value: number) => number): Tensor {
  const storage = y.storage as { data: Float32Array };
  storage.data.forEach((value, i) => {
    storage.data[i] = change(value);
  });
  return y;
}

const FAULTS: Record<string, { by: RegExp; fault: (b: Backend) => Partial<Backend> }> = {
  'linear leaves the bias out': { by: /^linear/, fault: (b) => ({ linear: (x, w) => b.linear(x, w, null) }) },
  'linear takes a view for contiguous': {
    by: /^linear/,
    fault: (b) => ({ linear: (x, w, bias) => b.linear({ ...x, rowStride: x.shape[1] }, w, bias) }),
  },
  'linear is off by 2e-5': {
    by: /^linear/,
    fault: (b) => ({ linear: (x, w, bias) => changed(b.linear(x, w, bias), (v) => v * (1 + 2e-5)) }),
  },
  'embedding clamps ids': {
    by: /TOKEN_ID/,
    fault: (b) => ({
      embedding: (ids, w) =>
        b.embedding(
          ids.map((id) => Math.min(Math.max(id, 0), w.shape[0]! - 1)),
          w,
        ),
    }),
  },
  'rmsNorm ignores eps': {
    by: /^rmsNorm/,
    fault: (b) => ({ rmsNorm: (x, w, _, groups) => b.rmsNorm(x, w, 0, groups) }),
  },
  'rmsNorm takes all groups for one': {
    by: /^rmsNorm/,
    fault: (b) => ({ rmsNorm: (x, w, eps) => b.rmsNorm(x, w?.shape[0] === x.shape[1] ? w : null, eps) }),
  },
  'ssd forgets its state': {
    by: /^ssd.*chunks/,
    fault: (b) => ({
      ssd: (x, dt, A, B, C, D, bias, limit, f, s) => b.ssd(x, dt, A, B, C, D, bias, limit, f, always(s, true)),
    }),
  },
  'ssd swaps B and C': {
    by: /^ssd/,
    fault: (b) => ({
      ssd: (x, dt, A, B, C, D, bias, limit, f, s) => b.ssd(x, dt, A, C, B, D, bias, limit, f, s),
    }),
  },
  'ssd ignores the limits of the step size': {
    by: /^ssd/,
    fault: (b) => ({
      ssd: (x, dt, A, B, C, D, bias, _, f, s) => b.ssd(x, dt, A, B, C, D, bias, [0, Number.POSITIVE_INFINITY], f, s),
    }),
  },
  'mamba3Scan forgets its state': {
    by: /^mamba3Scan.*chunks/,
    fault: (b) => ({ mamba3Scan: (i, w, form, f, s) => b.mamba3Scan(i, w, form, f, always(s, true)) }),
  },
  'mamba3Scan turns the other pairs': {
    by: /^mamba3Scan/,
    fault: (b) => ({
      mamba3Scan: (i, w, form, f, s) => b.mamba3Scan(i, w, { ...form, rotation: 'pairs' }, f, s),
    }),
  },
  'mamba3Scan forgets the token before': {
    by: /^mamba3Scan/,
    fault: (b) => ({
      mamba3Scan: (i, w, form, f, s) => b.mamba3Scan(i, w, form, { ...f, v: { ...f.v, offset: f.v.offset + 1 } }, s),
    }),
  },
  'mamba3Scan has no floor': {
    by: /^mamba3Scan/,
    fault: (b) => ({ mamba3Scan: (i, w, form, f, s) => b.mamba3Scan(i, w, { ...form, floor: 0 }, f, s) }),
  },
  'mimoGate leaves the output weights out': {
    by: /^mimoGate/,
    fault: (b) => ({ mimoGate: (y, gate, a) => b.mimoGate(y, gate, a, a) }),
  },
  'concat takes the parts the other way round': { by: /^concat/, fault: (b) => ({ concat: (x, y) => b.concat(y, x) }) },
  'siluGate is off by 1e-3': {
    by: /^siluGate/,
    fault: (b) => ({ siluGate: (x, gate) => changed(b.siluGate(x, gate), (v) => v * 1.001) }),
  },
  'layerNorm leaves the mean in': {
    by: /^layerNorm/,
    fault: (b) => ({
      layerNorm: (x, w, bias, eps) => (bias === null ? b.rmsNorm(x, w, eps) : b.layerNorm(x, w, bias, eps)),
    }),
  },
  'gelu takes one form for the other': {
    by: /^gelu/,
    fault: (b) => ({ gelu: (x, form) => b.gelu(x, form === 'erf' ? 'tanh' : 'erf') }),
  },
  'rope ignores the position': {
    by: /^rope/,
    fault: (b) => ({
      rope: (x, f, r, s) =>
        b.rope(
          x,
          f,
          r,
          s.map((one) => ({ ...one, position: 0 })),
        ),
    }),
  },
  'attention sees the cache from its start alone': {
    by: /^attention/,
    fault: (b) => ({
      attention: (q, k, v, scale, cache, s) =>
        b.attention(
          q,
          k,
          v,
          scale,
          cache,
          s.map((one) => ({ ...one, position: 0 })),
        ),
    }),
  },
  'attention is off by 1e-5': {
    by: /^attention/,
    fault: (b) => ({
      attention: (q, k, v, scale, cache, s) => changed(b.attention(q, k, v, scale, cache, s), (y) => y * (1 + 1e-4)),
    }),
  },
  'copySlot forgets the rows': { by: /^rows/, fault: (b) => ({ copySlot: (from, to) => b.copySlot(from, to) }) },
  'causalConv1d never resets': {
    by: /^causalConv1d/,
    fault: (b) => ({ causalConv1d: (x, w, o, a, f, s) => b.causalConv1d(x, w, o, a, f, always(s, false)) }),
  },
  'causalConv1d forgets its state': {
    by: /^causalConv1d.*chunks/,
    fault: (b) => ({ causalConv1d: (x, w, o, a, f, s) => b.causalConv1d(x, w, o, a, f, always(s, true)) }),
  },
  'selectiveScan forgets its state': {
    by: /^selectiveScan.*chunks/,
    fault: (b) => ({
      selectiveScan: (u, d, A, B, C, D, z, bias, sp, f, s) =>
        b.selectiveScan(u, d, A, B, C, D, z, bias, sp, f, always(s, true)),
    }),
  },
  'selectiveScan leaves the skip out': {
    by: /^selectiveScan/,
    fault: (b) => ({
      selectiveScan: (u, d, A, B, C, _, z, bias, sp, f, s) => b.selectiveScan(u, d, A, B, C, null, z, bias, sp, f, s),
    }),
  },
  'selectiveScan zeroes the whole slot': {
    by: /^selectiveScan/,
    fault: (b) => ({
      selectiveScan: (u, d, A, B, C, D, z, bias, sp, f, s) => {
        for (const { slot } of s) b.zeroSlot(slot);
        return b.selectiveScan(u, d, A, B, C, D, z, bias, sp, f, s);
      },
    }),
  },
  'selectiveScan skips nothing': {
    by: /^selectiveScan.*skipped/,
    fault: (b) => ({
      selectiveScan: (u, d, A, B, C, D, z, bias, sp, f, s) => b.selectiveScan(u, d, A, B, C, D, z, bias, sp, f, s),
    }),
  },
  'ssd skips every update': {
    by: /^ssd.*skipped/,
    fault: (b) => ({
      ssd: (x, dt, A, B, C, D, bias, limit, f, s, skipping) => {
        const all = skipping && { ...skipping, below: 1e6 };
        return b.ssd(x, dt, A, B, C, D, bias, limit, f, s, all);
      },
    }),
  },
  'add swallows NaN': {
    by: /^add/,
    fault: (b) => ({ add: (x, y) => changed(b.add(x, y), (v) => (Number.isNaN(v) ? 0 : v)) }),
  },
  'logits takes the first rows': {
    by: /^logits/,
    fault: (b) => ({
      logits: (x, w, rows, n) =>
        b.logits(
          x,
          w,
          rows.map((_, i) => i % x.shape[0]),
          n,
        ),
    }),
  },
  'endStep keeps scratch': { by: /^memory/, fault: () => ({ endStep: () => {} }) },
  'freeSlot leaks': { by: /^memory/, fault: () => ({ freeSlot: () => {} }) },
  'dispose does nothing': { by: /DISPOSED/, fault: () => ({ dispose: () => {} }) },
};

test('a right backend passes with few cases, too', async () => {
  expect(await failures(() => createReferenceBackend(), /./)).toEqual([]);
});

test.each(Object.entries(FAULTS))('the suite catches: %s', async (_, { by, fault }) => {
  const create = (): Backend => {
    const b = createReferenceBackend();
    return { ...b, ...fault(b) };
  };
  expect((await failures(create, by)).length).toBeGreaterThan(0);
});
