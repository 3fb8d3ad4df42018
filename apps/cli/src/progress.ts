import { styleText } from 'node:util';
import { visible } from './terminal.ts';

const WIDTH = 24;
/** Work that ends sooner shows no bar. */
const DELAY_MS = 400;
const INTERVAL_MS = 100;

/** A progress bar on stderr, drawn only on a terminal and only for work that lasts. */
export class ProgressBar {
  readonly #label: string;
  readonly #started = performance.now();
  #drawn = 0;

  constructor(label: string) {
    this.#label = label;
  }

  update(done: number, total: number): void {
    const now = performance.now();
    if (!process.stderr.isTTY || now - this.#started < DELAY_MS || now - this.#drawn < INTERVAL_MS) return;
    this.#drawn = now;
    const share = total > 0 ? done / total : 1;
    const full = Math.round(share * WIDTH);
    const left = share > 0 ? ((now - this.#started) * (1 - share)) / share / 1000 : 0;
    const bar = '█'.repeat(full) + '░'.repeat(WIDTH - full);
    process.stderr.write(`\r\x1b[2K${this.#label} ${bar} ${(100 * share).toFixed(0)} %  ${left.toFixed(0)} s left`);
  }

  /** Clears the line. */
  end(): void {
    if (this.#drawn > 0) process.stderr.write('\r\x1b[2K');
    this.#drawn = 0;
  }
}

/** A quiet remark on stderr. */
export function note(text: string): void {
  process.stderr.write(`${styleText('dim', visible(text), { stream: process.stderr })}\n`);
}
