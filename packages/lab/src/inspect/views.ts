import { escapeXml } from '../escape-xml.ts';
import { heatmapSvg, level, shadedText } from './figure.ts';
import type { TokenMeasures } from './measures.ts';
import type { InspectedLayer, InspectReport } from './report.ts';
import {
  describeAttention,
  describeLayer,
  percentText,
  relative,
  rowShares,
  selectivity,
  timesText,
  tokenName,
} from './words.ts';

/** One picture with its words; `picture` and `without` are HTML, their texts escaped. */
export interface InspectView {
  readonly id: string;
  readonly title: string;
  /** What is shown. */
  readonly shows: string;
  /** What there is to see in it, from the figures. */
  readonly finding: string;
  readonly picture: string;
  /** The same without selection, or null where there is nothing to set beside it. */
  readonly without: string | null;
  /** What bare and full shading mean. */
  readonly scale: readonly [bare: string, full: string];
  /** The picture is a map of cells, not the text itself. */
  readonly map: boolean;
}

/** All layers at once: which token each wrote, against its own average. */
export function layersView(report: InspectReport): InspectView {
  const { tokens, layers } = report;
  const choosiest = layers.reduce((a, b) => (selectivity(b) > selectivity(a) ? b : a));
  const factors = layers.map(({ written }) => relative(written));
  const top = factors[layers.indexOf(choosiest)]!;
  const strongest = top.indexOf(Math.max(...top));
  return {
    id: 'layers',
    title: 'Where it writes',
    shows:
      'Each row is a layer, each column a token: the deeper its colour, the more strongly that layer wrote that token into its state.',
    finding:
      `Layer ${choosiest.layer} chooses most: it wrote ${tokenName(tokens[strongest]!.text)} ` +
      `${timesText(top[strongest]!)} as strongly as its average token.`,
    picture: `<div class="wide" role="region" aria-label="Layers and tokens" tabindex="0">${heatmapSvg({
      levels: factors.map((row) => row.map((factor) => level(factor, 0.5, 3))),
      label: 'How strongly each layer wrote each token',
      columns: tokens.map(({ text }) => plainName(text)),
      rows: layers.map(({ layer }) => `layer ${layer}`),
      cell: [Math.max(1, Math.min(24, 960 / tokens.length)), Math.max(4, Math.min(22, 400 / layers.length))],
    })}</div>`,
    without: null,
    scale: ['half the average', '3 times the average'],
    map: true,
  };
}

const plainName = (text: string): string =>
  tokenName(text)
    .replace(/^the line break$/, '↵')
    .replace(/[“”]/g, '');

