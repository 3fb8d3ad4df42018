/**
 * Text of a model or a file, fit for a terminal: control characters, with which it could move the cursor, rename the
 * window or type for the user, become U+FFFD. Newlines and tabs stay.
 */
export const visible = (text: string): string => text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '\ufffd');
