import { styleText } from 'node:util';
import { visible } from './terminal.ts';

const WIDTH = 24;
/** Work that ends sooner shows no bar. */
const DELAY_MS = 400;
const INTERVAL_MS = 100;

/** A progress bar on stderr, drawn only on a terminal and only for work that lasts. */
export class ProgressBar {
  readonly #label: string;
  readonly #unit: 'bytes' | null;
  readonly #started = performance.now();
  #drawn = 0;

  #first: { readonly done: number; readonly at: number } | null = null;

  /** With `bytes`, it shows how many have come and how fast. */
  constructor(label: string, unit: 'bytes' | null = null) {
    this.#label = label;
    this.#unit = unit;
  }

  /** `instead` is shown in place of the time left. */
  update(done: number, total: number, instead?: string): void {
    const now = performance.now();
    // What was there before, of an earlier download, came at no rate.
    this.#first ??= { done, at: now };
    if (!process.stderr.isTTY || now - this.#started < DELAY_MS || now - this.#drawn < INTERVAL_MS) return;
    this.#drawn = now;
    const share = total > 0 ? done / total : 1;
    const full = Math.round(share * WIDTH);
    const seconds = (now - this.#first.at) / 1000;
    const rate = seconds > 0 ? (done - this.#first.done) / seconds : 0;
    const left = rate > 0 ? `${((total - done) / rate).toFixed(0)} s left` : '';
    const amount = this.#unit === 'bytes' ? `${megabytes(done)} of ${megabytes(total)}, ${megabytes(rate)}/s  ` : '';
    const bar = '█'.repeat(full) + '░'.repeat(WIDTH - full);
    process.stderr.write(`\r\x1b[2K${this.#label} ${bar} ${(100 * share).toFixed(0)} %  ${instead ?? amount + left}`);
  }

  /** Clears the line. */
  end(): void {
    if (this.#drawn > 0) process.stderr.write('\r\x1b[2K');
    this.#drawn = 0;
  }
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

/** A quiet remark on stderr. */
export function note(text: string): void {
  process.stderr.write(`${styleText('dim', visible(text), { stream: process.stderr })}\n`);
}
