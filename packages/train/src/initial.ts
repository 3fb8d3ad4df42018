import { listParameters } from '@mamba-ts/layers';
import { type ParameterTree, philoxRandom } from '@mamba-ts/tensor';

/**
 * The values that a training starts from, by name: each parameter's own `init`, from Philox. A value depends on the seed, the
 * parameter's place in the tree and the element alone.
 */
export function initialParameters(tree: ParameterTree, seed: number): Map<string, Float32Array> {
  const random = philoxRandom(seed);
  let next = 0;
  const uniform = (): number => random(next++);
  return new Map(
    listParameters(tree).map(({ name, shape, init }, place) => {
      next = place * 2 ** 40; // No tensor draws as many.
      const length = shape.reduce((product, axis) => product * axis, 1);
      return [name, Float32Array.from({ length }, (_, index) => init(index, uniform))];
    }),
  );
}
