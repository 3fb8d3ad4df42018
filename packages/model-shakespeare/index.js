export const modelUrl = new URL('./shakespeare-mamba/', import.meta.url);

export const files = Object.freeze(['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json']);
