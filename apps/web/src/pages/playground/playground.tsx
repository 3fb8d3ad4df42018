import { ErrorNote } from '../../components/note.tsx';
import { modelState, openEmbedded } from '../../model.ts';
import { Charts } from './charts.tsx';
import { Controls } from './controls.tsx';
import { generate, generation, running, stop } from './generation.ts';
import { ModelBar } from './model-bar.tsx';
import { Output } from './output.tsx';
import { prompt } from './settings.ts';

/** A prompt, the text that a model writes after it, and what that costs. */
export function Playground() {
  const state = modelState.value;
  const ready = state.kind === 'ready' ? state.model : null;
  const start = (): void => {
    if (ready && !running()) void generate(ready);
  };
  return (
    <>
      <h1>Let a state space model write</h1>
      <p class="lead">
        Mamba reads a text once and keeps only a state of fixed size. So the ten-thousandth token takes as long as the
        first, and no more memory.
      </p>
      <ModelBar />
      {state.kind === 'failed' && (
        <ErrorNote problem={state.problem} action="Go back to Shakespeare" onAction={() => void openEmbedded()} />
      )}
      <div class="columns">
        <section class="writing" aria-label="Text">
          <form
            class="prompt"
            onSubmit={(event) => {
              event.preventDefault();
              if (running()) stop();
              else start();
            }}
          >
            <label for="prompt">How the text begins</label>
            <textarea
              id="prompt"
              rows={2}
              spellcheck={false}
              value={prompt.value}
              onInput={(event) => {
                prompt.value = event.currentTarget.value;
              }}
              onKeyDown={(event) => {
                if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
                  event.preventDefault();
                  start();
                }
              }}
            />
            <div class="actions">
              <button type="submit" class="main-action" disabled={!ready}>
                {running() ? 'Stop' : 'Write'}
              </button>
              <span class="hint">
                <kbd>Ctrl</kbd> <kbd>Enter</kbd> writes
              </span>
            </div>
          </form>
          {generation.value.kind === 'failed' && (
            <ErrorNote problem={generation.value.problem} action="Try again" onAction={start} />
          )}
          <Output />
          <Charts />
        </section>
        <Controls />
      </div>
    </>
  );
}
