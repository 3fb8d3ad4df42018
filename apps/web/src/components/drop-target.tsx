import { signal, useSignal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { droppedFolder } from '../dropped-folder.ts';
import { modelState, open } from '../model.ts';
import { explain } from '../problem.ts';

/** Takes a text that is dropped, where a page wants one. */
export const textTaker = signal<((file: File) => void) | null>(null);

const isText = ({ name, type }: File): boolean => type.startsWith('text/') || /\.(txt|md|csv)$/i.test(name);

/** The whole page: a model dropped anywhere, as a folder or as files, is opened; a text goes to the page that wants one. */
export function DropTarget({ children }: { readonly children: ComponentChildren }) {
  const over = useSignal(false);
  const drop = async (event: DragEvent): Promise<void> => {
    event.preventDefault();
    over.value = false;
    if (!event.dataTransfer) return;
    try {
      const { name, files } = await droppedFolder(event.dataTransfer);
      if (textTaker.value && files.length === 1 && isText(files[0]!)) {
        textTaker.value(files[0]!);
        return;
      }
      await open(files, name);
    } catch (error) {
      modelState.value = { kind: 'failed', name: 'the dropped files', problem: explain(error) };
    }
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: dropping is a second way; the button in the model bar is the first
    <div
      class="page"
      onDragOver={(event) => {
        event.preventDefault();
        over.value = true;
      }}
      onDragLeave={(event) => {
        if (event.relatedTarget === null) over.value = false;
      }}
      onDrop={(event) => void drop(event)}
    >
      {children}
      {over.value && (
        <div class="drop-here" aria-hidden="true">
          <p>
            {textTaker.value
              ? 'Drop a text to learn from, or a model’s folder or .gguf file to run'
              : 'Drop a model’s folder or .gguf file to run it here'}
          </p>
        </div>
      )}
    </div>
  );
}
