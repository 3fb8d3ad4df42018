import { describe, expect, test } from 'vitest';
import { loadFixture } from '../../../fixtures/load.ts';
import { f32ToBf16, f32ToF16, matrix, type Slot, type StateField, vector } from '../src/index.ts';
import { createReferenceBackend, erf, type ReferenceBackend, sigmoid, silu, softplus } from '../src/reference/index.ts';

// The reference is not only compared with itself: these are PyTorch's numbers, in float64.

type Values = number[] | null;
interface Golden {
  linear: { rows: number; inputs: number; outputs: number; x: number[]; w: number[]; bias: Values; y: number[] }[];
  rmsNorm: { rows: number; channels: number; eps: number; groups: number; x: number[]; w: Values; y: number[] }[];
  layerNorm: { rows: number; channels: number; eps: number; x: number[]; w: number[]; bias: Values; y: number[] }[];
  gelu: { rows: number; channels: number; form: 'erf' | 'tanh'; x: number[]; y: number[] }[];
  rope: {
    rows: number;
    heads: number;
    width: number;
    rotation: 'halves' | 'pairs';
    position: number;
    frequencies: number[];
    x: number[];
    y: number[];
  }[];
  attention: (Record<'rows' | 'heads' | 'group' | 'width' | 'position' | 'scale', number> &
    Record<'q' | 'k' | 'v' | 'before' | 'after' | 'y', number[]>)[];
  concat: { rows: number; left: number; right: number; a: number[]; b: number[]; y: number[] }[];
  siluGate: { rows: number; channels: number; x: number[]; gate: number[]; y: number[] }[];
  causalConv1d: {
    rows: number;
    channels: number;
    taps: number;
    activation: 'silu' | 'none';
    x: number[];
    w: number[];
    bias: Values;
    state: number[];
    y: number[];
    lastState: number[];
  }[];
  selectiveScan: {
    rows: number;
    channels: number;
    states: number;
    softplus: boolean;
    u: number[];
    delta: number[];
    A: number[];
    B: number[];
    C: number[];
    D: Values;
    z: Values;
    deltaBias: Values;
    state: number[];
    y: number[];
    lastState: number[];
  }[];
  ssd: {
    rows: number;
    heads: number;
    width: number;
    states: number;
    groups: number;
    limit: [number, number];
    x: number[];
    dt: number[];
    A: number[];
    B: number[];
    C: number[];
    D: Values;
    dtBias: Values;
    state: number[];
    y: number[];
    lastState: number[];
  }[];
  mamba3Scan: (Record<'x' | 'dt' | 'a' | 'trap' | 'angle' | 'B' | 'C', number[]> &
    Record<'dtBias' | 'biasB' | 'biasC' | 'D' | 'y', number[]> & {
      rows: number;
      heads: number;
      width: number;
      states: number;
      groups: number;
      rank: number;
      angles: number;
      rotation: 'pairs' | 'halves';
      activation: 'heavyTail' | 'softplus';
      floor: number;
      mimoX: Values;
      state: Record<'angle' | 'ssm' | 'k' | 'v', number[]>;
      lastState: Record<'angle' | 'ssm' | 'k' | 'v', number[]>;
    })[];
  mimoGate: {
    rows: number;
    heads: number;
    rank: number;
    width: number;
    y: number[];
    gate: number[];
    wGate: number[];
    wOut: number[];
    out: number[];
  }[];
  scalars: { x: number[]; softplus: number[]; sigmoid: number[]; silu: number[]; erf: number[] };
  conversions: { x: number[]; f16: number[]; bf16: number[] };
}

const golden: Golden = JSON.parse(new TextDecoder().decode(await loadFixture('ops.json')));
const REMAKE =
  'If the fixture is at fault, remake it: pip install -r fixtures/requirements.txt && python fixtures/ops.py';

/** Largest difference relative to the largest magnitude of the expected values. */
function expectClose(found: ArrayLike<number>, expected: readonly number[], tolerance: number): void {
  expect(found.length, REMAKE).toBe(expected.length);
  const scale = Math.max(...expected.map(Math.abs), Number.MIN_VALUE);
  for (const [i, e] of expected.entries()) {
    const off = Math.abs(found[i]! - e) / scale;
    if (!(off <= tolerance)) throw new Error(`element ${i} is ${found[i]}, PyTorch says ${e}. ${REMAKE}`);
  }
}

