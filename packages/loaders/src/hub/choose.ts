import { MambaError } from '@mamba-ts/tensor';
import { describeFiles } from '../folder.ts';
import { splitName } from '../gguf/file.ts';
import { checkHubPath } from './id.ts';

/** As much of a file as choosing needs. */
interface Sized {
  readonly path: string;
  readonly size: number;
}

/** What is wanted of a repository. */
export interface WantedFiles {
  /** A path in it: that file, and the others without which it is of no use. */
  readonly file?: string | undefined;
  /** The least precise weights that serve, such as `q4_k`: a GGUF file of that type where there is one. */
  readonly dtype?: string | undefined;
}

/** The files of a model. */
export interface ChosenFiles<F extends Sized> {
  readonly files: readonly F[];
  /** The GGUF file to open, of several parts the first; absent for a folder in Hugging Face layout. */
  readonly gguf?: string;
  /** The folder in the repository that they lie in; empty for the repository itself. */
  readonly folder: string;
}

/** Bits of a weight, about, by the name of its type. Names of GGUF files end with it, such as `-Q4_K_M`. */
const TYPE = /(?:^|[-._])(f32|f16|bf16|fp16|fp32|i?q([2-8])(?:_[0-9a-z]+)*)(?=\.gguf$|-\d{5}-of-\d{5}\.gguf$)/i;
function bitsOf(type: string): number {
  const lower = type.toLowerCase();
  if (/^(?:f32|fp32)$/.test(lower)) return 32;
  if (/^(?:bf16|f16|fp16)$/.test(lower)) return 16;
  return Number(/^i?q(\d)/.exec(lower)?.[1] ?? 0);
}

/** `model.safetensors`, or its index with all shards. */
const FORMATS = [
  { single: 'model.safetensors', shard: /^model-(\d{5})-of-(\d{5})\.safetensors$/ },
  { single: 'pytorch_model.bin', shard: /^pytorch_model-(\d{5})-of-(\d{5})\.bin$/ },
] as const;
/** What belongs to weights in Hugging Face layout. */
const BESIDE = [
  'config.json',
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'chat_template.jinja',
];

interface Candidate<F> {
  readonly files: readonly F[];
  /** The type in its name, in lower case; null for weights in Hugging Face layout, which do not say. */
  readonly type: string | null;
}

/**
 * The files of a repository that make a model, with the fewest bytes that serve. Unless told otherwise: safetensors, else
 * a PyTorch checkpoint, else a GGUF file (f16 or bf16 before f32 before the most precise quantised one). With `dtype`,
 * of the files of at least its precision those with the fewest bytes, its own type first. Throws `HUB_FILE` where there are
 * none, and `FILE_NAME` for a name that is no plain path.
 */
export function chooseFiles<F extends Sized>(
  all: readonly F[],
  repo: string,
  wanted: WantedFiles = {},
): ChosenFiles<F> {
  const chosen = wanted.file === undefined ? chooseWeights(all, repo, wanted.dtype) : named(all, repo, wanted.file);
  for (const { path } of chosen.files) checkHubPath(path, repo);
  return chosen;
}

function named<F extends Sized>(all: readonly F[], repo: string, path: string): ChosenFiles<F> {
  const file = all.find((each) => each.path === path);
  if (!file) throw noFile(all, repo, `has no file ${path}`);
  const folder = folderOf(path);
  if (!/\.gguf$/i.test(path)) return { files: [file, ...beside(all, folder).filter((each) => each !== file)], folder };
  const parts = ggufModels(all).find(({ files }) => files.includes(file))?.files;
  if (!parts) throw noFile(all, repo, `lacks other parts of ${path}`);
  return { files: parts, gguf: parts[0]!.path, folder };
}

