from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from xcos.training.cpu import fast_precision, keep_freed_memory

FREED_AND_KEPT = """
from pathlib import Path
from xcos.training.cpu import keep_freed_memory

def megabytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

def left_by_a_large_block():
    before = megabytes()
    block = bytearray(64 * 2**20)
    del block
    return megabytes() - before

print(left_by_a_large_block(), keep_freed_memory(), left_by_a_large_block())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has the setting")
def test_freed_memory_goes_back_to_the_system_before_and_stays_after() -> None:
    done = subprocess.run([sys.executable, "-c", FREED_AND_KEPT], check=True, capture_output=True, text=True)
    before, changed, after = done.stdout.split()
    assert changed == "True"
    assert float(before) < 8
    assert float(after) > 56


def test_without_the_setting_nothing_changes_and_the_answer_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory() is False


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="no other source for what the processor can do")
def test_bf16_is_recommended_exactly_where_the_processor_has_it() -> None:
    words = set(Path("/proc/cpuinfo").read_text().split())
    has_it = bool(words & {"avx512_bf16", "amx_bf16", "bf16"})
    assert fast_precision() == (torch.bfloat16 if has_it else torch.float32)