/** What one layer did with the text, view by view. */
export function layerViews(report: InspectReport, layer: InspectedLayer): InspectView[] {
  const { tokens } = report;
  const words = describeLayer(report, layer);
  const both = (
    value: (measures: TokenMeasures) => readonly number[],
    [low, high]: readonly [number, number],
    tell: (value: number, measures: TokenMeasures, token: number) => string,
  ): { picture: string; without: string } => {
    const draw = (measures: TokenMeasures): string => {
      const values = value(measures);
      return shadedText(
        tokens,
        values.map((v) => level(v, low, high)),
        (i) => tell(values[i]!, measures, i),
      );
    };
    return { picture: draw(layer), without: draw(layer.time_invariant) };
  };
  const lost = ({ retention }: TokenMeasures): number[] => retention.map((kept) => 1 - kept);
  const [leastLost, mostLost] = [Math.min(...lost(layer)), Math.max(...lost(layer))];
  const [closed, open] = [Math.min(...layer.gate), Math.max(...layer.gate)];
  const strongest = Math.max(...relative(layer.written));
  const top = Math.min(Math.max(strongest, 1.5), 4);
  return [
    {
      id: 'in',
      title: 'What it lets in',
      shows: 'The text, each token shaded by how strongly it was written into the state.',
      finding: words.letsIn,
      map: false,
      scale: ['nothing', `${timesText(top)} the average`],
      ...both(
        ({ written }) => relative(written),
        [0, top],
        (factor) => `written ${timesText(factor)} as strongly as the average`,
      ),
    },
    {
      id: 'go',
      title: 'What it lets go',
      shows: 'Shaded by how much of everything read before each token pushes out of the state.',
      finding: words.letsGo,
      map: false,
      scale: [percentText(leastLost), percentText(mostLost)],
      ...both(
        lost,
        [leastLost, mostLost],
        (share, { delta }, i) => `pushes ${percentText(share)} out (delta ${delta[i]!.toFixed(4)})`,
      ),
    },
    {
      id: 'keeps',
      title: 'What it still knows at the end',
      // The square root: the eye tells 1 % from 5 % as easily as 50 % from 90 %.
      shows: 'Shaded by how much of what each token wrote is still in the state after the last one.',
      finding: `${words.keeps} ${words.next}`,
      map: false,
      scale: ['0 %', '100 %'],
      ...both(
        ({ remaining }) => remaining.map(Math.sqrt),
        [0, 1],
        (_, { remaining, half_life }, i) =>
          `${percentText(remaining[i]!)} left; half is gone after ${half_life[i] === null ? 'more than a million' : half_life[i]} tokens`,
      ),
    },
    {
      id: 'out',
      title: 'What it lets out',
      shows: 'Shaded by the gate: how far the way from the state to the next layer stands open at each token.',
      finding: words.letsOut,
      map: false,
      scale: [closed.toFixed(2), open.toFixed(2)],
      picture: both(
        ({ gate }) => gate,
        [closed, open],
        (value) => `gate ${value.toFixed(3)}`,
      ).picture,
      // The gate is no part of the recurrence: without selection it would be the same.
      without: null,
    },
  ];
}

/** The hidden attention of the layer that the report holds it for. */
export function attentionView(report: InspectReport): InspectView {
  const { tokens, attention } = report;
  const names = tokens.map(({ text }) => plainName(text));
  const size = Math.max(1, 460 / tokens.length);
  const draw = (matrix: readonly (readonly number[])[], label: string): string =>
    heatmapSvg({
      levels: rowShares(matrix).map((row) => row.map((share) => level(Math.sqrt(share), 0, Math.sqrt(0.3)))),
      label,
      columns: names,
      rows: names,
      cell: [size, size],
    });
  const [from, to] = attention.channels;
  return {
    id: 'attention',
    title: 'Who reads whom',
    shows:
      `A Mamba has no attention, but its scan can be written as one. Row by row: of what the output at a token draws from ` +
      `the state, the part that each token before it wrote (layer ${attention.layer}, channels ${from} to ${to}).`,
    finding: `${describeAttention(report)} Without selection only the distance counts: every row is the same, shifted.`,
    picture: draw(attention.matrix, 'Hidden attention: what each token reads from each token before it'),
    without: draw(attention.time_invariant.matrix, 'The same without selection'),
    scale: ['0 %', '30 % or more of the row'],
    map: true,
  };
}

/** The figures of a layer, token by token, as an HTML table. */
export function layerTable({ tokens }: InspectReport, layer: InspectedLayer): string {
  const head = ['token', 'delta', 'retention', 'written', 'gate', 'half-life', 'left at the end'];
  const rows = tokens.map(({ text }, i) =>
    [
      escapeXml(tokenName(text)),
      layer.delta[i]!.toFixed(4),
      layer.retention[i]!.toFixed(4),
      layer.written[i]!.toFixed(3),
      layer.gate[i]!.toFixed(3),
      layer.half_life[i] === null ? '–' : String(layer.half_life[i]),
      percentText(layer.remaining[i]!),
    ]
      .map((cell) => `<td>${cell}</td>`)
      .join(''),
  );
  return (
    `<table><thead><tr>${head.map((name) => `<th scope="col">${name}</th>`).join('')}</tr></thead>` +
    `<tbody>${rows.map((row) => `<tr>${row}</tr>`).join('\n')}</tbody></table>`
  );
}
