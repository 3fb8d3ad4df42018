import { checkAttention, checkGelu, checkLayerNorm, checkRope, type Ops } from '@mamba-ts/tensor';
import type { WasmMemory } from './memory.ts';
import type { WasmSlot } from './slots.ts';
import { TurnTable } from './turn-table.ts';
import { addressOf } from './weights.ts';

/** The addresses of a slot's pages as the kernel reads them, in scratch. */
function pageTable(memory: WasmMemory, { pages }: WasmSlot): number {
  const address = memory.scratch(4 * pages.length);
  new Uint32Array(memory.kernels('scratch').memory.buffer, address, pages.length).set(pages);
  return address;
}

/** The ops of Transformers on `memory`. */
export function transformerOps(memory: WasmMemory): Pick<Ops, 'layerNorm' | 'gelu' | 'rope' | 'attention'> {
  const turns = new TurnTable();
  return {
    layerNorm(x, w, bias, eps) {
      const op = 'layerNorm';
      const kernels = memory.kernels(op);
      checkLayerNorm(x, w, bias, eps);
      const from = memory.address(op, 'x', x);
      const [scale, offsets] = [addressOf(memory, op, w), addressOf(memory, op, bias)];
      const [tokens, width] = x.shape;
      const y = memory.tensor(tokens, width);
      kernels.layer_norm(from, x.rowStride, scale, offsets, 4 * y.offset, tokens, width, eps);
      return y;
    },

    gelu(x, form) {
      const kernels = memory.kernels('gelu');
      checkGelu(x, form);
      const from = memory.address('gelu', 'x', x);
      const [tokens, width] = x.shape;
      const y = memory.tensor(tokens, width);
      kernels.gelu(from, x.rowStride, 4 * y.offset, tokens, width, form === 'tanh' ? 1 : 0);
      return y;
    },

    rope(x, frequencies, rotation, segments) {
      const kernels = memory.kernels('rope');
      checkRope(x, frequencies, rotation, segments);
      const from = memory.address('rope', 'x', x);
      const [rows, width] = x.shape;
      const y = memory.tensor(rows, width);
      const tokens = segments.reduce((sum, { length }) => sum + length, 0);
      if (tokens === 0) return y;
      const table = turns.of(memory, frequencies, segments, tokens);
      const pairs = rotation === 'pairs' ? 1 : 0;
      kernels.rope(from, x.rowStride, table, 4 * y.offset, tokens, rows / tokens, width, frequencies.length, pairs);
      return y;
    },

    attention(q, k, v, scale, cache, segments) {
      const op = 'attention';
      const kernels = memory.kernels(op);
      checkAttention(q, k, v, scale, cache, segments);
      const { heads, width } = cache;
      const from = { q: memory.address(op, 'q', q), k: memory.address(op, 'k', k), v: memory.address(op, 'v', v) };
      const slots = segments.map(({ slot }) => memory.slots.get(op, slot));
      const y = memory.tensor(q.shape[0], width); // [T H, D]
      const work = memory.scratch(4 * kernels.attention_scratch_len(width));
      const group = q.shape[0] / k.shape[0];
      for (const [i, { start, length, position }] of segments.entries()) {
        if (length === 0) continue;
        const slot = slots[i]!;
        const { keys, values } = memory.slots.cache(slot, cache);
        const row = start * heads;
        kernels.attention(
          from.q + 4 * row * group * q.rowStride,
          q.rowStride,
          from.k + 4 * row * k.rowStride,
          k.rowStride,
          from.v + 4 * row * v.rowStride,
          v.rowStride,
          4 * (y.offset + row * group * width),
          pageTable(memory, slot),
          keys,
          values,
          heads,
          group,
          width,
          position ?? 0,
          length,
          scale,
          work,
        );
      }
      return y;
    },
  };
}
