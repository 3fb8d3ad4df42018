import { MambaError } from '@mamba-ts/tensor';
import type { ChatMessage, LocalModel } from 'mamba-ts';

/** Puts what a user says into the words of a chat template. */
export class TemplatedTurns {
  readonly #model: LocalModel;
  /** Null: the model's own. */
  readonly #template: string | null;
  readonly #system: readonly ChatMessage[];

  constructor(model: LocalModel, template: string | null, system: string | undefined) {
    this.#model = model;
    this.#template = template;
    this.#system = system === undefined ? [] : [{ role: 'system', content: system }];
  }

  /** What stands before the first answer: the conversation up to it. */
  first(line: string, signal: AbortSignal): Promise<string> {
    return this.#render([...this.#system, { role: 'user', content: line }], signal);
  }

  /**
   * What stands between two answers: the end of the one and all up to the other. Taken from a conversation made up of
   * place holders, so that it needs no record of what was said: the text that was read stays as it is, even where the
   * template would write it otherwise now.
   */
  async next(line: string, signal: AbortSignal): Promise<string> {
    const holder = `answer-${crypto.randomUUID()}`;
    const whole = await this.#render(
      [
        ...this.#system,
        { role: 'user', content: 'question' },
        { role: 'assistant', content: holder },
        { role: 'user', content: line },
      ],
      signal,
    );
    const at = whole.lastIndexOf(holder);
    if (at === -1) {
      throw new MambaError(
        'CHAT_TEMPLATE',
        'the chat template leaves earlier answers out, so a conversation cannot go on with it: use --template FILE or --no-template',
      );
    }
    return whole.slice(at + holder.length);
  }

  #render(messages: readonly ChatMessage[], signal: AbortSignal): Promise<string> {
    return this.#model.renderChat(messages, {
      signal,
      ...(this.#template === null ? {} : { template: this.#template }),
    });
  }
}
