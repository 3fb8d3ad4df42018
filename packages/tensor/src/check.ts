import type { Segment, StateField, UpdateSkipping } from './backend.ts';
import { excessiveFactor, isQuantised } from './decode.ts';
import { DTYPES, type DType } from './dtype.ts';
import { MambaError } from './errors.ts';
import type { Tensor } from './tensor.ts';
import type { ParameterSpec, Weight } from './weights.ts';

/*
 * What every backend asks of its arguments before it touches memory, so that all of them refuse the same calls with
 * the same codes: SHAPE, ROLE, ARGUMENT, TOKEN_ID, TENSOR_SIZE, DTYPE, FOREIGN, STALE_TENSOR, DISPOSED. A check that
 * passes allocates nothing: messages are built only where they are thrown. What a backend alone can know (whether a
 * storage, slot or weight is its own and alive) it checks itself, and throws the errors at the foot of this file.
 */

const isCount = (n: number): boolean => Number.isSafeInteger(n) && n >= 0;

function shape(message: string, details: Readonly<Record<string, unknown>>): MambaError {
  return new MambaError('SHAPE', message, details);
}

/** The number of elements of `dims`; 1 for no axes at all. */
export function elementCount(dims: readonly number[]): number {
  let count = 1;
  for (const d of dims) count *= d;
  return count;
}

/** `x` is a well-formed tensor or view, of `rows` rows and `columns` columns where given. Throws `SHAPE`. */
export function checkTensor(op: string, name: string, x: Tensor, rows?: number, columns?: number): void {
  const [r, c] = x.shape;
  if (!isCount(r) || !isCount(c) || !isCount(x.offset) || !isCount(x.rowStride) || x.rowStride < c) {
    throw shape(
      `${op}: ${name} is malformed: shape [${r}, ${c}], offset ${x.offset}, row stride ${x.rowStride}; expected whole ` +
        'numbers and a row stride of at least the number of columns. Make views with columns() or split()',
      { op, argument: name, shape: x.shape, offset: x.offset, rowStride: x.rowStride },
    );
  }
  if ((rows !== undefined && r !== rows) || (columns !== undefined && c !== columns)) {
    throw shape(
      `${op}: ${name} has shape [${r}, ${c}], expected [${rows ?? 'any'}, ${columns ?? 'any'}]. ` +
        'Pass the tensor that the layer before it made, or the matching columns of it',
      { op, argument: name, expected: [rows ?? null, columns ?? null], found: x.shape },
    );
  }
}

/** Throws `ROLE`. */
export function checkRole(op: string, name: string, w: Weight, role: 'matrix' | 'vector'): void {
  if (w.role === role) return;
  throw new MambaError(
    'ROLE',
    `${op}: ${name} (${w.name}) is a ${w.role}, expected a ${role}. Declare it with ${role}() in the parameter tree`,
    { op, argument: name, weight: w.name, expected: role, found: w.role },
  );
}

/** `w` has this role and these dimensions; -1 stands for any. Throws `ROLE` or `SHAPE`. */
export function checkWeight(
  op: string,
  name: string,
  w: Weight,
  role: 'matrix' | 'vector',
  d0: number,
  d1?: number,
): void {
  checkRole(op, name, w, role);
  const axes = d1 === undefined ? 1 : 2;
  if (
    w.shape.length !== axes ||
    (d0 !== -1 && w.shape[0] !== d0) ||
    (d1 !== undefined && d1 !== -1 && w.shape[1] !== d1)
  ) {
    const expected = (d1 === undefined ? [d0] : [d0, d1]).map((d) => (d === -1 ? 'any' : d));
    throw shape(
      `${op}: ${name} (${w.name}) has shape [${w.shape.join(', ')}], expected [${expected.join(', ')}]. ` +
        'Check the sizes in the config against the checkpoint',
      { op, argument: name, weight: w.name, expected, found: w.shape },
    );
  }
}

/** The segments tile rows 0..rows-1 in row order without gaps, at positions that are counts. Throws `SHAPE`. */
export function checkRows(op: string, rows: number, segments: readonly Segment[]): void {
  let next = 0;
  for (let i = 0; i < segments.length; i++) {
    const s = segments[i]!;
    if (!isCount(s.length) || s.start !== next) {
      throw shape(
        `${op}: segment ${i} starts at row ${s.start} with ${s.length} rows, expected it to start at row ${next}, where ` +
          'the one before it ends. List segments in row order without gaps',
        { op, segment: i, start: s.start, length: s.length, expected: next },
      );
    }
    if (s.position !== undefined && (!isCount(s.position) || (s.reset && s.position !== 0))) {
      throw shape(
        `${op}: segment ${i} has position ${s.position}, expected the number of its sequence's tokens before it: a whole ` +
          'number, 0 after a reset',
        { op, segment: i, position: s.position, reset: s.reset },
      );
    }
    next += s.length;
  }
  if (next !== rows) {
    throw shape(
      `${op}: the segments cover ${next} rows, but there are ${rows}. Every row belongs to exactly one segment`,
      {
        op,
        covered: next,
        rows,
      },
    );
  }
}

