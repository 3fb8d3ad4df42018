import type { Problem } from '../problem.ts';

interface ErrorNoteProps {
  readonly problem: Problem;
  /** What the button offers, and does. */
  readonly action: string;
  readonly onAction: () => void;
}

/** An error, told where it happened, with what to do about it. */
export function ErrorNote({ problem, action, onAction }: ErrorNoteProps) {
  return (
    <div class="error" role="alert">
      <h2>{problem.title}</h2>
      <p class="error-message">{problem.message}</p>
      <p>{problem.remedy}</p>
      <button type="button" onClick={onAction}>
        {action}
      </button>
    </div>
  );
}
