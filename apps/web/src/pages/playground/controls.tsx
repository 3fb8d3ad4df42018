import { type Control, controls, seed, seedText, settings } from './settings.ts';

function Slider({ control }: { readonly control: Control }) {
  const { key, label, meaning, min, max, step, show = String } = control;
  const value = settings[key].value;
  return (
    <div class="control">
      <div class="control-line">
        <label for={key}>{label}</label>
        <output for={key}>{show(value)}</output>
      </div>
      <input
        id={key}
        type="range"
        {...{ min, max, step }}
        value={value}
        aria-describedby={`${key}-meaning`}
        aria-valuetext={show(value)}
        onInput={(event) => {
          settings[key].value = Number(event.currentTarget.value);
        }}
      />
      <p id={`${key}-meaning`} class="meaning">
        {meaning}
      </p>
    </div>
  );
}

/** How each token is chosen. */
export function Controls() {
  const wrong = seed() === null;
  return (
    <section class="controls" aria-label="Sampling">
      <h2>How it chooses</h2>
      {controls.map((control) => (
        <Slider key={control.key} control={control} />
      ))}
      <div class="control">
        <div class="control-line">
          <label for="seed">Seed</label>
        </div>
        <input
          id="seed"
          type="text"
          inputMode="numeric"
          placeholder="a new one each time"
          autocomplete="off"
          value={seedText.value}
          aria-describedby="seed-meaning"
          aria-invalid={wrong}
          onInput={(event) => {
            seedText.value = event.currentTarget.value;
          }}
        />
        <p id="seed-meaning" class={wrong ? 'meaning wrong' : 'meaning'}>
          {wrong
            ? 'A seed is a whole number of at least 0; until then a new one is drawn each time.'
            : 'The same seed, prompt and settings give the same text, here and in Node.'}
        </p>
      </div>
    </section>
  );
}
