const LOG2_E = Math.LOG2E;
// ln 2 in two parts: the first has 21 trailing zero bits, so that k * LN2_HIGH is exact for |k| < 2^21.
const LN2_HIGH = 0.6931471803691238;
const LN2_LOW = 1.9082149292705877e-10;

/** `powers[k] = 2^-k`, exact: halving a double never rounds above the subnormals. */
const powers: Float64Array = new Float64Array(1023);
for (let k = 0, power = 1; k < powers.length; k++, power /= 2) powers[k] = power;

/**
 * `e^x` for x <= 0, within 2 ulp; 0 below -708, where e^x is under 4e-308.
 *
 * Why not `Math.exp`: ECMAScript leaves its last bits to the engine, and a draw that falls on a border between two
 * tokens would then depend on the engine. This one uses +, - and * alone, which IEEE 754 defines to the bit.
 */
export function expNonPositive(x: number): number {
  if (x < -708) return 0;
  const k = Math.round(x * LOG2_E);
  const r = x - k * LN2_HIGH - k * LN2_LOW; // |r| <= ln(2) / 2
  // Taylor series to degree 13: the first term left out is below 5e-18 relative.
  let sum = 1 / 6227020800;
  sum = sum * r + 1 / 479001600;
  sum = sum * r + 1 / 39916800;
  sum = sum * r + 1 / 3628800;
  sum = sum * r + 1 / 362880;
  sum = sum * r + 1 / 40320;
  sum = sum * r + 1 / 5040;
  sum = sum * r + 1 / 720;
  sum = sum * r + 1 / 120;
  sum = sum * r + 1 / 24;
  sum = sum * r + 1 / 6;
  sum = sum * r + 1 / 2;
  return (1 + (r + sum * r * r)) * powers[-k]!;
}
