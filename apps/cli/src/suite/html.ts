import type { SuiteReport, SuiteRow, Summary } from './report.ts';

const TITLES: Readonly<Record<string, string>> = { node: 'mamba-ts, Node', chromium: 'mamba-ts, Chromium' };

const escaped = (text: string): string => text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);

/** The report as one file: a bar for each engine, as long as its median is fast, and the targets. */
export function suiteHtml(report: SuiteReport): string {
  const targets = report.targets.map(
    ({ target, wanted, found, met }) =>
      `<tr class="${met ? 'met' : 'missed'}"><td>${escaped(target)}</td><td>${found.toFixed(2)}</td><td>${wanted}</td><td>${met ? 'met' : 'missed'}</td></tr>`,
  );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>mamba bench --suite</title>
<style>
  :root { color-scheme: light dark; --ink: light-dark(#1c2128, #e4e7eb); --quiet: light-dark(#5b6470, #9aa4b0); --line: light-dark(#e3e7ec, #2b3038); }
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 960px; margin: 2rem auto; padding: 0 1rem; background: light-dark(#fff, #14161a); color: var(--ink); }
  h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin: 2rem 0 0.5rem; } p { color: var(--quiet); margin: 0.25rem 0; }
  .bars { display: grid; grid-template-columns: 11rem 1fr; gap: 0.3rem 0.75rem; align-items: center; font-size: 0.9rem; }
  .bar { display: flex; align-items: center; gap: 0.5rem; font-variant-numeric: tabular-nums; white-space: nowrap; }
  .bar i { display: block; height: 0.9rem; border-radius: 2px; background: light-dark(#8a93a0, #6b7480); }
  .ours i { background: light-dark(#0b7a75, #2fb5ad); } .kind { grid-column: 1 / -1; font-weight: 600; margin-top: 0.5rem; }
  table { border-collapse: collapse; width: 100%; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
  td, th { text-align: right; padding: 0.35rem 0.6rem; border-bottom: 1px solid var(--line); } td:first-child, th:first-child { text-align: left; }
  .missed td:last-child { color: light-dark(#b3261e, #ff8a80); font-weight: 600; }
</style></head><body>
<h1>Tokens per second</h1>
<p>${escaped(report.cpu)}, ${report.cores} cores, ${report.date}. Prompt ${report.prompt_tokens} tokens, then ${report.gen_tokens} one by one; medians of ${report.repeats}, engines in turn, the range behind each.</p>
${report.rows.map(rowHtml).join('\n')}
${targets.length > 0 ? `<h2>Targets</h2><table><thead><tr><th>target</th><th>found</th><th>wanted</th><th></th></tr></thead><tbody>${targets.join('\n')}</tbody></table>` : ''}
</body></html>
`;
}

function rowHtml(row: SuiteRow): string {
  const bars = (kind: 'decode_tok_s' | 'prefill_tok_s'): string => {
    const longest = Math.max(...Object.values(row.engines).map((engine) => engine[kind].median));
    return Object.entries(row.engines)
      .map(([name, engine]) => bar(name, engine[kind], engine[kind].median / longest))
      .join('\n');
  };
  return `<h2>${escaped(row.model)}, ${escaped(row.dtype)}, ${row.threads === 1 ? '1 thread' : `${row.threads} threads`}</h2>
<div class="bars">
<span class="kind">Writing (${(100 * row.ratio_decode).toFixed(0)} % of the ${row.limits.read_gb_s.toFixed(1)} GB/s that this machine reads)</span>
${bars('decode_tok_s')}
<span class="kind">Reading (${(100 * row.ratio_prefill).toFixed(0)} % of the ${row.limits.f32_gflop_s.toFixed(0)} GFLOP/s that it multiplies and adds in f32)</span>
${bars('prefill_tok_s')}
</div>`;
}

function bar(name: string, { median, min, max }: Summary, share: number): string {
  const ours = name in TITLES ? ' ours' : '';
  return (
    `<span>${escaped(TITLES[name] ?? name)}</span>` +
    `<span class="bar${ours}"><i style="width:${(70 * share).toFixed(1)}%"></i>${median.toFixed(1)} (${min.toFixed(1)} – ${max.toFixed(1)})</span>`
  );
}
