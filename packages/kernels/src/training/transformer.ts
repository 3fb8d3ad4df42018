import {
  type BackwardOps,
  type BackwardSegment,
  type CacheField,
  checkAttention,
  checkGelu,
  checkGradientSlots,
  checkGradients,
  checkLayerNorm,
  checkRope,
  type Tensor,
} from '@mamba-ts/tensor';
import type { WasmMemory } from '../memory.ts';
import { TurnTable } from '../turn-table.ts';
import type { Gradients } from './gradients.ts';

type Native = Pick<BackwardOps, 'layerNormBackward' | 'geluBackward' | 'ropeBackward' | 'attentionBackward'>;

/**
 * The gradients of Transformers. `cached` is the reference: it takes the passes that the kernel of attention does not, in
 * which a sequence goes on from rows in its cache.
 */
export function transformerBackward(
  memory: WasmMemory,
  gradients: Gradients,
  cached: BackwardOps['attentionBackward'],
): Native {
  const turns = new TurnTable();
  /** Frequencies of the opposite turn, by those of the turn. */
  const opposite = new WeakMap<Float64Array, Float64Array>();
  const place = (op: string, x: Tensor | null): readonly [address: number, stride: number] =>
    x === null ? [0, 0] : [memory.address(op, 'a tensor', x), x.rowStride];

  /** Whether no gradient to this cache's rows comes from behind the pass. */
  const untouched = (op: string, { gradient }: BackwardSegment, cache: CacheField): boolean => {
    const slot = memory.slots.get(op, gradient);
    const { keys, values } = memory.slots.cache(slot, cache);
    const length = values - keys + ((values - keys) / cache.width) * (Math.ceil(cache.width / 8) * 8);
    const floats = memory.floats();
    return slot.pages.every((page) => {
      const start = page / 4 + keys;
      // A loop and no callback: these may be millions of values, asked for by each layer in each step.
      for (let at = start; at < start + length; at++) if (floats[at] !== 0) return false;
      return true;
    });
  };

  return {
    layerNormBackward(x, w, bias, eps, dy, dx) {
      const op = 'layerNormBackward';
      const kernels = memory.kernels(op);
      checkLayerNorm(x, w, bias, eps);
      checkGradients(op, dy, x.shape, { x: [dx, x] });
      kernels.layer_norm_backward(
        ...place(op, x),
        gradients.address(op, w),
        ...place(op, dy),
        ...place(op, dx),
        gradients.of(w),
        gradients.of(bias),
        ...x.shape,
        eps,
      );
    },

    geluBackward(x, form, dy, dx) {
      const op = 'geluBackward';
      const kernels = memory.kernels(op);
      checkGelu(x, form);
      checkGradients(op, dy, x.shape, { x: [dx, x] });
      kernels.gelu_backward(...place(op, x), ...place(op, dy), ...place(op, dx), ...x.shape, form === 'tanh' ? 1 : 0);
    },

    ropeBackward(frequencies, rotation, segments, dy, dx) {
      const op = 'ropeBackward';
      const kernels = memory.kernels(op);
      checkRope(dy, frequencies, rotation, segments);
      checkGradients(op, dy, dx.shape, {});
      const tokens = segments.reduce((sum, { length }) => sum + length, 0);
      if (tokens === 0) return;
      const back = opposite.get(frequencies) ?? frequencies.map((frequency) => -frequency);
      opposite.set(frequencies, back);
      const [rows, width] = dy.shape;
      const table = turns.of(memory, back, segments, tokens);
      const turned = memory.scratch(4 * rows * width);
      const pairs = rotation === 'pairs' ? 1 : 0;
      kernels.rope(...place(op, dy), table, turned, tokens, rows / tokens, width, frequencies.length, pairs);
      kernels.add_rows(turned, width, ...place(op, dx), rows, width);
    },

    attentionBackward(q, k, v, scale, cache, segments, dy, wanted) {
      const op = 'attentionBackward';
      const kernels = memory.kernels(op);
      checkAttention(
        q,
        k,
        v,
        scale,
        cache,
        segments.map((segment) => ({ ...segment, slot: segment.gradient })),
      );
      checkGradientSlots(op, segments);
      checkGradients(op, dy, q.shape, { q: [wanted.q, q], k: [wanted.k, k], v: [wanted.v, v] });
      const fresh = segments.every((segment) => (segment.position ?? 0) === 0 && untouched(op, segment, cache));
      if (!fresh) return cached(q, k, v, scale, cache, segments, dy, wanted);
      const { heads, width } = cache;
      const group = k.shape[0] === 0 ? 1 : q.shape[0] / k.shape[0];
      const longest = segments.reduce((most, { length }) => Math.max(most, length), 0);
      const work = memory.scratch(4 * kernels.attention_backward_scratch_len(longest));
      const at = (x: Tensor | null, start: number, each: number): [number, number] => {
        const [address, stride] = place(op, x);
        return [address === 0 ? 0 : address + 4 * start * each * stride, stride];
      };
      for (const { start, length } of segments) {
        if (length === 0) continue;
        kernels.attention_backward(
          ...at(q, start, heads * group),
          ...at(k, start, heads),
          ...at(v, start, heads),
          ...at(dy, start, heads * group),
          ...at(wanted.q, start, heads * group),
          ...at(wanted.k, start, heads),
          ...at(wanted.v, start, heads),
          length,
          heads,
          group,
          width,
          scale,
          work,
        );
      }
    },
  };
}
