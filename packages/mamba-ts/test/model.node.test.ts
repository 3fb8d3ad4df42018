import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fromPretrained, isMambaError, type MambaModel } from 'mamba-ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const folder = fileURLToPath(new URL('../../model-shakespeare/shakespeare-mamba/', import.meta.url));
const greedy = { temperature: 0, maxTokens: 12 };
const recorded = new URL('../../model-shakespeare/training/greedy.json', import.meta.url);
const expected: number[] = JSON.parse(await readFile(recorded, 'utf8')).ids;

describe.each([true, false])('with worker: %s', (worker) => {
  let model: MambaModel;
  beforeAll(async () => {
    model = await fromPretrained(folder, { worker });
  });
  afterAll(() => model.dispose());

  test('streams pieces whose sum is the text', async () => {
    let text = '';
    for await (const piece of model.stream('ROMEO:', greedy)) text += piece;
    const result = await model.generate('ROMEO:', greedy);
    expect(result.ids).toEqual(expected);
    expect(result.text).toBe(text);
    expect(result.stopReason).toBe('length');
  });

  test('an abort ends it within a token, with the reason given', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    let pieces = 0;
    const run = async (): Promise<void> => {
      for await (const _ of model.stream('ROMEO:', { maxTokens: 100_000, signal: controller.signal })) {
        if (++pieces === 3) controller.abort(reason);
      }
    };
    await expect(run()).rejects.toBe(reason);
    expect((await model.generate('ROMEO:', greedy)).ids).toEqual(expected);
  });

  test('leaving the loop early leaves the model ready', async () => {
    for await (const _ of model.stream('ROMEO:', { maxTokens: 100_000 })) break;
    const before = await model.memory();
    expect((await model.generate('ROMEO:', greedy)).ids).toEqual(expected);
    expect((await model.memory()).state).toBe(before.state);
  });

  test('scores, tokenizes and detokenizes', async () => {
    const ids = await model.tokenize('Wherefore art thou Romeo?');
    expect(await model.detokenize(ids)).toBe('Wherefore art thou Romeo?');
    const rows: number[] = [];
    const { scored, nats } = await model.score(ids, {
      onLogits: (start, logits) => void rows.push(start, logits.length),
    });
    expect(scored).toBe(ids.length - 1);
    expect(nats / scored).toBeLessThan(8);
    expect(rows).toEqual([0, 1024 * ids.length]);
  });

  test('renders conversations by a template, where it can be killed; this model has none of its own', async () => {
    const messages = [{ role: 'user', content: 'Speak' }];
    expect(model.info.chatTemplate).toBe(false);
    const failure = await model.renderChat(messages).catch((error) => error);
    expect(isMambaError(failure, 'NO_CHAT_TEMPLATE')).toBe(true);
    expect(await model.renderChat(messages, { template: '{{ messages[0].content }}:' })).toBe('Speak:');
    const template = '{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}';
    const endless = await model.renderChat(messages, { template }).catch((error) => error);
    expect(endless.code).toMatch(/^CHAT_TEMPLATE_(TIMEOUT|MEMORY)$/);
    expect(isMambaError(endless)).toBe(true);
  });

  test('looks inside, with progress and an abort; the report names each token of the text', async () => {
    const seen: number[] = [];
    const report = await model.inspect('Wherefore art\nthou?', { layer: 1, onProgress: (share) => seen.push(share) });
    expect(report.tokens.map(({ text }) => text).join('')).toBe('Wherefore art\nthou?');
    expect(report.model).toBe('shakespeare-mamba');
    expect([report.layers.length, report.attention.layer, seen.at(-1)]).toEqual([6, 1, 1]);
    const reason = new Error('enough');
    await expect(model.inspect('x', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    await expect(model.inspect('', {})).rejects.toMatchObject({ code: 'INSPECT_TEXT' });
  });

  test('a callback that throws fails its call with that error, and leaves the model ready', async () => {
    const broken = new Error('in the caller');
    const fail = (): never => {
      throw broken;
    };
    await expect(fromPretrained(folder, { worker, onProgress: fail })).rejects.toBe(broken);
    await expect(model.generate('ROMEO:', { ...greedy, onProgress: fail })).rejects.toBe(broken);
    await expect(model.score('But soft', { onLogits: fail })).rejects.toBe(broken);
    await expect(model.score('But soft', { onLogits: async () => fail() })).rejects.toBe(broken);
    await expect(model.score('But soft', { onProgress: fail })).rejects.toBe(broken);
    await expect(model.inspect('But soft', { onProgress: fail })).rejects.toBe(broken);
    expect((await model.generate('ROMEO:', greedy)).ids).toEqual(expected);
  });

  test('a source that is none, and options that are misspelt, are typed errors', async () => {
    for (const source of [null, undefined, 42, {}, [42], new Blob(['x'])]) {
      await expect(fromPretrained(source as never, { worker })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    }
    await expect(fromPretrained('file://elsewhere/model', { worker })).rejects.toMatchObject({ code: 'FILE_MISSING' });
    const misspelt = { backnd: 'reference' } as object;
    await expect(fromPretrained(folder, { worker, ...misspelt })).rejects.toMatchObject({ code: 'UNKNOWN_OPTION' });
    await expect(model.createSession(misspelt)).rejects.toMatchObject({ code: 'UNKNOWN_OPTION' });
    await expect(model.loadSession(new Uint8Array(8), misspelt)).rejects.toMatchObject({ code: 'UNKNOWN_OPTION' });
  });

  test('disposing twice is once, and a call afterwards says DISPOSED', async () => {
    const other = await fromPretrained(folder, { worker });
    await Promise.all([other.dispose(), other.dispose()]);
    await other.dispose();
    await expect(other.generate('x')).rejects.toMatchObject({ code: 'DISPOSED' });
    await expect(other.memory()).rejects.toMatchObject({ code: 'DISPOSED' });
  });

  test('wrong options come back as typed errors', async () => {
    const error = await model.generate('x', { temperature: -1 }).catch((caught: unknown) => caught);
    expect(isMambaError(error, 'INVALID_OPTION')).toBe(true);
  });
});

test('a folder without a model is a typed error, with a worker too', async () => {
  for (const worker of [true, false]) {
    const error = await fromPretrained(fileURLToPath(new URL('.', import.meta.url)), { worker }).catch(
      (caught) => caught,
    );
    expect(isMambaError(error, 'MODEL_FILE')).toBe(true);
  }
});

test('generation_config.json says what ends a text, before config.json does', async () => {
  const copy = await mkdtemp(join(tmpdir(), 'mamba-end-'));
  try {
    await cp(folder, copy, { recursive: true });
    await writeFile(join(copy, 'generation_config.json'), JSON.stringify({ eos_token_id: [7, expected[3]] }));
    const model = await fromPretrained(copy, { worker: false });
    const { ids, stopReason } = await model.generate('ROMEO:', greedy);
    expect([ids, stopReason]).toEqual([expected.slice(0, 3), 'eos']);
    await model.dispose();
  } finally {
    await rm(copy, { recursive: true });
  }
});
