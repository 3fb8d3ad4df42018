import { type Signal, signal } from '@preact/signals';

/** One sampling control: its name, range and what it means in plain words. */
export interface Control {
  readonly key: 'temperature' | 'topK' | 'topP' | 'minP' | 'repetitionPenalty' | 'maxTokens';
  readonly label: string;
  readonly meaning: string;
  readonly min: number;
  readonly max: number;
  readonly step: number;
  /** How the value reads; the plain number unless told otherwise. */
  readonly show?: (value: number) => string;
}

export const controls: readonly Control[] = [
  {
    key: 'temperature',
    label: 'Temperature',
    meaning: 'How daring each choice is. 0 always takes the likeliest token.',
    min: 0,
    max: 2,
    step: 0.05,
    show: (value) => value.toFixed(2),
  },
  {
    key: 'topP',
    label: 'Top-p',
    meaning: 'Choose only among the likeliest tokens that together reach this probability.',
    min: 0.05,
    max: 1,
    step: 0.05,
    show: (value) => (value === 1 ? 'off' : value.toFixed(2)),
  },
  {
    key: 'topK',
    label: 'Top-k',
    meaning: 'Choose only among so many of the likeliest tokens.',
    min: 0,
    max: 200,
    step: 1,
    show: (value) => (value === 0 ? 'off' : String(value)),
  },
  {
    key: 'minP',
    label: 'Min-p',
    meaning: 'Drop tokens less likely than this share of the likeliest one.',
    min: 0,
    max: 0.5,
    step: 0.01,
    show: (value) => (value === 0 ? 'off' : value.toFixed(2)),
  },
  {
    key: 'repetitionPenalty',
    label: 'Repetition penalty',
    meaning: 'Above 1, tokens that came before become less likely.',
    min: 1,
    max: 2,
    step: 0.05,
    show: (value) => (value === 1 ? 'off' : value.toFixed(2)),
  },
  {
    key: 'maxTokens',
    label: 'Length',
    meaning: 'Tokens to write at most. Longer texts need no more memory: try the far end.',
    min: 50,
    max: 20_000,
    step: 50,
    show: (value) => value.toLocaleString('en-US'),
  },
];

const defaults: Readonly<Record<Control['key'], number>> = {
  temperature: 0.8,
  topP: 1,
  topK: 0,
  minP: 0,
  repetitionPenalty: 1,
  maxTokens: 600,
};

export const settings = Object.fromEntries(
  Object.entries(defaults).map(([key, value]) => [key, signal(value)]),
) as Readonly<Record<Control['key'], Signal<number>>>;

/** Empty: a new seed each time. */
export const seedText: Signal<string> = signal('');
export const prompt: Signal<string> = signal('ROMEO:\n');

/** The seed to ask for: undefined for a random one, null where the field holds no seed. */
export function seed(): number | undefined | null {
  const text = seedText.value.trim();
  if (text === '') return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) && value >= 0 ? value : null;
}
