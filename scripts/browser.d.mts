/** The path of an installed Chromium, or null. CHROME_PATH wins. */
export function findBrowser(): Promise<string | null>;
/** The path of a Chromium, installed where there was none. Throws under CI=true where none can be had; else null. */
export function ensureBrowser(): Promise<string | null>;
