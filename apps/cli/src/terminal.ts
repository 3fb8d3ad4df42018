/**
 * Text of a model or a file, fit for a terminal: control characters, with which it could move the cursor, rename the
 * window or type for the user, become U+FFFD. Tabs and the ends of lines stay.
 */
export const visible = (text: string): string =>
  text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]|\r(?!\n)/g, '\ufffd');

/**
 * Writes to stdout and waits until the system has taken all that was written before, too. Where it refuses, this never
 * ends: the handler of stdout's errors tells the reason and ends the process.
 */
export function taken(text: string): Promise<void> {
  return new Promise((resolve) => {
    process.stdout.write(text, (error) => {
      if (!error) resolve();
    });
  });
}

/** Writes text of a model or a file to stdout: byte for byte, or fit for a terminal where it is one. */
export function print(text: string): void {
  process.stdout.write(process.stdout.isTTY ? visible(text) : text);
}
