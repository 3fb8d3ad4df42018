import type { InspectedLayer, InspectedToken, InspectReport } from './report.ts';

/** A token's text as a reader names it. */
export function tokenName(text: string): string {
  if (text === '') return 'part of a character';
  if (/^[\n\r]+$/.test(text)) return 'the line break';
  if (/^\s+$/.test(text)) return 'the space';
  return `“${text.trim()}”`;
}

export const percentText = (share: number): string => `${(100 * share).toFixed(share > 0 && share < 0.0995 ? 1 : 0)} %`;

export const timesText = (factor: number): string => `${factor.toFixed(1)} times`;

export const mean = (values: readonly number[]): number => values.reduce((sum, v) => sum + v, 0) / values.length;

/** Each token's measure as a multiple of the mean; zeros where nothing was measured at all. */
export function relative(values: readonly number[]): number[] {
  const average = mean(values);
  return values.map((value) => (average > 0 ? value / average : 0));
}

/** Standard deviation over mean of what a layer wrote: how much it tells tokens apart. */
export function selectivity({ written }: Pick<InspectedLayer, 'written'>): number {
  const factors = relative(written);
  return Math.sqrt(mean(factors.map((factor) => (factor - 1) ** 2)));
}

/** The tokens of the largest values, largest first, each text once. */
export function strongest(tokens: readonly InspectedToken[], values: readonly number[], count: number): number[] {
  const seen = new Set<string>();
  const order = values.map((_, i) => i).sort((a, b) => values[b]! - values[a]! || a - b);
  return order
    .filter((i) => {
      const name = tokenName(tokens[i]!.text);
      if (seen.has(name)) return false;
      seen.add(name);
      return true;
    })
    .slice(0, count);
}

const list = (items: readonly string[]): string =>
  items.length < 2 ? (items[0] ?? '') : `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`;

const plural = (count: number, what: string): string =>
  `${count.toLocaleString('en-US')} ${what}${count === 1 ? '' : 's'}`;

/** One sentence or two per view on a layer, every number taken from the report. */
export interface InspectWords {
  readonly letsIn: string;
  readonly letsGo: string;
  readonly keeps: string;
  readonly next: string;
  readonly letsOut: string;
}

/** What a layer does with a text, as sentences: which tokens it lets in, how long it keeps them, what it lets out. */
export function describeLayer({ tokens }: InspectReport, layer: InspectedLayer): InspectWords {
  const name = (i: number): string => tokenName(tokens[i]!.text);
  const factors = relative(layer.written);
  const [top, ...others] = strongest(tokens, factors, 3);
  const weakest = strongest(
    tokens,
    factors.map((factor) => -factor),
    1,
  )[0]!;
  const without = Math.max(...relative(layer.time_invariant.written));
  const lost = layer.retention.map((kept) => 1 - kept);
  const fastest = strongest(tokens, lost, 1)[0]!;
  const lives = layer.half_life.filter((life) => life !== null).sort((a, b) => a - b);
  const middle = lives[Math.floor(lives.length / 2)];
  const longest = strongest(
    tokens,
    layer.half_life.map((life) => life ?? -1),
    1,
  )[0]!;
  const open = strongest(tokens, layer.gate, 1)[0]!;
  return {
    letsIn:
      `Most strongly it wrote ${name(top!)}: ${timesText(factors[top!]!)} the average` +
      (others.length > 0 ? `, before ${list(others.map((i) => `${name(i)} (${factors[i]!.toFixed(1)})`))}` : '') +
      `; least ${name(weakest)} (${factors[weakest]!.toFixed(1)}). Without selection the strongest gets ${timesText(without)} the average.`,
    letsGo:
      `Each token pushes between ${percentText(Math.min(...lost))} and ${percentText(Math.max(...lost))} of everything before it out ` +
      `of the state, ${name(fastest)} the most. Without selection it is always ${percentText(1 - mean(layer.time_invariant.retention))}.`,
    keeps:
      middle === undefined
        ? 'Nothing was written.'
        : `Half of what a token wrote is gone after ${plural(middle, 'token')} in the middle, and after ` +
          `${plural(layer.half_life[longest]!, 'token')} at the longest (${name(longest)}).`,
    next:
      layer.forgotten_next.length === 0
        ? 'No token of this text is still above half of what it wrote.'
        : `If the text went on at this pace, half would be gone of ${list(
            layer.forgotten_next.map(({ token, after }) => `${name(token)} after ${plural(after, 'token')}`),
          )}.`,
    letsOut: `The way out stands between ${layer.gate.reduce((a, b) => Math.min(a, b)).toFixed(2)} and ${layer.gate[open]!.toFixed(2)} open, widest at ${name(open)}.`,
  };
}

/** Each row as shares of its sum: of what token t draws on, how much comes from token s. */
export function rowShares(matrix: readonly (readonly number[])[]): number[][] {
  return matrix.map((row) => {
    const sum = row.reduce((total, value) => total + value, 0);
    return row.map((value) => (sum > 0 ? value / sum : 0));
  });
}

/** Where the outputs look, in words. */
export function describeAttention({ tokens, attention }: InspectReport): string {
  const shares = rowShares(attention.matrix);
  const own = mean(shares.map((row, t) => row[t]!));
  const without = rowShares(attention.time_invariant.matrix);
  // Early tokens have more readers and late ones nearer ones; without selection it is the same, so the excess counts.
  const excess = tokens.map((_, s) =>
    shares.slice(s + 1).reduce((sum, row, i) => sum + row[s]! - without[s + 1 + i]![s]!, 0),
  );
  const most = strongest(tokens, excess, 3).filter((s) => excess[s]! > 0);
  const read =
    most.length > 0
      ? ` More than distance explains, later tokens draw on ${list(most.map((s) => tokenName(tokens[s]!.text)))}.`
      : '';
  return `On average ${percentText(own)} of what a token reads is what it has just written itself.${read}`;
}

/** The whole text in one paragraph. */
export function describeInspection(report: InspectReport): string {
  const { tokens, layers, attention } = report;
  const choosiest = layers.reduce((a, b) => (selectivity(b) > selectivity(a) ? b : a));
  const factors = relative(choosiest.written);
  const top = strongest(tokens, factors, 1)[0]!;
  const shown = layers.find(({ layer }) => layer === attention.layer)!;
  const words = describeLayer(report, shown);
  return (
    `${report.model} read ${plural(tokens.length, 'token')} in ${plural(layers.length, 'layer')}. Layer ${choosiest.layer} chooses most: ` +
    `it wrote ${tokenName(tokens[top]!.text)} ${timesText(factors[top]!)} as strongly as its average token. ` +
    `In layer ${shown.layer}: ${words.keeps} ${words.next} ${describeAttention(report)}`
  );
}
