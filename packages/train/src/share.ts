import { createPause, type Segment, type Slot } from '@mamba-ts/tensor';
import { backpropagate, type LossOfPass } from './backpropagate.ts';
import type { Batch } from './batch.ts';
import type { TapeOptions } from './tape.ts';
import type { Trainable } from './trainable.ts';

/** A part of a step that one worker computes: whole sequences, without the slots of any backend. */
export interface Share {
  readonly ids: Int32Array;
  readonly targets: Int32Array;
  /** `slot` counts the sequences of the share. */
  readonly segments: readonly (Omit<Segment, 'slot'> & { readonly slot: number })[];
  /** What the sum of its nats is multiplied by. */
  readonly scale: number;
  readonly dropout: TapeOptions['dropout'];
}

/** Loss and gradients of one share. */
export interface ShareResult extends LossOfPass {
  /** By the name of the parameter, as `Trainable.gradient` gives them. */
  readonly gradients: ReadonlyMap<string, Float32Array>;
}

/** Who computes the shares of a step. The results come in the order of the shares, whoever had them. */
export interface Team {
  /**
   * Computes the shares of one pass. The gradients hold until the next one. Throws what a share throws, and the signal's
   * reason.
   */
  run(shares: readonly Share[], signal?: AbortSignal): Promise<ShareResult[]>;
  /** The values of the parameters have changed: before the next run everybody takes them over. */
  update(values: ReadonlyMap<string, Float32Array>): void;
  /** Ends whoever computes. */
  dispose(): void;
}

/**
 * Cuts a batch into at most `count` shares of whole sequences. `dropout` is the mask of share i. How a step is cut decides
 * the order of its sums, so it must not depend on who computes it.
 */
export function sharesOf(
  { ids, targets, segments }: Batch,
  count: number,
  scale: number,
  dropout: (share: number) => TapeOptions['dropout'],
): Share[] {
  const slots = [...new Set(segments.map(({ slot }) => slot))];
  const each = Math.ceil(slots.length / count);
  return Array.from({ length: Math.ceil(slots.length / each) }, (_, i) => {
    const own = slots.slice(i * each, (i + 1) * each);
    const parts = segments.filter(({ slot }) => own.includes(slot));
    const start = parts[0]!.start;
    const end = parts.at(-1)!.start + parts.at(-1)!.length;
    return {
      ids: ids.slice(start, end),
      targets: targets.slice(start, end),
      segments: parts.map((part) => ({ ...part, start: part.start - start, slot: own.indexOf(part.slot) })),
      scale,
      dropout: dropout(i),
    };
  });
}

/** Computes shares on one model, whose slots it makes as they are needed. */
export class ShareRunner {
  readonly #model: Trainable;
  readonly #slots: Slot[] = [];

  constructor(model: Trainable) {
    this.#model = model;
  }

  /** One share: its loss and the gradients of all parameters. */
  async run({ ids, targets, segments, scale, dropout }: Share): Promise<ShareResult> {
    const { backend, definition, parameters } = this.#model;
    for (const { slot, length, position } of segments) {
      while (this.#slots.length <= slot) {
        this.#slots.push(backend.createSlot(definition.state.length, definition.state.caches));
      }
      backend.reserveRows(this.#slots[slot]!, (position ?? 0) + length);
    }
    this.#model.zeroGradients();
    const own = segments.map((segment) => ({ ...segment, slot: this.#slots[segment.slot]! }));
    const loss = await backpropagate(this.#model, { ids, targets, segments: own }, scale, { dropout });
    const gradients = new Map<string, Float32Array>();
    for (const name of parameters.keys()) gradients.set(name, await this.#model.gradient(name));
    return { ...loss, gradients };
  }

  /** Takes over new values of the parameters. */
  update(values: ReadonlyMap<string, Float32Array>): void {
    for (const [name, parameter] of this.#model.parameters) {
      const given = values.get(name);
      if (given && given !== parameter.values) parameter.values.set(given);
      this.#model.update(name);
    }
  }

  /** Gives the states' memory back; the model stays. */
  dispose(): void {
    for (const slot of this.#slots.splice(0)) this.#model.backend.freeSlot(slot);
  }
}

/** A team of one: the model itself, on the thread that asks. */
export function localTeam(model: Trainable): Team {
  const runner = new ShareRunner(model);
  return {
    async run(shares, signal) {
      const pause = createPause();
      const results: ShareResult[] = [];
      for (const share of shares) {
        await pause();
        signal?.throwIfAborted();
        results.push(await runner.run(share));
      }
      return results;
    },
    // The model's own values are those that changed, and the trainer hands them to the backend.
    update: () => {},
    dispose: () => runner.dispose(),
  };
}

/** Numbers that stay in a core's nearest cache while all shares are added to them. */
const BLOCK = 2048;

/** Adds the gradients of shares to `sums`, in their order. */
export function addGradients(sums: ReadonlyMap<string, Float32Array>, shares: readonly ShareResult[]): void {
  for (const [name, sum] of sums) {
    const parts = shares.map(({ gradients }) => gradients.get(name)!);
    for (let start = 0; start < sum.length; start += BLOCK) {
      const end = Math.min(start + BLOCK, sum.length);
      for (const part of parts) for (let i = start; i < end; i++) sum[i]! += part[i]!;
    }
  }
}
