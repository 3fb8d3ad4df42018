import { escapeXml } from '../escape-xml.ts';
import { compareSvg } from './figure.ts';
import type { CompareReport } from './report.ts';
import { bytesText, countText, describeComparison, timeText } from './words.ts';

/** The comparison as one file: the picture, its words, and the numbers. */
export function compareHtml(report: CompareReport): string {
  const rows = report.models.flatMap(({ name, points }) =>
    points.map(
      (p) =>
        `<tr><td>${escapeXml(name)}</td><td>${countText(p.length)}</td><td>${timeText(p.prefill_ms)}</td><td>${timeText(p.decode_ms)}</td>` +
        `<td>${bytesText(p.state_bytes)}</td><td>${(p.flops / 1e9).toFixed(1)}</td><td>${p.measured ? p.repeats : 'extrapolated'}</td></tr>`,
    ),
  );
  const shown = (value: number | null): string => (value === null ? '–' : value.toFixed(2));
  const models = report.models.map(
    (m) =>
      `<tr><td>${escapeXml(m.name)}</td><td>${countText(m.params)}</td><td>${bytesText(m.weight_bytes)}</td>` +
      `<td>${shown(m.prefill_exponent)}</td><td>${shown(m.decode_exponent)}</td><td>${shown(m.exponent_2048_8192)}</td></tr>`,
  );
  const quality = report.models.flatMap(({ name, quality: buckets = [] }) =>
    buckets.map(
      (b) =>
        `<tr><td>${escapeXml(name)}</td><td>${countText(b.from)} – ${countText(b.to - 1)}</td><td>${countText(b.tokens)}</td><td>${b.nats_per_token.toFixed(4)}</td></tr>`,
    ),
  );
  const table = (head: readonly string[], body: readonly string[]): string =>
    `<table><thead><tr>${head.map((h) => `<th>${h}</th>`).join('')}</tr></thead><tbody>${body.join('\n')}</tbody></table>`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Head to head</title>
<style>
  :root { color-scheme: light dark; }
  body { font: 16px/1.55 system-ui, sans-serif; max-width: 1080px; margin: 2rem auto; padding: 0 1rem; background: light-dark(#fff, #14161a); color: light-dark(#1c2128, #e4e7eb); }
  svg { width: 100%; height: auto; } h2 { font-size: 1.1rem; margin-top: 2rem; }
  table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 0.9rem; }
  th, td { text-align: right; padding: 0.35rem 0.6rem; border-bottom: 1px solid light-dark(#e3e7ec, #2b3038); } th:first-child, td:first-child { text-align: left; }
</style></head><body>
${compareSvg(report)}
<p>${escapeXml(describeComparison(report))}</p>
<h2>Models</h2>
${table(['model', 'parameters', 'weights', 'growth of reading', 'growth of a token', 'reading, 2,048 to 8,192'], models)}
<p>Growth is the exponent of the length: 1 is linear, 2 quadratic, 0 none.</p>
<h2>Measurements</h2>
${table(['model', 'tokens', 'reading', 'per token', 'state or cache', 'GFLOP', 'repeats'], rows)}
${quality.length > 0 ? `<h2>Quality by position</h2>${table(['model', 'positions', 'tokens', 'nats per token'], quality)}` : ''}
</body></html>
`;
}
