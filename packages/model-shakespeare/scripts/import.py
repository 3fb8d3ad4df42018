"""Copies a trained Mamba-1 checkpoint in Hugging Face layout into ../shakespeare-mamba, its matrices as f16.

    python scripts/import.py FOLDER      # needs numpy and safetensors, as fixtures/requirements.txt pins them

FOLDER holds config.json, model.safetensors (f32), tokenizer.json and generation_config.json.
Vectors, A_log and the convolution stay f32: they are under 3 % of the numbers and act through exponentials.
Two runs give the same bytes.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

MATRICES = ("embeddings.weight", "in_proj.weight", "x_proj.weight", "dt_proj.weight", "out_proj.weight", "lm_head.weight")
TARGET = Path(__file__).parent.parent / "shakespeare-mamba"


def main(source: Path) -> None:
    TARGET.mkdir(exist_ok=True)
    tensors = load_file(source / "model.safetensors")
    largest = 0.0
    for name, values in tensors.items():
        if values.dtype != np.float32:
            sys.exit(f"{name} is {values.dtype}, f32 wanted")
        if name.endswith(MATRICES):
            halved = values.astype(np.float16)
            if not np.isfinite(halved).all():
                sys.exit(f"{name} has values past the range of f16")
            largest = max(largest, float(np.abs(halved.astype(np.float32) - values).max()))
            tensors[name] = halved
    save_file(tensors, TARGET / "model.safetensors", metadata={"format": "pt"})
    for name in ("config.json", "generation_config.json", "tokenizer.json"):
        shutil.copyfile(source / name, TARGET / name)
    parameters = sum(values.size for values in tensors.values())
    size = (TARGET / "model.safetensors").stat().st_size
    print(f"{parameters} parameters, {size} bytes, largest rounding {largest:.2e}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: import.py FOLDER")
    main(Path(sys.argv[1]))
