import type { TaskModelName } from './models.ts';
import type { TaskReport } from './report.ts';
import type { TaskName } from './tasks.ts';

/** What people call the models. */
export const modelTitles: Readonly<Record<TaskModelName, string>> = {
  lti: 'LTI',
  mamba: 'Mamba-1',
  mamba2: 'Mamba-2',
  mamba3: 'Mamba-3',
  transformer: 'Transformer',
};

/** What people call the tasks. */
export const taskTitles: Readonly<Record<TaskName, string>> = {
  'selective-copying': 'Selective copying',
  'induction-heads': 'Induction heads',
  parity: 'Parity',
};

/** `97.3 %`. */
export const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

/** What the figures say, in a sentence or two. */
export function describeTask({ length, chance, models }: TaskReport): string {
  const parts = models.flatMap(({ model, accuracy }) =>
    accuracy === null ? [] : [`${modelTitles[model]} ${percent(accuracy)}`],
  );
  const of = (name: TaskModelName): number | null => models.find(({ model }) => model === name)?.accuracy ?? null;
  const [selective, constant] = [of('mamba'), of('lti')];
  const said = `Right answers at length ${length}: ${parts.join(', ')}; guessing gives ${percent(chance)}.`;
  if (selective === null || constant === null) return said;
  const points = (100 * (selective - constant)).toFixed(1);
  return `${said} Selection makes ${points} points: LTI is the same block with constant delta, B and C.`;
}
