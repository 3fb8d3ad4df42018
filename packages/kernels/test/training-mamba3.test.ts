import { type Mamba3Form, type Tensor, vector } from '@mamba-ts/tensor';
import { type Case, testCases } from './training-bench.ts';

const FORM: Mamba3Form = { rotation: 'halves', activation: 'softplus', floor: 1e-4 };

/** Angles of `turn` radians per step and unit of step size: f32 keeps few of the digits of what was turned often and far. */
const scan =
  (
    [heads, width, states, groups, rank, angles]: readonly [number, number, number, number, number, number],
    form: Partial<Mamba3Form>,
    lengths: [number, number, number, number],
    turn = 1,
  ): Case =>
  async (bench) => {
    const rows = lengths.reduce((sum, length) => sum + length, 0);
    let offset = 3;
    const field = (name: string, shape: readonly number[]) => {
      const at = { name, shape, offset };
      offset += shape.reduce((product, axis) => product * axis, 1) + 1;
      return at;
    };
    const v = field('v', [heads, width]);
    const ssm = field('ssm', [heads, width, states]);
    const angle = field('angle', [heads, angles]);
    const k = field('k', [rank, heads, states]);
    const { all, keep } = bench.segments([v, ssm, angle, k], lengths);
    const weights = {
      dtBias: bench.weight(vector('dtBias', [heads])),
      biasB: bench.weight(vector('biasB', [heads, rank, states])),
      biasC: bench.weight(vector('biasC', [heads, rank, states])),
      D: bench.weight(vector('D', [heads])),
      mimoX: rank === 1 ? null : bench.weight(vector('mimoX', [heads, rank, width])),
    };
    const selected = rank * groups * states;
    const names = { x: heads * width, dt: heads, a: heads, trap: heads, angle: angles, B: selected, C: selected };
    type Inputs = Record<keyof typeof names, Tensor>;
    const make = (of: (name: keyof Inputs, columns: number) => Tensor): Inputs =>
      Object.fromEntries(
        Object.entries(names).map(([name, columns]) => [name, of(name as keyof Inputs, columns)]),
      ) as Inputs;
    const inputs = make((name, columns) => bench.tensor(name, rows, columns, name === 'angle' ? turn : 1.5));
    const gradients = make((name, columns) => bench.gradient(name, rows, columns));
    const state = { v, ssm, angle, k };
    const dy = bench.tensor('dy', rows, rank * heads * width);
    const nothing = { x: null, dt: null, a: null, trap: null, angle: null, B: null, C: null };
    for (const into of [gradients, nothing]) {
      bench.backend.mamba3ScanBackward(inputs, weights, { ...FORM, ...form }, state, all, dy, into);
    }
    for (const [name, gradient] of Object.entries(gradients)) await bench.keep(name, gradient);
    await keep();
  };

const gate =
  (tokens: number, [heads, rank, width]: readonly [number, number, number]): Case =>
  async (bench) => {
    const shape = [heads, rank, width];
    const [inner, outer] = [bench.weight(vector('inner', shape), 2), bench.weight(vector('outer', shape))];
    const [dy, dgate] = [
      bench.gradient('y', tokens, heads * rank * width),
      bench.gradient('gate', tokens, heads * width),
    ];
    const y = bench.tensor('y', tokens, heads * rank * width);
    const z = bench.tensor('gate', tokens, heads * width, 3);
    const dout = bench.tensor('dout', tokens, heads * width);
    for (const into of [
      { y: dy, gate: dgate },
      { y: null, gate: null },
    ]) {
      bench.backend.mimoGateBackward(y, z, inner, outer, dout, into);
    }
    await bench.keep('dy', dy);
    await bench.keep('dgate', dgate);
  };

// Around the 128 tokens of a chunk; lanes of 4 and 16.
testCases({
  'mamba3 2 heads of 3, 16 states': scan([2, 3, 16, 1, 1, 8], {}, [7, 3, 2, 4]),
  'mamba3 4 heads of 1, 6 states, 2 groups, pairs that stay': scan(
    [4, 1, 6, 2, 1, 2],
    { rotation: 'pairs', activation: 'heavyTail' },
    [4, 0, 3, 2],
  ),
  'mamba3 at the floor': scan([2, 2, 4, 1, 1, 2], { floor: 0.7 }, [4, 1, 3, 2]),
  'mamba3 no angles': scan([2, 2, 5, 1, 1, 0], { rotation: 'pairs' }, [4, 1, 3, 2]),
  'mamba3 1 head of 2, 34 states, past two chunks': scan([1, 2, 34, 1, 1, 17], {}, [260, 1, 128, 129], 0.05),
  'mamba3 2 heads of 5, 20 states, rank 3': scan([2, 5, 20, 1, 3, 7], { rotation: 'pairs' }, [6, 2, 0, 3]),
  'mamba3 4 heads of 2, 4 states, 2 groups, rank 2, past two chunks': scan(
    [4, 2, 4, 2, 2, 1],
    { activation: 'heavyTail' },
    [130, 128, 1, 257],
    0.05,
  ),
  'mimoGate 2 heads of 9, rank 3': gate(4, [2, 3, 9]),
  'mimoGate 3 heads of 1, rank 1': gate(3, [3, 1, 1]),
});
