import { useSignal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { droppedFolder } from '../dropped-folder.ts';
import { modelState, open } from '../model.ts';
import { explain } from '../problem.ts';

/** The whole page: a model dropped anywhere, as a folder or as files, is opened. */
export function DropTarget({ children }: { readonly children: ComponentChildren }) {
  const over = useSignal(false);
  const drop = async (event: DragEvent): Promise<void> => {
    event.preventDefault();
    over.value = false;
    if (!event.dataTransfer) return;
    try {
      const { name, files } = await droppedFolder(event.dataTransfer);
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
          <p>Drop a model’s folder or .gguf file to run it here</p>
        </div>
      )}
    </div>
  );
}
