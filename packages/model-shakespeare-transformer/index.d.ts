/** The folder that holds the model, with a slash at its end: `file:` in Node, the server's address in a browser. */
export declare const modelUrl: URL;

/** Names of the files in that folder; `new URL(name, modelUrl)` addresses one. */
export declare const files: readonly string[];
