import type { Segment } from '@mamba-ts/tensor';
import type { WasmMemory } from './memory.ts';

/**
 * Cosines and sines of `rope` for the tokens of a step, in scratch. Every layer of a model turns by the same angles, so the
 * last table is kept until the step ends or another is asked for.
 */
export class TurnTable {
  #frequencies: Float64Array | null = null;
  #segments: readonly Segment[] | null = null;
  #step: object | null = null;
  #address = 0;

  /** The address of `[tokens][2][frequencies]`: cosines, then sines, of position times frequency. */
  of(memory: WasmMemory, frequencies: Float64Array, segments: readonly Segment[], tokens: number): number {
    if (this.#step === memory.step && this.#frequencies === frequencies && this.#segments === segments) {
      return this.#address;
    }
    const count = frequencies.length;
    this.#address = memory.scratch(4 * tokens * 2 * count);
    const floats = memory.floats();
    let at = this.#address / 4;
    for (const { length, position } of segments) {
      for (let t = 0; t < length; t++, at += 2 * count) {
        for (let i = 0; i < count; i++) {
          const angle = ((position ?? 0) + t) * frequencies[i]!;
          floats[at + i] = Math.cos(angle);
          floats[at + count + i] = Math.sin(angle);
        }
      }
    }
    [this.#frequencies, this.#segments, this.#step] = [frequencies, segments, memory.step];
    return this.#address;
  }
}
