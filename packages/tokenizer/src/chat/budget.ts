import { TokenizerError, type TokenizerErrorCode } from '../errors.ts';
import { type ChatMessage, type ChatTemplate, MAX_TEMPLATE } from './template.ts';

/** How to render a conversation. */
export interface RenderChatOptions {
  /** End with the words that begin an answer; true unless told otherwise. */
  readonly addGenerationPrompt?: boolean;
  /** What else the template reads, such as `tools` or `enable_thinking`: JSON values. */
  readonly variables?: Readonly<Record<string, unknown>>;
  /** Ends it by throwing its reason. */
  readonly signal?: AbortSignal;
  /** Milliseconds that the template may run; 250 unless told otherwise. */
  readonly budgetMs?: number;
}

// What crosses is declared here, so that only the worker itself reaches for the library.

/** What a worker is given. */
export interface RenderRequest {
  readonly source: string;
  /** JSON: special tokens, messages and whatever else the template may read. */
  readonly variables: Readonly<Record<string, unknown>>;
}

/** What it answers. */
export type RenderAnswer = { readonly text: string } | { readonly code: TokenizerErrorCode; readonly message: string };

/** A worker that renders one template, and can be killed while it does. */
export interface TemplateWorker {
  /** Called once with an event: `ready` when it can work, its answer, or why it ended without one. */
  listen(onEvent: (event: 'ready' | RenderAnswer | { readonly died: string }) => void): void;
  post(request: RenderRequest): void;
  kill(): void;
}

/** Bytes of heap that a template may take; in browsers, which have no such bound, what render.ts counts must do. */
export const TEMPLATE_HEAP_MB = 64;
const BUDGET_MS = 250;
const START_MS = 20_000;
/** Code units of JSON in all that a template is given. */
const MAX_INPUT = 2 ** 24;

/** Renders in `start()`'s worker. Throws `TokenizerError`s `CHAT_TEMPLATE*`, and the signal's reason. */
export async function renderWithin(
  start: () => TemplateWorker,
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  options: RenderChatOptions,
): Promise<string> {
  const { addGenerationPrompt = true, variables = {}, signal, budgetMs = BUDGET_MS } = options;
  signal?.throwIfAborted();
  const request = requestOf(template, {
    tools: null,
    documents: null,
    ...template.specialTokens,
    ...variables,
    messages,
    add_generation_prompt: addGenerationPrompt,
  });
  const worker = start();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let onAbort: (() => void) | undefined;
  try {
    return await new Promise<string>((resolve, reject) => {
      onAbort = () => reject(signal!.reason);
      signal?.addEventListener('abort', onAbort);
      const limit = (ms: number, code: 'CHAT_TEMPLATE_TIMEOUT' | 'CHAT_TEMPLATE_RUN', message: string): void => {
        clearTimeout(timer);
        timer = setTimeout(() => reject(failure(code, message)), ms);
      };
      limit(START_MS, 'CHAT_TEMPLATE_RUN', `its worker did not start within ${START_MS} ms`);
      worker.listen((event) => {
        if (event === 'ready') {
          limit(budgetMs, 'CHAT_TEMPLATE_TIMEOUT', `it was still running after ${budgetMs} ms`);
          worker.post(request);
        } else if ('text' in event) resolve(event.text);
        else if ('code' in event) reject(failure(event.code, event.message));
        else reject(failure('CHAT_TEMPLATE_MEMORY', `its worker ended (${event.died}), as one without memory does`));
      });
    });
  } finally {
    clearTimeout(timer);
    if (onAbort) signal?.removeEventListener('abort', onAbort);
    worker.kill();
  }
}

/** What crosses to the worker: JSON and nothing else, of bounded length. */
function requestOf({ source }: ChatTemplate, variables: Readonly<Record<string, unknown>>): RenderRequest {
  if (typeof source !== 'string' || source.length > MAX_TEMPLATE) {
    throw new TokenizerError('CHAT_TEMPLATE', `A chat template is a text of at most ${MAX_TEMPLATE} characters.`, {});
  }
  const json = JSON.stringify(variables);
  if (json.length > MAX_INPUT) {
    throw new TokenizerError(
      'CHAT_TEMPLATE',
      `The conversation has ${json.length} characters, and templates are given at most ${MAX_INPUT}. Leave out old messages.`,
      { limit: MAX_INPUT, found: json.length },
    );
  }
  return { source, variables: JSON.parse(json) as Record<string, unknown> };
}

const REMEDY = {
  CHAT_TEMPLATE_RAISED: 'Write the conversation as the template wants it.',
  CHAT_TEMPLATE_TIMEOUT: 'Templates take a few milliseconds: this one is broken or hostile. Use another one.',
};

function failure(code: TokenizerError['code'], message: string): TokenizerError {
  const remedy = (REMEDY as Partial<Record<string, string>>)[code] ?? 'Use another template, or none.';
  const short = message.length > 300 ? `${message.slice(0, 300)}…` : message;
  return new TokenizerError(code, `chat template: ${short}${/[.!?]$/.test(short) ? '' : '.'} ${remedy}`, {
    reason: short,
  });
}
