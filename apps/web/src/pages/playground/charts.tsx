import { bytesText } from '@mamba-ts/lab';
import { useMemo, useRef } from 'preact/hooks';
import { type Colour, Plot, type PlotData, type PlotOptions } from '../../components/plot.tsx';
import { modelState } from '../../model.ts';
import { type Sample, samples } from './generation.ts';

/** The line runs at half the height: an outlier, such as the first tokens on cold kernels, does not press it flat. */
function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
}

interface LineProps {
  /** Values over `samples`; drawn from 0 up, so that small changes look small. */
  readonly value: (sample: Sample) => number;
  readonly show: (value: number) => string;
  readonly stroke: Colour;
}

function Line({ value, show, stroke }: LineProps) {
  const list = samples.value;
  const options = useMemo<PlotOptions>(
    () => ({
      height: 150,
      lines: [{ stroke }],
      range: ([, values]) => [0, 2 * median(values as number[]) || 1],
      show: (value) => (value === 0 ? '0' : show(value)),
    }),
    [show, stroke],
  );
  const data = useMemo<PlotData>(() => [list.map(({ tokens }) => tokens), list.map(value)], [list, value]);
  return <Plot options={options} data={data} />;
}

const timeOf = (sample: Sample): number => sample.ms;
const showTime = (ms: number): string => `${ms < 1 ? ms.toFixed(2) : ms.toFixed(1)} ms`;

const mean = (list: readonly Sample[]): number => list.reduce((sum, { ms }) => sum + ms, 0) / list.length;

/** In words what the lines show, for those who do not see them. */
function timeSentence(list: readonly Sample[]): string {
  if (list.length < 8) return 'The time that each token takes, as the text grows.';
  const quarter = Math.ceil(list.length / 4);
  const [early, late] = [mean(list.slice(0, quarter)), mean(list.slice(-quarter))];
  return `${showTime(early)} per token at first, ${showTime(late)} after ${list.at(-1)!.tokens.toLocaleString('en-US')} tokens.`;
}

/** Time per token and size of the state, live: both stay level however long the text grows. */
export function Charts() {
  const state = modelState.value;
  const stateBytes = state.kind === 'ready' ? state.model.info.stateBytes : 0;
  const list = samples.value;
  return (
    <div class="charts">
      <figure>
        <figcaption>
          <h2>Time per token</h2>
          <p>{timeSentence(list)}</p>
        </figcaption>
        <Line value={timeOf} show={showTime} stroke="--accent" />
        <p class="axis-name">tokens of text</p>
      </figure>
      <figure>
        <figcaption>
          <h2>Memory of the text</h2>
          <p>
            {stateBytes > 0
              ? `${bytesText(stateBytes)} of state hold all that the model knows of the text, whatever its length.`
              : 'The state that holds all the model knows of the text.'}
          </p>
        </figcaption>
        <StateLine stateBytes={stateBytes} />
        <p class="axis-name">tokens of text</p>
      </figure>
    </div>
  );
}

function StateLine({ stateBytes }: { readonly stateBytes: number }) {
  const value = useRef<(sample: Sample) => number>(() => stateBytes);
  if (value.current({ tokens: 0, ms: 0 }) !== stateBytes) value.current = () => stateBytes;
  return <Line value={value.current} show={bytesText} stroke="--second" />;
}
