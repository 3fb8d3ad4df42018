import { createWasmTrainingBackend } from '@mamba-ts/kernels';
import {
  describeTask,
  type Example,
  exampleOf,
  runTask,
  TASK_MODELS,
  TASK_SETTINGS,
  TASKS,
  type TaskModelName,
  type TaskName,
  type TaskReport,
  taskSvg,
} from '@mamba-ts/lab';
import { findArchitecture } from '@mamba-ts/layers';
import { isMambaError } from '@mamba-ts/tensor';
import { NO_TARGET } from '@mamba-ts/train';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testSequences } from '../src/tasks/run.ts';

/** What somebody who knows the rules answers who sees only the ids: written apart from those who made them. */
const SOLVERS: Readonly<Record<TaskName, (ids: readonly number[]) => (number | null)[]>> = {
  'selective-copying'(ids) {
    const symbols = ids.filter((id) => id < 16);
    return ids.map((id) => (id === 17 ? symbols.shift()! : null));
  },
  'induction-heads'(ids) {
    return ids.map((_, t) => (t === ids.length - 1 ? ids[ids.indexOf(16) + 1]! : null));
  },
  parity: (ids) => ids.map((_, t) => ids.slice(0, t + 1).filter((bit) => bit === 1).length % 2),
};

const names = Object.keys(TASKS) as TaskName[];
const answers = ({ targets }: Example): (number | null)[] =>
  [...targets].map((target) => (target === NO_TARGET ? null : target));

describe('examples', () => {
  test.each(names)('%s: what is asked is what a solver that knows the rules answers', (name) => {
    const task = TASKS[name];
    for (const length of [task.shortest, task.shortest + 1, 64]) {
      for (let index = 0; index < 50; index++) {
        const example = exampleOf(task, length, 3, index);
        expect(answers(example)).toEqual(SOLVERS[name]([...example.ids]));
        expect(Math.max(...example.ids)).toBeLessThan(task.vocabSize);
      }
    }
  });

  test.each(names)('%s: a function of seed and index; others give other sequences', (name) => {
    const make = (seed: number, index: number): string => exampleOf(TASKS[name], 64, seed, index).ids.join();
    expect(make(3, 5)).toBe(make(3, 5));
    expect(new Set([make(3, 5), make(3, 6), make(4, 5), make(3, 2 ** 30), make(3, 2 ** 30 + 5)]).size).toBe(5);
  });

  test('the first of 20 drawn parities is as recorded: the bits are the same on every engine', () => {
    expect(exampleOf(TASKS.parity, 20, 1, 0).ids.join('')).toBe('11010000100100101010');
  });

  test('selective copying hides 8 symbols, each place as often as any other within 5 standard errors', () => {
    const counts = new Array<number>(24).fill(0);
    for (let index = 0; index < 3000; index++) {
      const { ids } = exampleOf(TASKS['selective-copying'], 24, 1, index);
      expect(ids.filter((id) => id < 16).length).toBe(8);
      for (const [t, id] of ids.subarray(0, 24).entries()) counts[t]! += Number(id < 16);
    }
    for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(5 * Math.sqrt(3000 * (2 / 9)));
  });

  test('the answers of induction heads are spread over all symbols, and the bell over all places', () => {
    const examples = Array.from({ length: 500 }, (_, i) => exampleOf(TASKS['induction-heads'], 8, 1, i));
    expect(new Set(examples.map(({ targets }) => targets[7])).size).toBe(16);
    expect(new Set(examples.map(({ ids }) => ids.indexOf(16)))).toEqual(new Set([0, 1, 2, 3, 4, 5]));
  });
});

