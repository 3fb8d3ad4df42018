"""Reads safetensors files from stdin (4 bytes of length, then the file); writes one JSON line each: what the reference
reader makes of it: null where it refuses, else {name: [dtype, shape, sha256 of the data]}."""

import hashlib
import json
import struct
import sys

from safetensors import deserialize

stdin = sys.stdin.buffer
while True:
    prefix = stdin.read(4)
    if len(prefix) < 4:
        break
    data = stdin.read(struct.unpack("<I", prefix)[0])
    try:
        found = {
            name: [t["dtype"], t["shape"], hashlib.sha256(bytes(t["data"])).hexdigest()] for name, t in deserialize(data)
        }
    except Exception:
        found = None
    print(json.dumps(found))
