import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { saveFile, saveFolder } from '@mamba-ts/loaders/node';
import { MambaError } from '@mamba-ts/tensor';
import { type ConvertDType, convertModel } from 'mamba-ts';
import { interruptible } from '../failure.ts';
import { openSource, printJson } from '../model.ts';
import { note, ProgressBar } from '../progress.ts';
import { print } from '../terminal.ts';

interface ConvertOptions {
  readonly to?: 'gguf' | 'safetensors';
  readonly dtype?: ConvertDType;
  readonly adapter?: string;
  readonly json?: boolean;
}

/** `mamba convert IN OUT` and `mamba quantize IN OUT`: the path holds all of it, or what it held before. */
export async function convert(from: string, out: string, options: ConvertOptions): Promise<void> {
  await interruptible(async (signal) => {
    const started = performance.now();
    const to = options.to ?? (/\.gguf$/i.test(out) ? 'gguf' : 'safetensors');
    const opened = await openSource(from, signal, options.adapter);
    const bar = new ProgressBar('converting');
    const { dtype, files, types, lost } = await convertModel(opened, to, {
      dtype: options.dtype,
      signal,
      onProgress: (done, total) => bar.update(done, total),
    });
    for (const each of lost) note(`GGUF has no words for it: ${each}`);
    try {
      if (to === 'safetensors') await saveFolder(out, files, signal);
      else {
        await refuseFolder(out);
        await saveFile(out, files[0]!.pieces, signal);
      }
    } finally {
      bar.end();
    }
    const written = to === 'gguf' ? [out] : files.map(({ name }) => join(out, name));
    const sizes = await Promise.all(
      written.map(async (path, i) => ({ name: to === 'gguf' ? out : files[i]!.name, size: (await stat(path)).size })),
    );
    const seconds = (performance.now() - started) / 1000;
    const bytes = sizes.reduce((sum, { size }) => sum + size, 0);
    const report = { model: opened.name, to, dtype, out, files: sizes, bytes, tensors: types, lost, seconds };
    if (options.json) printJson(report);
    else {
      const counts = Object.entries(types).map(([type, count]) => `${count} ${type}`);
      print(`${out}: ${(bytes / 1e6).toFixed(1)} MB, tensors: ${counts.join(', ')} (${seconds.toFixed(1)} s)\n`);
    }
  });
}

async function refuseFolder(path: string): Promise<void> {
  const found = await stat(path).catch(() => null);
  if (!found?.isDirectory()) return;
  throw new MambaError(
    'FILE_EXISTS',
    `${path} is a folder, and a GGUF model is a file. Pass ${join(path, 'model.gguf')}.`,
    {
      file: path,
    },
  );
}
