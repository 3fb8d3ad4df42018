import { type ConfigJson, findArchitecture, listParameters } from '@mamba-ts/layers';
import { interruptible } from '../failure.ts';
import { openSource, printJson } from '../model.ts';
import { print } from '../terminal.ts';

const MB = 1e6;

/** `mamba show MODEL`: what a checkpoint is, from its headers; the weights are not read. */
export async function show(source: string | undefined, options: { json?: boolean }): Promise<void> {
  await interruptible(async (signal) => {
    const opened = await openSource(source, signal);
    const architecture = await findArchitecture(opened.config);
    const definition = architecture.createModel(architecture.parseConfig(opened.config as ConfigJson));
    const entries = new Map(
      [...opened.weights.entries.values()].map((entry) => [architecture.canonicalName(entry.name), entry]),
    );
    const dtypes: Record<string, { tensors: number; bytes: number }> = {};
    const decoded: Record<string, { tensors: number; to: string }> = {};
    let parameters = 0;
    let weightBytes = 0;
    for (const { name, role, shape } of listParameters(definition.parameters)) {
      const count = shape.reduce((product, axis) => product * axis, 1);
      const entry = entries.get(name);
      const dtype = entry?.dtype ?? 'missing';
      const { tensors, bytes } = dtypes[dtype] ?? { tensors: 0, bytes: 0 };
      dtypes[dtype] = { tensors: tensors + 1, bytes: bytes + (entry?.byteLength ?? 0) };
      if (entry?.storedAs) {
        decoded[entry.storedAs] = { tensors: (decoded[entry.storedAs]?.tensors ?? 0) + 1, to: dtype };
      }
      parameters += count;
      // Vectors become f32 in memory.
      weightBytes += role === 'vector' ? 4 * count : (entry?.byteLength ?? 0);
    }
    const stateBytes = 4 * definition.state.length;
    const stateBytesPerToken = 4 * definition.state.rowLength;
    const report = {
      model: opened.name,
      architecture: definition.modelType,
      parameters,
      vocab_size: definition.vocabSize,
      dtypes,
      decoded,
      state_bytes: stateBytes,
      state_bytes_per_token: stateBytesPerToken,
      files: opened.files,
      memory_needed: weightBytes + stateBytes,
    };
    if (options.json) printJson(report);
    else {
      const lines = [
        ['model', report.model],
        ['architecture', report.architecture],
        ['parameters', parameters.toLocaleString('en')],
        ['vocabulary', definition.vocabSize.toLocaleString('en')],
        [
          'dtypes',
          Object.entries(dtypes)
            .map(([dtype, { tensors, bytes }]) => `${dtype} ${tensors} tensors, ${(bytes / MB).toFixed(1)} MB`)
            .join('; '),
        ],
        ...Object.entries(decoded).map(([type, { tensors, to }]) => [
          'decoded',
          `${tensors} tensors of ${type} to ${to} while loading`,
        ]),
        [
          'state',
          stateBytesPerToken === 0
            ? `${(stateBytes / 1e3).toFixed(1)} kB per sequence, whatever its length`
            : `${(stateBytes / 1e3).toFixed(1)} kB per sequence and ${(stateBytesPerToken / 1e3).toFixed(1)} kB per token of it`,
        ],
        ['memory needed', `${(report.memory_needed / MB).toFixed(1)} MB`],
        ['files', opened.files.map(({ name, size }) => `${name} (${(size / MB).toFixed(1)} MB)`).join(', ')],
      ];
      print(`${lines.map(([label, value]) => `${label!.padEnd(15)}${value}`).join('\n')}\n`);
    }
  });
}
