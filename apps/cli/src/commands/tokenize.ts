import { MambaError } from '@mamba-ts/tensor';
import { tokenizerOf } from 'mamba-ts';
import { interruptible } from '../failure.ts';
import { openSource, printJson, readStdin } from '../model.ts';

/** `mamba tokenize [TEXT]`: ids and the text of each; the weights are not read. */
export async function tokenize(
  argument: string | undefined,
  options: { model?: string; json?: boolean },
): Promise<void> {
  await interruptible(async (signal) => {
    const text = argument ?? (await readStdin(signal));
    const opened = await openSource(options.model, signal);
    const tokenizer = tokenizerOf(opened);
    if (!tokenizer) throw new MambaError('NO_TOKENIZER', `${opened.name} has no tokenizer`);
    const ids = tokenizer.encode(text);
    if (options.json)
      printJson({ model: opened.name, text, ids, tokens: ids.map((id) => tokenizer.idToToken(id) ?? null) });
    else process.stdout.write(`${ids.join(' ')}\n`);
  });
}