describe('runTask', () => {
  const models = Object.keys(TASK_MODELS) as TaskModelName[];
  let backend: Awaited<ReturnType<typeof createWasmTrainingBackend>>;
  /** Of all models, as they are done. */
  let report: TaskReport;
  beforeAll(async () => {
    backend = await createWasmTrainingBackend();
  });
  afterAll(() => backend.dispose());

  /** Small enough for seconds, of which the task asks at every place, so that it is soon seen to learn. */
  const small = { length: 6, from: 6, batch: 8, steps: 60, rate: 1e-2, width: 16, layers: 1, testLengths: [12] };

  test.each(models)('%s: the loss falls, and the report says what was measured', async (name) => {
    const losses: number[] = [];
    const done: string[] = [];
    const one = await runTask('parity', [name], small, 1, {
      backend,
      onStep: (_, step, steps, loss) => {
        expect([step, steps]).toEqual([losses.length + 1, 60]);
        losses.push(loss);
      },
      onResult: ({ model }) => done.push(model),
    });
    const { models: results, ...rest } = one;
    const asked = {
      task: 'parity',
      length: 6,
      from: 6,
      batch: 8,
      rate: 1e-2,
      width: 16,
      layers: 1,
      seed: 1,
      chance: 0.5,
    };
    expect(rest).toEqual(asked);
    expect(done).toEqual([name]);
    const [{ model, params, steps, seconds, loss, accuracy, by_length }] = results as [TaskReport['models'][0]];
    expect(loss).toBeLessThan(losses[0]! - 0.02);
    expect([model, steps, seconds > 0, params > 500]).toEqual([name, 60, true, true]);
    expect(by_length.map(({ length, sequences }) => [length, sequences])).toEqual([
      [6, 256],
      [12, 256],
    ]);
    expect(accuracy).toBe(by_length[0]!.accuracy);
    expect(accuracy).toBeGreaterThan(0.52);
    report = { ...one, models: [...(report?.models ?? []), ...results] };
  });

  test('the same seed gives the same figures, another seed others', async () => {
    const again = async (seed: number) =>
      (await runTask('parity', ['mamba'], { ...small, steps: 10 }, seed, { backend })).models.map(
        ({ seconds: _, ...rest }) => rest,
      );
    const one = await again(1);
    expect(await again(1)).toEqual(one);
    expect(await again(2)).not.toEqual(one);
  });

  test('with minutes, 20 steps are timed and the number of all follows', async () => {
    const seen: (number | null)[] = [];
    const { models: results } = await runTask('parity', ['lti'], { ...small, steps: 1 }, 1, {
      backend,
      minutes: 0.001,
      onStep: (_, __, steps) => seen.push(steps),
    });
    expect(seen.slice(0, 19)).toEqual(new Array(19).fill(null));
    expect(seen.at(-1)).toBe(results[0]!.steps);
    expect(results[0]!.steps).toBeGreaterThanOrEqual(40);
  });

  test('each step has sequences of one length, drawn from all between the shortest and the longest', async () => {
    const steps: Set<number>[] = [];
    await runTask('parity', ['lti'], { ...small, from: 3, testLengths: [] }, 1, {
      backend,
      // Learns nothing, but sees what it is given.
      team: async (_, values) => ({
        async run(shares) {
          steps.push(new Set(shares.flatMap(({ segments }) => segments.map(({ length }) => length))));
          return [
            { nats: 1, count: 1, gradients: new Map([...values].map(([k, v]) => [k, new Float32Array(v.length)])) },
          ];
        },
        update: () => {},
        dispose: () => {},
      }),
    });
    expect(steps.map(({ size }) => size)).toEqual(new Array(60).fill(1));
    expect(new Set(steps.flatMap((lengths) => [...lengths]))).toEqual(new Set([3, 4, 5, 6]));
  });

  test('a length that is too short is told', async () => {
    const failed = await runTask('selective-copying', ['lti'], { ...small, from: 7, length: 8 }, 1, { backend }).catch(
      (e) => e,
    );
    expect(isMambaError(failed, 'ARGUMENT')).toBe(true);
    expect(failed.message).toBe('selective-copying needs a length of at least 8, found 7');
  });

  test('an aborted signal ends it', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const run = runTask('parity', ['lti'], small, 1, {
      backend,
      signal: controller.signal,
      onStep: (_, step) => {
        if (step === 3) controller.abort(reason);
      },
    });
    await expect(run).rejects.toBe(reason);
  });

  test('the picture is well-formed and shows each figure', () => {
    const svg = taskSvg(report);
    const document = parse(svg);
    expect(document).toEqual([]);
    for (const { accuracy } of report.models) expect(svg).toContain(`>${(100 * accuracy!).toFixed(1)} %<`);
    expect(svg.match(/<polyline/g)).toHaveLength(models.length);
    expect(svg).not.toContain('NaN');
    // One length alone has no curves.
    const bars = taskSvg({
      ...report,
      models: report.models.map((m) => ({ ...m, by_length: m.by_length.slice(0, 1) })),
    });
    expect([parse(bars), bars.includes('<polyline')]).toEqual([[], false]);
  });

  test('the words name the difference that selection makes', () => {
    const [lti, mamba] = report.models as [TaskReport['models'][0], TaskReport['models'][0]];
    const words = describeTask({
      ...report,
      models: [
        { ...lti, accuracy: 0.5 },
        { ...mamba, accuracy: 0.975 },
      ],
    });
    expect(words).toContain('Right answers at length 6: LTI 50.0 %, Mamba-1 97.5 %; guessing gives 50.0 %.');
    expect(words).toContain('Selection makes 47.5 points');
    expect(describeTask({ ...report, models: [mamba] })).not.toContain('points');
  });
});

test('the sequences of a test: 256 short ones, 16 long ones, none where they would take too long', () => {
  expect([1e6, 3e10 / 256, 3e8, 1e10, 6e10, 7e10].map(testSequences)).toEqual([256, 256, 100, 16, 16, 0]);
});

test('every model exists for the vocabulary and the size of every task', async () => {
  for (const name of names) {
    for (const make of Object.values(TASK_MODELS)) {
      const config = make(TASKS[name].vocabSize, TASK_SETTINGS[name]);
      const architecture = await findArchitecture(config);
      expect(architecture.createModel(architecture.parseConfig(config)).vocabSize).toBe(TASKS[name].vocabSize);
    }
  }
});

/** Tags that are opened and not closed, or closed and not opened. */
function parse(svg: string): string[] {
  const open: string[] = [];
  const wrong: string[] = [];
  for (const [, close, name, rest] of svg.matchAll(/<(\/?)([a-z]+)((?:[^>"]|"[^"]*")*)>/g)) {
    if (close) {
      if (open.pop() !== name) wrong.push(`</${name}>`);
    } else if (!rest!.endsWith('/')) open.push(name!);
  }
  return [...wrong, ...open];
}
