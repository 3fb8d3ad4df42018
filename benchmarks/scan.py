"""The selective scan as a sequential PyTorch loop at its best, for benchmarks/scan.ts: inputs contiguous by token, states
not stored, memory reused, one thread. Answers each line of stdin with the nanoseconds of one scan and the sum of y.

    python benchmarks/scan.py TOKENS CHANNELS STATES
"""

import sys
import time

import torch
import torch.nn.functional as F

tokens, channels, states = map(int, sys.argv[1:])
torch.set_num_threads(1)
torch.set_grad_enabled(False)


def values(*shape: int, scale: float = 1.0, offset: float = 0.0) -> torch.Tensor:
    i = torch.arange(torch.Size(shape).numel(), dtype=torch.int64)
    return (scale * ((i * 7919 % 1009).double() / 504.5 - 0.9995) + offset).float().view(*shape)


u, z, y = values(tokens, channels), values(tokens, channels), torch.empty(tokens, channels)
delta = values(tokens, channels, offset=-3.0)
B, C = values(tokens, states), values(tokens, states)
A = (-1.0 - torch.arange(channels * states) % states).float().view(channels, states)
D, bias = values(channels), values(channels, scale=0.1)
h, kept = torch.empty(channels, states), torch.empty(channels, states)
step, drive = torch.empty(tokens, channels), torch.empty(tokens, channels)


def scan() -> None:
    """h = exp(delta A) h + delta u B; y = (h C + D u) silu(z) (Gu & Dao 2023, algorithm 2)."""
    torch.add(delta, bias, out=step)
    F.softplus(step, out=step)
    torch.mul(step, u, out=drive)
    h.zero_()
    for t in range(tokens):
        torch.mul(step[t].unsqueeze(1), A, out=kept)
        torch.exp_(kept)
        h.mul_(kept)
        h.addcmul_(drive[t].unsqueeze(1), B[t].unsqueeze(0))
        torch.mv(h, C[t], out=y[t])
    y.addcmul_(D, u)
    y.mul_(F.silu(z))


for _ in sys.stdin:
    started = time.perf_counter_ns()
    scan()
    print(time.perf_counter_ns() - started, float(y.double().sum()), flush=True)
