import {
  attentionView,
  type InspectReport,
  type InspectView,
  inspectStyles,
  layersView,
  layerTable,
  layerViews,
  scaleHtml,
} from '@mamba-ts/lab';
import { useSignal } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';
import { chooseLayer, look } from './look.ts';

// A sheet made by a script is no inline style: the page's policy allows it.
const sheet = new CSSStyleSheet();
sheet.replaceSync(inspectStyles);
document.adoptedStyleSheets.push(sheet);

/** HTML that `@mamba-ts/lab` made, every text in it escaped there. */
function Html({ html, ...rest }: { readonly html: string; readonly class?: string }) {
  return <div {...rest} dangerouslySetInnerHTML={{ __html: html }} />;
}

function View({ make }: { readonly make: () => InspectView }) {
  const view = useMemo(make, [make]);
  return (
    <section class="view" aria-label={view.title}>
      <h2>{view.title}</h2>
      <p class="view-shows">{view.shows}</p>
      <p class="view-finding">{view.finding}</p>
      <Html html={scaleHtml(view)} />
      {view.without === null ? (
        <Html class="card" html={view.picture} />
      ) : (
        <div class="pair">
          <div class="card">
            <h3>With selection: as the model is</h3>
            <Html html={view.picture} />
          </div>
          <div class="card card-lesser">
            <h3>Without: delta, B and C held at their means</h3>
            <Html html={view.without} />
          </div>
        </div>
      )}
    </section>
  );
}

/** One more view per frame, so that drawing them never holds up the page. */
function Views({ makers }: { readonly makers: readonly (() => InspectView)[] }) {
  const shown = useSignal(1);
  useEffect(() => {
    if (shown.value >= makers.length) return;
    const frame = requestAnimationFrame(() => {
      shown.value++;
    });
    return () => cancelAnimationFrame(frame);
  }, [shown.value, makers]);
  return makers.slice(0, shown.value).map((make, i) => <View key={i} make={make} />);
}

function LayerChoice({ report, layer }: { readonly report: InspectReport; readonly layer: number }) {
  return (
    <div class="layer-choice">
      <label for="layer">
        <h2>Layer by layer</h2>
      </label>
      <select id="layer" value={layer} onChange={(event) => chooseLayer(Number(event.currentTarget.value))}>
        {report.layers.map(({ layer: number }) => (
          <option key={number} value={number}>
            Layer {number}
          </option>
        ))}
      </select>
      <p class="view-shows">
        Beside each picture, the same layer reads the same text without selection: as if every token were alike.
      </p>
    </div>
  );
}

function Figures({ report, layer }: { readonly report: InspectReport; readonly layer: number }) {
  const open = useSignal(false);
  const found = report.layers.find((one) => one.layer === layer)!;
  return (
    <details
      class="figures"
      onToggle={(event) => {
        open.value = event.currentTarget.open;
      }}
    >
      <summary>The figures of layer {layer}</summary>
      {open.value && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so the keyboard must reach it
        <section class="figures-table" aria-label={`Figures of layer ${layer}`} tabIndex={0}>
          <Html html={layerTable(report, found)} />
        </section>
      )}
    </details>
  );
}

/** Everything there is to see of a report, one layer of it token by token. */
export function Pictures({ report, layer }: { readonly report: InspectReport; readonly layer: number }) {
  const all = useMemo(() => [() => layersView(report)], [report.layers]);
  const makers = useMemo(() => {
    const found = report.layers.find((one) => one.layer === layer)!;
    let views: InspectView[] | null = null;
    const view = (i: number) => (): InspectView => {
      views ??= layerViews(report, found);
      return views[i]!;
    };
    return [0, 1, 2, 3].map(view);
  }, [report, layer]);
  const attention = useMemo(() => [() => attentionView(report)], [report]);
  return (
    <>
      <Views makers={all} />
      <LayerChoice report={report} layer={layer} />
      <Views key={layer} makers={makers} />
      {report.attention.layer === layer ? (
        <Views makers={attention} />
      ) : (
        <section class="view" aria-label="Who reads whom">
          <h2>Who reads whom</h2>
          {look.value.kind === 'looking' ? (
            <p class="view-shows" role="status">
              Working it out for layer {layer}…
            </p>
          ) : (
            <button type="button" onClick={() => chooseLayer(layer)}>
              Work it out for layer {layer}
            </button>
          )}
        </section>
      )}
      <Figures key={`figures ${layer}`} report={report} layer={layer} />
    </>
  );
}
