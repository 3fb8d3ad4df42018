import type { GenerationResult } from 'mamba-ts';
import { useLayoutEffect, useRef } from 'preact/hooks';
import { generation, promptShown, samples, tokensPerSecond, written } from './generation.ts';

const endings: Readonly<Record<GenerationResult['stopReason'], string>> = {
  length: 'reached the length asked for',
  stop: 'came to a stop text',
  eos: 'ended the text itself',
};

function Status() {
  const state = generation.value;
  const speed =
    tokensPerSecond.value > 0 ? `${Math.round(tokensPerSecond.value).toLocaleString('en-US')} tokens/s` : '';
  if (state.kind === 'reading') {
    const share = state.total > 0 ? ` ${Math.round((100 * state.done) / state.total)} %` : '';
    return <p class="status">Reading the prompt{share}…</p>;
  }
  if (state.kind === 'writing') {
    return (
      <p class="status">
        <strong>{speed || 'Writing…'}</strong>
      </p>
    );
  }
  if (state.kind === 'done') {
    const { ids, decodeTokens, decodeMs, seed, stopReason } = state.result;
    const rate = decodeMs > 0 ? Math.round((1000 * decodeTokens) / decodeMs).toLocaleString('en-US') : '–';
    return (
      <p class="status">
        <strong>{rate} tokens/s</strong>
        <span>{ids.length.toLocaleString('en-US')} tokens</span>
        <span>seed {seed}</span>
        <span>{endings[stopReason]}</span>
      </p>
    );
  }
  if (state.kind === 'stopped') {
    return (
      <p class="status">
        {speed && <strong>{speed}</strong>}
        <span>{state.tokens.toLocaleString('en-US')} tokens</span>
        <span>stopped</span>
      </p>
    );
  }
  return null;
}

/** What screen readers are told: beginnings and ends, not every token. */
function Announcement() {
  const { kind } = generation.value;
  const said =
    kind === 'reading' || kind === 'writing'
      ? 'Writing'
      : kind === 'done'
        ? 'The text is finished'
        : kind === 'stopped'
          ? 'Stopped'
          : '';
  return (
    <p class="unseen" role="status">
      {said}
    </p>
  );
}

/** Characters of a block, but for the rest of its last line. */
const BLOCK = 1500;

/** A long text in blocks that end with a line: only the last one grows, so a frame lays out no more than that. */
function blocksOf(text: string): string[] {
  const blocks: string[] = [];
  for (let start = 0; start < text.length; ) {
    const line = text.indexOf('\n', start + BLOCK);
    const end = line < 0 ? text.length : line + 1;
    blocks.push(text.slice(start, end));
    start = end;
  }
  return blocks;
}

/** Keeps the end of a growing text in view, unless the reader scrolled away from it. */
function useFollowedEnd() {
  const box = useRef<HTMLElement>(null);
  const followed = useRef(true);
  const text = written.value;
  useLayoutEffect(() => {
    const element = box.current;
    if (text === '') followed.current = true;
    else if (element && followed.current) element.scrollTop = element.scrollHeight;
  }, [text]);
  const onScroll = (): void => {
    const { scrollTop, clientHeight, scrollHeight } = box.current!;
    followed.current = scrollTop + clientHeight > scrollHeight - 24;
  };
  return { ref: box, onScroll };
}

export function Output() {
  const followed = useFollowedEnd();
  const busy = generation.value.kind === 'reading' || generation.value.kind === 'writing';
  const empty = promptShown.value === '' && written.value === '' && samples.value.length === 0;
  return (
    <div class="output" aria-busy={busy}>
      {empty ? (
        <p class="empty">The text appears here, token by token, as the model writes it.</p>
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard
        <section class="text" {...followed} tabIndex={0} aria-label="What the model wrote">
          <span class="text-prompt">{promptShown}</span>
          <span id="written">
            {blocksOf(written.value).map((part, i) => (
              <span key={i} class="text-block">
                {part}
              </span>
            ))}
          </span>
          {busy && <span class="caret" aria-hidden="true" />}
        </section>
      )}
      <Status />
      <Announcement />
    </div>
  );
}
