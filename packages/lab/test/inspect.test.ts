import { createWasmBackend } from '@mamba-ts/kernels';
import type { LoadedLanguageModel } from '@mamba-ts/layers';
import type { Backend } from '@mamba-ts/tensor';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { expectedOf, loadFixtureModel } from '../../layers/test/checkpoint.ts';
import {
  describeInspection,
  INSPECT_TOKENS,
  type InspectReport,
  inspect,
  inspectHtml,
  layerViews,
} from '../src/index.ts';

let backend: Backend;
let model: LoadedLanguageModel;
let ids: number[];
let report: InspectReport;
const texts = Array.from({ length: 40 }, (_, i) => (i % 7 === 6 ? '\n' : i === 3 ? ' <b>&"' : ` w${i}`));

beforeAll(async () => {
  backend = await createWasmBackend();
  model = await loadFixtureModel('mamba/expand-3', backend);
  ids = [...(await expectedOf('mamba/expand-3')).ids];
  report = await inspect(model, ids, { name: 'a<b', texts });
});
afterAll(() => backend.dispose());

describe('inspect', () => {
  test('tells every layer and token, checks its attention, and leaves no state behind', async () => {
    expect(report.tokens.map(({ text }) => text)).toEqual(texts);
    expect(report.layers.map(({ layer }) => layer)).toEqual([0, 1]);
    for (const layer of report.layers) {
      for (const measures of [layer, layer.time_invariant]) {
        for (const key of ['delta', 'retention', 'written', 'gate', 'half_life', 'remaining'] as const) {
          expect(measures[key]).toHaveLength(40);
        }
        for (const share of [...measures.retention, ...measures.remaining]) {
          expect(share).toBeGreaterThanOrEqual(0);
          expect(share).toBeLessThanOrEqual(1);
        }
      }
      expect(layer.time_invariant.delta[0]).toBeCloseTo(layer.delta.reduce((a, b) => a + b) / 40, 12);
    }
    const { attention } = report;
    expect(attention.channels).toEqual([0, 62]);
    expect(attention.max_error).toBeLessThanOrEqual(1e-5 * attention.y_range);
    expect(
      attention.matrix.every((row, t) => row.length === 40 && row.every((v, s) => (s > t ? v === 0 : v >= 0))),
    ).toBe(true);
    expect(backend.memory().state).toBe(0);
    expect(structuredClone(report)).toEqual(report);
  });

  test('a layer and a group of channels can be chosen; the figures of the others do not change', async () => {
    const layer = 1 - report.attention.layer;
    const chosen = await inspect(model, ids, { name: 'a<b', texts }, { layer, channels: [5, 5] });
    expect(chosen.layers).toEqual(report.layers);
    expect([chosen.attention.layer, chosen.attention.channels]).toEqual([layer, [5, 5]]);
    expect(chosen.attention.matrix).not.toEqual(report.attention.matrix);
  });

  test('what there is not is refused by name', async () => {
    const ask = (list: number[], options = {}) => inspect(model, list, { name: 'm', texts: [] }, options);
    await expect(ask([])).rejects.toMatchObject({ code: 'INSPECT_TEXT' });
    await expect(ask(Array(INSPECT_TOKENS + 1).fill(1))).rejects.toMatchObject({ code: 'INSPECT_TEXT' });
    await expect(ask([1], { layer: 2 })).rejects.toMatchObject({ code: 'INSPECT_RANGE' });
    await expect(ask([1], { channels: [0, 63] })).rejects.toMatchObject({ code: 'INSPECT_RANGE' });
    await expect(ask([1], { channels: [3, 2] })).rejects.toMatchObject({ code: 'INSPECT_RANGE' });
    expect((await ask([1])).tokens).toEqual([{ id: 1, text: '' }]);
  });

  test('a Transformer has no selective state, and is told so', async () => {
    const other = await loadFixtureModel('gpt_neox/plain', backend);
    const asked = inspect(other, [1, 2], { name: 'm', texts: [] });
    await expect(asked).rejects.toMatchObject({ code: 'INSPECT_MODEL' });
    other.dispose();
  });

  test('an aborted signal ends it with its reason and leaves no state behind; progress ends at 1', async () => {
    const reason = new Error('enough');
    const controller = new AbortController();
    const seen: number[] = [];
    const run = inspect(
      model,
      ids,
      { name: 'm', texts },
      {
        signal: controller.signal,
        onProgress: (share) => {
          seen.push(share);
          controller.abort(reason);
        },
      },
    );
    await expect(run).rejects.toBe(reason);
    expect(seen).toEqual([1 / 3]);
    expect(backend.memory().state).toBe(0);
    await inspect(model, ids, { name: 'm', texts }, { onProgress: (share) => seen.push(share) });
    expect(seen.at(-1)).toBe(1);
  });
});

describe('pictures and words', () => {
  test('the page shows all views, escapes what comes from outside, and loads nothing', () => {
    const html = inspectHtml(report);
    const page = new RegExp(['layers', 'in', 'go', 'keeps', 'out', 'attention'].map((id) => `id="${id}"`).join('[^]*'));
    expect(html).toMatch(page);
    expect(html).toContain('Inside a&lt;b');
    expect(html).toContain(' &lt;b&gt;&amp;&quot;');
    expect(html).not.toMatch(/<b>|<script|src=|href=|url\(/);
  });

  test('the strongest token is shaded fully, the text stands unchanged under the shading', () => {
    const layer = report.layers[0]!;
    const [view] = layerViews(report, layer);
    const top = layer.written.indexOf(Math.max(...layer.written));
    const spans = [...view!.picture.matchAll(/<span(?: class="l(\d+)")? title="[^"]*">(.*?)<\/span>/gs)];
    expect(spans).toHaveLength(40);
    expect(spans[top]![1]).toBe('10');
    const shown = spans.map(([, , text]) => text!.replace(/<i>.*?<\/i>/g, '')).join('');
    expect(shown).toBe(texts.join('').replace(' <b>&"', ' &lt;b&gt;&amp;&quot;'));
  });

  test('the paragraph takes its numbers from the report', () => {
    const words = describeInspection(report);
    expect(words).toContain('a<b read 40 tokens in 2 layers.');
    const layer = report.layers.find(({ layer: number }) => number === report.attention.layer)!;
    const average = layer.written.reduce((a, b) => a + b) / 40;
    expect(words).toContain(`${(Math.max(...layer.written) / average).toFixed(1)} times as strongly`);
    for (const { after } of layer.forgotten_next) expect(words).toContain(`after ${after} token`);
  });
});
