"""Size of a core installation, without the two weight packages.

python benchmarks/install_size.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = ("mtcnn", "face_recognition_models")
LIMIT = 260


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder, "bin", "python")
        site = next(Path(folder).glob("lib/python*/site-packages"))
        tools = {path.name for path in site.iterdir()}  # pip and what it brought
        subprocess.run([python, "-m", "pip", "install", "-q", str(ROOT)], check=True)
        parts = {path.name: megabytes(path) for path in site.iterdir() if path.name not in tools}
    weights = sum(size for name, size in parts.items() if name.startswith(WEIGHTS))
    core = sum(parts.values()) - weights
    for name, size in sorted(parts.items(), key=lambda part: -part[1])[:12]:
        print(f"{size:7.1f} MB  {name}")
    print(
        f"core {core:.0f} MB (bar {LIMIT} MB: {'met' if core <= LIMIT else 'MISS'}); weight packages {weights:.0f} MB"
    )
    sys.exit(core > LIMIT)


def megabytes(path: Path) -> float:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files) / 2**20


if __name__ == "__main__":
    main()
