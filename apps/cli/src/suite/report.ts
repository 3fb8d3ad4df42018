/** Median and range of repeated measurements. */
export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export function summarize(values: readonly number[]): Summary {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
  return { median, min: sorted[0]!, max: sorted.at(-1)! };
}

/** What one engine reached. */
export interface EngineSpeed {
  readonly version: string;
  readonly prefill_tok_s: Summary;
  readonly decode_tok_s: Summary;
}

/** One file on so many threads, in the field names of the JSON. */
export interface SuiteRow {
  readonly model: string;
  readonly dtype: string;
  readonly threads: number;
  readonly file_bytes: number;
  /** Of this machine in WebAssembly, on as many threads, measured between the runs. */
  readonly limits: { readonly read_gb_s: number; readonly f32_gflop_s: number; readonly dot_gop_s: number };
  /** By name: `node` and `chromium` are we. */
  readonly engines: Readonly<Record<string, EngineSpeed>>;
  /** Bytes of weights used per token times tokens per second, over the read limit; of ours in Node. */
  readonly ratio_decode: number;
  /** 2 x the non-embedding weights per prompt token (the head once), over the f32 multiply-add limit; of ours in Node. */
  readonly ratio_prefill: number;
  /** Our medians over each peer's: against wllama ours in Chromium, against others ours in Node. */
  readonly against: Readonly<Record<string, { readonly decode: number; readonly prefill: number }>>;
}

/** One line of the table of targets. */
export interface TargetResult {
  readonly target: string;
  readonly wanted: number;
  readonly found: number;
  readonly met: boolean;
}

/** The JSON of `mamba bench --suite`. */
export interface SuiteReport {
  readonly date: string;
  readonly cpu: string;
  readonly cores: number;
  readonly prompt_tokens: number;
  readonly gen_tokens: number;
  readonly repeats: number;
  readonly rows: readonly SuiteRow[];
  readonly targets: readonly TargetResult[];
}

/** What is wanted of each row that was measured (the project's targets; see docs/benchmarks/). */
const WANTED: readonly {
  readonly model: string;
  readonly dtype: RegExp;
  readonly decode?: Readonly<Record<string, number>>;
  readonly prefill?: Readonly<Record<string, number>>;
}[] = [
  {
    model: 'mamba-130m',
    dtype: /^q8_0$/,
    decode: { limit: 0.85, wllama: 6, 'llama.cpp': 1.2 },
    prefill: { limit: 0.6, wllama: 7, 'llama.cpp': 1 },
  },
  {
    model: 'mamba2-130m',
    dtype: /^q8_0$/,
    decode: { limit: 0.85, wllama: 6, 'llama.cpp': 1 },
    prefill: { limit: 0.6, wllama: 7, 'llama.cpp': 0.6 },
  },
  { model: 'mamba-130m', dtype: /^q4/, decode: { wllama: 6 } },
  { model: 'mamba2-130m', dtype: /^q4/, decode: { wllama: 6 } },
  { model: 'pythia-160m', dtype: /^q8_0$/, decode: { wllama: 4, 'llama.cpp': 0.8 }, prefill: { wllama: 5 } },
];

/** Which of the targets the rows meet; those of rows and peers that were not measured are left out. */
export function targetsOf(rows: readonly SuiteRow[]): TargetResult[] {
  const results: TargetResult[] = [];
  const judge = (target: string, wanted: number, found: number | undefined): void => {
    if (found !== undefined) results.push({ target, wanted, found, met: found >= wanted });
  };
  for (const row of rows.filter(({ threads }) => threads === 1)) {
    const title = `${row.model} ${row.dtype}, 1 thread`;
    for (const { model, dtype, ...kinds } of WANTED) {
      if (model !== row.model || !dtype.test(row.dtype)) continue;
      for (const kind of ['decode', 'prefill'] as const) {
        for (const [rival, wanted] of Object.entries(kinds[kind] ?? {})) {
          if (rival === 'limit') judge(`${title}: ${kind} over the limit`, wanted, row[`ratio_${kind}`]);
          else judge(`${title}: ${kind} over ${rival}`, wanted, row.against[rival]?.[kind]);
        }
      }
    }
    // Of Mambas: the rival's rows of 4 bits are for information.
    if (row.dtype.startsWith('q4') && WANTED.some(({ model, dtype }) => model === row.model && dtype.test(row.dtype))) {
      const larger = rows.find((other) => other.model === row.model && other.dtype === 'q8_0' && other.threads === 1);
      const [small, large] = [row, larger].map((other) => other?.engines.node?.decode_tok_s.median);
      judge(`${title}: decode over our q8_0`, 1.3, small && large ? small / large : undefined);
    }
  }
  for (const row of rows.filter(({ threads }) => threads === 2)) {
    const one = rows.find(({ model, dtype, threads }) => model === row.model && dtype === row.dtype && threads === 1);
    if (!one?.engines.node || !row.engines.node) continue;
    const scaling = (kind: 'prefill_tok_s' | 'decode_tok_s'): number =>
      row.engines.node![kind].median / one.engines.node![kind].median;
    const title = `${row.model} ${row.dtype}, 2 threads over 1`;
    const limits = [row.limits.read_gb_s / one.limits.read_gb_s, row.limits.f32_gflop_s / one.limits.f32_gflop_s];
    judge(`${title}: decode over the read limit's own scaling`, 0.9, scaling('decode_tok_s') / limits[0]!);
    judge(`${title}: prefill over the multiply-add limit's own scaling`, 0.9, scaling('prefill_tok_s') / limits[1]!);
  }
  return results;
}

/** The report as lines for a terminal. */
export function suiteTable(report: SuiteReport): string {
  const names = [...new Set(report.rows.flatMap(({ engines }) => Object.keys(engines)))];
  const row = (cells: readonly string[]): string =>
    cells.map((cell, i) => (i === 0 ? cell.padEnd(13) : cell.padStart(i < 3 ? 8 : 17))).join('');
  const lines = [row(['model', 'dtype', 'threads', ...names, 'of the limits'])];
  for (const { model, dtype, threads, engines, ratio_decode, ratio_prefill } of report.rows) {
    const speeds = names.map((name) => {
      const speed = engines[name];
      return speed ? `${speed.prefill_tok_s.median.toFixed(1)} / ${speed.decode_tok_s.median.toFixed(1)}` : '-';
    });
    const ratios = `${(100 * ratio_prefill).toFixed(0)} % / ${(100 * ratio_decode).toFixed(0)} %`;
    lines.push(row([model, dtype, String(threads), ...speeds, ratios]));
  }
  lines.push('', 'Tokens per second, prefill / decode; medians.', '');
  for (const { target, wanted, found, met } of report.targets)
    lines.push(`${met ? 'met   ' : 'MISSED'}  ${target}: ${found.toFixed(2)} (wanted ${wanted})`);
  return `${lines.join('\n')}\n`;
}
