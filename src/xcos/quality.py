"""What a face crop offers to a comparison, and the limits below which no decision should rest on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xcos.types import AlignedFace, CropTemplate, Face, Floats, Quality, Reals, Reason, Side


def measure_quality(face: AlignedFace, *, again: Sequence[Face]) -> Quality:
    """Size, sharpness, exposure, pose and fit of one aligned face.

    ``again`` are the faces that the detector finds in the crop itself: a face seen upside down, or one that is
    none, does not stand where it should when it is looked for a second time.
    """
    gray = _face_gray(face)
    yaw, pitch = _pose(face.face.landmarks, face.template)
    across = face.face.landmarks[1] - face.face.landmarks[0]
    return Quality(
        inter_eye=face.face.inter_eye,
        sharpness=_sharpness(gray),
        brightness=float(gray.mean()),
        contrast=float(gray.std()),
        yaw=yaw,
        pitch=pitch,
        roll=float(np.degrees(np.arctan2(across[1], across[0]))),
        residual=face.residual,
        outside=face.outside,
        second_look=_second_look(face, again),
    )


def _second_look(face: AlignedFace, again: Sequence[Face]) -> float:
    squares = [float(((other.landmarks - face.landmarks) ** 2).sum(axis=1).mean()) for other in again]
    return min(1.0, math.sqrt(min(squares)) / face.template.inter_eye) if squares else 1.0


def _face_gray(face: AlignedFace) -> Floats:
    """Grey values 0…1 of the box around the landmarks, half an eye distance wider."""
    points, margin = face.template.points, face.template.inter_eye / 2
    left, top = np.maximum(points.min(axis=0) - margin, 0).astype(int)
    right, bottom = (points.max(axis=0) + margin).astype(int)
    patch = face.crop[top:bottom, left:right].astype(np.float32)
    return patch @ np.array([0.299, 0.587, 0.114], np.float32) / np.float32(255)


def _sharpness(gray: Floats) -> float:
    """Share of the gradient that a 3 × 3 blur takes away (after Crete et al. 2007): blurring the blurred is idle."""
    rows = gray[:-2] + gray[1:-1] + gray[2:]
    blurred = (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / np.float32(9)
    before, after = _gradient(gray[1:-1, 1:-1]), _gradient(blurred)
    return max(0.0, 1 - after / before) if before > 0 else 0.0


def _gradient(gray: Floats) -> float:
    return float(np.abs(gray[1:] - gray[:-1]).mean() + np.abs(gray[:, 1:] - gray[:, :-1]).mean())


def _pose(landmarks: Reals, template: CropTemplate) -> tuple[float, float]:
    """Yaw and pitch signs of the nose within the frame of eyes and mouth, freed of roll and scale."""
    yaw, height = _nose(landmarks)
    _, usual = _nose(template.points)
    return yaw, height - usual


def _nose(landmarks: Reals) -> tuple[float, float]:
    """The nose's place between the eyes (−1…1) and between eyes (0) and mouth (1)."""
    left, right, nose, *mouth = (complex(x, y) for x, y in landmarks.tolist())
    eyes = (left + right) / 2
    across, down, offset = right - left, (mouth[0] + mouth[1]) / 2 - eyes, nose - eyes
    area = _cross(across, down)
    if abs(area) < 1e-9:
        return 1.0, 1.0
    # offset = x·across/2 + y·down, by Cramer's rule
    x, y = 2 * _cross(offset, down) / area, _cross(across, offset) / area
    return min(max(x, -1.0), 1.0), min(max(y, -1.0), 2.0)


def _cross(a: complex, b: complex) -> float:
    return a.real * b.imag - a.imag * b.real


@dataclass(frozen=True)
class QualityLimits:
    """Below or beyond these a decision is inconclusive; they suit the 150 × 150 crops they were measured on.

    Set where errors were seen to rise when photos of LFW's development people were degraded step by step
    (``python benchmarks/quality_limits.py`` prints the curve); they are reasons for doubt, not measurements
    of a person.
    """

    inter_eye: float = 14.0
    sharpness: float = 0.035
    darkest: float = 0.06
    brightest: float = 0.85
    contrast: float = 0.03
    yaw: float = 0.80
    pitch: float = 0.30
    roll: float = 45.0
    residual: float = 0.20
    outside: float = 0.20
    second_look: float = 0.25

    def reasons(self, quality: Quality, side: Side) -> list[Reason]:
        """Every limit that ``quality`` breaks, as reasons for an inconclusive decision."""
        q = quality
        checks = (
            (q.inter_eye < self.inter_eye, "face_too_small", q.inter_eye, self.inter_eye,
             "the eyes are {m:.0f} px apart; at least {l:.0f} px are needed"),
            (q.sharpness < self.sharpness, "blurred", q.sharpness, self.sharpness,
             "the face is blurred: sharpness {m:.3f}; at least {l:.3f} is needed"),
            (q.brightness < self.darkest, "badly_exposed", q.brightness, self.darkest,
             "the face is too dark: mean grey {m:.2f}; at least {l:.2f} is needed"),
            (q.brightness > self.brightest, "badly_exposed", q.brightness, self.brightest,
             "the face is too bright: mean grey {m:.2f}; at most {l:.2f} is usable"),
            (q.contrast < self.contrast, "badly_exposed", q.contrast, self.contrast,
             "the face has hardly any contrast: {m:.3f}; at least {l:.3f} is needed"),
            (abs(q.yaw) > self.yaw, "far_from_frontal", abs(q.yaw), self.yaw,
             "the head is turned aside: nose {m:.2f} of the way to an eye; at most {l:.2f}"),
            (abs(q.pitch) > self.pitch, "far_from_frontal", abs(q.pitch), self.pitch,
             "the head is raised or lowered: nose off its usual height by {m:.2f}; at most {l:.2f}"),
            (abs(q.roll) > self.roll, "far_from_frontal", abs(q.roll), self.roll,
             "the face is tilted by {m:.0f}°; at most {l:.0f}°: turn the photo upright"),
            (q.residual > self.residual, "alignment_residual", q.residual, self.residual,
             "the landmarks do not fit a face: residual {m:.2f} eye distances; at most {l:.2f}"),
            (q.second_look > self.second_look, "uncertain_face", q.second_look, self.second_look,
             "looked at again, the face is not where it was found: landmarks off by {m:.2f} eye distances; at most "
             "{l:.2f}"),
            (q.outside > self.outside, "cut_off", q.outside, self.outside,
             "{m:.0%} of the crop lies outside the photo; at most {l:.0%}"),
        )  # fmt: skip
        return [
            Reason(code, side, measured, limit, f"{side}: " + text.format(m=measured, l=limit))
            for broken, code, measured, limit, text in checks
            if broken
        ]
