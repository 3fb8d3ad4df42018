import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import {
  type RenderAnswer,
  type RenderChatOptions,
  renderWithin,
  TEMPLATE_HEAP_MB,
  type TemplateWorker,
} from './chat/budget.ts';
import type { ChatMessage, ChatTemplate } from './chat/template.ts';

export * from './exports.ts';

/**
 * A process and not a thread: a thread that allocates much at once takes its whole process down with it, whatever its
 * resourceLimits say. It sees none of our environment, and its complaints about memory go nowhere.
 */
function startProcess(): TemplateWorker {
  const child = fork(fileURLToPath(new URL('./chat/node-worker.ts', import.meta.url)), [], {
    env: {},
    execArgv: [`--max-old-space-size=${TEMPLATE_HEAP_MB}`, '--no-warnings'],
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  return {
    listen: (onEvent) => {
      child.on('message', (message) => onEvent(message as 'ready' | RenderAnswer));
      child.on('error', ({ message }) => onEvent({ died: message }));
      child.on('exit', (code, signal) => onEvent({ died: signal ?? `exit code ${code}` }));
    },
    post: (request) => child.send(request, () => {}),
    kill: () => child.kill('SIGKILL'),
  };
}

/**
 * The text of a conversation as the model was taught to read it: `messages` by `template`, as transformers'
 * `apply_chat_template` renders it. Templates are programs of strangers: this one runs in a process of its own, which is
 * killed after 250 ms or at 64 MB.
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
  return renderWithin(startProcess, template, messages, options);
}
