import { checks } from './training.ts';

/** Bytes that are no text, which a model writes until it has learned better, as dots. */
const readable = (text: string): string => text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\ufffd]/g, '·');

/** What the model writes as it learns, the newest first. */
export function Samples() {
  return (
    <section class="samples" aria-label="What it writes">
      <h2>What it writes</h2>
      {checks.value.length === 0 && (
        <p class="empty">Its first attempt appears here, then a new one every few seconds.</p>
      )}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard */}
      <ol class="samples-list" tabIndex={0} reversed aria-label="Samples, the newest first">
        {checks.value.toReversed().map(({ step, prompt, written }) => (
          <li key={step}>
            <h3>{step === 0 ? 'Before the first step' : `After ${step.toLocaleString('en-US')} steps`}</h3>
            <p class="sample">
              <span class="text-prompt">{prompt}</span>
              {readable(written)}
            </p>
          </li>
        ))}
      </ol>
    </section>
  );
}
