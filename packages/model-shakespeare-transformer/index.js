export const modelUrl = new URL('./shakespeare-transformer/', import.meta.url);

export const files = Object.freeze(['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json']);
