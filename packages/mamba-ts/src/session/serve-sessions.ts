import { MambaError } from '@mamba-ts/tensor';
import type { LocalModel } from '../local-model.ts';
import type { Handler } from '../rpc.ts';
import type { GenerateOptions, Progress } from '../types.ts';
import type { OpenedSession } from './remote-session.ts';
import type { LoadSessionOptions, Session, SessionOptions, SessionResult } from './types.ts';

interface Of {
  readonly session: number;
}

/** The worker's side of {@link RemoteSession}: sessions by number. */
export function sessionHandlers(model: () => LocalModel): Readonly<Record<string, Handler>> {
  const sessions = new Map<number, Session>();
  let next = 0;
  const open = (session: Session, withTurns = true): OpenedSession => {
    sessions.set(next, session);
    return { session: next++, settings: session.settings, turns: withTurns ? session.turns : [] };
  };
  const at = ({ session }: Of): Session => {
    const found = sessions.get(session);
    if (!found) throw new MambaError('DISPOSED', 'this session was disposed');
    return found;
  };
  return {
    'session.create': async (options: SessionOptions) => open(await model().createSession(options)),
    'session.load': async ({ bytes, options }: { bytes: Uint8Array; options: LoadSessionOptions }) =>
      open(await model().loadSession(bytes, options)),
    async 'session.append'({ text, ...of }: Of & { text: string }, emit, signal) {
      return at(of).append(text, { signal, onProgress: (progress: Progress) => emit({ progress }) });
    },
    async 'session.stream'({ text, options, ...of }: Of & { text: string; options: GenerateOptions }, emit, signal) {
      const onProgress = (progress: Progress): void => emit({ progress });
      const stream = at(of).stream(text, { ...options, signal, onProgress });
      for (;;) {
        const step: IteratorResult<string, SessionResult> = await stream.next();
        if (step.done) return step.value;
        emit({ piece: step.value });
      }
    },
    'session.turns': async ({ from, ...of }: Of & { from: number }) => at(of).turns.slice(from),
    'session.undo': async (of: Of) => at(of).undo(),
    'session.fork': async (of: Of) => open(await at(of).fork(), false),
    'session.save': async (of: Of) => at(of).save(),
    'session.ids': async (of: Of) => at(of).ids(),
    'session.stats': async (of: Of) => at(of).stats(),
    async 'session.dispose'({ session }: Of) {
      await sessions.get(session)?.dispose();
      sessions.delete(session);
    },
  };
}
