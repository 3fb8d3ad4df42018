import { countText } from '../compare/words.ts';
import { COLOURS, figureStyle, round, spread } from '../drawing.ts';
import { TASK_MODELS } from './models.ts';
import type { TaskReport, TaskResult } from './report.ts';
import { modelTitles, percent, taskTitles } from './words.ts';

const WIDTH = 1080;
const TOP = 110;
const LEFT = 150;
const BARS = 300;
/** Of the curves, behind the bars and their figures. */
const AXIS = LEFT + BARS + 160;
const CURVES = WIDTH - AXIS - 96;
const HEIGHT = 260;
const BOTTOM = 78;

/** A model has one colour in every figure, whoever else is in it. */
const colourOf = ({ model }: TaskResult): string => COLOURS[Object.keys(TASK_MODELS).indexOf(model) % COLOURS.length]!;

/**
 * The report as a picture, an SVG document: right answers of each model at the length that was trained at, from 0 to 100 %,
 * with a line where guessing is; and where there are other lengths, the same over the length, on a logarithmic axis with
 * a line at that of the training. It follows the reader's colour scheme.
 */
export function taskSvg(report: TaskReport): string {
  const { task, length, chance, models } = report;
  const curves = models.some(({ by_length }) => by_length.some((test) => test.length !== length));
  const height = curves ? HEIGHT : 34 * models.length + 20;
  const width = curves ? WIDTH : LEFT + BARS + 90;
  const total = TOP + height + BOTTOM;
  const steps = [...new Set(models.map((model) => countText(model.steps)))].join(' / ');
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${total}" width="${width}" height="${total}" role="img" aria-label="${taskTitles[task]}: right answers of each model${curves ? ', and by length' : ''}">
${figureStyle}
<text x="24" y="34" class="main">${taskTitles[task]}</text>
<text x="24" y="56" class="note">trained at length ${countText(length)}: ${steps} steps of ${report.batch} sequences, ${report.layers} ${report.layers === 1 ? 'layer' : 'layers'} of width ${report.width}</text>
${bars(models, chance, height)}
${curves ? drawCurves(models, length, chance) : ''}
<text x="24" y="${total - 12}" class="note">Dashed: guessing, ${percent(chance)}.${curves ? ` Dotted: the length of the training.${leftOut(models)}` : ''}</text>
</svg>
`;
}

function bars(models: readonly TaskResult[], chance: number, height: number): string {
  const each = height / models.length;
  const thick = Math.min(26, 0.6 * each);
  const x = (share: number): number => LEFT + BARS * share;
  const out = [`<text x="${LEFT}" y="${TOP - 14}" class="title">Right answers at the trained length</text>`];
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    out.push(
      `<line x1="${round(x(share))}" x2="${round(x(share))}" y1="${TOP}" y2="${TOP + height}" class="grid"/>`,
      `<text x="${round(x(share))}" y="${TOP + height + 18}" class="tick" text-anchor="middle">${100 * share} %</text>`,
    );
  }
  for (const [i, result] of models.entries()) {
    const y = TOP + (i + 0.5) * each;
    const share = result.accuracy ?? 0;
    out.push(
      `<text x="${LEFT - 10}" y="${round(y + 4.5)}" class="name" text-anchor="end">${modelTitles[result.model]}</text>`,
      `<rect x="${LEFT}" y="${round(y - thick / 2)}" width="${round(BARS * share)}" height="${round(thick)}" rx="2" fill="${colourOf(result)}"/>`,
      `<text x="${round(x(share) + 8)}" y="${round(y + 4.5)}" class="tick">${result.accuracy === null ? 'not tested' : percent(share)}</text>`,
    );
  }
  out.push(
    `<line x1="${round(x(chance))}" x2="${round(x(chance))}" y1="${TOP}" y2="${TOP + height}" class="axis" stroke-dasharray="5 4"/>`,
  );
  return out.join('\n');
}

function drawCurves(models: readonly TaskResult[], trained: number, chance: number): string {
  const all = [...new Set(models.flatMap(({ by_length }) => by_length.map(({ length }) => length)))].sort(
    (a, b) => a - b,
  );
  const [first, last] = [all[0]!, all.at(-1)!];
  const x = (length: number): number => AXIS + (CURVES * Math.log(length / first)) / Math.log(last / first);
  const y = (share: number): number => TOP + HEIGHT * (1 - share);
  const out = [`<text x="${AXIS}" y="${TOP - 14}" class="title">By the length of the test</text>`];
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    out.push(
      `<line x1="${AXIS}" x2="${AXIS + CURVES}" y1="${round(y(share))}" y2="${round(y(share))}" class="grid"/>`,
      `<text x="${AXIS - 8}" y="${round(y(share) + 4)}" class="tick" text-anchor="end">${100 * share} %</text>`,
    );
  }
  out.push(
    `<line x1="${AXIS}" x2="${AXIS + CURVES}" y1="${round(y(chance))}" y2="${round(y(chance))}" class="axis" stroke-dasharray="5 4"/>`,
    `<line x1="${round(x(trained))}" x2="${round(x(trained))}" y1="${TOP}" y2="${TOP + HEIGHT}" class="axis" stroke-dasharray="1.5 3"/>`,
  );
  for (const length of all) {
    out.push(
      `<text x="${round(x(length))}" y="${TOP + HEIGHT + 18}" class="tick" text-anchor="middle">${countText(length)}</text>`,
    );
  }
  const drawn = models.filter(({ by_length }) => by_length.length > 0);
  const labels = spread(
    drawn.map(({ by_length }) => y(by_length.at(-1)!.accuracy)),
    15,
    TOP + HEIGHT,
  );
  for (const [i, result] of drawn.entries()) {
    const colour = colourOf(result);
    const points = result.by_length.map((test) => `${round(x(test.length))},${round(y(test.accuracy))}`);
    out.push(`<polyline points="${points.join(' ')}" fill="none" stroke="${colour}" stroke-width="2.25"/>`);
    for (const { length, accuracy, sequences } of result.by_length) {
      out.push(
        `<circle cx="${round(x(length))}" cy="${round(y(accuracy))}" r="4" fill="${colour}"><title>${modelTitles[result.model]}, length ${countText(length)}: ${percent(accuracy)} of ${countText(sequences)} sequences</title></circle>`,
      );
    }
    const end = result.by_length.at(-1)!;
    out.push(
      `<text x="${round(x(end.length) + 9)}" y="${round(labels[i]! + 4)}" class="tick" style="fill:${colour}">${modelTitles[result.model]}</text>`,
    );
  }
  return out.join('\n');
}

/** Says of whom a line ends early, and why. */
function leftOut(models: readonly TaskResult[]): string {
  const longest = Math.max(...models.flatMap(({ by_length }) => by_length.map(({ length }) => length)));
  const early = models.filter(({ by_length }) => (by_length.at(-1)?.length ?? 0) < longest);
  if (early.length === 0) return '';
  return ` ${early.map(({ model }) => modelTitles[model]).join(', ')}: longer tests would take too many operations.`;
}
