import { COLOURS, figureStyle, round, spread } from '../drawing.ts';
import { escapeXml } from '../escape-xml.ts';
import type { ComparedModel, CompareReport } from './report.ts';
import { bytesText, countText, timeText } from './words.ts';

interface Panel {
  readonly title: string;
  readonly note: string;
  readonly value: (point: ComparedModel['points'][number]) => number;
  readonly text: (value: number) => string;
}

const PANELS: readonly Panel[] = [
  { title: 'Reading the text', note: 'time to the first token', value: (p) => p.prefill_ms, text: timeText },
  { title: 'Writing on', note: 'time per further token', value: (p) => p.decode_ms, text: timeText },
  { title: 'Remembering it', note: 'state or cache', value: (p) => p.state_bytes, text: bytesText },
];

const WIDTH = 1080;
const TOP = 104;
const HEIGHT = 300;
const LEFT = 64;
/** Between two panels: the labels at the ends of one's lines, and the other's axis. */
const GAP = 124;
const RIGHT = 68;
const PANEL = (WIDTH - LEFT - RIGHT - 2 * GAP) / 3;
const BOTTOM = 78;

/** Decades of the axis, and within a short axis also 2 and 5 times them. */
function ticks(low: number, high: number): number[] {
  const steps = Math.log10(high / low) > 2.2 ? [1] : Math.log10(high / low) > 1 ? [1, 3] : [1, 2, 5];
  const found: number[] = [];
  for (let decade = Math.floor(Math.log10(low)); decade <= Math.ceil(Math.log10(high)); decade++) {
    for (const step of steps) {
      const value = step * 10 ** decade;
      if (value >= low * 0.999 && value <= high * 1.001) found.push(value);
    }
  }
  return found;
}

/**
 * The comparison as a picture: three panels with logarithmic axes over the length of the text, as an SVG document.
 * On such axes a straight line of slope 1 is linear growth, and a level line is none. Points that were extrapolated are
 * hollow, and their lines dashed. It follows the reader's colour scheme.
 */
export function compareSvg(report: CompareReport): string {
  const models = report.models.filter(({ points }) => points.length > 0);
  const lengths = [...new Set(models.flatMap(({ points }) => points.map(({ length }) => length)))].sort(
    (a, b) => a - b,
  );
  const parts: string[] = [];
  const legend = models.map(({ name }, i) => {
    const x = LEFT + models.slice(0, i).reduce((sum, model) => sum + 56 + 7.8 * model.name.length, 0);
    return `<rect x="${round(x)}" y="50" width="14" height="14" rx="3" fill="${COLOURS[i % COLOURS.length]}"/><text x="${round(x + 20)}" y="62" class="name">${escapeXml(name)}</text>`;
  });
  for (const [k, panel] of PANELS.entries()) parts.push(drawPanel(panel, LEFT + k * (PANEL + GAP), models, lengths));
  const total = TOP + HEIGHT + BOTTOM;
  const hollow = models.some(({ points }) => points.some(({ measured }) => !measured));
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${total}" width="${WIDTH}" height="${total}" role="img" aria-label="Head to head: time to read, time to write on, and memory, by length of the text">
${figureStyle}
<text x="${LEFT}" y="30" class="main">What longer texts cost</text>
${legend.join('\n')}
${parts.join('\n')}
<text x="${LEFT}" y="${total - 12}" class="note">Both axes are logarithmic: a level line means no growth, slope 1 linear growth.${hollow ? ' Hollow points and dashed lines are extrapolated.' : ''}</text>
</svg>
`;
}

function drawPanel(panel: Panel, left: number, models: readonly ComparedModel[], lengths: readonly number[]): string {
  const values = models.flatMap(({ points }) => points.map(panel.value)).filter((v) => Number.isFinite(v) && v > 0);
  // At least a decade, so that noise on a level line looks as small as it is.
  let [low, high] = [Math.min(...values), Math.max(...values)];
  const missing = 1 - Math.log10(high / low);
  if (missing > 0) [low, high] = [low * 10 ** (-missing / 2), high * 10 ** (missing / 2)];
  [low, high] = [low / 1.25, high * 1.25];
  const [first, last] = [lengths[0]!, lengths.at(-1)!];
  const x = (length: number): number =>
    first === last ? left + PANEL / 2 : left + (PANEL * Math.log(length / first)) / Math.log(last / first);
  const y = (value: number): number => TOP + 32 + ((HEIGHT - 32) * Math.log(high / value)) / Math.log(high / low);
  const bottom = TOP + HEIGHT;
  const out = [
    `<text x="${round(left)}" y="${TOP}" class="title">${panel.title}</text>`,
    `<text x="${round(left)}" y="${TOP + 18}" class="note">${panel.note}</text>`,
  ];
  for (const tick of ticks(low, high)) {
    out.push(
      `<line x1="${round(left)}" x2="${round(left + PANEL)}" y1="${round(y(tick))}" y2="${round(y(tick))}" class="grid"/>`,
      `<text x="${round(left - 8)}" y="${round(y(tick) + 4)}" class="tick" text-anchor="end">${tickText(panel.text(tick))}</text>`,
    );
  }
  out.push(`<line x1="${round(left)}" x2="${round(left + PANEL)}" y1="${bottom}" y2="${bottom}" class="axis"/>`);
  for (const length of lengths) {
    out.push(
      `<text x="${round(x(length))}" y="${bottom + 18}" class="tick" text-anchor="middle">${countText(length)}</text>`,
    );
  }
  out.push(
    `<text x="${round(left + PANEL / 2)}" y="${bottom + 34}" class="note" text-anchor="middle">tokens of text</text>`,
  );

  const shown = models.map((model) => model.points.filter((p) => panel.value(p) > 0));
  const labels = spread(
    shown.map((points) => (points.length > 0 ? y(panel.value(points.at(-1)!)) : 0)),
    15,
    bottom,
  );
  for (const [i, points] of shown.entries()) {
    if (points.length === 0) continue;
    const colour = COLOURS[i % COLOURS.length]!;
    for (let k = 1; k < points.length; k++) {
      const [a, b] = [points[k - 1]!, points[k]!];
      const dash = a.measured && b.measured ? '' : ' stroke-dasharray="4 4"';
      out.push(
        `<line x1="${round(x(a.length))}" y1="${round(y(panel.value(a)))}" x2="${round(x(b.length))}" y2="${round(y(panel.value(b)))}" stroke="${colour}" stroke-width="2.25" stroke-linecap="round"${dash}/>`,
      );
    }
    for (const point of points) {
      const at = `cx="${round(x(point.length))}" cy="${round(y(panel.value(point)))}" r="4"`;
      const tip = `<title>${escapeXml(models[i]!.name)}, ${countText(point.length)} tokens: ${panel.text(panel.value(point))}${point.measured ? '' : ' (extrapolated)'}</title>`;
      out.push(
        point.measured
          ? `<circle ${at} fill="${colour}">${tip}</circle>`
          : `<circle ${at} class="hollow" stroke="${colour}" stroke-width="2">${tip}</circle>`,
      );
    }
    const end = points.at(-1)!;
    out.push(
      `<text x="${round(x(end.length) + 8)}" y="${round(labels[i]! + 4)}" class="tick" style="fill:${colour}">${panel.text(panel.value(end))}</text>`,
    );
  }
  return out.join('\n');
}

/** `100 ms` from `100.0 ms`: a tick is a round number. */
const tickText = (text: string): string => text.replace(/\.0+ /, ' ').replace(/(\.\d*?)0+ /, '$1 ');
