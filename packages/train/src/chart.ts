/** What a chart of a run is drawn from: the lines of its log. */
export interface ChartPoint {
  readonly step: number;
  readonly nats_per_token: number;
  readonly val_loss?: number;
}

const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [960, 360, 56, 36, 24];

/**
 * The losses of a run over its steps as SVG: each step's as a faint line, their running mean over it, validation as dots.
 * `steps` is how many the run will have. Colours follow `color-scheme` where the page sets it.
 */
export function lossSvg(points: readonly ChartPoint[], steps: number | null): string {
  const last = Math.max(steps ?? 0, points.at(-1)?.step ?? 1, 1);
  const losses = points.flatMap(({ nats_per_token, val_loss = nats_per_token }) => [nats_per_token, val_loss]);
  const low = losses.reduce((min, loss) => Math.min(min, loss), losses[0] ?? 0);
  const high = losses.reduce((max, loss) => Math.max(max, loss), losses[0] ?? 1);
  const [floor, ceiling] = [Math.floor(2 * low) / 2, Math.max(Math.ceil(2 * high) / 2, Math.floor(2 * low) / 2 + 0.5)];
  const x = (step: number): number => LEFT + ((WIDTH - LEFT - 12) * step) / last;
  const y = (loss: number): number => TOP + ((HEIGHT - TOP - BOTTOM) * (ceiling - loss)) / (ceiling - floor);
  const line = (values: readonly (readonly [number, number])[]): string =>
    values.map(([step, loss]) => `${x(step).toFixed(1)},${y(loss).toFixed(1)}`).join(' ');
  // More points than pixels are no sharper picture.
  const every = Math.max(1, Math.floor(points.length / 800));
  const shown = points.filter((_, i) => i % every === 0 || i === points.length - 1);
  let mean = points[0]?.nats_per_token ?? 0;
  const means = points.map(({ step, nats_per_token }) => {
    mean += (nats_per_token - mean) * Math.max(0.02, 1 / step);
    return [step, mean] as const;
  });
  const ticks = Array.from(
    { length: Math.round((ceiling - floor) / tickOf(ceiling - floor)) + 1 },
    (_, i) => floor + i * tickOf(ceiling - floor),
  );
  const grid = ticks
    .filter((loss) => loss <= ceiling + 1e-9)
    .map(
      (loss) =>
        `<line class="grid" x1="${LEFT}" x2="${WIDTH - 12}" y1="${y(loss).toFixed(1)}" y2="${y(loss).toFixed(1)}"/>` +
        `<text x="${LEFT - 8}" y="${(y(loss) + 4).toFixed(1)}" text-anchor="end">${loss.toFixed(1)}</text>`,
    );
  const validation = points.flatMap(({ step, val_loss }) =>
    val_loss === undefined ? [] : [`<circle cx="${x(step).toFixed(1)}" cy="${y(val_loss).toFixed(1)}" r="4"/>`],
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="Loss over the steps of the training">
<style>
  svg { font: 13px system-ui, sans-serif; } text { fill: light-dark(#5b6470, #9aa4b0); } .grid { stroke: light-dark(#e3e7ec, #2b3038); }
  polyline { fill: none; } .each { stroke: light-dark(#b9d6d4, #245553); } .mean { stroke: light-dark(#0b7a75, #2fb5ad); stroke-width: 2; } circle { fill: light-dark(#b3541e, #f0a35e); }
</style>
${grid.join('\n')}
<polyline class="each" points="${line(shown.map(({ step, nats_per_token }) => [step, nats_per_token]))}"/>
<polyline class="mean" points="${line(means.filter((_, i) => i % every === 0 || i === means.length - 1))}"/>
${validation.join('\n')}
<text x="${LEFT}" y="${HEIGHT - 10}">0</text><text x="${WIDTH - 12}" y="${HEIGHT - 10}" text-anchor="end">${last.toLocaleString('en-US')} steps</text>
<text x="${LEFT}" y="14">nats per token: training (line), validation (dots)</text>
</svg>`;
}

const tickOf = (span: number): number => (span > 4 ? 1 : span > 1.5 ? 0.5 : 0.1);