/** As `checkRows`, and the state field lies within each slot. Throws `SHAPE`. */
export function checkSegments(op: string, rows: number, state: StateField, segments: readonly Segment[]): void {
  const size = elementCount(state.shape);
  if (!isCount(size) || !isCount(state.offset)) {
    throw shape(
      `${op}: state field ${state.name} has shape [${state.shape.join(', ')}] at offset ${state.offset}, expected whole ` +
        'numbers. Take the fields from the layout of the model',
      { op, state: state.name, shape: state.shape, offset: state.offset },
    );
  }
  for (let i = 0; i < segments.length; i++) {
    const { slot } = segments[i]!;
    if (state.offset + size > slot.length) {
      throw shape(
        `${op}: state field ${state.name} takes elements ${state.offset} to ${state.offset + size}, but the slot of ` +
          `segment ${i} has ${slot.length}. Make slots with the length that the model's layout states`,
        { op, state: state.name, offset: state.offset, size, slot: slot.length },
      );
    }
  }
  checkRows(op, rows, segments);
}

function checkStateShape(op: string, state: StateField, channels: number, width: number): void {
  if (state.shape.length !== 2 || state.shape[0] !== channels || state.shape[1] !== width) {
    throw shape(
      `${op}: state field ${state.name} has shape [${state.shape.join(', ')}], expected [${channels}, ${width}]. ` +
        "Take the fields from the model's own state layout",
      { op, state: state.name, expected: [channels, width], found: state.shape },
    );
  }
}

/** Arguments of `linear`: x `[T, I]`, w matrix `[O, I]`, bias vector `[O]`. */
export function checkLinear(x: Tensor, w: Weight, bias: Weight | null): void {
  checkWeight('linear', 'w', w, 'matrix', -1, -1);
  checkTensor('linear', 'x', x, undefined, w.shape[1]!);
  if (bias !== null) checkWeight('linear', 'bias', bias, 'vector', w.shape[0]!);
}

/** Arguments of `embedding`: every id within 0..V-1, else `TOKEN_ID`. */
export function checkEmbedding(ids: Int32Array, w: Weight): void {
  checkWeight('embedding', 'w', w, 'matrix', -1, -1);
  const vocabulary = w.shape[0]!;
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i]!;
    if (id < 0 || id >= vocabulary) {
      throw new MambaError(
        'TOKEN_ID',
        `embedding: token ${i} has id ${id}, expected 0 to ${vocabulary - 1} (rows of ${w.name}). ` +
          'Encode the text with the tokenizer that belongs to this model',
        { op: 'embedding', position: i, id, vocabulary },
      );
    }
  }
}

/** Arguments of `rmsNorm`: x `[T, C]`, w vector of whole groups that divides C, or null, eps finite and not negative. */
export function checkRmsNorm(x: Tensor, w: Weight | null, eps: number, groups: number): void {
  checkTensor('rmsNorm', 'x', x);
  if (!isCount(groups) || groups < 1 || x.shape[1] % groups !== 0) {
    throw shape(
      `rmsNorm: ${groups} groups of ${x.shape[1]} columns, expected a whole number that divides them. Check the number of ` +
        'groups in the config',
      { op: 'rmsNorm', groups, columns: x.shape[1] },
    );
  }
  if (w !== null) {
    const part = x.shape[1] / groups;
    const [length = 0] = w.shape;
    const repeats = length > 0 && length % part === 0 && x.shape[1] % length === 0;
    checkWeight('rmsNorm', 'w', w, 'vector', repeats ? length : x.shape[1]);
  }
  checkEps('rmsNorm', eps);
}

/** Arguments of `layerNorm`: x `[T, C]`, w vector `[C]`, bias vector `[C]` or null, eps >= 0. */
export function checkLayerNorm(x: Tensor, w: Weight, bias: Weight | null, eps: number): void {
  checkTensor('layerNorm', 'x', x);
  checkWeight('layerNorm', 'w', w, 'vector', x.shape[1]);
  if (bias !== null) checkWeight('layerNorm', 'bias', bias, 'vector', x.shape[1]);
  checkEps('layerNorm', eps);
}

function checkEps(op: string, eps: number): void {
  if (!(eps >= 0 && eps < Number.POSITIVE_INFINITY)) {
    throw new MambaError(
      'ARGUMENT',
      `${op}: eps is ${eps}, expected a finite number of at least 0. Read it from the config`,
      { op, eps },
    );
  }
}

