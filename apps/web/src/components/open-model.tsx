import { bytesText } from '@mamba-ts/lab';
import { useSignal } from '@preact/signals';
import { useRef } from 'preact/hooks';
import { keptModels, removeKept, space } from '../kept-models.ts';
import { open, openEmbedded, openKept } from '../model.ts';
import { explain } from '../problem.ts';

interface OpenModelProps {
  readonly hidden: boolean;
  /** A model was chosen: the panel can close. */
  readonly onOpened: () => void;
}

/** The ways to another model: from the network, from this device, and what is kept already. */
export function OpenModel({ hidden, onOpened }: OpenModelProps) {
  return (
    <div id="open-model" class="open-model" hidden={hidden}>
      <FromNetwork onOpened={onOpened} />
      <FromDevice onOpened={onOpened} />
      <Kept onOpened={onOpened} />
    </div>
  );
}

function FromNetwork({ onOpened }: Omit<OpenModelProps, 'hidden'>) {
  const text = useSignal('');
  return (
    <form
      class="open-way"
      onSubmit={(event) => {
        event.preventDefault();
        const id = text.value.trim();
        if (id === '') return;
        text.value = '';
        onOpened();
        void openKept(id);
      }}
    >
      <label for="model-id">From the hub, or from an address</label>
      <div class="open-line">
        <input
          id="model-id"
          type="text"
          inputMode="url"
          placeholder="state-spaces/mamba-130m-hf"
          autocomplete="off"
          autocapitalize="off"
          spellcheck={false}
          aria-describedby="model-id-meaning"
          value={text.value}
          onInput={(event) => {
            text.value = event.currentTarget.value;
          }}
        />
        <button type="submit">Download</button>
      </div>
      <p id="model-id-meaning" class="meaning">
        <code>org/name</code>, <code>org/name:file.gguf</code>, or the address of a folder or a .gguf file. It is kept
        in this browser, and opens without a network from then on.
      </p>
    </form>
  );
}

function FromDevice({ onOpened }: Omit<OpenModelProps, 'hidden'>) {
  const [folder, files] = [useRef<HTMLInputElement>(null), useRef<HTMLInputElement>(null)];
  const chosen = (event: { readonly currentTarget: HTMLInputElement }): void => {
    const all = [...(event.currentTarget.files ?? [])];
    event.currentTarget.value = '';
    if (all.length === 0) return;
    onOpened();
    const weights = all.find(({ name }) => /\.(?:gguf|safetensors|bin)$/i.test(name)) ?? all[0]!;
    void open(all, all[0]!.webkitRelativePath.split('/')[0] || weights.name);
  };
  return (
    <div class="open-way">
      <h3>From this device</h3>
      <div class="open-line">
        <button type="button" onClick={() => files.current?.click()}>
          Choose files…
        </button>
        <button type="button" onClick={() => folder.current?.click()}>
          Choose a folder…
        </button>
      </div>
      <p class="meaning">
        A .gguf file, or a folder with config.json, tokenizer.json and .safetensors or .bin weights. Or drop either
        anywhere on the page. Nothing is uploaded.
      </p>
      <input
        ref={files}
        type="file"
        class="unseen"
        tabIndex={-1}
        aria-label="Model files"
        multiple
        accept=".gguf,.safetensors,.bin,.json"
        onChange={chosen}
      />
      <input
        ref={folder}
        type="file"
        class="unseen"
        tabIndex={-1}
        aria-label="Model folder"
        multiple
        {...{ webkitdirectory: true }}
        onChange={chosen}
      />
    </div>
  );
}

function Kept({ onOpened }: Omit<OpenModelProps, 'hidden'>) {
  const models = keptModels.value ?? [];
  const problem = useSignal<string | null>(null);
  const remove = async (id: string): Promise<void> => {
    problem.value = null;
    try {
      await removeKept(id);
    } catch (error) {
      const { message, remedy } = explain(error);
      problem.value = `${message} ${remedy}`;
    }
  };
  return (
    <div class="kept">
      <h3>Kept in this browser</h3>
      <ul>
        <li>
          <span class="kept-name">Shakespeare</span>
          <span class="kept-size">comes with the page</span>
          <button
            type="button"
            onClick={() => {
              onOpened();
              void openEmbedded();
            }}
          >
            Open<span class="unseen"> Shakespeare</span>
          </button>
        </li>
        {models.map(({ id, present, total, complete }) => (
          <li key={id}>
            <span class="kept-name">{id}</span>
            <span class="kept-size">
              {complete ? bytesText(total) : `${bytesText(present)} of ${bytesText(total)}`}
            </span>
            <button
              type="button"
              onClick={() => {
                onOpened();
                void openKept(id);
              }}
            >
              {complete ? 'Open' : 'Resume'}
              <span class="unseen"> {id}</span>
            </button>
            <button type="button" class="quiet" onClick={() => void remove(id)}>
              Remove<span class="unseen"> {id}</span>
            </button>
          </li>
        ))}
      </ul>
      {problem.value !== null && (
        <p class="wrong" role="alert">
          {problem.value}
        </p>
      )}
      {space.value && models.length > 0 && (
        <p class="meaning">
          {bytesText(space.value.used)} used of the {bytesText(space.value.allowed)} that the browser allows this page.
        </p>
      )}
    </div>
  );
}
