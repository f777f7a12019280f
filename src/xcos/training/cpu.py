"""Settings that make training on processor cores fast."""

from __future__ import annotations

import ctypes
import sys

import torch

# From glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_LARGEST_INT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Whether the C library now keeps what is freed for the next step instead of handing it back to the system.

    Every step frees and allocates the same large tensors; handed back, each of their pages comes anew from the system,
    zeroed. Call it once before training. Only glibc has the setting (``mallopt``); elsewhere nothing changes and the
    answer is False. The variables ``MALLOC_MMAP_MAX_=0`` and ``MALLOC_TRIM_THRESHOLD_=8589934592`` do the same, but
    only when set before Python starts. The process then stays as large as its largest step.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    return mallopt is not None and bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, _LARGEST_INT))


def fast_precision() -> torch.dtype:
    """``torch.bfloat16`` where this processor multiplies it in hardware, else ``torch.float32``.

    Elsewhere bfloat16 is emulated, and slower than float32.
    """
    able = torch.cpu.get_capabilities()
    return torch.bfloat16 if any(able.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16")) else torch.float32
