import { describe, expect, test } from 'vitest';
import { loadFixture } from '../../../fixtures/load.ts';
import type * as Entry from '../src/index.ts';
import { type ChatMessage, type ChatTemplate, readChatTemplate } from '../src/index.ts';

const inNode = typeof process === 'object' && process.versions?.node !== undefined;
const { renderChatTemplate } = (await (inNode ? import('../src/node.ts') : import('../src/index.ts'))) as typeof Entry;

interface Case {
  readonly messages: ChatMessage[];
  readonly variables: { readonly add_generation_prompt: boolean };
  readonly text?: string;
  readonly raised?: string;
}
interface Golden {
  readonly tokens: Record<string, string>;
  readonly templates: { readonly name: string; readonly template: string; readonly cases: Case[] }[];
}

const golden = JSON.parse(new TextDecoder().decode(await loadFixture('chat/templates.json'))) as Golden;
const hello: ChatMessage[] = [{ role: 'user', content: 'Hello' }];
const of = (source: string): ChatTemplate => ({ source, specialTokens: {} });
const codeOf = (template: string): Promise<string> =>
  renderChatTemplate(of(template), hello).then(
    (text) => `no error: ${text.slice(0, 80)}`,
    (error) => error.code ?? String(error),
  );

describe('as transformers renders them', () => {
  test.each(golden.templates)('$name', async ({ template, cases }) => {
    for (const { messages, variables, text, raised } of cases) {
      const { add_generation_prompt: addGenerationPrompt, ...rest } = variables;
      const rendering = renderChatTemplate({ source: template, specialTokens: golden.tokens }, messages, {
        addGenerationPrompt,
        variables: rest,
        budgetMs: 5000, // the figures are asked for below; here the machine may be busy
      });
      if (raised === undefined) expect(await rendering).toBe(text);
      else {
        await expect(rendering).rejects.toMatchObject({ code: 'CHAT_TEMPLATE_RAISED', details: { reason: raised } });
      }
    }
    expect(cases.length).toBeGreaterThan(10);
  });
});

const grown = (times: number): string =>
  `{% set ns = namespace(x='a b c d e ') %}{% for i in range(${times}) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}`;
const NESTED = '{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}';
const STOPPED = /^CHAT_TEMPLATE_(TIMEOUT|MEMORY)$/;

describe('hostile templates are stopped at their budget', () => {
  test.each([
    ['a range of 1e9', '{{ range(1000000000) }}', /MEMORY$/],
    ['a loop over 2e8', '{% for i in range(200000000) %}{% endfor %}', /MEMORY$/],
    ['loops in loops', NESTED, STOPPED],
    ['a text that doubles', `${grown(45)}{{ ns.x }}`, /MEMORY$/],
    ['a large text made upper case', `${grown(25)}{{ ns.x|upper }}`, STOPPED],
    ['a large text split', `${grown(20)}{{ ns.x.split(' ')|length }}`, STOPPED],
    ['a text replaced by texts', `${grown(18)}{{ ns.x|replace('a', ns.x)|length }}`, STOPPED],
    [
      'a list that doubles',
      '{% set ns = namespace(x=[1, 2]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}',
      STOPPED,
    ],
    [
      'output without end',
      `{% for i in range(90000) %}{% for j in range(90000) %}${'a'.repeat(64)}{% endfor %}{% endfor %}`,
      STOPPED,
    ],
    ['a macro that calls itself', '{% macro f(g) %}{{ g(g) }}{% endmacro %}{{ f(f) }}', /RUN$|MEMORY$|TIMEOUT$/],
    ['brackets 50,000 deep', `{{ ${'('.repeat(50_000)}1${')'.repeat(50_000)} }}`, /SYNTAX$|TIMEOUT$/],
    ['white space', `{{ 1 }}${' '.repeat(300_000)}{%`, /SYNTAX$|TIMEOUT$/],
  ])('%s', { timeout: 30_000 }, async (_, template, expected) => {
    const began = performance.now();
    expect(await codeOf(template)).toMatch(expected);
    // With the start of its worker, on a busy machine.
    expect(performance.now() - began).toBeLessThan(10_000);
  });

  test('this process goes on, and works', async () => {
    expect(await renderChatTemplate(of('{{ messages[0].content }}'), hello)).toBe('Hello');
  });
});

