import { escapeXml } from '../escape-xml.ts';
import type { InspectedToken } from './report.ts';
import { tokenName } from './words.ts';

/** Steps of shading; 0 is bare. */
export const LEVELS = 10;

/** `value` on a scale that is bare at `low` and full at `high`. */
export const level = (value: number, low: number, high: number): number =>
  high > low ? Math.round(LEVELS * Math.min(1, Math.max(0, (value - low) / (high - low)))) : 0;

/**
 * The text itself, each token shaded by its level (classes `l1` to `l10`) and explained when pointed at. HTML; the text is
 * escaped. Line breaks are shown as such, and kept.
 */
export function shadedText(
  tokens: readonly InspectedToken[],
  levels: readonly number[],
  explain: (token: number) => string,
): string {
  const spans = tokens.map(({ text }, i) => {
    if (text === '') return '';
    const shown = escapeXml(text).replace(/\r?\n/g, '<i>↵</i>\n');
    const tip = escapeXml(`${tokenName(text)}: ${explain(i)}`);
    return `<span${levels[i]! > 0 ? ` class="l${levels[i]}"` : ''} title="${tip}">${shown}</span>`;
  });
  return `<p class="shaded">${spans.join('')}</p>`;
}

export interface Heatmap {
  /** A level per cell. */
  readonly levels: readonly (readonly number[])[];
  /** What it shows, for those who cannot see it. */
  readonly label: string;
  /** Names of the columns; as many as fit are written below. */
  readonly columns: readonly string[];
  /** Names of the rows, as many as fit at the left. */
  readonly rows: readonly string[];
  /** Size of a cell. */
  readonly cell: readonly [width: number, height: number];
}

const GUTTER = 72;
/** Above the first row, for its name. */
const TOP = 6;
const short = (name: string): string => (name.length > 10 ? `${name.slice(0, 9)}…` : name);

/** A matrix of levels as an SVG element; cells of one level are one path, so that large ones stay small. */
export function heatmapSvg({ levels, label, columns, rows, cell: [width, height] }: Heatmap): string {
  const paths = Array.from({ length: LEVELS + 1 }, () => '');
  for (const [y, row] of levels.entries()) {
    for (let x = 0; x < row.length; ) {
      const from = x;
      while (x < row.length && row[x] === row[from]) x++;
      if (row[from]! > 0) paths[row[from]!] += `M${from} ${y}h${x - from}v1h-${x - from}z`;
    }
  }
  const [w, h] = [columns.length * width, rows.length * height];
  const every = (size: number, distance: number): number => Math.max(1, Math.ceil(distance / size));
  const [stepX, stepY] = [every(width, 14), every(height, 12)];
  const letters = Math.max(1, ...columns.map((name) => Math.min(10, name.length)));
  const foot = 6.4 * letters + 12;
  const below = columns.flatMap((name, i) =>
    i % stepX === 0
      ? `<text transform="translate(${(GUTTER + (i + 0.5) * width + 4).toFixed(1)} ${h + TOP + 6}) rotate(-90)" text-anchor="end">${escapeXml(short(name))}</text>`
      : [],
  );
  const beside = rows.flatMap((name, i) =>
    i % stepY === 0
      ? `<text x="${GUTTER - 6}" y="${((i + 0.5) * height + TOP + 4).toFixed(1)}" text-anchor="end">${escapeXml(short(name))}</text>`
      : [],
  );
  return (
    `<svg class="heatmap" viewBox="0 0 ${(GUTTER + w).toFixed(1)} ${(h + TOP + foot).toFixed(1)}" role="img" aria-label="${escapeXml(label)}">` +
    `<rect class="ground" x="${GUTTER}" y="${TOP}" width="${w.toFixed(1)}" height="${h.toFixed(1)}"/>` +
    `<g transform="translate(${GUTTER} ${TOP}) scale(${width} ${height})" shape-rendering="crispEdges">` +
    paths.map((d, i) => (d === '' ? '' : `<path class="l${i}" d="${d}"/>`)).join('') +
    `</g>${below.join('')}${beside.join('')}</svg>`
  );
}
