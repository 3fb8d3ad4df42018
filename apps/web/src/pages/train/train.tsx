import { type Signal, signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { Choices, Minutes } from '../../components/choices.tsx';
import { textTaker } from '../../components/drop-target.tsx';
import { ErrorNote } from '../../components/note.tsx';
import { Run } from './run.tsx';
import { models, sizes } from './shapes.ts';
import { stories } from './stories.ts';
import { run, start } from './training.ts';

const EXAMPLE = stories(160);

const text = signal(EXAMPLE);
/** A file instead of the text. */
export const chosenFile: Signal<File | null> = signal<File | null>(null);
const model = signal(models[0]!.key);
const size = signal(sizes[0]!.key);
const minutes = signal(1);
const rate = signal(0.005);

const begin = (): void =>
  start({
    text: chosenFile.value ?? text.value,
    model: model.value,
    size: size.value,
    minutes: minutes.value,
    rate: rate.value,
  });

/** A text, and a small model that learns it in the visitor's browser. */
export function Train() {
  const { value: state } = run;
  const atRest = state.kind === 'idle' || state.kind === 'failed';
  return (
    <>
      <h1>Watch a model learn your text</h1>
      <p class="lead">
        A small Mamba begins with random numbers and reads pieces of a text again and again. After each step every
        number in it is moved a little, so that it is less surprised by the next token (a word or a piece of one).
      </p>
      {state.kind === 'failed' && <ErrorNote problem={state.problem} action="Train again" onAction={begin} />}
      {atRest ? <Setup /> : <Run />}
    </>
  );
}

function Setup() {
  return (
    <form
      class="training"
      onSubmit={(event) => {
        event.preventDefault();
        begin();
      }}
    >
      <Source />
      <div class="setup">
        <Choices
          legend="Model"
          name="model"
          choices={models}
          chosen={model.value}
          onChoose={(key) => (model.value = key)}
        />
        <Choices
          legend="Size"
          name="train-size"
          choices={sizes}
          chosen={size.value}
          onChoose={(key) => (size.value = key)}
        />
        <fieldset>
          <legend>Training</legend>
          <Minutes counts={[1, 3, 10, 30]} chosen={minutes.value} onChoose={(count) => (minutes.value = count)} />
          <label class="choice-line">
            Learning rate
            <select value={rate.value} onChange={({ currentTarget }) => (rate.value = Number(currentTarget.value))}>
              {[0.0005, 0.001, 0.002, 0.005, 0.01, 0.03].map((value) => (
                <option key={value} value={value}>
                  {value}
                </option>
              ))}
            </select>
          </label>
          <p class="meaning">How far a step moves. Too high, and it unlearns; too low, and it crawls.</p>
        </fieldset>
        <div class="actions">
          <button type="submit" class="main-action">
            Train
          </button>
        </div>
      </div>
    </form>
  );
}

/** The text, or a file of it. */
function Source() {
  const input = useRef<HTMLInputElement>(null);
  const file = chosenFile.value;
  const changed = file !== null || text.value !== EXAMPLE;
  useEffect(() => {
    textTaker.value = (dropped) => {
      chosenFile.value = dropped;
    };
    return () => {
      textTaker.value = null;
    };
  }, []);
  return (
    <div class="prompt">
      {file ? (
        <p class="chosen-file">
          <strong>{file.name}</strong>
          <span>{file.size.toLocaleString('en-US')} bytes</span>
        </p>
      ) : (
        <>
          <label for="train-text">A text to learn from: this example, or your own in its place</label>
          <textarea
            id="train-text"
            rows={8}
            spellcheck={false}
            aria-describedby="train-text-size"
            value={text.value}
            onInput={(event) => {
              text.value = event.currentTarget.value;
            }}
          />
        </>
      )}
      <div class="actions">
        <button type="button" onClick={() => input.current?.click()}>
          Choose a text file…
        </button>
        {changed ? (
          <button
            type="button"
            onClick={() => {
              chosenFile.value = null;
              text.value = EXAMPLE;
            }}
          >
            Back to the example
          </button>
        ) : (
          <button
            type="button"
            onClick={() => {
              text.value = '';
              document.getElementById('train-text')?.focus();
            }}
          >
            Clear
          </button>
        )}
        <p id="train-text-size" class="hint">
          {!file &&
            `${text.value.length.toLocaleString('en-US')} characters. It takes 2,000 at least; 100,000 are better.`}
        </p>
      </div>
      <input
        ref={input}
        type="file"
        class="unseen"
        tabIndex={-1}
        aria-label="Text file"
        accept=".txt,.md,.csv,.json,text/*"
        onChange={({ currentTarget }) => {
          chosenFile.value = currentTarget.files?.[0] ?? null;
          currentTarget.value = '';
        }}
      />
    </div>
  );
}
