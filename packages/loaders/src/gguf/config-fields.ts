import { MambaError } from '@mamba-ts/tensor';

/** Readers of a config.json for which a GGUF file is written. Each throws `GGUF_CONFIG`, naming the field. */
export class ConfigFields {
  readonly #config: Readonly<Record<string, unknown>>;

  constructor(config: Readonly<Record<string, unknown>>) {
    this.#config = config;
  }

  count(field: string): number {
    const found = this.#config[field];
    if (typeof found === 'number' && Number.isInteger(found) && found >= 0 && found < 2 ** 32) return found;
    return this.refuse(field, 'a whole number below 2^32', found);
  }

  number(field: string): number {
    const found = this.#config[field];
    return typeof found === 'number' && Number.isFinite(found) ? found : this.refuse(field, 'a number', found);
  }

  flag(field: string): boolean {
    const found = this.#config[field];
    return typeof found === 'boolean' ? found : this.refuse(field, 'true or false', found);
  }

  text(field: string): string {
    const found = this.#config[field];
    return typeof found === 'string' ? found : this.refuse(field, 'a text', found);
  }

  has(field: string): boolean {
    return this.#config[field] !== undefined && this.#config[field] !== null;
  }

  numbers(field: string, count: number): readonly number[] {
    const found = this.#config[field];
    const sound = Array.isArray(found) && found.length === count && found.every((each) => typeof each === 'number');
    return sound ? found : this.refuse(field, `a list of ${count} numbers`, found);
  }

  object(field: string): ConfigFields {
    const found = this.#config[field];
    if (typeof found !== 'object' || found === null || Array.isArray(found))
      return this.refuse(field, 'an object', found);
    return new ConfigFields(found as Record<string, unknown>);
  }

  /** A value that has to be one of `values`: the format has no words for others. */
  only(field: string, values: readonly unknown[]): unknown {
    const found = this.#config[field];
    if (values.some((value) => shown(value) === shown(found))) return found;
    return this.refuse(field, `${values.map(shown).join(' or ')} in a GGUF file`, found);
  }

  refuse(field: string, expected: string, found: unknown): never {
    throw new MambaError('GGUF_CONFIG', `config.json: "${field}" must be ${expected}, found ${shown(found)}`, {
      field,
      expected,
    });
  }
}

function shown(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(shown).join(', ')}]`;
  return typeof value === 'number' ? String(value) : (JSON.stringify(value)?.slice(0, 60) ?? 'nothing');
}
