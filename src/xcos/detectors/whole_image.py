"""For photos that are already crops."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xcos.align import DLIB_150
from xcos.types import CropTemplate, Face, Pixels


@dataclass(frozen=True)
class WholeImage:
    """Takes the whole photo as a crop that was cut to ``template`` by somebody else.

    The landmarks are the template's, scaled to the photo; nothing is looked for, so a photo without a face is
    scored like any other. Use it only for crops.
    """

    template: CropTemplate = DLIB_150
    name: str = "whole_image"

    def detect(self, pixels: Pixels) -> list[Face]:
        """One face: the photo."""
        height, width = pixels.shape[:2]
        scale = np.array([width / self.template.width, height / self.template.height])
        points = (self.template.points + 0.5) * scale - 0.5
        return [Face(np.array([0.0, 0.0, width, height]), points, 1.0)]
