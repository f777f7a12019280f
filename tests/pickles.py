"""A pickle that must never be loaded."""

from __future__ import annotations

import os
from pathlib import Path


class Evil:
    """Where its pickle is loaded, a command runs and leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.path}",)
