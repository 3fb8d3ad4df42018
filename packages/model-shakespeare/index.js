export const modelUrl = new URL('./shakespeare-mamba/', import.meta.url);

export const files = Object.freeze(['config.json', 'generation_config.json', 'model.safetensors', 'tokenizer.json']);
