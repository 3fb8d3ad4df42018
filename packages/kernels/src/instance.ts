import { MambaError } from '@mamba-ts/tensor';
import type { TrainingKernels } from './training/kernels.ts';

/** What the module exports: see rust-wasm/src/exports.rs. Addresses and lengths are plain numbers. */
export interface Kernels extends TrainingKernels {
  readonly memory: WebAssembly.Memory;
  /** 1 with relaxed SIMD, plus 2 with threads. */
  build(): number;
  set_wide(wide: number): void;
  allocate(bytes: number): number;
  release(address: number, bytes: number): void;
  pack_matrix(dtype: number, source: number, start: number, count: number, inputs: number, target: number): number;
  lower_f16(elements: number, count: number): void;
  widen_f16(source: number, count: number, target: number): void;
  linear(
    dtype: number,
    x: number,
    xStride: number,
    w: number,
    bias: number,
    y: number,
    yStride: number,
    tokens: number,
    inputs: number,
    outputs: number,
  ): void;
  embedding(dtype: number, ids: number, w: number, y: number, tokens: number, inputs: number): void;
  rms_norm(
    x: number,
    xStride: number,
    w: number,
    wLength: number,
    y: number,
    tokens: number,
    width: number,
    groups: number,
    eps: number,
  ): void;
  copy_rows(x: number, xStride: number, y: number, yStride: number, tokens: number, width: number): void;
  silu_gate(
    x: number,
    xStride: number,
    gate: number,
    gateStride: number,
    y: number,
    tokens: number,
    width: number,
  ): void;
  add(a: number, aStride: number, b: number, bStride: number, y: number, tokens: number, width: number): void;
  causal_conv(
    x: number,
    xStride: number,
    w: number,
    bias: number,
    state: number,
    history: number,
    y: number,
    tokens: number,
    channels: number,
    taps: number,
    withSilu: number,
  ): void;
  transpose(from: number, to: number, rows: number, columns: number): void;
  scan_scratch_len(states: number): number;
  /** Skips updates below `below`, none where it is 0, and gives how many; `ssd` likewise. */
  selective_scan(
    u: number,
    uStride: number,
    delta: number,
    deltaStride: number,
    a: number,
    b: number,
    bStride: number,
    c: number,
    cStride: number,
    d: number,
    z: number,
    zStride: number,
    deltaBias: number,
    softplus: number,
    state: number,
    y: number,
    tokens: number,
    channels: number,
    states: number,
    scratch: number,
    below: number,
  ): number;
  ssd_scratch_len(width: number, states: number): number;
  ssd(
    x: number,
    xStride: number,
    dt: number,
    dtStride: number,
    a: number,
    b: number,
    bStride: number,
    c: number,
    cStride: number,
    d: number,
    dPerChannel: number,
    dtBias: number,
    low: number,
    high: number,
    state: number,
    y: number,
    tokens: number,
    heads: number,
    width: number,
    states: number,
    groups: number,
    scratch: number,
    below: number,
  ): number;
  mamba3_scratch_len(width: number, states: number, rank: number, angles: number): number;
  mamba3_scan(
    x: number,
    xStride: number,
    dt: number,
    dtStride: number,
    a: number,
    aStride: number,
    trap: number,
    trapStride: number,
    angle: number,
    angleStride: number,
    b: number,
    bStride: number,
    c: number,
    cStride: number,
    dtBias: number,
    bBias: number,
    cBias: number,
    d: number,
    mimoX: number,
    halves: number,
    softplus: number,
    floor: number,
    theta: number,
    state: number,
    kBefore: number,
    xBefore: number,
    y: number,
    tokens: number,
    heads: number,
    width: number,
    states: number,
    groups: number,
    rank: number,
    angles: number,
    scratch: number,
  ): void;
  mimo_gate(
    y: number,
    yStride: number,
    gate: number,
    gateStride: number,
    wGate: number,
    wOut: number,
    out: number,
    tokens: number,
    heads: number,
    rank: number,
    width: number,
  ): void;
  layer_norm(
    x: number,
    xStride: number,
    w: number,
    bias: number,
    y: number,
    tokens: number,
    width: number,
    eps: number,
  ): void;
  gelu(x: number, xStride: number, y: number, tokens: number, width: number, tanh: number): void;
  rope(
    x: number,
    xStride: number,
    table: number,
    y: number,
    tokens: number,
    heads: number,
    width: number,
    turned: number,
    pairs: number,
  ): void;
  attention_scratch_len(width: number): number;
  attention(
    q: number,
    qStride: number,
    k: number,
    kStride: number,
    v: number,
    vStride: number,
    y: number,
    pages: number,
    keys: number,
    values: number,
    heads: number,
    group: number,
    width: number,
    position: number,
    tokens: number,
    scale: number,
    scratch: number,
  ): void;
  limit_read(address: number, bytes: number, passes: number): number;
  limit_multiply_add(rounds: number, address: number): number;
  limit_dot(rounds: number, address: number): number;
}

