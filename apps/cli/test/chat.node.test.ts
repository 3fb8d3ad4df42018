import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cli, json, mamba } from './mamba.ts';

interface Turn {
  readonly prompt: string;
  readonly answer: string;
  readonly seed: number;
  readonly stop_reason: string;
}

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mamba-chat-'));
});
afterAll(() => rm(folder, { recursive: true }));

const SEED = ['--seed', '4', '--backend', 'wasm-simd', '--max-tokens', '60'];
const chat = (lines: readonly string[], more: readonly string[] = SEED) =>
  json(['chat', ...more], lines.map((line) => `${line}\n`).join(''));
const turnsOf = (result: Record<string, unknown>): Turn[] => result.turns as Turn[];

/** A running `mamba chat` whose output can be waited for. */
class Talk {
  readonly child: ChildProcess;
  readonly exited: Promise<number | null>;
  output = '';
  #wake: () => void = () => {};

  constructor(command: string, args: readonly string[]) {
    this.child = spawn(command, args, { stdio: 'pipe' });
    for (const stream of [this.child.stdout!, this.child.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.output += text;
        this.#wake();
      });
    }
    this.exited = new Promise((resolve) => {
      this.child.once('exit', (code) => {
        resolve(code);
        this.#wake();
      });
    });
    this.child.stdin!.on('error', () => {});
  }

  send(text: string): void {
    this.child.stdin!.write(text);
  }

  /** Until `text` occurs at `from` or later; returns where it ends. */
  async until(text: string | RegExp, from = 0): Promise<number> {
    for (;;) {
      const output = this.output.slice(from);
      const found = typeof text === 'string' ? text : text.exec(output)?.[0];
      const at = found === undefined ? -1 : output.indexOf(found);
      if (at >= 0) return from + at + found!.length;
      if (this.child.exitCode !== null) throw new Error(`it ended before ${text}: ${this.output}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
const talk = (...args: string[]): Talk => new Talk(process.execPath, [cli, 'chat', ...SEED, ...args]);

describe('mamba chat', () => {
  test('answers go to stdout, prompts and remarks to stderr', async () => {
    const { code, stdout, stderr } = await mamba(['chat', ...SEED], 'ROMEO:\n/stats\n');
    expect(code).toBe(0);
    const [turn] = turnsOf(await chat(['ROMEO:']));
    expect(stdout).toBe(`${turn!.answer}\n\n`);
    expect(stderr).toMatch(/^shakespeare-mamba continues a text: .*\n> ROMEO:\n> \/stats\n"main" of "main": 1 turn, /);
  });

  test('prints one JSON object with the fields of its contract; lines become paragraphs', async () => {
    const result = await chat(['ROMEO:', '', '//slash', '/exit', 'never read']);
    expect(Object.keys(result)).toEqual([
      'model',
      'branch',
      'seed',
      'turns',
      'ids',
      'tokens',
      'state_bytes',
      'backend',
    ]);
    expect(result).toMatchObject({ model: 'shakespeare-mamba', branch: 'main', seed: 4, state_bytes: 233_472 });
    const turns = turnsOf(result);
    expect(turns.map(({ prompt }) => prompt)).toEqual(['ROMEO:\n', '', expect.stringMatching(/^\n{0,2}\/slash\n$/)]);
    for (const { answer, stop_reason } of turns) {
      expect(answer).not.toContain('\n\n');
      expect(['stop', 'length']).toContain(stop_reason);
    }
    expect((result.ids as number[]).length).toBe(result.tokens);
  });

  test('after /undo, the same words give the same tokens', async () => {
    const lines = ['ROMEO:', 'JULIET:', 'ROMEO: What shall I swear by?'];
    const plain = await chat(lines);
    const undone = await chat([
      ...lines.slice(0, 2),
      'NURSE:',
      '/undo',
      '/undo',
      ...lines.slice(1),
      '/undo',
      lines[2]!,
    ]);
    expect(undone.ids).toEqual(plain.ids);
    expect(turnsOf(undone)).toEqual(turnsOf(plain));
  });

  test('/retry answers anew with the next seed; undone and said again, the first answer is back', async () => {
    const first = turnsOf(await chat(['ROMEO:', 'JULIET:']))[1]!;
    const retried = turnsOf(await chat(['ROMEO:', 'JULIET:', '/retry', '/retry']))[1]!;
    expect(retried).toMatchObject({ prompt: first.prompt, seed: 6 });
    expect(retried.answer).not.toBe(first.answer);
    const again = turnsOf(await chat(['ROMEO:', 'JULIET:', '/retry', '/undo', 'JULIET:']))[1]!;
    expect(again).toEqual(first);
  });

  test('/fork and /switch keep conversations apart', async () => {
    const plain = await chat(['ROMEO:', 'JULIET:']);
    const fork = await chat(['ROMEO:', '/fork night', 'NURSE:', 'NURSE:', '/switch main', 'JULIET:']);
    expect(fork.ids).toEqual(plain.ids);
    const other = await chat(['ROMEO:', '/fork night', 'JULIET:', '/switch main', 'NURSE:', '/switch night']);
    expect([other.ids, other.branch]).toEqual([plain.ids, 'night']);
  });

  test('saved and loaded in another process it goes on, undoes and retries as if nothing had happened', async () => {
    const file = join(folder, 'a.session');
    const lines = ['ROMEO:', 'JULIET:', 'NURSE:'];
    const plain = await chat(lines);
    await chat([...lines.slice(0, 2), `/save ${file}`, 'ROMEO:']);
    expect((await chat([lines[2]!], ['--load', file])).ids).toEqual(plain.ids);
    expect((await chat(['ROMEO:', `/load ${file}`, lines[2]!])).ids).toEqual(plain.ids);
    expect((await chat(['/undo', ...lines.slice(1)], ['--load', file])).ids).toEqual(plain.ids);
    const retried = await chat([...lines.slice(0, 2), '/retry']);
    expect((await chat(['/retry'], ['--load', file])).ids).toEqual(retried.ids);
    const short = turnsOf(await chat(['NURSE:'], ['--load', file, '--max-tokens', '1']))[2]!;
    expect(short).toMatchObject({ stop_reason: 'length', seed: 4 });
    expect(await readdir(folder)).toEqual(['a.session']);
  });

  test('what cannot be done is told, the conversation goes on, and the exit code is 1', async () => {
    const mangled = join(folder, 'mangled.session');
    const bytes = await readFile(join(folder, 'a.session'));
    bytes[bytes.length >> 1]! ^= 1;
    await writeFile(mangled, bytes);
    const wrong: [string, RegExp][] = [
      ['/nonsense', /no \/nonsense/],
      ['/undo', /nothing was said/],
      ['/retry', /nothing was answered/],
      ['/fork', /\/fork NAME/],
      ['/fork a b', /\/fork NAME/],
      ['/fork main', /exists already/],
      ['/switch other', /there is no "other"/],
      ['/save', /\/save FILE/],
      [`/save ${join(folder, 'no', 'where')}`, /does not exist/],
      ['/load', /\/load FILE/],
      [`/load ${join(folder, 'nothing')}`, /does not exist/],
      [`/load ${folder}`, /folder/],
      ['/load /dev/zero', /device/],
      [`/load ${cli}`, /MTSSESSN/],
      [`/load ${mangled}`, /checksum/],
    ];
    const lines = wrong.map(([line]) => line);
    const { code, stdout, stderr } = await mamba(['chat', ...SEED], [...lines, 'ROMEO:', ''].join('\n'));
    expect([code, stdout.length > 5]).toEqual([1, true]);
    const told = stderr.split(/^> .*$/m).slice(1);
    expect(told.length).toBe(wrong.length + 1);
    for (const [i, [line, expected]] of wrong.entries()) {
      expect(told[i], line).toMatch(/^\nmamba: .*\n$/);
      expect(told[i], line).toMatch(expected);
    }
    expect((await mamba(['chat', ...SEED], '/undo\nROMEO:\n')).code).toBe(1);
    expect((await mamba(['chat', '--load', mangled], 'ROMEO:\n')).code).toBe(1);
    expect((await mamba(['chat', '--temperature', 'hot'])).code).toBe(2);
  });

  test('a session of another model is refused', async () => {
    const model = join(folder, 'other');
    const root = new URL('../../../', import.meta.url);
    await cp(new URL('fixtures/mamba/plain', root), model, { recursive: true });
    await cp(
      new URL('packages/model-shakespeare/shakespeare-mamba/tokenizer.json', root),
      join(model, 'tokenizer.json'),
    );
    const { code, stderr } = await mamba(['chat', '--model', model, '--load', join(folder, 'a.session')]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/another model|not in the vocabulary/);
  });
});

describe('Ctrl-C', () => {
  test('stops the answer, not the program', async () => {
    const it = talk('--max-tokens', '1000000', '--stop', 'never ever');
    it.send('ROMEO:\n');
    const start = await it.until(/> ROMEO:\n.{40}/s);
    it.child.kill('SIGINT');
    const stopped = await it.until('stopped;', start);
    it.send('/undo\n/exit\n');
    await it.until('taken back: "ROMEO:"', stopped);
    expect(await it.exited).toBe(0);
  });

  test('with nothing to stop, it says how to end, and the second ends with 130', async () => {
    const it = talk();
    await it.until('/help lists');
    it.child.kill('SIGINT');
    await it.until('Ctrl-C once more');
    it.send('ROMEO:\n');
    await it.until('\n\n', await it.until('> ROMEO:\n'));
    it.child.kill('SIGINT');
    // The answer in between took the warning back.
    await it.until('Ctrl-C once more', await it.until('> ROMEO:\n'));
    it.child.kill('SIGINT');
    expect(await it.exited).toBe(130);
  });
});

/** A terminal around a command, of util-linux. */
const hasScript = ((): boolean => {
  try {
    return execFileSync('script', ['--version'], { encoding: 'utf8' }).includes('util-linux');
  } catch {
    return false;
  }
})();
if (!hasScript) console.warn('SKIPPED: no `script` of util-linux, mamba chat is not tested at a terminal');

test.skipIf(!hasScript)(
  'at a terminal: history, pasted lines, Ctrl-C in answer and prompt, Ctrl-D',
  async () => {
    const command = [process.execPath, cli, 'chat', ...SEED].map((part) => `'${part}'`).join(' ');
    const it = new Talk('script', ['-qfec', command, '/dev/null']);
    const PROMPT = '\u001b[3G';
    let at = await it.until(PROMPT);
    it.send('ROMEO:\r');
    at = await it.until(PROMPT, at);
    it.send('half a line\u0003');
    at = await it.until('Ctrl-C once more', at);
    it.send('JULIET:\r/undo\r');
    at = await it.until('taken back: "JULIET:"', at);
    at = await it.until(PROMPT, at);
    it.send('\u001b[A\u001b[A\r');
    at = await it.until('> JULIET:', at);
    at = await it.until(PROMPT, await it.until('\n', at));
    it.send('/stats\r');
    at = await it.until('2 turns', at);
    at = await it.until(PROMPT, at);
    it.send('\u0004');
    expect(await it.exited).toBe(0);
  },
  30_000,
);

test('50 kills at random points while it saves: the file holds one of the conversations, whole', {
  timeout: 120_000,
}, async () => {
  const [a, b] = [join(folder, 'kill-a'), join(folder, 'kill-b')];
  await chat(['ROMEO:', `/save ${a}`, 'JULIET:', 'NURSE:', `/save ${b}`]);
  const whole = [await readFile(a), await readFile(b)];
  let seed = 1;
  const random = (): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed / 2 ** 32;
  };
  const seen = [0, 0];
  const lane = async (lane: number): Promise<void> => {
    const target = join(folder, `kill-${lane}`);
    for (let round = 0; round < 10; round++) {
      const it = talk('--load', a);
      it.send(`/load ${b}\n`);
      it.send(`/save ${target}\n/switch main\n/save ${target}\n/switch kill-b\n`.repeat(500));
      await it.until('saved');
      await new Promise((resolve) => setTimeout(resolve, 60 * random()));
      it.child.kill('SIGKILL');
      expect(await it.exited).toBe(null);
      const found = await readFile(target);
      const which = whole.findIndex((bytes) => bytes.equals(found));
      expect(which, `${found.length} bytes that are neither`).toBeGreaterThanOrEqual(0);
      seen[which]!++;
    }
  };
  await Promise.all([0, 1, 2, 3, 4].map(lane));
  // Both kinds are found, so the kills fell between and into saves.
  for (const times of seen) expect(times).toBeGreaterThan(0);
});

describe('mamba chat with a chat template', () => {
  const TEMPLATE =
    "{% for m in messages %}{% if m.role == 'oracle' %}{{ raise_exception('no oracles') }}{% endif %}" +
    "{{ m.role|upper }}:\n{{ m.content|trim }}\n\n{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:\n' }}{% endif %}";
  const source = fileURLToPath(new URL('../../../packages/model-shakespeare/shakespeare-mamba', import.meta.url));
  const templated = async (name: string, template: unknown): Promise<string> => {
    const model = join(folder, name);
    await cp(source, model, { recursive: true });
    await writeFile(
      join(model, 'tokenizer_config.json'),
      JSON.stringify({ chat_template: template, eos_token: '<end>' }),
    );
    return model;
  };
  const promptsOf = (result: Record<string, unknown>): string[] => turnsOf(result).map(({ prompt }) => prompt);

  test("the model's own words the lines; the text that was read stays, and undo, retry and fork work on it", async () => {
    const model = await templated('own', TEMPLATE);
    const result = await chat(['Speak.', 'More.'], [...SEED, '--model', model, '--max-tokens', '8']);
    expect(promptsOf(result)).toEqual(['USER:\nSpeak.\n\nASSISTANT:\n', '\n\nUSER:\nMore.\n\nASSISTANT:\n']);
    expect(turnsOf(result).map((turn) => turn.stop_reason)).toEqual(['length', 'length']);
    const again = await chat(
      ['Speak.', 'No.', '/undo', '/fork b', 'More.'],
      [...SEED, '--model', model, '--max-tokens', '8'],
    );
    expect(again.ids).toEqual(result.ids);
    const { stderr } = await mamba(['chat', ...SEED, '--model', model]);
    expect(stderr).toMatch(/^own answers by its chat template: each line you type is a message\./);
  });

  test('--system, --template, --no-template, --stop', async () => {
    const model = await templated('flags', TEMPLATE);
    const run = (...more: string[]) => chat(['Hi'], [...SEED, '--model', model, '--max-tokens', '8', ...more]);
    expect(promptsOf(await run('--system', 'Be brief.'))[0]).toBe('SYSTEM:\nBe brief.\n\nUSER:\nHi\n\nASSISTANT:\n');
    expect(promptsOf(await run('--no-template'))).toEqual(['Hi\n']);
    const file = join(folder, 'mine.jinja');
    await writeFile(
      file,
      '<{{ messages[-1].content }}>{% if messages|length > 1 %}{{ messages[1].content }}{% endif %}{{ eos_token }}',
    );
    expect(promptsOf(await run('--template', file))).toEqual(['<Hi><end>']);
    expect(promptsOf(await chat(['Hi'], [...SEED, '--template', file]))).toEqual(['<Hi>']);
    const usage = await mamba(['chat', '--no-template', '--model', model, '--system', 'x']);
    expect([usage.code, usage.stderr]).toEqual([2, expect.stringContaining('--system needs a chat template')]);
  });

  test('a template that is broken, refuses or never ends is told, and the conversation goes on', async () => {
    const cases: [string, unknown, RegExp][] = [
      ['broken', '{% if %}', /chat template: .* Use another template/],
      ['none', 7, /tokenizer_config\.json: chat_template should be a text/],
      ['refusing', "{{ raise_exception('Not today') }}", /chat template: Not today\. Write/],
      [
        'endless',
        '{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}',
        /after 250 ms|ended/,
      ],
    ];
    for (const [name, template, message] of cases) {
      const model = await templated(name, template);
      const { code, stderr } = await mamba(['chat', ...SEED, '--model', model], 'Hi\n/stats\n');
      expect(code, name).toBe(1);
      expect(stderr).toMatch(message);
      expect(stderr).toMatch(/"main" of "main": 0 turns/);
    }
  });
});
