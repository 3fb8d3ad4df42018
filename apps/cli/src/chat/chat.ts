import { openFile, saveFile } from '@mamba-ts/loaders/node';
import { MambaError } from '@mamba-ts/tensor';
import type { LocalModel, Session, SessionResult, SessionSettings, Turn } from 'mamba-ts';
import { UsageError } from '../failure.ts';
import { note, ProgressBar } from '../progress.ts';
import { print, visible } from '../terminal.ts';
import type { Interrupts } from './interrupts.ts';
import type { TemplatedTurns } from './template.ts';

const BRANCH_NAME = /^[\p{L}\p{N}_.-]{1,64}$/u;
/** Far above any saved session, far below what would fill the memory. */
const MAX_FILE = 2 ** 30;

/** Conversations by name, one of them the current. */
export class Chat {
  readonly model: LocalModel;
  readonly #interrupts: Interrupts;
  /** Answers are not shown. */
  readonly #quiet: boolean;
  /** Null: lines join the text as they are. */
  readonly #template: TemplatedTurns | null;
  readonly #branches = new Map<string, Session>();
  #name = 'main';
  #last: SessionResult | null = null;

  constructor(model: LocalModel, interrupts: Interrupts, quiet: boolean, template: TemplatedTurns | null) {
    this.model = model;
    this.#interrupts = interrupts;
    this.#quiet = quiet;
    this.#template = template;
  }

  get name(): string {
    return this.#name;
  }

  get session(): Session {
    return this.#branches.get(this.#name)!;
  }

  async begin(settings: SessionSettings): Promise<void> {
    this.#branches.set(this.#name, await this.model.createSession({ settings }));
  }

  /**
   * `line` joins the text as the template words it, else as a paragraph of its own, and the model goes on; an empty line
   * only lets it go on.
   */
  async say(line: string): Promise<void> {
    const { turns } = this.session;
    const template = this.#template;
    if (template !== null && line !== '') {
      let words = '';
      const whole = await this.#interrupts.during(async (signal) => {
        words = await (turns.length === 0 ? template.first(line, signal) : template.next(line, signal));
      });
      if (whole) await this.#answer(words);
      return;
    }
    const text = turns.map(({ prompt, answer, rest }) => prompt + answer + rest).join('');
    const gap = text === '' || text.endsWith('\n\n') ? '' : text.endsWith('\n') ? '\n' : '\n\n';
    await this.#answer(line === '' ? '' : `${gap}${line}\n`);
  }

  async undo(): Promise<void> {
    const turn = await this.session.undo();
    if (!turn) throw new UsageError('nothing was said yet');
    note(`taken back: ${describe(turn)}`);
  }

  /** Answers the last turn once more, with the next seed. */
  async retry(): Promise<void> {
    const last = this.session.turns.at(-1);
    if (last?.kind !== 'answer') throw new UsageError('nothing was answered yet');
    await this.session.undo();
    await this.#answer(last.prompt, (last.seed! + 1) % Number.MAX_SAFE_INTEGER);
  }

  async fork(name: string): Promise<void> {
    if (!BRANCH_NAME.test(name)) throw new UsageError('/fork NAME: a name of letters, digits, - _ and .');
    if (this.#branches.has(name)) throw new UsageError(`"${name}" exists already: /switch ${name}`);
    const from = this.#name;
    this.#branches.set(name, await this.session.fork());
    this.#name = name;
    note(`you are in "${name}", a copy of "${from}"; /switch ${from} goes back`);
  }

  switch(name: string): void {
    if (!this.#branches.has(name)) throw new UsageError(`there is no "${name}"; there are ${this.#names()}`);
    this.#name = name;
    const last = this.session.turns.at(-1);
    note(`you are in "${name}", ${last ? `after ${describe(last)}` : 'where nothing was said yet'}`);
  }

  /** Writes the current conversation: the file holds what it held before, or all of the new. */
  async save(path: string): Promise<void> {
    if (path === '') throw new UsageError('/save FILE');
    const bytes = await this.session.save();
    await saveFile(path, [bytes]);
    note(`saved ${count(this.session.turns.length, 'turn')} to ${path} (${bytes.length.toLocaleString('en')} bytes)`);
  }

  /** Opens a saved conversation beside the others, as the first, or under the file's name. */
  async load(path: string, settings: SessionSettings = {}): Promise<void> {
    if (path === '') throw new UsageError('/load FILE');
    const file = await openFile(path);
    if (file.size > MAX_FILE) {
      throw new MambaError('SESSION_FORMAT', `${path} has ${file.size} bytes: no saved session is as large as that`);
    }
    const session = await this.model.loadSession(await file.read(0, file.size), { settings });
    const name = this.#branches.size === 0 ? this.#name : this.#freeName(file.name);
    this.#branches.set(name, session);
    this.#name = name;
    const last = session.turns.at(-1);
    note(
      `loaded ${count(session.turns.length, 'turn')} as "${name}", ${last ? `after ${describe(last)}` : 'where nothing was said yet'}`,
    );
  }

  async stats(): Promise<void> {
    const { tokens, stateBytes, cache } = await this.session.stats();
    const number = (value: number): string => value.toLocaleString('en');
    note(`"${this.#name}" of ${this.#names()}: ${count(this.session.turns.length, 'turn')}, ${number(tokens)} tokens`);
    note(`state: ${number(stateBytes)} bytes`);
    note(
      `kept to undo and retry without reading: ${cache.states} states, ${number(cache.bytes)} bytes of at most ${number(cache.maxBytes)}`,
    );
    if (!this.#last) return;
    const { reusedTokens, prefillTokens, ids, seed, decodeTokens, decodeMs } = this.#last;
    const speed = decodeMs > 0 ? ` at ${((1000 * decodeTokens) / decodeMs).toFixed(0)} tokens/s` : '';
    note(
      `last answer: ${reusedTokens} tokens known, ${prefillTokens} read, ${ids.length} written${speed}, seed ${seed}`,
    );
  }

  async #answer(text: string, seed?: number): Promise<void> {
    const bar = new ProgressBar('reading');
    const { session } = this;
    const whole = await this.#interrupts.during(async (signal) => {
      const stream = session.stream(text, {
        signal,
        ...(seed === undefined ? {} : { seed }),
        onProgress: ({ done, total }) => (done === total ? bar.end() : bar.update(done, total)),
      });
      for (;;) {
        const step = await stream.next();
        if (step.done) {
          this.#last = step.value;
          return;
        }
        if (!this.#quiet) print(step.value);
      }
    });
    bar.end();
    if (!this.#quiet) process.stdout.write('\n\n');
    if (!whole)
      note('stopped; what was written stays. /undo takes it back, /retry answers anew, an empty line goes on.');
  }

  #names(): string {
    return [...this.#branches.keys()].map((name) => `"${name}"`).join(', ');
  }

  #freeName(file: string): string {
    const base = file.replace(/[^\p{L}\p{N}_.-]/gu, '_').slice(0, 60) || 'loaded';
    for (let n = 1; ; n++) {
      const name = n === 1 ? base : `${base}-${n}`;
      if (!this.#branches.has(name)) return name;
    }
  }
}

const count = (n: number, thing: string): string => `${n} ${thing}${n === 1 ? '' : 's'}`;

/** A turn in a few words. */
function describe({ prompt, answer }: Turn): string {
  const short = (text: string): string => {
    const line = visible(text.trim().replaceAll(/\s+/g, ' '));
    return line.length > 30 ? `${line.slice(0, 30)}…` : line;
  };
  return `"${short(prompt)}" and its answer "${short(answer)}"`;
}
