import { type Backend, MambaError, type Tensor, vector, type Weight } from '@mamba-ts/tensor';

/** Arguments of {@link selectiveScan}: plain f32 arrays, row-major. L tokens, D channels, N states. */
export interface SelectiveScanInput {
  /** L. */
  readonly tokens: number;
  /** D. */
  readonly channels: number;
  /** N. */
  readonly states: number;
  /** `[L, D]`. */
  readonly u: Float32Array;
  /** `[L, D]`, before bias and softplus. */
  readonly delta: Float32Array;
  /** `[D, N]`, negative. */
  readonly A: Float32Array;
  /** `[L, N]`. */
  readonly B: Float32Array;
  /** `[L, N]`. */
  readonly C: Float32Array;
  /** Skip, `[D]`. */
  readonly D?: Float32Array;
  /** Gate before SiLU, `[L, D]`. */
  readonly z?: Float32Array;
  /** `[D]`. */
  readonly deltaBias?: Float32Array;
  /** Whether `softplus` makes delta positive; false unless given. */
  readonly deltaSoftplus?: boolean;
  /** h before the first token, `[D, N]`; zeros unless given. */
  readonly initialState?: Float32Array;
}

/** What {@link selectiveScan} returns: fresh f32 arrays, row-major. L tokens, D channels, N states. */
export interface SelectiveScanOutput {
  /** `[L, D]`. */
  readonly y: Float32Array;
  /** h after the last token, `[D, N]`. */
  readonly state: Float32Array;
}

const bytesOf = (values: Float32Array): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

/**
 * The selective scan of Mamba-1 (Gu & Dao 2023, algorithm 2; state-spaces/mamba selective_scan_ref) on a backend:
 * `h = exp(d A) h + d B u; y = (C h + D u) silu(z)`, with `d = softplus(delta + deltaBias)`. Unlike the published
 * function it is token-major and takes an initial state. Throws `SHAPE` where an array has another length than stated.
 */
export async function selectiveScan(backend: Backend, input: SelectiveScanInput): Promise<SelectiveScanOutput> {
  const { tokens: L, channels: D, states: N } = input;
  const weights: Weight[] = [];
  const weight = (name: string, values: Float32Array | undefined, shape: readonly number[]): Weight | null => {
    if (!values) return null;
    const writer = backend.createWeight(vector(name, shape), 'f32');
    try {
      writer.write(bytesOf(values));
      const made = writer.finish();
      weights.push(made);
      return made;
    } catch (error) {
      writer.abort();
      throw error;
    }
  };
  const tensor = (values: Float32Array, width: number): Tensor => backend.upload(values, [L, width]);
  const slot = backend.createSlot(D * N);
  try {
    if (input.initialState) backend.writeSlot(slot, input.initialState);
    const A = weight('A', input.A, [D, N]);
    if (!A) throw new MambaError('SHAPE', `A is missing, expected [${D}, ${N}]`);
    const y = backend.selectiveScan(
      tensor(input.u, D),
      tensor(input.delta, D),
      A,
      tensor(input.B, N),
      tensor(input.C, N),
      weight('D', input.D, [D]),
      input.z ? tensor(input.z, D) : null,
      weight('deltaBias', input.deltaBias, [D]),
      input.deltaSoftplus ?? false,
      { name: 'h', shape: [D, N], offset: 0 },
      [{ start: 0, length: L, slot, reset: false }],
    );
    return { y: await backend.read(y), state: await backend.readSlot(slot) };
  } finally {
    backend.endStep();
    backend.freeSlot(slot);
    for (const made of weights) backend.freeWeight(made);
  }
}