/** Arguments of `gelu`: x, and a form that we know. */
export function checkGelu(x: Tensor, form: 'erf' | 'tanh'): void {
  checkTensor('gelu', 'x', x);
  if (form !== 'erf' && form !== 'tanh') {
    throw new MambaError('ARGUMENT', `gelu: form is ${String(form)}, expected "erf" or "tanh"`, { op: 'gelu', form });
  }
}

/** Arguments of `causalConv1d`: x `[T, C]`, w vector `[C, K]` with K >= 1, bias vector `[C]`, state `[C, K-1]`. */
export function checkCausalConv1d(
  x: Tensor,
  w: Weight,
  bias: Weight | null,
  state: StateField,
  segments: readonly Segment[],
): void {
  const op = 'causalConv1d';
  checkTensor(op, 'x', x);
  const channels = x.shape[1];
  checkWeight(op, 'w', w, 'vector', channels, -1);
  const taps = w.shape[1]!;
  if (taps < 1)
    throw shape(`${op}: w (${w.name}) has ${taps} taps, expected at least 1. Check conv_kernel in the config`, { op });
  if (bias !== null) checkWeight(op, 'bias', bias, 'vector', channels);
  checkStateShape(op, state, channels, taps - 1);
  checkSegments(op, x.shape[0], state, segments);
}

/** Arguments of `selectiveScan`: u, delta, z `[T, C]`; A `[C, N]`; B, C `[T, N]`; D, deltaBias `[C]`; state `[C, N]`. */
export function checkSelectiveScan(
  u: Tensor,
  delta: Tensor,
  A: Weight,
  B: Tensor,
  C: Tensor,
  D: Weight | null,
  z: Tensor | null,
  deltaBias: Weight | null,
  state: StateField,
  segments: readonly Segment[],
  skipping?: UpdateSkipping,
): void {
  const op = 'selectiveScan';
  checkTensor(op, 'u', u);
  const [rows, channels] = u.shape;
  checkTensor(op, 'delta', delta, rows, channels);
  checkWeight(op, 'A', A, 'vector', channels, -1);
  const states = A.shape[1]!;
  checkTensor(op, 'B', B, rows, states);
  checkTensor(op, 'C', C, rows, states);
  if (D !== null) checkWeight(op, 'D', D, 'vector', channels);
  if (z !== null) checkTensor(op, 'z', z, rows, channels);
  if (deltaBias !== null) checkWeight(op, 'deltaBias', deltaBias, 'vector', channels);
  checkStateShape(op, state, channels, states);
  checkSegments(op, rows, state, segments);
  checkSkipping(op, skipping);
}

/** What is skipped is below something: a number above 0. Throws `ARGUMENT`. */
export function checkSkipping(op: string, skipping: UpdateSkipping | undefined): void {
  if (skipping === undefined || skipping.below > 0) return;
  throw new MambaError('ARGUMENT', `${op}: skipping.below is ${skipping.below}, expected a number above 0`, { op });
}

/** Arguments of `siluGate`: both `[T, C]`. */
export function checkSiluGate(x: Tensor, gate: Tensor): void {
  checkTensor('siluGate', 'x', x);
  checkTensor('siluGate', 'gate', gate, x.shape[0], x.shape[1]);
}

/** Arguments of `concat`: as many rows in both. */
export function checkConcat(a: Tensor, b: Tensor): void {
  checkTensor('concat', 'a', a);
  checkTensor('concat', 'b', b, a.shape[0]);
}

/** Arguments of `add`: both `[T, C]`. */
export function checkAdd(a: Tensor, b: Tensor): void {
  checkTensor('add', 'a', a);
  checkTensor('add', 'b', b, a.shape[0], a.shape[1]);
}

/** Arguments of `logits`: x `[T, C]`, w matrix `[V', C]`, 0 <= vocabSize <= V', rows within 0..T-1. */
export function checkLogits(x: Tensor, w: Weight, rows: Int32Array, vocabSize: number): void {
  const op = 'logits';
  checkWeight(op, 'w', w, 'matrix', -1, -1);
  checkTensor(op, 'x', x, undefined, w.shape[1]!);
  if (!isCount(vocabSize) || vocabSize > w.shape[0]!) {
    throw shape(
      `${op}: vocabSize is ${vocabSize}, expected 0 to ${w.shape[0]} (rows of ${w.name}). Take it from the config`,
      { op, vocabSize, rows: w.shape[0] },
    );
  }
  for (let i = 0; i < rows.length; i++) {
    if (rows[i]! < 0 || rows[i]! >= x.shape[0]) {
      throw shape(`${op}: rows[${i}] is ${rows[i]}, expected 0 to ${x.shape[0] - 1}. Ask for rows of this step only`, {
        op,
        index: i,
        row: rows[i],
        rows: x.shape[0],
      });
    }
  }
}

