import { INTERRUPTED } from '../failure.ts';
import { note } from '../progress.ts';

/** What Ctrl-C means in a conversation: it stops the work at hand; with none at hand, the second one ends the program. */
export class Interrupts {
  #work: AbortController | null = null;
  #warned = false;
  readonly #onSignal = (): void => this.raise();

  constructor() {
    process.on('SIGINT', this.#onSignal);
  }

  /** A Ctrl-C, from the system or from a terminal whose keys are read one by one. */
  raise(): void {
    if (this.#work && !this.#work.signal.aborted) {
      this.#work.abort(INTERRUPTED);
      return;
    }
    if (this.#work || this.#warned) process.exit(130);
    this.#warned = true;
    note('\nCtrl-C once more, or /exit, ends the conversation; what was not saved is lost.');
  }

  /** Runs `work` with a signal that Ctrl-C aborts; false where it did. */
  async during(work: (signal: AbortSignal) => Promise<void>): Promise<boolean> {
    this.#warned = false;
    this.#work = new AbortController();
    try {
      await work(this.#work.signal);
      return true;
    } catch (error) {
      if (error !== INTERRUPTED) throw error;
      return false;
    } finally {
      this.#work = null;
    }
  }

  close(): void {
    process.off('SIGINT', this.#onSignal);
  }
}
