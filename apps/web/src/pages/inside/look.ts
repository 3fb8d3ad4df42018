import { signal } from '@preact/signals';
import type { InspectReport, MambaModel } from 'mamba-ts';
import { explain, type Problem } from '../../problem.ts';

export type LookState =
  | { readonly kind: 'idle' }
  | { readonly kind: 'looking'; readonly share: number }
  | { readonly kind: 'failed'; readonly problem: Problem };

export const text = signal(`ROMEO:
But, soft! what light through yonder window breaks?
It is the east, and Juliet is the sun.
Arise, fair sun, and kill the envious moon,
Who is already sick and pale with grief,
That thou her maid art far more fair than she.
`);
export const look = signal<LookState>({ kind: 'idle' });
/** What was seen last, in which model, and the layer that is shown. */
export const seen = signal<{
  readonly model: MambaModel;
  readonly text: string;
  readonly report: InspectReport;
  readonly layer: number;
} | null>(null);

let controller: AbortController | null = null;

export function stop(): void {
  controller?.abort();
}

/** Looks into what `model` makes of the text: its own choice of layer, or `layer`. A later call overtakes. */
export async function lookInside(model: MambaModel, what: string, layer?: number): Promise<void> {
  controller?.abort();
  const own = new AbortController();
  controller = own;
  look.value = { kind: 'looking', share: 0 };
  try {
    const report = await model.inspect(what, {
      ...(layer === undefined ? {} : { layer }),
      signal: own.signal,
      onProgress: (share) => {
        if (controller === own) look.value = { kind: 'looking', share };
      },
    });
    if (controller !== own) return;
    seen.value = { model, text: what, report, layer: report.attention.layer };
    look.value = { kind: 'idle' };
  } catch (error) {
    if (controller !== own) return;
    look.value = own.signal.aborted ? { kind: 'idle' } : { kind: 'failed', problem: explain(error) };
  }
}

/** Shows another layer at once; its hidden attention follows when it is computed. */
export function chooseLayer(layer: number): void {
  const shown = seen.value;
  if (!shown) return;
  seen.value = { ...shown, layer };
  if (shown.report.attention.layer !== layer) void lookInside(shown.model, shown.text, layer);
  else stop();
}
