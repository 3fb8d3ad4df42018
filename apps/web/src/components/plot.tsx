import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { theme } from '../theme.ts';

/** A colour of the page's style sheet. */
export type Colour = '--accent' | '--second';

/** Ascending places, then the values of each line there; null where a line has none. */
export type PlotData = [readonly number[], ...(readonly (number | null)[])[]];

export interface PlotOptions {
  /** Pixels. */
  readonly height: number;
  /** `dots`: marks each of its values, which lie apart. */
  readonly lines: readonly { readonly stroke: Colour; readonly dots?: boolean }[];
  /** The least and the greatest value that the vertical axis shows. */
  readonly range: (data: PlotData) => [number, number];
  /** How a value reads at the vertical axis. */
  readonly show: (value: number) => string;
}

const colour = (name: Colour | '--ink-soft' | '--line'): string =>
  getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Room for labels of 12 pixels' height. */
const widthOf = (_: uPlot, labels: readonly string[] | null): number =>
  14 + 7.5 * Math.max(0, ...(labels ?? []).map(({ length }) => length));

/** Lines over a row of numbers, redrawn when `data` changes and made anew when `options` does. */
export function Plot({ options, data }: { readonly options: PlotOptions; readonly data: PlotData }) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const scheme = theme();

  // Colours are read from the style sheet, which follows the scheme.
  useEffect(() => {
    const target = host.current!;
    const { height, lines, range, show } = options;
    const axis = {
      stroke: colour('--ink-soft'),
      grid: { stroke: colour('--line'), width: 1 },
      ticks: { show: false },
      font: '12px system-ui, sans-serif',
    };
    const made = new uPlot(
      {
        width: target.clientWidth,
        height,
        legend: { show: false },
        cursor: { show: false },
        scales: { x: { time: false }, y: { range: ({ data }) => range(data as unknown as PlotData) } },
        axes: [
          { ...axis, values: (_, ticks) => ticks.map((tick) => tick.toLocaleString('en-US')), space: 70, size: 28 },
          { ...axis, values: (_, ticks) => ticks.map(show), size: widthOf, space: 44 },
        ],
        series: [
          {},
          ...lines.map(({ stroke, dots = false }) => ({
            stroke: colour(stroke),
            width: 2.25,
            spanGaps: true,
            points: { show: dots, size: 7, fill: colour(stroke) },
          })),
        ],
      },
      [[], ...lines.map(() => [])],
      target,
    );
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: target.clientWidth, height }));
    observer.observe(target);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [scheme, options]);

  useEffect(() => {
    plot.current?.setData(data as unknown as uPlot.AlignedData);
  }, [data, options, scheme]);

  return <div ref={host} class="plot" aria-hidden="true" />;
}
