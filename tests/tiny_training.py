"""A training small enough for tests: rendered people of a few pixels' worth of detail, networks of a few channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from xcos.training.loop import Report

NETWORK = """name = "local"
patch = 28
grid = 4
widths = [2, 4]
grid_channels = 8
vector_size = 8
"""
BACKBONE = f"""
[data]
path = "faces"
[network]
{NETWORK}
[loss]
name = "cosface"
scale = 16
margin = 0.1
sample_rate = 0.5
[optimizer]
rate = 0.05
[schedule]
epochs = 2
[run]
batch = 4
report_every = 1
checkpoint_every = 1
"""
HEAD = f"""
[data]
path = "faces"
held_out = 2
[network]
{NETWORK}
weights = "teacher"
[teacher]
{NETWORK}
weights = "teacher"
[head]
weighting = "concat"
channels = 4
[loss]
name = "arcface"
scale = 16
margin = 0.1
[optimizer]
rate = 0.01
clip = 5.0
[schedule]
epochs = 1
[run]
batch = 4
report_every = 1
checkpoint_every = 1
"""


def write_faces(folder: Path, *, people: int = 4, photos: int = 4, side: int = 112) -> Path:
    """A folder of people, each a pattern of squares seen through noise."""
    generator = np.random.default_rng(0)
    for person in range(people):
        pattern = generator.integers(0, 256, (side // 14, side // 14, 3)).repeat(14, 0).repeat(14, 1)
        home = folder / f"person_{person}"
        home.mkdir(parents=True)
        for photo in range(photos):
            noisy = np.clip(pattern + generator.integers(-30, 31, pattern.shape), 0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(home / f"{photo}.png")
    return folder


def write_config(folder: Path, text: str) -> Path:
    path = folder / "train.toml"
    path.write_text(text, "utf-8")
    return path


class Listening:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.reported: list[Report] = []
        self.said: list[str] = []

    def starts(self, steps: int, done: int) -> None:
        self.steps, self.done = steps, done

    def reports(self, report: Report) -> None:
        self.reported.append(report)

    def says(self, message: str) -> None:
        self.said.append(message)
