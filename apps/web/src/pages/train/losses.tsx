import { useMemo } from 'preact/hooks';
import { Plot, type PlotData, type PlotOptions } from '../../components/plot.tsx';
import type { TrainCheck, TrainProgress } from './messages.ts';
import { checks, reports } from './training.ts';

const options: PlotOptions = {
  height: 280,
  lines: [{ stroke: '--accent' }, { stroke: '--second', dots: true }],
  range: ([, ...lines]) => [0, Math.max(1, Math.ceil(2 * largest(lines.flat())) / 2)],
  show: (loss) => loss.toFixed(1),
};

const largest = (values: readonly (number | null)[]): number =>
  values.reduce<number>((max, value) => Math.max(max, value ?? 0), 0);

/** Both losses at the steps of either; a look comes after the report of its step. */
function dataOf(reports: readonly TrainProgress[], checks: readonly TrainCheck[]): PlotData {
  const training = new Map(reports.map(({ step, loss }) => [step, loss]));
  const validation = new Map(checks.map(({ step, validation }) => [step, validation]));
  const steps = [...new Set([...training.keys(), ...validation.keys()])].sort((a, b) => a - b);
  return [steps, steps.map((step) => training.get(step) ?? null), steps.map((step) => validation.get(step) ?? null)];
}

/** Equal choices that leave one as unsure: e to the loss. */
function choices(loss: number): string {
  const number = Math.exp(loss);
  return number < 10 ? number.toFixed(1) : Math.round(number).toLocaleString('en-US');
}

/** Nats by which the validation may rise above its lowest before it is no longer chance. */
const RISE = 0.1;

/** In words what the lines show. */
function Sentence() {
  const [first, last] = [checks.value[0], checks.value.at(-1)];
  if (!first || !last || first === last) {
    return <p>How surprised the model is by the next token. It begins knowing nothing.</p>;
  }
  const lowest = checks.value.reduce((min, { validation }) => Math.min(min, validation), first.validation);
  return (
    <p>
      At each token of a text it never learned from, it was as unsure as among {choices(first.validation)} equal
      choices; now as among <strong>{choices(last.validation)}</strong>.
      {last.validation > lowest + RISE &&
        ' That rises again while the other falls: it has begun to learn the text by heart. The best model so far is kept.'}
    </p>
  );
}

/** The losses, live. */
export function Losses() {
  const data = useMemo(() => dataOf(reports.value, checks.value), [reports.value, checks.value]);
  return (
    <figure class="losses">
      <figcaption>
        <h2>Loss</h2>
        <Sentence />
        <ul class="legend">
          <li class="legend-training">
            learning <strong>{reports.value.at(-1)?.loss.toFixed(2) ?? '–'}</strong>
          </li>
          <li class="legend-validation">
            on new text <strong>{checks.value.at(-1)?.validation.toFixed(2) ?? '–'}</strong>
          </li>
          <li>nats per token</li>
        </ul>
      </figcaption>
      <Plot options={options} data={data} />
      <p class="axis-name">steps</p>
    </figure>
  );
}