/** Arguments of `upload`: as many values as the shape holds. */
export function checkUpload(values: { readonly length: number }, dims: readonly [number, number]): void {
  if (!isCount(dims[0]) || !isCount(dims[1]) || dims[0] * dims[1] !== values.length) {
    throw shape(`upload: ${values.length} values for shape [${dims.join(', ')}]. Pass row-major values that fill it`, {
      op: 'upload',
      values: values.length,
      shape: dims,
    });
  }
}

/** A spec that a backend can hold, in a dtype that it knows. Throws `SHAPE` or `DTYPE`. */
export function checkSpec(spec: ParameterSpec, dtype: DType): void {
  if (!Object.hasOwn(DTYPES, dtype)) {
    throw new MambaError(
      'DTYPE',
      `${spec.name} has dtype ${String(dtype)}, expected one of ${Object.keys(DTYPES).join(', ')}. ` +
        'Convert the checkpoint first',
      { parameter: spec.name, dtype },
    );
  }
  if (!spec.shape.every(isCount) || (spec.role === 'matrix' && spec.shape.length !== 2)) {
    throw shape(
      `${spec.name} has shape [${spec.shape.join(', ')}], expected ${spec.role === 'matrix' ? 'two' : 'any number of'} ` +
        'whole numbers. Check the sizes in the config',
      { parameter: spec.name, shape: spec.shape },
    );
  }
  const { block } = DTYPES[dtype];
  const row = spec.role === 'matrix' ? spec.shape[1]! : elementCount(spec.shape);
  if (row % block !== 0) {
    throw shape(
      `${spec.name}: rows of ${row} are no whole blocks of ${block} (${dtype}). Quantise it to another type`,
      { parameter: spec.name, shape: spec.shape, dtype },
    );
  }
  if (spec.role === 'matrix' && spec.map) {
    throw new MambaError('ARGUMENT', `${spec.name} is a matrix with a map; only vectors are mapped. Use vector()`, {
      parameter: spec.name,
    });
  }
}

/**
 * The next piece of a parameter of which `written` of `total` bytes have come. Throws `TENSOR_SIZE`, and `TENSOR_RANGE`
 * where a block's scale is not below 64, for which the kernels have no place.
 */
export function checkPiece(spec: ParameterSpec, dtype: DType, bytes: Uint8Array, written: number, total: number): void {
  const piece = bytes.byteLength;
  const { block, bytes: width } = DTYPES[dtype];
  if (piece % width !== 0) {
    const unit = block === 1 ? 'element' : 'block';
    throw new MambaError(
      'TENSOR_SIZE',
      `${spec.name}: a piece of ${piece} bytes, expected whole ${unit}s of ${width} bytes (${dtype}). ` +
        `Cut pieces at ${unit} borders`,
      { parameter: spec.name, dtype, piece },
    );
  }
  if (written + piece > total) {
    throw new MambaError(
      'TENSOR_SIZE',
      `${spec.name}: ${written + piece} bytes came, expected ${total} (${dtype} [${spec.shape.join(', ')}]). ` +
        'The file does not match the config',
      { parameter: spec.name, dtype, found: written + piece, expected: total },
    );
  }
  const factor = isQuantised(dtype) ? excessiveFactor(bytes, dtype) : null;
  if (factor !== null) {
    throw new MambaError(
      'TENSOR_RANGE',
      `${spec.name}: a block of ${dtype} has the scale ${factor}, expected less than 64. The file is damaged`,
      { parameter: spec.name, dtype, found: factor },
    );
  }
}

/** At `finish()`: all bytes have come. Throws `TENSOR_SIZE`. */
export function checkComplete(spec: ParameterSpec, dtype: DType, written: number, total: number): void {
  if (written !== total) {
    throw new MambaError(
      'TENSOR_SIZE',
      `${spec.name}: ${written} bytes came, expected ${total} (${dtype} [${spec.shape.join(', ')}]). ` +
        'The file is cut short or does not match the config',
      { parameter: spec.name, dtype, found: written, expected: total },
    );
  }
}

/** For a storage, slot or weight that this backend did not make, or that was freed. */
export function foreignError(backend: string, what: string): MambaError {
  return new MambaError(
    'FOREIGN',
    `${what} does not belong to this ${backend} backend or was freed. Use the backend that made it, before freeing it`,
    { backend, what },
  );
}

/** For a scratch tensor of an earlier step. */
export function staleError(backend: string, what: string): MambaError {
  return new MambaError(
    'STALE_TENSOR',
    `${what} was used after endStep() of the ${backend} backend. Read or copy what must outlive the step before it ends`,
    { backend, what },
  );
}

/** For any call after dispose(). */
export function disposedError(backend: string, call: string): MambaError {
  return new MambaError('DISPOSED', `${call}: this ${backend} backend was disposed. Create another one`, {
    backend,
    call,
  });
}
