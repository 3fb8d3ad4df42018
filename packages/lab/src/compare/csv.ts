import type { CompareReport } from './report.ts';

const COLUMNS = ['length', 'prefill_ms', 'decode_ms', 'state_bytes', 'flops', 'repeats', 'measured'] as const;

/** A name as one CSV field (RFC 4180), and never a spreadsheet formula. */
const field = (text: string): string => `"${text.replace(/^[=+\-@\t\r]/, "'$&").replaceAll('"', '""')}"`;

/** A line per model and length, with a header. */
export function compareCsv(report: CompareReport): string {
  const lines = [['model', 'params', 'weight_bytes', ...COLUMNS].join(',')];
  for (const { name, params, weight_bytes, points } of report.models) {
    for (const point of points)
      lines.push([field(name), params, weight_bytes, ...COLUMNS.map((c) => point[c])].join(','));
  }
  return `${lines.join('\r\n')}\r\n`;
}
