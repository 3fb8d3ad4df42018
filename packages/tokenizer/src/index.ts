import { type RenderAnswer, type RenderChatOptions, renderWithin, type TemplateWorker } from './chat/budget.ts';
import type { ChatMessage, ChatTemplate } from './chat/template.ts';

export * from './exports.ts';

function startWorker(): TemplateWorker {
  const worker = new Worker(new URL('./chat/worker.ts', import.meta.url), { type: 'module' });
  return {
    listen: (onEvent) => {
      worker.addEventListener('message', ({ data }) => onEvent(data as 'ready' | RenderAnswer));
      worker.addEventListener('error', ({ message }) => onEvent({ died: message || 'error' }));
    },
    post: (request) => worker.postMessage(request),
    kill: () => worker.terminate(),
  };
}

/**
 * The text of a conversation as the model was taught to read it: `messages` by `template`, as transformers'
 * `apply_chat_template` renders it. Templates are programs of strangers: this one runs in a worker of its own, which is
 * killed after 250 ms or (in Node) at 64 MB.
 *
 * Throws `CHAT_TEMPLATE_SYNTAX`, `CHAT_TEMPLATE_RAISED` (its own `raise_exception`), `CHAT_TEMPLATE_RUN`,
 * `CHAT_TEMPLATE_TIMEOUT`, `CHAT_TEMPLATE_MEMORY`, `CHAT_TEMPLATE` where template or messages are too long, and the
 * signal's reason.
 */
export function renderChatTemplate(
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  options: RenderChatOptions = {},
): Promise<string> {
  return renderWithin(startWorker, template, messages, options);
}