describe('what goes wrong otherwise', () => {
  test.each([
    ['not Jinja', '{% if %}', 'CHAT_TEMPLATE_SYNTAX'],
    ['not closed', '{{ "a', 'CHAT_TEMPLATE_SYNTAX'],
    ['a refusal', "{{ raise_exception('no') }}", 'CHAT_TEMPLATE_RAISED'],
    ['a call of nothing', '{{ nothing() }}', 'CHAT_TEMPLATE_RUN'],
    ['a step of zero', '{{ range(1, 2, 0) }}', 'CHAT_TEMPLATE_RUN'],
    ['a way out', "{{ ''.constructor.constructor('return process')() }}", 'CHAT_TEMPLATE_RUN'],
  ])('%s', async (_, template, code) => {
    expect(await codeOf(template)).toBe(code);
  });

  test('the message says what the template said, and what to do', async () => {
    const failing = renderChatTemplate(of("{{ raise_exception('Only users may speak') }}"), hello);
    await expect(failing).rejects.toThrow(
      'chat template: Only users may speak. Write the conversation as the template',
    );
  });

  test('too long a template, too long a conversation', async () => {
    const long = of('a'.repeat(2 ** 20 + 1));
    await expect(renderChatTemplate(long, hello)).rejects.toMatchObject({ code: 'CHAT_TEMPLATE' });
    const talk = [{ role: 'user', content: 'a'.repeat(2 ** 24) }];
    await expect(renderChatTemplate(of('a'), talk)).rejects.toMatchObject({ code: 'CHAT_TEMPLATE' });
  });

  test('an aborted signal ends it with its reason, before and while it runs', async () => {
    const reason = new Error('enough');
    const aborted = AbortSignal.abort(reason);
    await expect(renderChatTemplate(of('a'), hello, { signal: aborted })).rejects.toBe(reason);
    const controller = new AbortController();
    const rendering = renderChatTemplate(of(NESTED), hello, { signal: controller.signal, budgetMs: 60_000 });
    setTimeout(() => controller.abort(reason), 300);
    await expect(rendering).rejects.toBe(reason);
  });

  test('variables cannot take the place of what templates rely on', async () => {
    const template = of('{{ messages[0].content }}{{ range(2)|length }}{{ "x" if __proto__ is defined }}');
    const variables = { messages: [], range: 1, raise_exception: 2 };
    expect(await renderChatTemplate(template, hello, { variables })).toBe('Hello2');
  });
});

describe('where a template stands', () => {
  const config = (fields: object): string => JSON.stringify(fields);

  test('tokenizer_config.json, with its tokens in both forms', () => {
    const tokenizerConfig = config({
      chat_template: 'x',
      bos_token: '<s>',
      eos_token: { content: '</s>' },
      pad_token: null,
    });
    const expected = { source: 'x', specialTokens: { bos_token: '<s>', eos_token: '</s>' } };
    expect(readChatTemplate({ tokenizerConfig })).toEqual(expected);
    expect(readChatTemplate({ tokenizerConfig: new TextEncoder().encode(tokenizerConfig) })).toEqual(expected);
    expect(readChatTemplate({ tokenizerConfig, jinja: 'y' })).toEqual({ ...expected, source: 'y' });
    expect(readChatTemplate({ jinja: 'y' })).toEqual({ source: 'y', specialTokens: {} });
  });

  test('several by name: the default one', () => {
    const several = [
      { name: 'tool_use', template: 'a' },
      { name: 'default', template: 'b' },
    ];
    expect(readChatTemplate({ tokenizerConfig: config({ chat_template: several }) })?.source).toBe('b');
    expect(() => readChatTemplate({ tokenizerConfig: config({ chat_template: several.slice(0, 1) }) })).toThrow(
      /default/,
    );
  });

  test('GGUF', () => {
    const fields = new Map<string, unknown>([
      ['tokenizer.chat_template', 'x'],
      ['tokenizer.ggml.model', 'llama'],
      ['tokenizer.ggml.tokens', ['<unk>', '<s>', '</s>', '<end>']],
      ['tokenizer.ggml.eos_token_id', 3],
    ]);
    const specialTokens = { bos_token: '<s>', eos_token: '<end>', unk_token: '<unk>' };
    expect(readChatTemplate({ gguf: fields })).toEqual({ source: 'x', specialTokens });
    fields.set('tokenizer.ggml.model', 'gpt2');
    expect(readChatTemplate({ gguf: fields })?.specialTokens).toEqual({ eos_token: '<end>' });
  });

  test('none', () => {
    expect(readChatTemplate({})).toBeNull();
    expect(readChatTemplate({ tokenizerConfig: config({ bos_token: '<s>' }) })).toBeNull();
    expect(readChatTemplate({ tokenizerConfig: config({ chat_template: null }) })).toBeNull();
    expect(readChatTemplate({ gguf: new Map() })).toBeNull();
  });

  test.each([
    ['{', /JSON/],
    ['[]', /an object/],
    [config({ chat_template: 7 }), /a text/],
    [config({ chat_template: [7, null] }), /default/],
    [config({ chat_template: 'a'.repeat(2 ** 20 + 1) }), /at most/],
    [Uint8Array.of(0xff), /UTF-8/],
  ])('not one %#', (tokenizerConfig, message) => {
    const failure = expect.objectContaining({ code: 'CHAT_TEMPLATE', message: expect.stringMatching(message) });
    expect(() => readChatTemplate({ tokenizerConfig })).toThrow(failure);
  });
});
