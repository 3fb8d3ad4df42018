/**
 * Text of a model or a file, fit for a terminal: control characters, with which it could move the cursor, rename the
 * window or type for the user, become U+FFFD. Tabs and the ends of lines stay.
 */
export const visible = (text: string): string =>
  text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]|\r(?!\n)/g, '\ufffd');

/** Writes text of a model or a file to stdout: byte for byte, or fit for a terminal where it is one. */
export function print(text: string): void {
  process.stdout.write(process.stdout.isTTY ? visible(text) : text);
}