/** What the builds with threads have besides: see rust-wasm/src/exports/pool.rs. */
export interface ThreadedKernels extends Kernels {
  /** From now on so many threads share the work, in pieces of at least `grain` multiply-adds. */
  pool_start(threads: number, grain: number): void;
  /** What a worker runs until `pool_quit`. */
  pool_worker(thread: number): void;
  pool_quit(): void;
  /** The address of the count of finished pieces. */
  pool_done(): number;
  readonly __stack_pointer: WebAssembly.Global<'i32'>;
  readonly __tls_size: WebAssembly.Global<'i32'>;
  __wasm_init_tls(address: number): void;
}

/** Where the module's bytes come from. */
export type WasmSource = BufferSource | WebAssembly.Module | Response | URL | Promise<BufferSource | Response>;

async function compile(source: WasmSource): Promise<WebAssembly.Module> {
  const resolved = await source;
  if (resolved instanceof WebAssembly.Module) return resolved;
  // Before `Response` is looked at: Node loads its HTTP client, some 20 ms, as soon as that is.
  if (resolved instanceof ArrayBuffer || ArrayBuffer.isView(resolved)) return WebAssembly.compile(resolved);
  const response = resolved instanceof URL ? await fetch(resolved) : resolved;
  if (typeof Response === 'undefined' || !(response instanceof Response))
    return WebAssembly.compile(response as unknown as BufferSource);
  if (!response.ok) {
    throw new MambaError(
      'WASM_MISSING',
      `${response.url}: HTTP ${response.status}. Serve the .wasm beside the script, or pass it as \`wasm\`.`,
    );
  }
  return WebAssembly.compile(await response.arrayBuffer());
}

/** Called while pieces of work are out, for the `round`th time since `done` changed; throws where they are lost. */
export type OnStall = (done: number, round: number) => void;

/** A fresh instance with a memory of its own, so that one backend's end frees everything it had; and its module. */
export async function instantiate(
  source: WasmSource,
  onStall: OnStall,
): Promise<{ kernels: Kernels; module: WebAssembly.Module }> {
  let module: WebAssembly.Module;
  try {
    module = await compile(source);
  } catch (cause) {
    if (cause instanceof WebAssembly.CompileError) {
      throw new MambaError(
        'WASM_UNSUPPORTED',
        `the WebAssembly module cannot be compiled (${cause.message}): this engine needs WebAssembly SIMD, as Node 22 and ` +
          'all browsers since 2023 have; or the file is damaged',
        {},
        { cause },
      );
    }
    throw cause;
  }
  const imports = importsOf(module, onStall);
  const { exports } = await WebAssembly.instantiate(module, imports);
  const memory = imports.env?.memory;
  return { kernels: (memory ? { ...exports, memory } : exports) as unknown as Kernels, module };
}

/** With which the linker lets a shared memory begin: see scripts/wasm-builds.mjs. */
const SHARED_PAGES = 32;
const MAX_PAGES = 65_536;

/** What `module` asks for: a shared memory and `onStall` where it has threads. */
function importsOf(
  module: WebAssembly.Module,
  onStall: OnStall,
): Record<string, Record<string, WebAssembly.ImportValue>> {
  const imports: Record<string, Record<string, WebAssembly.ImportValue>> = {};
  for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
    // The few functions that wasm-bindgen lists serve values other than numbers, of which there are none.
    let value: WebAssembly.ImportValue = () => {};
    if (kind === 'memory') value = sharedMemory();
    else if (from === 'pool') value = onStall;
    imports[from] = { ...imports[from], [name]: value };
  }
  return imports;
}

function sharedMemory(): WebAssembly.Memory {
  try {
    return new WebAssembly.Memory({ initial: SHARED_PAGES, maximum: MAX_PAGES, shared: true });
  } catch (cause) {
    throw new MambaError(
      'OUT_OF_MEMORY',
      `no memory can be shared between threads (${(cause as Error).message}): pass threads: 1`,
      {},
      { cause },
    );
  }
}
