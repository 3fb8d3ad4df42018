import { bytesText } from '@mamba-ts/lab';
import { pullModel } from '@mamba-ts/loaders/node';
import { interruptible } from '../failure.ts';
import { printJson, WAITING } from '../model.ts';
import { note, ProgressBar } from '../progress.ts';
import { print } from '../terminal.ts';

/** `mamba pull ORG/NAME[@REVISION][:FILE]`: the folder that the files lie in on stdout, how far it is on stderr. */
export async function pull(id: string, options: { dtype?: string; json?: boolean }): Promise<void> {
  await interruptible(async (signal) => {
    const bar = new ProgressBar('downloading', 'bytes');
    const started = performance.now();
    try {
      const model = await pullModel(id, {
        signal,
        dtype: options.dtype,
        onProgress: ({ phase, done, total }) => bar.update(done, total, phase === 'wait' ? WAITING : undefined),
        onNote: note,
      });
      bar.end();
      const seconds = (performance.now() - started) / 1000;
      const bytes = model.files.reduce((sum, { size }) => sum + size, 0);
      if (options.json) {
        printJson({
          model: model.id,
          commit: model.commit,
          path: model.gguf ?? model.folder,
          files: model.files,
          bytes,
          downloaded_bytes: model.downloaded,
          seconds,
        });
        return;
      }
      const came =
        model.downloaded === 0
          ? 'all of it was in the cache'
          : `${bytesText(model.downloaded)} came in ${seconds.toFixed(1)} s`;
      note(
        `${model.files.map(({ path }) => path).join(', ')}: ${bytesText(bytes)}; ${came}. Run it with --model ${model.id}`,
      );
      print(`${model.gguf ?? model.folder}\n`);
    } finally {
      bar.end();
    }
  });
}
