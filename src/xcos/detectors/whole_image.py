"""For photos that are already crops."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xcos.alignment import DLIB_150
from xcos.errors import UnusableFace
from xcos.types import CropTemplate, Face, Pixels
from xcos.verification import WHOLE_IMAGE


@dataclass(frozen=True)
class WholeImage:
    """Takes the whole photo as a crop that was cut to ``template`` by somebody else.

    The landmarks are the template's, scaled to the photo; nothing is looked for, so a photo without a face is
    scored like any other, and results say so. A photo of another shape than the template is refused.
    """

    template: CropTemplate = DLIB_150
    name: str = WHOLE_IMAGE

    def detect(self, pixels: Pixels) -> list[Face]:
        """One face: the photo."""
        height, width = pixels.shape[:2]
        if abs(width * self.template.height / (height * self.template.width) - 1) > 0.02:
            raise UnusableFace(
                f"the photo of {width} × {height} pixels is no crop of {self.template.name} "
                f"({self.template.width} × {self.template.height}); use a detector, or cut it with align()"
            )
        scale = np.array([width / self.template.width, height / self.template.height])
        points = (self.template.points + 0.5) * scale - 0.5
        return [Face(np.array([0.0, 0.0, width, height]), points, 1.0)]
