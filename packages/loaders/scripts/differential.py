"""The reference readers' side of differential.ts: `python differential.py safetensors|gguf|pytorch|blocks`.

Reads files from stdin (4 bytes of length, then the file); writes one JSON line each: null where the reference reader
refuses it, "slow" where it takes over a second, else {name: [type, shape, sha256 of the data]}.
"""

import contextlib
import hashlib
import io
import json
import os
import signal
import struct
import sys
import tempfile
import warnings

warnings.simplefilter("ignore")


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def safetensors_reader():
    from safetensors import deserialize

    return lambda data: {name: [t["dtype"], t["shape"], sha(bytes(t["data"]))] for name, t in deserialize(data)}


def gguf_reader():
    from gguf import GGUFReader

    folder = "/dev/shm" if os.path.isdir("/dev/shm") else None
    path = tempfile.mkstemp(suffix=".gguf", dir=folder)[1]

    def read(data: bytes):
        with open(path, "wb") as f:
            f.write(data)
        found = {}
        for t in GGUFReader(path).tensors:
            shape = [int(axis) for axis in reversed(t.shape)]
            found[t.name] = [t.tensor_type.name.lower(), shape, sha(t.data.tobytes())]
        return found

    return read


def pytorch_reader():
    import torch

    # Those that weights have; of others, type and shape are compared.
    floats = {torch.float32: "FloatStorage", torch.float16: "HalfStorage", torch.bfloat16: "BFloat16Storage"}
    others = {
        torch.float64: "DoubleStorage",
        torch.int64: "LongStorage",
        torch.int32: "IntStorage",
        torch.int16: "ShortStorage",
        torch.int8: "CharStorage",
        torch.uint8: "ByteStorage",
        torch.bool: "BoolStorage",
    }

    def read(data: bytes):
        value = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
        if not isinstance(value, dict):
            raise ValueError("no dictionary")
        for tensors in (value, value.get("state_dict"), value.get("model")):
            if not isinstance(tensors, dict):
                continue
            found = {}
            for name, t in tensors.items():
                if not isinstance(name, str) or not isinstance(t, torch.Tensor):
                    continue
                values = t.detach().clone(memory_format=torch.contiguous_format).reshape(-1)
                if t.dtype in floats:
                    found[name] = [floats[t.dtype], list(t.shape), sha(values.view(torch.uint8).numpy().tobytes())]
                else:
                    found[name] = [others[t.dtype], list(t.shape), None]
            if found:
                return found
        raise ValueError("no tensors")

    return read


def blocks_reader():
    """A file is the name of a type, a line break, and blocks; the answer is the hash of the values as f32, any NaN as one."""
    import numpy as np
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize

    def read(data: bytes):
        name, blocks = data.split(b"\n", 1)
        with np.errstate(all="ignore"):
            values = dequantize(np.frombuffer(blocks, np.uint8), GGMLQuantizationType[name.decode().upper()])
        bits = values.astype(np.float32, copy=False).view(np.uint32).copy()
        bits[np.isnan(values)] = 0x7FC00000
        return {name.decode(): ["f32", [int(bits.size)], sha(bits.tobytes())]}

    return read


class Slow(BaseException):
    pass


def alarm(*_):
    raise Slow


READERS = {"safetensors": safetensors_reader, "gguf": gguf_reader, "pytorch": pytorch_reader, "blocks": blocks_reader}

read = READERS[sys.argv[1]]()
# Time of this process on a core: other programs count for nothing.
signal.signal(signal.SIGPROF, alarm)
stdin, stdout = sys.stdin.buffer, sys.stdout
while True:
    prefix = stdin.read(4)
    if len(prefix) < 4:
        break
    data = stdin.read(struct.unpack("<I", prefix)[0])
    try:
        try:
            signal.setitimer(signal.ITIMER_PROF, 1)
            with contextlib.redirect_stdout(sys.stderr):
                found = read(data)
        except Exception:
            found = None
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    except Slow:
        found = "slow"
    stdout.write(json.dumps(found) + "\n")
    stdout.flush()
