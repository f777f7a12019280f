"""Several photos of one person as one template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from xcos.errors import InvalidArgument, InvalidTemplate
from xcos.gallery.store import Enrolment
from xcos.types import Template, stack

Fusing = Literal["mean", "quality"]
CANCELLED = 1e-6  # what is left of features, at most, where only rounding is


def fuse(photos: Sequence[Enrolment], how: Fusing = "quality") -> Template:
    """Mean of the templates' features before any normalisation, so that a long feature, which is a trusted one, counts
    more; ``quality`` weighs each photo by its quality too.

    One photo alone gives its own template. :class:`InvalidTemplate` where the features cancel one another.
    """
    if how not in ("mean", "quality"):
        raise InvalidArgument(f"templates are fused by mean or quality, got {how!r}")
    if not photos:
        raise InvalidArgument("there are no templates to fuse")
    batch = stack([photo.template for photo in photos])
    if len(photos) == 1:
        return photos[0].template
    weights = np.array([photo.quality if how == "quality" else 1.0 for photo in photos])
    weights /= weights.sum()
    grid, vector = (np.tensordot(weights, each.astype(np.float64), 1) for each in (batch.grids, batch.vectors))
    for mean, each in ((grid, batch.grids), (vector, batch.vectors)):
        if not np.abs(mean).max() > CANCELLED * np.abs(each).max():
            raise InvalidTemplate(f"the features of {len(photos)} photos cancel one another; are they of one person?")
    return Template(grid.astype(np.float32), vector.astype(np.float32), batch.model)
