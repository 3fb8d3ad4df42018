import { bytesText } from '@mamba-ts/lab';
import { useRef } from 'preact/hooks';
import { modelState, open } from '../../model.ts';
import { count } from '../../words.ts';

/** Which model runs, on what, and how to run another. */
export function ModelBar() {
  const input = useRef<HTMLInputElement>(null);
  const state = modelState.value;
  const progress = state.kind === 'loading' ? state.progress : null;
  return (
    <section class="model" aria-label="Model">
      <div class="model-what">
        <h2>{state.name}</h2>
        {state.kind === 'ready' && (
          <p class="facts">
            <span>{count(state.model.info.parameters)} parameters</span>
            <span>{state.model.info.architecture}</span>
            <span>{bytesText(state.model.info.weightBytes)} of weights</span>
            <span>runs on {state.model.info.backend.name}</span>
          </p>
        )}
        {state.kind === 'loading' && (
          <p class="facts" role="status">
            <span>{progress ? `Loading ${bytesText(progress.done)} of ${bytesText(progress.total)}` : 'Opening…'}</span>
          </p>
        )}
        {state.kind === 'failed' && (
          <p class="facts">
            <span>could not be opened</span>
          </p>
        )}
      </div>
      <button type="button" onClick={() => input.current?.click()}>
        Open a model folder…
      </button>
      <input
        ref={input}
        type="file"
        class="unseen"
        tabIndex={-1}
        aria-label="Model folder"
        multiple
        {...{ webkitdirectory: true }}
        onChange={(event) => {
          const files = [...(event.currentTarget.files ?? [])];
          event.currentTarget.value = '';
          if (files.length === 0) return;
          void open(files, files[0]!.webkitRelativePath.split('/')[0] || files[0]!.name);
        }}
      />
      {state.kind === 'loading' && (
        <progress aria-label="Loading the model" {...(progress ? { value: progress.done, max: progress.total } : {})} />
      )}
    </section>
  );
}
