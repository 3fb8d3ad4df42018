import { MambaError } from '@mamba-ts/tensor';
import type { Architecture, ConfigJson } from './architecture.ts';
import { registry } from './registry.generated.ts';

/** The `model_type`s that can be run. */
export function supportedModelTypes(): string[] {
  return registry.flatMap(({ modelTypes }) => modelTypes);
}

/** The architecture of a config.json, loaded on demand. Throws `MODEL_TYPE` naming what is supported. */
export async function findArchitecture(json: unknown): Promise<Architecture> {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new MambaError('CONFIG', 'config.json must hold an object');
  }
  const config = json as ConfigJson;
  if (config.model_type !== undefined) {
    const entry = registry.find(({ modelTypes }) => modelTypes.includes(config.model_type as string));
    if (entry) return entry.load();
  } else {
    for (const { load } of registry) {
      const architecture = await load();
      if (architecture.recognizes(config)) return architecture;
    }
  }
  const layer = (config.ssm_cfg as ConfigJson | null | undefined)?.layer;
  const found = config.model_type ?? layer;
  const field = config.model_type === undefined && layer !== undefined ? 'ssm_cfg.layer' : 'model_type';
  throw new MambaError(
    'MODEL_TYPE',
    `config.json has ${found === undefined ? 'no model_type' : `${field} ${JSON.stringify(found)?.slice(0, 60)}`}; ` +
      `supported: ${supportedModelTypes().join(', ')}`,
    { found, supported: supportedModelTypes() },
  );
}

/** The config.json of a published size such as `mamba-130m`, with its architecture. Throws `PRESET`. */
export async function findPreset(name: string): Promise<{ architecture: Architecture; config: ConfigJson }> {
  const names: string[] = [];
  for (const { load } of registry) {
    const architecture = await load();
    const config = architecture.presets[name];
    if (config) return { architecture, config };
    names.push(...Object.keys(architecture.presets));
  }
  throw new MambaError('PRESET', `no published size is called "${name}"; known: ${names.join(', ')}`);
}
