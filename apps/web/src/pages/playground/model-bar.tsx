import { bytesText } from '@mamba-ts/lab';
import { useSignal } from '@preact/signals';
import { OpenModel } from '../../components/open-model.tsx';
import { cancel, type ModelState, modelState, openEmbedded, tryAgain } from '../../model.ts';
import { count, timeLeft } from '../../words.ts';

const threadsText = (threads: number): string => (threads === 1 ? 'one thread' : `${threads} threads`);

/** What a model that is not ready is doing. */
function Facts({ state }: { readonly state: ModelState }) {
  if (state.kind === 'ready') {
    const { parameters, architecture, weightBytes, backend } = state.model.info;
    return (
      <p class="facts">
        <span>{count(parameters)} parameters</span>
        <span>{architecture}</span>
        <span>{bytesText(weightBytes)} of weights</span>
        <span>
          runs on {backend.name}, {threadsText(backend.threads)}
        </span>
        {backend.note && <span>{backend.note}</span>}
      </p>
    );
  }
  if (state.kind === 'failed') return <p class="facts">could not be opened</p>;
  if (state.kind === 'stopped') return <p class="facts">stopped; what has come of a download is kept</p>;
  const { progress, rate } = state;
  if (progress?.phase === 'wait') return <p class="facts">Another tab is downloading it; this one waits…</p>;
  if (!progress) return <p class="facts">Opening…</p>;
  const { phase, done, total } = progress;
  return (
    <p class="facts">
      <span>
        {phase === 'download' ? 'Downloading' : 'Loading'} {bytesText(done)} of {bytesText(total)}
      </span>
      {rate !== null && <span>{bytesText(rate)}/s</span>}
      {rate !== null && rate > 0 && <span>{timeLeft((total - done) / rate)}</span>}
    </p>
  );
}

/** Which model runs, on what, and how to run another. */
export function ModelBar() {
  const opened = useSignal(false);
  const state = modelState.value;
  const progress = state.kind === 'loading' && state.progress?.phase !== 'wait' ? state.progress : null;
  return (
    <section class="model" aria-label="Model">
      <div class="model-what" role={state.kind === 'ready' ? undefined : 'status'}>
        <h2>{state.name}</h2>
        <Facts state={state} />
      </div>
      <div class="model-actions">
        {state.kind === 'loading' && (
          <button type="button" onClick={cancel}>
            Cancel
          </button>
        )}
        {state.kind === 'failed' && (
          <button type="button" onClick={tryAgain}>
            Try again
          </button>
        )}
        {state.kind === 'stopped' && (
          <>
            <button type="button" onClick={tryAgain}>
              Resume
            </button>
            <button type="button" onClick={() => void openEmbedded()}>
              Back to Shakespeare
            </button>
          </>
        )}
        <button
          type="button"
          aria-expanded={opened.value}
          aria-controls="open-model"
          onClick={() => {
            opened.value = !opened.value;
          }}
        >
          {opened.value ? 'Close' : 'Open another model'}
        </button>
      </div>
      {state.kind === 'loading' && (
        <progress aria-label="Loading the model" {...(progress ? { value: progress.done, max: progress.total } : {})} />
      )}
      <OpenModel
        hidden={!opened.value}
        onOpened={() => {
          opened.value = false;
        }}
      />
    </section>
  );
}
