import { isMambaError, MambaError } from 'mamba-ts';

/** What the page has to say of an error. */
export interface Problem {
  readonly title: string;
  readonly message: string;
  readonly remedy: string;
}

const AS_A_WHOLE = 'config.json and the weights do not belong together: download the checkpoint again as a whole.';
const NETWORK = 'Check the connection and the address, then try again: what has come so far is kept.';
const TOGETHER =
  'Choose the folder itself, or its files together: config.json, model.safetensors and tokenizer.json. A .gguf file is ' +
  'enough by itself.';

/** What to do about an error, by its code; the message itself says what was expected and found. */
const REMEDIES: Readonly<Record<string, string>> = {
  FILE_MISSING: TOGETHER,
  MODEL_FILE: TOGETHER,
  MODEL_TYPE: 'Choose a checkpoint of one of the architectures named above.',
  MISSING_TENSOR: AS_A_WHOLE,
  TENSOR_SHAPE: AS_A_WHOLE,
  INSPECT_TEXT: 'Change the text, then try again.',
  INSPECT_NUMBERS: 'Download the checkpoint again as a whole.',
  INSPECT_MODEL: 'Choose a Mamba or Mamba-2 checkpoint.',
  NO_TOKENIZER: 'Choose its files again, with tokenizer.json among them. A .gguf file brings its own tokenizer.',
  OUT_OF_MEMORY: 'Choose a smaller model, or close other tabs; a page can use 4 GiB at most.',
  WASM_UNSUPPORTED: 'Use a current version of Chrome, Edge, Firefox or Safari.',
  WORKER_DIED: 'Load the model again; if it happens again, the device may be out of memory.',
  TRAIN_DATA: 'Paste a longer text or choose a file, or go back to the example.',
  TRAIN_TEXT: 'Choose a .txt file, or paste the text itself.',
  TRAIN_DIVERGED: 'Choose a lower learning rate, then train again.',
  URL_NETWORK: NETWORK,
  HUB_NETWORK: NETWORK,
  HUB_BUSY: 'Wait a while, then try again: what has come so far is kept.',
  HUB_MISSING: 'Check the spelling of org/name; an address begins with https://.',
  HUB_AUTH: 'Download it at huggingface.co, where you can log in; then choose its files from this device.',
  HUB_FILE: 'Choose a model with safetensors, PyTorch or GGUF weights, or name one of its files: org/name:file.gguf.',
  HUB_HASH: 'Download it again.',
  HUB_CHANGED: 'Download it again.',
  MODEL_ADDRESS: 'Write org/name, as on huggingface.co, or a whole address with https://.',
  STORAGE_QUOTA: 'Remove models under "Kept in this browser", then try again.',
  STORAGE_BUSY: 'Cancel the download in the other tab first.',
  STORAGE_UNAVAILABLE: 'Download the model as files, then choose them from this device.',
};

/** Messages that speak to programmers, said to visitors. */
const MESSAGES: Readonly<Record<string, string>> = {
  HUB_AUTH:
    'The hub asks for a login: there is no such model, or it is private, or its conditions must be accepted first.',
  TRAIN_DIVERGED: 'The training ran away: the loss is no longer a number.',
  NO_TOKENIZER: 'This model came without a tokenizer, so it can neither read nor write text.',
};

export function explain(error: unknown): Problem {
  const message = error instanceof Error ? error.message : String(error);
  const code = isMambaError(error) ? error.code : '';
  return {
    title: 'That did not work',
    message: MESSAGES[code] ?? message,
    remedy: REMEDIES[code] ?? 'Try again; the page goes on with the model that comes with it.',
  };
}

/** An error as a worker tells it to its page. */
export interface ToldError {
  readonly kind: 'error';
  readonly message: string;
  /** That of a `MambaError`. */
  readonly code: string | null;
}

export const tellError = (error: unknown): ToldError => ({
  kind: 'error',
  message: error instanceof Error ? error.message : String(error),
  code: isMambaError(error) ? error.code : null,
});

/** What the page has to say of what {@link tellError} told. */
export const explainTold = ({ message, code }: ToldError): Problem =>
  explain(code === null ? new Error(message) : new MambaError(code, message));
