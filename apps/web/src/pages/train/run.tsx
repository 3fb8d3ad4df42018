import { bytesText } from '@mamba-ts/lab';
import { useEffect, useRef } from 'preact/hooks';
import { count, timeLeft } from '../../words.ts';
import { Losses } from './losses.tsx';
import { Samples } from './samples.tsx';
import { models, sizes } from './shapes.ts';
import { asked, download, facts, leave, pause, reports, resume, run, stop, trained, tryIt } from './training.ts';

/** A run on its way or at its end: what it is, how far, its losses and what it writes. */
export function Run() {
  return (
    <section class="run" aria-label="Training">
      <Bar />
      <Figures />
      <div class="run-columns">
        <Losses />
        <Samples />
      </div>
    </section>
  );
}

const said = {
  preparing: 'Learning a vocabulary…',
  training: 'Training',
  ending: 'Taking a last look…',
  paused: 'Paused',
  done: 'Trained',
  idle: '',
  failed: '',
} as const;

/** What is trained, how far it is, and what can be done about it. */
function Bar() {
  const heading = useRef<HTMLHeadingElement>(null);
  const { value: state } = run;
  const request = asked.value!;
  const what = facts.value;
  const last = reports.value.at(-1);
  const files = trained.value;
  // The form, and the button in it that had the focus, have gone.
  useEffect(() => heading.current?.focus(), []);
  const budget = 60 * request.minutes;
  const share = state.kind === 'preparing' ? state.share : last ? (budget - last.secondsLeft) / budget : 0;
  return (
    <div class="model">
      <div class="model-what">
        <h2 ref={heading} tabIndex={-1}>
          {models.find(({ key }) => key === request.model)!.title},{' '}
          {sizes.find(({ key }) => key === request.size)!.title.toLowerCase()}
        </h2>
        <p class="facts">
          <span role="status">{said[state.kind]}</span>
          {what && <span>{count(what.parameters)} parameters</span>}
          {what && <span>{count(what.characters)} characters</span>}
          {what && <span>{count(what.tokens)} tokens</span>}
        </p>
      </div>
      <div class="model-actions">
        {state.kind === 'done' ? (
          <button type="button" onClick={leave}>
            Train another
          </button>
        ) : (
          <>
            <button type="button" onClick={state.kind === 'paused' ? resume : pause}>
              {state.kind === 'paused' ? 'Go on' : 'Pause'}
            </button>
            <button type="button" onClick={stop}>
              Stop
            </button>
          </>
        )}
      </div>
      {state.kind !== 'done' && <progress aria-label="Training" value={share} max={1} />}
      {files && (
        <div class="run-result">
          <button type="button" class="main-action" onClick={tryIt}>
            Try it in the playground
          </button>
          <button type="button" onClick={download}>
            Download ({bytesText(files['model.safetensors'].length)})
          </button>
          <p class="hint">A zip of the folder that mamba run and transformers read.</p>
        </div>
      )}
    </div>
  );
}

/** Where the run stands, in numbers. */
function Figures() {
  const last = reports.value.at(-1);
  const figures: [string, string | undefined][] = [
    ['Steps', last?.step.toLocaleString('en-US')],
    ['Tokens read', last && count(last.tokens)],
    ['Tokens a second', last && Math.round(last.tokensPerSecond).toLocaleString('en-US')],
  ];
  if (run.value.kind !== 'done') figures.push(['Time left', last && timeLeft(last.secondsLeft).replace(/ left$/, '')]);
  return (
    <dl class="run-figures">
      {figures.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value ?? '–'}</dd>
        </div>
      ))}
    </dl>
  );
}
