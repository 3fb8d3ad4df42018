/** The files that were dropped: of one folder, not of folders below it, or as they are. */
export async function droppedFolder(data: DataTransfer): Promise<{ name: string; files: File[] }> {
  // Entries must be asked for before the first await: the list is empty afterwards.
  const entries = [...data.items].map((item) => item.webkitGetAsEntry?.() ?? null);
  const loose = [...data.files];
  const folder = entries.find((entry) => entry?.isDirectory) as FileSystemDirectoryEntry | undefined;
  if (!folder) return { name: loose[0]?.name ?? 'the dropped files', files: loose };
  const files: File[] = [];
  for (const entry of await entriesOf(folder)) {
    if (entry.isFile) files.push(await fileOf(entry as FileSystemFileEntry));
  }
  return { name: folder.name, files };
}

/** A reader gives some entries at a time, and none at the end. */
async function entriesOf(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const all: FileSystemEntry[] = [];
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return all;
    all.push(...some);
  }
}

const fileOf = (entry: FileSystemFileEntry): Promise<File> =>
  new Promise((resolve, reject) => entry.file(resolve, reject));