for (const [precision, tolerance] of [
  ['f64', 1e-13],
  ['f32', 1e-6],
] as const) {
  describe(`reference ${precision} agrees with PyTorch in float64 within ${tolerance} of the largest value`, () => {
    const b: ReferenceBackend = createReferenceBackend({ precision });
    const weight = (shape: readonly number[], values: number[]) =>
      b.loadExact(vector('w', shape), new Float64Array(values));
    const maybe = (shape: readonly number[], values: Values) => values && weight(shape, values);
    const tensor = (values: number[], rows: number, width: number) => b.upload(new Float64Array(values), [rows, width]);
    const stateful = (values: number[], shape: readonly number[]): { slot: Slot; field: StateField } => {
      const slot = b.createSlot(values.length);
      b.writeSlot(slot, new Float64Array(values));
      return { slot, field: { name: 'state', shape, offset: 0 } };
    };

    test.each(golden.linear)('linear [$rows, $inputs] -> $outputs', async (g) => {
      const w = b.loadExact(matrix('w', [g.outputs, g.inputs]), new Float64Array(g.w));
      const x = tensor(g.x, g.rows, g.inputs);
      expectClose(await b.readExact(b.linear(x, w, maybe([g.outputs], g.bias))), g.y, tolerance);
      if (g.bias) return;
      // The head is the same product, for some rows and without the padded ids.
      const head = await b.readExact(b.logits(x, w, Int32Array.of(g.rows - 1), g.outputs - 1));
      expectClose(head, g.y.slice((g.rows - 1) * g.outputs, -1), tolerance);
    });

    test.each(golden.rmsNorm)('rmsNorm [$rows, $channels] in $groups groups', async (g) => {
      const w = maybe([g.w?.length ?? 0], g.w);
      const y = b.rmsNorm(tensor(g.x, g.rows, g.channels), w, g.eps, g.groups);
      expectClose(await b.readExact(y), g.y, tolerance);
    });

    test.each(golden.concat)('concat [$rows, $left] [$rows, $right]', async (g) => {
      const y = b.concat(tensor(g.a, g.rows, g.left), tensor(g.b, g.rows, g.right));
      expectClose(await b.readExact(y), g.y, tolerance);
    });

    test.each(golden.siluGate)('siluGate [$rows, $channels]', async (g) => {
      const y = b.siluGate(tensor(g.x, g.rows, g.channels), tensor(g.gate, g.rows, g.channels));
      expectClose(await b.readExact(y), g.y, tolerance);
    });

    test.each(golden.layerNorm)('layerNorm [$rows, $channels]', async (g) => {
      const bias = maybe([g.channels], g.bias);
      const y = b.layerNorm(tensor(g.x, g.rows, g.channels), weight([g.channels], g.w), bias, g.eps);
      expectClose(await b.readExact(y), g.y, tolerance);
    });

    test.each(golden.gelu)('gelu [$rows, $channels], $form', async (g) => {
      expectClose(await b.readExact(b.gelu(tensor(g.x, g.rows, g.channels), g.form)), g.y, tolerance);
    });

    test.each(golden.rope)('rope [$rows, $heads x $width], $rotation, from $position', async (g) => {
      const segments = [{ start: 0, length: g.rows, slot: b.createSlot(0), reset: false, position: g.position }];
      const x = tensor(g.x, g.rows * g.heads, g.width);
      const y = b.rope(x, Float64Array.from(g.frequencies), g.rotation, segments);
      expectClose(await b.readExact(y), g.y, tolerance);
    });

    test.each(golden.attention)(
      'attention of [$rows, $heads x $group x $width] over $position rows before',
      async (g) => {
        const cache = { name: 'cache', heads: g.heads, width: g.width, offset: 0 };
        const slot = b.createSlot(0, [cache]);
        b.writeSlot(slot, new Float64Array(g.before));
        b.reserveRows(slot, g.position + g.rows);
        const [k, v] = [g.k, g.v].map((values) => tensor(values, g.rows * g.heads, g.width));
        const q = tensor(g.q, g.rows * g.heads * g.group, g.width);
        const segments = [{ start: 0, length: g.rows, slot, reset: false, position: g.position }];
        expectClose(await b.readExact(b.attention(q, k!, v!, g.scale, cache, segments)), g.y, tolerance);
        expectClose(await b.readSlotExact(slot, g.position + g.rows), g.after, tolerance);
      },
    );

    test.each(golden.causalConv1d)('causalConv1d [$rows, $channels], $taps taps, $activation', async (g) => {
      const { slot, field } = stateful(g.state, [g.channels, g.taps - 1]);
      const y = b.causalConv1d(
        tensor(g.x, g.rows, g.channels),
        weight([g.channels, g.taps], g.w),
        maybe([g.channels], g.bias),
        g.activation,
        field,
        [{ start: 0, length: g.rows, slot, reset: false }],
      );
      expectClose(await b.readExact(y), g.y, tolerance);
      expectClose(await b.readSlotExact(slot), g.lastState, tolerance);
    });

    test.each(golden.selectiveScan)(
      'selectiveScan [$rows, $channels], $states states, softplus $softplus',
      async (g) => {
        const { slot, field } = stateful(g.state, [g.channels, g.states]);
        const y = b.selectiveScan(
          tensor(g.u, g.rows, g.channels),
          tensor(g.delta, g.rows, g.channels),
          weight([g.channels, g.states], g.A),
          tensor(g.B, g.rows, g.states),
          tensor(g.C, g.rows, g.states),
          maybe([g.channels], g.D),
          g.z && tensor(g.z, g.rows, g.channels),
          maybe([g.channels], g.deltaBias),
          g.softplus,
          field,
          [{ start: 0, length: g.rows, slot, reset: false }],
        );
        expectClose(await b.readExact(y), g.y, tolerance);
        expectClose(await b.readSlotExact(slot), g.lastState, tolerance);
      },
    );

    test.each(golden.ssd)('ssd [$rows, $heads x $width], $states states, $groups groups', async (g) => {
      const { slot, field } = stateful(g.state, [g.heads, g.width, g.states]);
      const y = b.ssd(
        tensor(g.x, g.rows, g.heads * g.width),
        tensor(g.dt, g.rows, g.heads),
        weight([g.heads], g.A),
        tensor(g.B, g.rows, g.groups * g.states),
        tensor(g.C, g.rows, g.groups * g.states),
        maybe([g.D?.length ?? 0], g.D),
        maybe([g.heads], g.dtBias),
        g.limit,
        field,
        [{ start: 0, length: g.rows, slot, reset: false }],
      );
      expectClose(await b.readExact(y), g.y, tolerance);
      expectClose(await b.readSlotExact(slot), g.lastState, tolerance);
    });

    test.each(golden.mamba3Scan)(
      'mamba3Scan [$rows, $heads x $width], $states states, rank $rank, $angles angles in $rotation, $activation',
      async (g) => {
        const { heads, width, states, rank, angles, groups, rows } = g;
        const shapes = {
          angle: [heads, angles],
          ssm: [heads, width, states],
          k: [rank, heads, states],
          v: [heads, width],
        };
        const flat = (s: typeof g.state): number[] => [...s.angle, ...s.ssm, ...s.k, ...s.v];
        const { slot } = stateful(flat(g.state), []);
        let offset = 0;
        const field = (name: keyof typeof shapes): StateField => {
          offset += g.state[name].length;
          return { name, shape: shapes[name], offset: offset - g.state[name].length };
        };
        const y = b.mamba3Scan(
          {
            x: tensor(g.x, rows, heads * width),
            dt: tensor(g.dt, rows, heads),
            a: tensor(g.a, rows, heads),
            trap: tensor(g.trap, rows, heads),
            angle: tensor(g.angle, rows, angles),
            B: tensor(g.B, rows, rank * groups * states),
            C: tensor(g.C, rows, rank * groups * states),
          },
          {
            dtBias: weight([heads], g.dtBias),
            biasB: weight([heads, rank, states], g.biasB),
            biasC: weight([heads, rank, states], g.biasC),
            D: weight([heads], g.D),
            mimoX: maybe([heads, rank, width], g.mimoX),
          },
          g,
          { angle: field('angle'), ssm: field('ssm'), k: field('k'), v: field('v') },
          [{ start: 0, length: rows, slot, reset: false }],
        );
        expectClose(await b.readExact(y), g.y, tolerance);
        expectClose(await b.readSlotExact(slot), flat(g.lastState), tolerance);
      },
    );

    test.each(golden.mimoGate)('mimoGate [$rows, $heads x $width], rank $rank', async (g) => {
      const shape = [g.heads, g.rank, g.width];
      const y = b.mimoGate(
        tensor(g.y, g.rows, g.rank * g.heads * g.width),
        tensor(g.gate, g.rows, g.heads * g.width),
        weight(shape, g.wGate),
        weight(shape, g.wOut),
      );
      expectClose(await b.readExact(y), g.out, tolerance);
    });
  });
}

test.each(Object.entries({ softplus, sigmoid, silu, erf }))(
  '%s agrees with PyTorch within 1e-14 relative',
  (name, f) => {
    for (const [i, x] of golden.scalars.x.entries()) {
      const e = golden.scalars[name as 'softplus'][i]!;
      if (!(Math.abs(f(x) - e) <= 1e-14 * Math.abs(e))) {
        throw new Error(`${name}(${x}) is ${f(x)}, PyTorch says ${e}. ${REMAKE}`);
      }
    }
  },
);

test.each(Object.entries({ f16: f32ToF16, bf16: f32ToBf16 }))(
  'f32 to %s rounds as PyTorch does, bit for bit',
  (name, f) => {
    const wrong = golden.conversions.x.filter((x, i) => f(x) !== golden.conversions[name as 'f16'][i]);
    expect(wrong, REMAKE).toEqual([]);
  },
);