function chooseWeights<F extends Sized>(all: readonly F[], repo: string, dtype: string | undefined): ChosenFiles<F> {
  const ggufs = ggufModels(all);
  const plain = all.some(({ path }) => path === 'config.json') ? plainWeights(all) : [];
  let best: Candidate<F> | undefined;
  if (dtype === undefined) best = plain[0] ?? mostPrecise(ggufs);
  else {
    const least = bitsOf(dtype);
    if (least === 0) {
      throw new MambaError(
        'INVALID_OPTION',
        `dtype ${JSON.stringify(dtype)} is no type of weights, such as q4_k or f16`,
        {
          option: 'dtype',
        },
      );
    }
    const own = ggufs.filter(({ type }) => type === dtype.toLowerCase() || type?.startsWith(`${dtype.toLowerCase()}_`));
    const serving = ggufs.filter(({ type }) => type !== null && bitsOf(type) >= least);
    best = fewestBytes(least < 16 && own.length > 0 ? own : [...plain.slice(0, 1), ...serving]);
  }
  if (!best) throw noFile(all, repo, 'has no weights that are read here, or not all of their parts');
  const first = best.files[0]!.path;
  if (/\.gguf$/i.test(first)) return { files: best.files, gguf: first, folder: folderOf(first) };
  return { files: [...best.files, ...beside(all, '')], folder: '' };
}

/** Weights in Hugging Face layout, those to be preferred first. */
function plainWeights<F extends Sized>(all: readonly F[]): Candidate<F>[] {
  return FORMATS.flatMap(({ single, shard }) => {
    const whole = all.find(({ path }) => path === single);
    if (whole) return [{ files: [whole], type: null }];
    const index = all.find(({ path }) => path === `${single}.index.json`);
    const shards = all.filter(({ path }) => shard.test(path));
    const count = Number(shard.exec(shards[0]?.path ?? '')?.[2]);
    return index && shards.length === count ? [{ files: [index, ...shards], type: null }] : [];
  });
}

/** Each GGUF model: one file, or all parts of one in order. Projectors and importance matrices are no models. */
function ggufModels<F extends Sized>(all: readonly F[]): Candidate<F>[] {
  const models = new Map<string, F[]>();
  for (const file of all) {
    const { path } = file;
    if (!/\.gguf$/i.test(path) || /(?:^|\/)mmproj|imatrix/i.test(path)) continue;
    const parts = splitName(path);
    const key = parts ? `${parts.stem}/${parts.count}` : path;
    models.set(key, [...(models.get(key) ?? []), file]);
  }
  return [...models.values()]
    .map((files) => files.sort((a, b) => (a.path < b.path ? -1 : 1)))
    .filter((files) => (splitName(files[0]!.path)?.count ?? 1) === files.length)
    .map((files) => ({ files, type: TYPE.exec(files[0]!.path)?.[1]?.toLowerCase() ?? null }));
}

const bytesOf = ({ files }: Candidate<Sized>): number => files.reduce((sum, { size }) => sum + size, 0);

const fewestBytes = <F extends Sized>(candidates: readonly Candidate<F>[]): Candidate<F> | undefined =>
  candidates.toSorted((a, b) => bytesOf(a) - bytesOf(b))[0];

/** Those of 16 bits lose nothing that matters; else the most bits there are. Of equal ones the fewest bytes. */
function mostPrecise<F extends Sized>(ggufs: readonly Candidate<F>[]): Candidate<F> | undefined {
  const worth = ({ type }: Candidate<F>): number => {
    const bits = bitsOf(type ?? 'f16');
    return bits === 16 ? 64 : bits;
  };
  return ggufs.toSorted((a, b) => worth(b) - worth(a) || bytesOf(a) - bytesOf(b))[0];
}

const folderOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf('/')));

const beside = <F extends Sized>(all: readonly F[], folder: string): F[] =>
  all.filter(({ path }) => BESIDE.some((name) => path === (folder === '' ? name : `${folder}/${name}`)));

function noFile(all: readonly Sized[], repo: string, why: string): MambaError {
  const held = all.map(({ path }) => path).sort();
  return new MambaError(
    'HUB_FILE',
    `${repo} ${why}; ${describeFiles(held)}. Wanted are config.json and model.safetensors, or a GGUF file (${repo}:FILE.gguf).`,
    { repo, held },
  );
}
