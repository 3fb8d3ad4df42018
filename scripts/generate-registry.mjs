// Writes packages/layers/src/registry.generated.ts from the folder architectures/: lazy imports by model_type.
// Needs the pinned Node 26 (it imports TypeScript). `--check` prints nothing and fails where the file is stale.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = new URL('../packages/layers/src/', import.meta.url);
const output = new URL('registry.generated.ts', root);

const files = readdirSync(new URL('architectures/', root))
  .filter((file) => file.endsWith('.ts'))
  .sort();
const entries = [];
for (const file of files) {
  const { architecture } = await import(new URL(`architectures/${file}`, root).href);
  const types = architecture.modelTypes.map((type) => `'${type}'`).join(', ');
  entries.push(`  {
    modelTypes: [${types}],
    load: () => import('./architectures/${file}').then(({ architecture }) => architecture as Architecture),
  },`);
}
const text = `// Made by \`pnpm generate:registry\` from the folder architectures/. Do not edit.
import type { Architecture } from './architecture.ts';

export const registry: readonly { readonly modelTypes: readonly string[]; load(): Promise<Architecture> }[] = [
${entries.join('\n')}
];
`;

if (process.argv.includes('--check')) {
  if (readFileSync(output, 'utf8') !== text) {
    console.error(`${fileURLToPath(output)} is stale: run pnpm generate:registry`);
    process.exit(1);
  }
} else writeFileSync(output, text);
