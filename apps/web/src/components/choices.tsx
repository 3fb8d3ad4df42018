/** One of several, each with a title and a note. */
export function Choices<Key extends string>({
  legend,
  name,
  choices,
  chosen,
  onChoose,
  disabled = false,
}: {
  readonly legend: string;
  /** Of the radio buttons: one per page. */
  readonly name: string;
  readonly choices: readonly { readonly key: Key; readonly title: string; readonly note: string }[];
  readonly chosen: Key;
  readonly onChoose: (key: Key) => void;
  readonly disabled?: boolean;
}) {
  return (
    <fieldset disabled={disabled}>
      <legend>{legend}</legend>
      {choices.map(({ key, title, note }) => (
        <label key={key} class="choice">
          <input type="radio" name={name} checked={chosen === key} onChange={() => onChoose(key)} />
          <span>
            {title}
            <small>{note}</small>
          </span>
        </label>
      ))}
    </fieldset>
  );
}

/** How long something may take, of several lengths. */
export function Minutes({
  counts,
  chosen,
  onChoose,
}: {
  readonly counts: readonly number[];
  readonly chosen: number;
  readonly onChoose: (minutes: number) => void;
}) {
  return (
    <label class="choice-line">
      Time
      <select value={chosen} onChange={({ currentTarget }) => onChoose(Number(currentTarget.value))}>
        {counts.map((count) => (
          <option key={count} value={count}>
            {count === 1 ? '1 minute' : `${count} minutes`}
          </option>
        ))}
      </select>
    </label>
  );
}
