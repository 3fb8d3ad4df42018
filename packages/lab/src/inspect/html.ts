import { escapeXml } from '../escape-xml.ts';
import { LEVELS } from './figure.ts';
import type { InspectReport } from './report.ts';
import { attentionView, type InspectView, layersView, layerTable, layerViews } from './views.ts';
import { mean } from './words.ts';

/** Of the pictures alone; they take their colours from `--heat`, `--ink`, `--ink-soft` and `--line`. */
export const inspectStyles: string = `${Array.from(
  { length: LEVELS },
  (_, i) => `.l${i + 1} { --part: ${(100 * (i + 1)) / LEVELS}%; }`,
).join(' ')}
.shaded { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; font: 1.02rem/1.75 var(--text); }
.shaded span { padding: 0.12em 0; border-radius: 2px; }
.shaded [class], .scale [class] { background: color-mix(in srgb, var(--heat) var(--part), transparent); }
.shaded i { font-style: normal; font-size: 0.8em; }
.wide { overflow-x: auto; } .wide .heatmap { min-width: 40rem; }
.heatmap { display: block; width: 100%; height: auto; font: 10.5px var(--ui); }
.heatmap text { fill: var(--ink-soft); }
.heatmap .ground { fill: color-mix(in srgb, var(--line) 35%, transparent); }
.heatmap path { fill: color-mix(in srgb, var(--mark) var(--part), transparent); }
.scale { display: flex; align-items: center; gap: 0.5rem; margin: 0; color: var(--ink-soft); font-size: 0.85rem; }
.scale.map { --heat: var(--mark); }
.scale span { display: inline-block; width: 0.9rem; height: 0.9rem; margin: 0; }`;

const styles = `
:root { color-scheme: light dark;
  --ground: light-dark(#fbfbf9, #101412); --raised: light-dark(#fff, #181d1a); --ink: light-dark(#1a1f1c, #e7ebe8);
  --ink-soft: light-dark(#59625d, #9fa9a3); --line: light-dark(#e2e5e0, #2a322d); --accent: light-dark(#166534, #6fcf97);
  --heat: light-dark(#f2ad3c, #8a5400); --mark: light-dark(#b45309, #f5b54a);
  --text: "Iowan Old Style", "Palatino Linotype", Palatino, Charter, Georgia, serif;
  --ui: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 1rem/1.55 var(--ui); }
main { max-width: 74rem; margin: 0 auto; padding: 2.5rem clamp(1rem, 4vw, 2.5rem) 4rem; }
h1 { margin: 0 0 0.5rem; font-size: clamp(1.75rem, 1.3rem + 1.8vw, 2.5rem); line-height: 1.15; letter-spacing: -0.02em; }
h2 { margin: 0; font-size: 1.2rem; } h3 { margin: 0 0 0.75rem; font-size: 0.85rem; font-weight: 600; color: var(--ink-soft); }
p { margin: 0; text-wrap: pretty; } .lead { max-width: 46rem; color: var(--ink-soft); font-size: 1.1rem; }
section { margin-top: 3rem; } .shows { max-width: 46rem; color: var(--ink-soft); }
.finding { max-width: 46rem; margin-top: 0.35rem; } .scale { margin: 0.9rem 0 0.75rem !important; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1rem; }
.card { min-width: 0; padding: 1.25rem; background: var(--raised); border: 1px solid var(--line); border-radius: 10px; }
.lesser { background: none; } .part { margin-top: 4rem; padding-top: 1.5rem; border-top: 1px solid var(--line); }
.part h2 { font-size: 1.5rem; } .part + section { margin-top: 2rem; }
details { margin-top: 3rem; } summary { cursor: pointer; font-weight: 600; } .scroll { overflow-x: auto; }
table { width: 100%; margin-top: 1rem; border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.3rem 0.6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
${inspectStyles}
@media print { section { break-inside: avoid; } }`;

/** The scale of a view, bare to full. */
export function scaleHtml({ scale: [bare, full], map }: Pick<InspectView, 'scale' | 'map'>): string {
  const steps = [2, 4, 6, 8, 10].map((step) => `<span class="l${step}"></span>`).join('');
  return `<p class="scale${map ? ' map' : ''}">${escapeXml(bare)} ${steps} ${escapeXml(full)}</p>`;
}

function viewHtml(view: InspectView): string {
  const { id, title, shows, finding, picture, without } = view;
  const pictures =
    without === null
      ? `<div class="card">${picture}</div>`
      : `<div class="pair"><div class="card"><h3>With selection: as the model is</h3>${picture}</div>` +
        `<div class="card lesser"><h3>Without: delta, B and C held at their means</h3>${without}</div></div>`;
  return (
    `<section id="${id}"><h2>${escapeXml(title)}</h2><p class="shows">${escapeXml(shows)}</p>` +
    `<p class="finding">${escapeXml(finding)}</p>${scaleHtml(view)}${pictures}</section>`
  );
}

/** The report as one file that needs nothing else: pictures first, words beside them, figures below. */
export function inspectHtml(report: InspectReport): string {
  const { attention, layers, model, tokens } = report;
  const layer = layers.find((one) => one.layer === attention.layer)!;
  const held = mean(layer.time_invariant.retention);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Inside ${escapeXml(model)}</title>
<style>${styles}</style></head><body><main>
<h1>Inside ${escapeXml(model)}</h1>
<p class="lead">A selective state space model reads once, from left to right, into a state of fixed size. So it must choose, token by token, what to let in and what to let go. These are the choices it made on ${tokens.length} tokens.</p>
${viewHtml(layersView(report))}
<div class="part"><h2>Layer ${layer.layer}, token by token</h2><p class="shows">Beside each picture, the same layer reads the same text without selection: every token is treated alike, and ${((1 - held) * 100).toFixed(0)} % of the state fades at each.</p></div>
${layerViews(report, layer).map(viewHtml).join('\n')}
${viewHtml(attentionView(report))}
<details><summary>The figures of layer ${layer.layer}</summary><div class="scroll">${layerTable(report, layer)}</div>
<p class="shows">Hidden attention reproduces this layer’s output within ${attention.max_error.toExponential(1)} (its range is ${attention.y_range.toFixed(2)}).</p></details>
</main></body></html>
`;
}
