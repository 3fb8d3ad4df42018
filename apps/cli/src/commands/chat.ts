import { isMambaError } from '@mamba-ts/tensor';
import type { LocalModel, SessionSettings } from 'mamba-ts';
import { Chat } from '../chat/chat.ts';
import { obey } from '../chat/commands.ts';
import { Interrupts } from '../chat/interrupts.ts';
import { openLines } from '../chat/lines.ts';
import { TemplatedTurns } from '../chat/template.ts';
import { failWith, interruptible, UsageError } from '../failure.ts';
import { load, type ModelOptions, printJson, readText } from '../model.ts';
import { note } from '../progress.ts';

interface ChatOptions extends ModelOptions, SessionSettings {
  readonly load?: string;
  /** A file with a chat template in place of the model's own; false: none. */
  readonly template?: string | false;
  /** What the conversation begins with, where there is a template. */
  readonly system?: string;
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
    const template = await templateOf(model, options);
    const chat = new Chat(model, interrupts, options.json ?? false, template);
    // The end of a paragraph ends nothing where the template says who speaks.
    const stops = template !== null && !given('stop') ? { stop: [] } : {};
    if (options.load === undefined) await chat.begin({ ...settings, ...stops });
    else await chat.load(options.load, settings);
    const example = options.model === undefined ? ' Name a speaker, such as ROMEO: or JULIET:, to hear them.' : '';
    note(
      template !== null
        ? `${model.info.name} answers by its chat template: each line you type is a message. /help lists the commands.`
        : `${model.info.name} continues a text: each line you type joins it, and the model writes on to the end of the ` +
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

/** The template that was asked for, else the model's own, else none. */
async function templateOf(model: LocalModel, { template, system }: ChatOptions): Promise<TemplatedTurns | null> {
  const source = typeof template === 'string' ? await interruptible((signal) => readText(template, signal)) : null;
  if (template === false || (source === null && !model.info.chatTemplate)) {
    if (system === undefined) return null;
    throw new UsageError(
      '--system needs a chat template: the model has none (or --no-template was given); --template FILE',
    );
  }
  return new TemplatedTurns(model, source, system);
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
