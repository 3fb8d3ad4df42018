import type { ComparedModel, ComparePoint, CompareReport } from './report.ts';

const UNITS = ['bytes', 'kB', 'MB', 'GB', 'TB'];

/** `604 MB`, `2.8 MB`, `233 kB`: three digits at most, decimal units. */
export function bytesText(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 99.95 ? value.toFixed(0) : value.toFixed(1)} ${UNITS[unit]}`;
}

/** `0.53 ms`, `13.2 ms`, `4.1 s`, `2.5 min`. */
export function timeText(ms: number): string {
  if (!Number.isFinite(ms)) return '–';
  if (ms >= 99_500) return `${(ms / 60_000).toFixed(1)} min`;
  if (ms >= 995) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms >= 9.95 ? ms.toFixed(ms >= 99.5 ? 0 : 1) : ms.toFixed(2)} ms`;
}

/** A count in words for people: 8,192 as "8,192". */
export const countText = (count: number): string => count.toLocaleString('en-US');

const list = (items: readonly string[]): string =>
  items.length < 2 ? (items[0] ?? '') : `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`;

const ends = (model: ComparedModel): readonly [ComparePoint, ComparePoint] | null => {
  const measured = model.points.filter((point) => point.measured);
  const [first, last] = [measured[0], measured.at(-1)];
  return first && last && first !== last ? [first, last] : null;
};

/** One paragraph of plain words in which every number is taken from the report. */
export function describeComparison(report: CompareReport): string {
  const sentences: string[] = [];
  const models = report.models.flatMap((model) => {
    const span = ends(model);
    return span ? [{ model, first: span[0], last: span[1] }] : [];
  });
  if (models.length === 0) return 'Two lengths must be measured before anything can be said about growth.';

  const reading = models.map(
    ({ model, first, last }) =>
      `${model.name} took ${(last.prefill_ms / first.prefill_ms).toFixed(1)} times as long for ` +
      `${(last.length / first.length).toFixed(0)} times the text (${timeText(first.prefill_ms)} for ` +
      `${countText(first.length)} tokens, ${timeText(last.prefill_ms)} for ${countText(last.length)})`,
  );
  sentences.push(`Reading: ${list(reading)}.`);

  const writing = models.map(({ model, first, last }) => {
    const change = last.decode_ms / first.decode_ms - 1;
    const words =
      Math.abs(change) <= 0.05
        ? `stays at ${timeText(last.decode_ms)} per token`
        : `goes from ${timeText(first.decode_ms)} to ${timeText(last.decode_ms)} per token`;
    return `${model.name} ${words}`;
  });
  sentences.push(`Writing on after the shortest and the longest of these texts: ${list(writing)}.`);

  const memory = models.map(({ model, first, last }) =>
    last.state_bytes === first.state_bytes
      ? `${model.name} always needs ${bytesText(last.state_bytes)}`
      : `${model.name} needs ${bytesText(first.state_bytes)}, then ${bytesText(last.state_bytes)}`,
  );
  sentences.push(`To remember the text, ${list(memory)}.`);

  const absent = report.models.flatMap(({ name, points }) =>
    points.filter(({ measured }) => !measured).map(({ length }) => `${name} at ${countText(length)}`),
  );
  if (absent.length > 0) sentences.push(`Not measured but extrapolated, for lack of time: ${list(absent)}.`);
  return sentences.join(' ');
}
