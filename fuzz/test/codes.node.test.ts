import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { targetNamed } from '../targets/index.ts';

/** Where each reader's errors are made, how their codes begin, and which of them no file can bring about. */
const SOURCES: Readonly<
  Record<string, { folder: string; except: RegExp; codes: RegExp; impossible: readonly string[] }>
> = {
  safetensors: {
    folder: 'packages/loaders/src/safetensors',
    except: /write\.ts$/,
    codes: /'(SAFETENSORS_[A-Z0-9_]+)'/g,
    impossible: [],
  },
  gguf: {
    folder: 'packages/loaders/src/gguf',
    // A writer refuses models, not files.
    // What refuses a model to be written, not a file.
    except: /(?:write|checkpoint|config-fields)\.ts$/,
    codes: /'(GGUF_[A-Z0-9_]+)'/g,
    // Of a model that several parts, or a known architecture, make of sound files.
    impossible: ['GGUF_SPLIT', 'GGUF_METADATA', 'GGUF_ARCHITECTURE', 'GGUF_TENSOR'],
  },
  pytorch: {
    folder: 'packages/loaders/src/pytorch',
    except: /never/,
    codes: /'(PYTORCH_[A-Z0-9_]+)'/g,
    impossible: [],
  },
  adapter: {
    folder: 'packages/loaders/src/adapter',
    except: /never/,
    codes: /'(ADAPTER_[A-Z0-9_]+)'/g,
    impossible: [],
  },
  config: {
    folder: 'packages/layers/src',
    except: /generated\.ts$/,
    codes: /'(CONFIG|MODEL_TYPE)'/g,
    impossible: [],
  },
  tokenizer: {
    folder: 'packages/tokenizer/src',
    except: /never/,
    codes: /'(TOKENIZER_[A-Z0-9_]+)'/g,
    impossible: ['TOKENIZER_ARGUMENT'], // of a call, not of a file
  },
};

test.each(Object.entries(SOURCES))(
  '%s: the codes that a run must see are those of its source',
  async (name, source) => {
    const root = fileURLToPath(new URL(`../../${source.folder}`, import.meta.url));
    const found = new Set<string>();
    for (const path of readdirSync(root, { recursive: true, encoding: 'utf8' })) {
      if (!path.endsWith('.ts') || source.except.test(path)) continue;
      for (const [, code] of readFileSync(`${root}/${path}`, 'utf8').matchAll(source.codes)) found.add(code!);
    }
    // readJsonObject of the loaders makes its codes from a prefix.
    if (name === 'config') for (const code of ['CONFIG_JSON', 'CONFIG_SIZE']) found.add(code);
    if (name === 'adapter') for (const code of ['ADAPTER_CONFIG_JSON', 'ADAPTER_CONFIG_SIZE']) found.add(code);
    // Of a sum that the weight's type cannot hold: from the code that writes any tensor.
    if (name === 'adapter') found.add('TENSOR_RANGE');
    for (const code of source.impossible) found.delete(code);
    expect([...found].sort()).toEqual([...(await targetNamed(name)).codes].sort());
  },
);
