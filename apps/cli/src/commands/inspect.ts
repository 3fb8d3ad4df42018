import { describeInspection, inspectHtml } from '@mamba-ts/lab';
import { saveFile } from '@mamba-ts/loaders/node';
import { interruptible, UsageError } from '../failure.ts';
import { load, type ModelOptions, printJson, readStdin } from '../model.ts';
import { ProgressBar } from '../progress.ts';
import { print } from '../terminal.ts';

interface InspectCommandOptions extends ModelOptions {
  readonly layer?: number;
  readonly channels?: readonly [from: number, to: number];
  readonly html?: string;
  readonly json?: boolean;
}

/** `mamba inspect`: what a text does to the state, layer by layer and token by token. */
export async function inspectText(argument: string | undefined, options: InspectCommandOptions): Promise<void> {
  if (argument === undefined && process.stdin.isTTY) throw new UsageError('inspect needs a text, or one on stdin');
  await interruptible(async (signal) => {
    const text = argument ?? (await readStdin(signal));
    const model = await load(options, signal);
    const bar = new ProgressBar('looking inside');
    try {
      const report = await model.inspect(text, {
        ...(options.layer === undefined ? {} : { layer: options.layer }),
        ...(options.channels === undefined ? {} : { channels: options.channels }),
        signal,
        onProgress: (share) => bar.update(share, 1),
      });
      bar.end();
      if (options.html !== undefined) await saveFile(options.html, [new TextEncoder().encode(inspectHtml(report))]);
      if (options.json) printJson(report);
      else print(`${describeInspection(report)}\n`);
    } finally {
      bar.end();
      await model.dispose();
    }
  });
}
