import { isMambaError } from '@mamba-ts/tensor';
import type { SessionSettings } from 'mamba-ts';
import { Chat } from '../chat/chat.ts';
import { obey } from '../chat/commands.ts';
import { Interrupts } from '../chat/interrupts.ts';
import { openLines } from '../chat/lines.ts';
import { failWith, interruptible, UsageError } from '../failure.ts';
import { load, type ModelOptions, printJson } from '../model.ts';
import { note } from '../progress.ts';

interface ChatOptions extends ModelOptions, SessionSettings {
  readonly load?: string;
  readonly json?: boolean;
}

const SETTINGS = ['maxTokens', 'temperature', 'topK', 'topP', 'minP', 'repetitionPenalty', 'seed', 'stop'] as const;

/** `mamba chat`: answers on stdout, all else on stderr. `given` says which options were, for a saved session has its own. */
export async function chat(options: ChatOptions, given: (name: string) => boolean): Promise<void> {
  const settings = Object.fromEntries(
    SETTINGS.filter((name) => options[name] !== undefined && (options.load === undefined || given(name))).map(
      (name) => [name, options[name]],
    ),
  ) as SessionSettings;
  const model = await interruptible((signal) => load(options, signal));
  const interrupts = new Interrupts();
  try {
    const chat = new Chat(model, interrupts, options.json ?? false);
    if (options.load === undefined) await chat.begin(settings);
    else await chat.load(options.load, settings);
    const example = options.model === undefined ? ' Name a speaker, such as ROMEO: or JULIET:, to hear them.' : '';
    note(
      `${model.info.name} continues a text: each line you type joins it, and the model writes on to the end of the ` +
        `paragraph.${example} /help lists the commands.`,
    );
    await converse(chat, interrupts);
    if (options.json) await report(chat);
  } finally {
    interrupts.close();
    await model.dispose();
    // A terminal or pipe that stays open must not keep the program alive.
    process.stdin.destroy();
  }
}

/** Line after line until the last, or /exit. */
async function converse(chat: Chat, interrupts: Interrupts): Promise<void> {
  const lines = openLines(() => interrupts.raise());
  for (;;) {
    const line = await lines();
    if (line === null) return;
    try {
      if (!(await obey(chat, line))) return;
    } catch (error) {
      if (!(error instanceof UsageError || isMambaError(error))) throw error;
      // Told, and remembered in the exit code for scripts; at a terminal the next line is a new chance.
      failWith(error);
      process.exitCode = process.stdin.isTTY ? 0 : 1;
    }
  }
}

async function report({ model, session, name }: Chat): Promise<void> {
  const { tokens, stateBytes } = await session.stats();
  printJson({
    model: model.info.name,
    branch: name,
    seed: session.settings.seed,
    turns: session.turns.map(({ kind, prompt, answer, promptTokens, answerTokens, stopReason, seed }) => ({
      kind,
      prompt,
      answer,
      prompt_tokens: promptTokens,
      answer_tokens: answerTokens,
      stop_reason: stopReason,
      seed,
    })),
    ids: await session.ids(),
    tokens,
    state_bytes: stateBytes,
    backend: model.info.backend.name,
  });
}
