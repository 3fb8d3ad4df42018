import { signal } from '@preact/signals';
import type { GenerationResult, MambaModel } from 'mamba-ts';
import { explain, type Problem } from '../../problem.ts';
import { prompt, seed, settings } from './settings.ts';

/** A point of the chart: the mean over the tokens since the one before. */
export interface Sample {
  /** Tokens of text so far, prompt and answer. */
  readonly tokens: number;
  /** Milliseconds per token. */
  readonly ms: number;
}

export type GenerationState =
  | { readonly kind: 'idle' }
  | { readonly kind: 'reading'; readonly done: number; readonly total: number }
  | { readonly kind: 'writing' }
  | { readonly kind: 'done'; readonly result: GenerationResult }
  | { readonly kind: 'stopped'; readonly tokens: number }
  | { readonly kind: 'failed'; readonly problem: Problem };

export const generation = signal<GenerationState>({ kind: 'idle' });
/** The prompt of the text on the page, and what was written after it. */
export const promptShown = signal('');
export const written = signal('');
export const samples = signal<readonly Sample[]>([]);
/** Over the last samples; 0 before there are any. */
export const tokensPerSecond = signal(0);

export const running = (): boolean => generation.value.kind === 'reading' || generation.value.kind === 'writing';

/** Samples on the chart at most; beyond, every other one goes, and the steps between them double. */
const MAX_SAMPLES = 240;
/** A sample spans at least so many tokens and milliseconds: messages from the worker come in bursts. */
const FIRST_STEP = 48;
const SPAN_MS = 60;

let controller: AbortController | null = null;

export function stop(): void {
  controller?.abort();
}

/** Writes on from the prompt. The page is redrawn at most once per frame, however fast the tokens come. */
export async function generate(model: MambaModel): Promise<void> {
  if (running()) return;
  const own = new AbortController();
  controller = own;
  const wanted = seed();
  promptShown.value = prompt.value;
  written.value = '';
  samples.value = [];
  tokensPerSecond.value = 0;
  generation.value = { kind: 'reading', done: 0, total: 0 };

  let text = '';
  let tokens = 0;
  let frame = 0;
  const draw = (): void => {
    frame = 0;
    written.value = text;
  };
  const meter = createMeter();
  try {
    const promptTokens = (await model.tokenize(prompt.value)).length;
    const stream = model.stream(prompt.value, {
      ...Object.fromEntries(Object.entries(settings).map(([key, value]) => [key, value.value])),
      ...(typeof wanted === 'number' ? { seed: wanted } : {}),
      signal: own.signal,
      onProgress: ({ done, total }) => {
        generation.value = done < total ? { kind: 'reading', done, total } : { kind: 'writing' };
      },
    });
    for (;;) {
      const step = await stream.next();
      if (step.done) {
        generation.value = { kind: 'done', result: step.value };
        return;
      }
      // A piece is a token, or some where a character spans several.
      tokens++;
      text += step.value;
      if (meter.add(promptTokens + tokens)) {
        samples.value = meter.samples;
        tokensPerSecond.value = 1000 / meter.recent();
      }
      frame ||= requestAnimationFrame(draw);
    }
  } catch (error) {
    generation.value = own.signal.aborted ? { kind: 'stopped', tokens } : { kind: 'failed', problem: explain(error) };
  } finally {
    if (frame) cancelAnimationFrame(frame);
    draw();
    samples.value = meter.samples;
  }
}

/** Turns the moments at which tokens arrive into samples. */
function createMeter() {
  let list: Sample[] = [];
  let step = FIRST_STEP;
  let since = performance.now();
  let from = -1;
  let lastDrawn = 0;
  return {
    get samples(): readonly Sample[] {
      return list;
    },
    recent: () => {
      const last = list.slice(-6);
      return last.reduce((sum, { ms }) => sum + ms, 0) / Math.max(1, last.length);
    },
    /** True where there is something new to draw: a few times a second. */
    add(tokens: number): boolean {
      const now = performance.now();
      if (from < 0) {
        // The first token carries the prompt's time.
        [from, since] = [tokens, now];
        return false;
      }
      if (tokens - from < step || now - since < SPAN_MS) return false;
      list.push({ tokens, ms: (now - since) / (tokens - from) });
      [from, since] = [tokens, now];
      if (list.length > MAX_SAMPLES) {
        list = halve(list);
        step *= 2;
      }
      if (now - lastDrawn < 120) return false;
      lastDrawn = now;
      list = [...list];
      return true;
    },
  };
}

/** Each two neighbouring samples as one. */
function halve(list: readonly Sample[]): Sample[] {
  const half: Sample[] = [];
  for (let i = 0; i + 1 < list.length; i += 2) {
    half.push({ tokens: list[i + 1]!.tokens, ms: (list[i]!.ms + list[i + 1]!.ms) / 2 });
  }
  return half;
}
