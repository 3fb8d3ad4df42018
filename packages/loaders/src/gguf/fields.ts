import { MambaError } from '@mamba-ts/tensor';
import { shownName } from '../safetensors/header.ts';
import type { GgufTensor, GgufValue } from './header.ts';

/** Readers of the metadata of one architecture: `count('block_count')` reads `<arch>.block_count`. */
export class Fields {
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly architecture: string;
  readonly #file: string;

  /** Throws `GGUF_METADATA` where general.architecture is missing. */
  constructor(metadata: ReadonlyMap<string, GgufValue>, file: string) {
    this.metadata = metadata;
    this.#file = file;
    const architecture = metadata.get('general.architecture');
    if (typeof architecture !== 'string') this.#refuse('general.architecture', 'a text', architecture);
    this.architecture = architecture as string;
  }

  /** A whole number of a size that a model can have. The readers of config.json check its range. */
  count(key: string, fallback?: number): number {
    const found = this.#find(key) ?? fallback;
    if (typeof found === 'number' && Number.isInteger(found) && found >= 0) return found;
    return this.#refuse(`${this.architecture}.${key}`, 'a whole number', found);
  }

  number(key: string, fallback?: number): number {
    const found = this.#find(key) ?? fallback;
    if (typeof found === 'number' && Number.isFinite(found)) return found;
    return this.#refuse(`${this.architecture}.${key}`, 'a number', found);
  }

  flag(key: string, fallback: boolean): boolean {
    const found = this.#find(key) ?? fallback;
    return typeof found === 'boolean' ? found : this.#refuse(`${this.architecture}.${key}`, 'a bool', found);
  }

  /** A text, or undefined where it is absent. */
  text(key: string): string | undefined {
    const found = this.#find(key);
    if (found === undefined || typeof found === 'string') return found;
    return this.#refuse(`${this.architecture}.${key}`, 'a text', found);
  }

  /**
   * The ids under `eos_token_id` and `bos_token_id` of the tokenizer, as config.json names them. Those that end a turn or a
   * message (`eot_token_id`, `eom_token_id`) end an answer as well.
   */
  tokenIds(vocabSize: number): Record<string, number | number[]> {
    const id = (name: string): number[] => {
      const found = this.metadata.get(`tokenizer.ggml.${name}_token_id`);
      if (found === undefined) return [];
      if (typeof found !== 'number' || !(found < vocabSize)) {
        this.#refuse(`tokenizer.ggml.${name}_token_id`, `an id below ${vocabSize}`, found);
      }
      return [found as number];
    };
    const ends = [...new Set(['eos', 'eot', 'eom'].flatMap(id))];
    const [begin] = id('bos');
    return {
      ...(ends.length === 0 ? {} : { eos_token_id: ends.length === 1 ? ends[0]! : ends }),
      ...(begin === undefined ? {} : { bos_token_id: begin }),
    };
  }

  #find(key: string): GgufValue | undefined {
    return this.metadata.get(`${this.architecture}.${key}`);
  }

  #refuse(key: string, expected: string, found: unknown): never {
    const shown = found === undefined ? 'nothing' : Array.isArray(found) ? 'a list' : String(found).slice(0, 60);
    throw new MambaError('GGUF_METADATA', `${this.#file}: ${key} must be ${expected}, found ${shown}`, {
      file: this.#file,
      key,
      expected,
    });
  }
}

/** Rows of a matrix. Throws `TENSOR_MISSING`. */
export function rowsOf(tensors: ReadonlyMap<string, GgufTensor>, name: string): number {
  const tensor = tensors.get(name);
  if (tensor) return tensor.shape[0]!;
  throw new MambaError('TENSOR_MISSING', `the file has no tensor ${shownName(name)}`, { tensor: name });
}
