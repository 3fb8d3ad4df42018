// What the figures of this package have in common.

/** Okabe & Ito's colours that hold on white and on near-black, told apart by colour-blind people too. */
export const COLOURS: readonly string[] = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#b58900', '#56a0d3'];

/** A coordinate. */
export const round = (x: number): string => x.toFixed(1);

/** Moves labels apart that would overlap, keeping their order. */
export function spread(ys: readonly number[], distance: number, bottom: number): number[] {
  const order = ys.map((y, i) => ({ y, i })).sort((a, b) => a.y - b.y);
  for (let k = 1; k < order.length; k++) order[k]!.y = Math.max(order[k]!.y, order[k - 1]!.y + distance);
  const excess = (order.at(-1)?.y ?? 0) - bottom;
  if (excess > 0) for (const item of order) item.y -= excess;
  const out = new Array<number>(ys.length);
  for (const { y, i } of order) out[i] = y;
  return out;
}

/** Letters and lines, in the reader's colour scheme. */
export const figureStyle: string = `<style>
  svg { color-scheme: light dark; background: light-dark(#ffffff, #14161a); font-family: system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
  text { fill: light-dark(#1c2128, #e4e7eb); font-size: 13px; }
  .title { font-size: 15px; font-weight: 600; } .main { font-size: 19px; font-weight: 650; } .name { font-size: 13.5px; }
  .note, .tick { fill: light-dark(#5b6470, #9aa4b0); font-size: 12px; } .tick { font-variant-numeric: tabular-nums; }
  .grid { stroke: light-dark(#e3e7ec, #2b3038); stroke-width: 1; } .axis { stroke: light-dark(#9aa4b0, #5b6470); }
  .hollow { fill: light-dark(#ffffff, #14161a); }
</style>`;
