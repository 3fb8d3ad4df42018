import { compareCsv, compareSvg, describeComparison } from '@mamba-ts/lab';
import { signal } from '@preact/signals';
import { useEffect, useState } from 'preact/hooks';
import { Choices, Minutes } from '../../components/choices.tsx';
import { ErrorNote } from '../../components/note.tsx';
import { pngOf, save } from '../../save.ts';
import { theme } from '../../theme.ts';
import { cancel, measure, measurement, report } from './measurement.ts';
import { allLengths, sizes } from './sizes.ts';

const sizeKey = signal(sizes[0]!.key);
const left = signal<ReadonlySet<string>>(new Set());
const longest = signal(8192);
const minutes = signal(2);

const size = () => sizes.find(({ key }) => key === sizeKey.value)!;
const chosen = () => size().candidates.filter(({ name }) => !left.value.has(name));

function start(): void {
  measure({
    candidates: chosen(),
    lengths: allLengths.filter((length) => length <= longest.value),
    budgetSeconds: 60 * minutes.value,
  });
}

/** Mamba and a Transformer on texts of growing length, measured in the visitor's browser. */
export function HeadToHead() {
  return (
    <>
      <h1>Mamba and a Transformer, head to head</h1>
      <p class="lead">
        A Transformer compares each token with all before it and keeps them all; Mamba carries a state of fixed size.
        See on your own machine what that means for longer texts. Nothing is prerecorded.
      </p>
      <Setup />
      <Result />
    </>
  );
}

function Setup() {
  const running = measurement.value.kind === 'running';
  return (
    <form
      class="setup"
      onSubmit={(event) => {
        event.preventDefault();
        if (running) cancel();
        else start();
      }}
    >
      <Choices
        legend="Size"
        name="size"
        choices={sizes}
        chosen={sizeKey.value}
        onChoose={(key) => (sizeKey.value = key)}
        disabled={running}
      />
      <fieldset disabled={running}>
        <legend>Models</legend>
        {size().candidates.map(({ name, what }) => (
          <label key={name} class="choice">
            <input
              type="checkbox"
              checked={!left.value.has(name)}
              onChange={({ currentTarget }) => {
                const next = new Set(left.value);
                if (currentTarget.checked) next.delete(name);
                else next.add(name);
                left.value = next;
              }}
            />
            <span>
              {name}
              <small>{what}</small>
            </span>
          </label>
        ))}
      </fieldset>
      <fieldset disabled={running}>
        <legend>Texts</legend>
        <label class="choice-line">
          Longest
          <select value={longest.value} onChange={({ currentTarget }) => (longest.value = Number(currentTarget.value))}>
            {allLengths.slice(1).map((length) => (
              <option key={length} value={length}>
                {length.toLocaleString('en-US')} tokens
              </option>
            ))}
          </select>
        </label>
        <Minutes counts={[1, 2, 5, 15]} chosen={minutes.value} onChoose={(count) => (minutes.value = count)} />
        <p class="meaning">What does not fit into the time is extrapolated, and drawn hollow.</p>
      </fieldset>
      <div class="actions">
        <button type="submit" class="main-action" disabled={!running && chosen().length === 0}>
          {running ? 'Cancel' : 'Measure'}
        </button>
        <Progress />
      </div>
    </form>
  );
}

function Progress() {
  const state = measurement.value;
  if (state.kind === 'running') {
    return (
      <div class="measuring">
        <progress value={state.share} max={1} aria-label="Measuring" />
        <p>{state.what}</p>
      </div>
    );
  }
  const said = state.kind === 'done' ? 'Measured.' : state.kind === 'cancelled' ? 'Cancelled.' : '';
  return (
    <p class="hint" role="status">
      {said}
    </p>
  );
}

function Result() {
  const state = measurement.value;
  const found = report.value;
  // A first round brings times to read; those to write come later.
  const shown = found?.models.some(({ points }) => points.length > 0) ? found : null;
  if (state.kind === 'failed') return <ErrorNote problem={state.problem} action="Try again" onAction={start} />;
  if (!shown) {
    return (
      <div class="output">
        <p class="empty">
          {state.kind === 'running' ? 'The picture appears after the first round.' : 'The picture appears here.'}
        </p>
      </div>
    );
  }
  return (
    <section class="output" aria-label="What was measured">
      <Picture svg={compareSvg(shown)} words={describeComparison(shown)} />
      {state.kind !== 'running' && (
        <>
          <p class="words">{describeComparison(shown)}</p>
          <div class="actions">
            <button
              type="button"
              onClick={() => save(new Blob([compareCsv(shown)], { type: 'text/csv' }), 'head-to-head.csv')}
            >
              Save numbers (CSV)
            </button>
            <button
              type="button"
              onClick={() => void pngOf(compareSvg(shown)).then((png) => save(png, 'head-to-head.png'))}
            >
              Save picture (PNG)
            </button>
          </div>
        </>
      )}
    </section>
  );
}

/** The SVG as an image: the page's policy allows no style sheet inside it, an image has its own. */
function Picture({ svg, words }: { readonly svg: string; readonly words: string }) {
  const [address, setAddress] = useState('');
  const scheme = theme();
  useEffect(() => {
    // The page's choice of colours, which may differ from the system's, on the ground that the page has here.
    const own = svg.replace('color-scheme: light dark', `color-scheme: ${scheme}`).replace(/background: [^;]*;/, '');
    const made = URL.createObjectURL(new Blob([own], { type: 'image/svg+xml' }));
    setAddress(made);
    return () => URL.revokeObjectURL(made);
  }, [svg, scheme]);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard
    <section class="picture" tabIndex={0} aria-label="Picture">
      {address && <img src={address} alt={words} width={1080} height={482} />}
    </section>
  );
}
