import { UsageError } from '../failure.ts';
import { note } from '../progress.ts';
import type { Chat } from './chat.ts';

interface ChatCommand {
  readonly usage: string;
  readonly does: string;
  run(chat: Chat, argument: string): Promise<void> | void;
}

const COMMANDS: Readonly<Record<string, ChatCommand>> = {
  undo: { usage: '/undo', does: 'takes the last line and its answer back', run: (chat) => chat.undo() },
  retry: { usage: '/retry', does: 'another answer to the last line', run: (chat) => chat.retry() },
  fork: { usage: '/fork NAME', does: 'goes on in a copy called NAME', run: (chat, name) => chat.fork(name) },
  switch: {
    usage: '/switch NAME',
    does: 'goes to another copy ("main" is the first)',
    run: (chat, name) => chat.switch(name),
  },
  save: { usage: '/save FILE', does: 'writes this conversation with its state', run: (chat, file) => chat.save(file) },
  load: {
    usage: '/load FILE',
    does: 'opens a saved conversation beside this one',
    run: (chat, file) => chat.load(file),
  },
  stats: { usage: '/stats', does: 'tokens, state, what was read and what was known', run: (chat) => chat.stats() },
  help: { usage: '/help', does: 'this list; //text sends a line that begins with a slash', run: help },
  exit: { usage: '/exit', does: 'ends the program, as Ctrl-D does', run: () => {} },
};

function help(): void {
  for (const { usage, does } of Object.values(COMMANDS)) note(`${usage.padEnd(14)}${does}`);
  note(`${'(empty line)'.padEnd(14)}lets the model go on`);
  note(`${'Ctrl-C'.padEnd(14)}stops an answer`);
}

/** One line of the user's: a command, or text. False where it ends the conversation. */
export async function obey(chat: Chat, line: string): Promise<boolean> {
  if (!line.startsWith('/') || line.startsWith('//')) {
    await chat.say(line.replace(/^\/\//, '/'));
    return true;
  }
  const [, name = '', argument = ''] = /^\/(\S*)\s*(.*?)\s*$/.exec(line) ?? [];
  if (name === 'exit') return false;
  if (!Object.hasOwn(COMMANDS, name)) {
    throw new UsageError(`there is no /${name}; /help lists the commands, //${name} sends it as text`);
  }
  await COMMANDS[name]!.run(chat, argument);
  return true;
}
