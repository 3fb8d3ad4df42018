/**
 * Is attention as fast as it could be? Its products against those of `linear`, on the shape of pythia-160m (12 heads of
 * 64), all tokens from an empty cache: operations per second of both, and their ratio. Causal: 4 x 64 operations for each
 * pair of a token and one before it; softmax not counted.
 *
 *     node benchmarks/attention.ts [TOKENS]
 */
import { createBench, measure, report, spread } from './measure.ts';

const [tokens = 2048] = process.argv.slice(2).map(Number);
const [heads, width] = [12, 64];
const channels = heads * width;

const { backend, tensor, matrix } = await createBench();
const cache = { name: 'cache', heads, width, offset: 0 };
const slot = backend.createSlot(0, [cache]);
backend.reserveRows(slot, tokens);
const w = matrix(channels, channels);
const segments = [{ start: 0, length: tokens, slot, reset: false, position: 0 }];

const times = await measure(
  backend,
  () => ({
    x: tensor(tokens, channels),
    q: tensor(tokens * heads, width),
    k: tensor(tokens * heads, width),
    v: tensor(tokens * heads, width),
  }),
  {
    linear: ({ x }) => void backend.linear(x, w, null),
    attention: ({ q, k, v }) => void backend.attention(q, k, v, 1 / Math.sqrt(width), cache, segments),
  },
);
const operations = { linear: 2 * tokens * channels * channels, attention: 2 * tokens * (tokens + 1) * channels };
const rates = {
  linear: times.linear.map((ms) => operations.linear / ms / 1e6),
  attention: times.attention.map((ms) => operations.attention / ms / 1e6),
};
report(`${backend.describe().name}, ${tokens} tokens, ${heads} heads of ${width}`, 'GFLOP/s', rates);
const ratios = rates.attention.map((rate, i) => rate / rates.linear[i]!);
console.log(`  attention / linear           ${spread(ratios).median.toFixed(2)}`);
backend.dispose();
