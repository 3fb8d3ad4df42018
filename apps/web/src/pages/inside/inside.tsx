import { inspectHtml } from '@mamba-ts/lab';
import { useEffect } from 'preact/hooks';
import { ErrorNote } from '../../components/note.tsx';
import { modelState, openEmbedded } from '../../model.ts';
import { save } from '../../save.ts';
import { ModelBar } from '../playground/model-bar.tsx';
import { look, lookInside, seen, stop, text } from './look.ts';
import { Pictures } from './pictures.tsx';

/** The pictures as a file of their own. */
function savePage(): void {
  const shown = seen.value;
  if (!shown) return;
  save(new Blob([inspectHtml(shown.report)], { type: 'text/html' }), `inside-${shown.report.model}.html`);
}

/** What a text does to the state of the model: what each token lets in, lets go and reads back. */
export function Inside() {
  const state = modelState.value;
  const ready = state.kind === 'ready' ? state.model : null;
  const looking = look.value.kind === 'looking' ? look.value : null;
  const shown = seen.value?.model === ready ? seen.value : null;
  const start = (): void => {
    if (ready) void lookInside(ready, text.value);
  };
  useEffect(() => stop, []);
  return (
    <>
      <h1>See what it lets in</h1>
      <p class="lead">
        A state space model reads once, from left to right, into a state of fixed size. So it must choose, token by
        token (a word or a piece of one), what to let in and what to let go. Here are its choices.
      </p>
      <ModelBar />
      {state.kind === 'failed' && (
        <ErrorNote problem={state.problem} action="Go back to Shakespeare" onAction={() => void openEmbedded()} />
      )}
      <form
        class="prompt"
        onSubmit={(event) => {
          event.preventDefault();
          if (looking) stop();
          else start();
        }}
      >
        <label for="inside-text">A text to read, of 512 tokens at most</label>
        <textarea
          id="inside-text"
          rows={7}
          spellcheck={false}
          value={text.value}
          onInput={(event) => {
            text.value = event.currentTarget.value;
          }}
        />
        <div class="actions">
          <button type="submit" class="main-action" disabled={!ready}>
            {looking ? 'Stop' : 'Look inside'}
          </button>
          {shown && !looking && (
            <button type="button" onClick={savePage}>
              Save as a page
            </button>
          )}
          {looking && <progress aria-label="Looking inside" value={looking.share} max={1} />}
        </div>
      </form>
      {look.value.kind === 'failed' && <ErrorNote problem={look.value.problem} action="Try again" onAction={start} />}
      {shown && <Pictures report={shown.report} layer={shown.layer} />}
      {!shown && !looking && look.value.kind === 'idle' && (
        <p class="output empty">The pictures appear here: it takes a second or two.</p>
      )}
    </>
  );
}
