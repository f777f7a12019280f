"""Five landmarks → similarity transform → crop, and the way back to the photo."""

from __future__ import annotations

import numpy as np

from xcos.errors import InvalidArgument, UnusableFace
from xcos.types import AlignedFace, Crops, CropTemplate, Face, Photo, Pixels, Reals

# Published for a 96-wide crop (SphereFace, ArcFace); 8 px centre it in 112.
ARCFACE_112 = CropTemplate(
    "arcface_112",
    112,
    112,
    np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]),
)

# Medians of MTCNN's points in 191 chips cut by dlib itself (150 × 150, dlib's padding 0.25): so a crop from
# MTCNN's points shows the face where dlib's network was trained to see it.
DLIB_150 = CropTemplate(
    "dlib_150",
    150,
    150,
    np.array([[47.79, 46.00], [102.57, 46.15], [74.40, 79.13], [51.94, 106.06], [98.88, 106.49]]),
)


def align(photo: Photo, face: Face, template: CropTemplate) -> AlignedFace:
    """Crop in which the landmarks sit where ``template`` wants them.

    Least-squares similarity transform (rotation, scale, shift; no reflection). Pixels outside the photo
    become black and their share is reported. Faces larger than the crop are reduced by averaging first, so
    that nothing aliases.
    """
    to_crop = fit_similarity(face.landmarks, template.points)
    back, origin = _inverse(to_crop)
    moved = face.landmarks @ to_crop[:, :2].T + to_crop[:, 2]
    distances = np.linalg.norm(moved - template.points, axis=1)
    return AlignedFace(
        crop=_warp(photo.pixels, back, origin, template),
        face=face,
        template=template,
        to_crop=to_crop,
        residual=float(np.sqrt((distances**2).mean()) / template.inter_eye),
        outside=_share_outside(photo.size, back, origin, template),
    )


def require_crops(crops: Crops, template: CropTemplate) -> None:
    """Raises :class:`InvalidArgument` unless ``crops`` is a non-empty batch cut to ``template``."""
    wanted = (template.height, template.width, 3)
    if crops.ndim != 4 or crops.shape[1:] != wanted or crops.dtype != np.uint8 or len(crops) == 0:
        raise InvalidArgument(
            f"crops must be (n, {template.height}, {template.width}, 3) uint8 with n ≥ 1, got {crops.shape} "
            f"{crops.dtype}; cut them with align(photo, face, template) for the template {template.name}"
        )


def fit_similarity(source: Reals, target: Reals) -> Reals:
    """``(2, 3)`` matrix of the similarity that takes ``source`` (n, 2) to ``target`` nearest in squares.

    Umeyama (1991) without reflection has this closed form for plane points: with points as complex numbers
    about their means, rotation and scale are ``a = Σ conj(z) w / Σ |z|²``.
    """
    z, w = source[:, 0] + 1j * source[:, 1], target[:, 0] + 1j * target[:, 1]
    z_mean, w_mean = z.mean(), w.mean()
    spread = float((np.abs(z - z_mean) ** 2).sum())
    a = complex((np.conj(z - z_mean) * (w - w_mean)).sum())
    if spread < 1e-9 or abs(a) < 1e-9:
        raise UnusableFace("the five landmarks fall on one point; no crop can be cut: use another photo or detector")
    a /= spread
    shift = w_mean - a * z_mean
    return np.array([[a.real, -a.imag, shift.real], [a.imag, a.real, shift.imag]])


def _warp(pixels: Pixels, back: Reals, origin: Reals, template: CropTemplate) -> Pixels:
    from PIL import Image as pil

    factor = max(1, int(np.hypot(*back[:, 0])))
    left, top, right, bottom = _region(pixels, back, origin, template, margin=2 * factor)
    if left >= right or top >= bottom:
        return np.zeros((template.height, template.width, 3), np.uint8)
    picture = pil.fromarray(np.ascontiguousarray(pixels[top:bottom, left:right]))
    if factor > 1:
        picture = picture.reduce(factor)
    # Pixel centres are integers here and half-integers in Pillow. In the reduced region, pixel r has its
    # centre at photo pixel  left + factor·r + (factor − 1)/2.
    scaled = back / factor
    offset = (origin - (left, top) - (factor - 1) / 2) / factor + 0.5 - scaled.sum(axis=1) / 2
    data = (scaled[0, 0], scaled[0, 1], offset[0], scaled[1, 0], scaled[1, 1], offset[1])
    size = (template.width, template.height)
    warped = picture.transform(size, pil.Transform.AFFINE, data, pil.Resampling.BILINEAR)
    return np.asarray(warped)


def _inverse(to_crop: Reals) -> tuple[Reals, Reals]:
    """``photo_point = back @ crop_point + origin``; a similarity's inverse is its transpose over its scale squared."""
    turn = to_crop[:, :2]
    back = turn.T / (turn[0, 0] ** 2 + turn[1, 0] ** 2)
    return back, -back @ to_crop[:, 2]


def _corners(template: CropTemplate) -> Reals:
    right, bottom = template.width - 1.0, template.height - 1.0
    return np.array([[0, 0], [right, 0], [right, bottom], [0, bottom]])


def _region(
    pixels: Pixels, back: Reals, origin: Reals, template: CropTemplate, margin: int
) -> tuple[int, int, int, int]:
    """Part of the photo that the crop can touch, ``margin`` source pixels wider on each side."""
    points = _corners(template) @ back.T + origin
    height, width = pixels.shape[:2]
    low = np.floor(points.min(axis=0)).astype(int) - margin
    high = np.ceil(points.max(axis=0)).astype(int) + margin + 1
    return max(0, int(low[0])), max(0, int(low[1])), min(width, int(high[0])), min(height, int(high[1]))


def _share_outside(size: tuple[int, int], back: Reals, origin: Reals, template: CropTemplate) -> float:
    """Share of the crop whose pixels lie outside the photo, on a 32 × 32 sample of the crop."""
    corners = _corners(template) @ back.T + origin
    limit = np.array(size) - 0.5
    if (corners >= -0.5).all() and (corners <= limit).all():
        return 0.0
    xs = (np.arange(32) + 0.5) * template.width / 32 - 0.5
    ys = (np.arange(32) + 0.5) * template.height / 32 - 0.5
    crop_points = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    points = crop_points @ back.T + origin
    inside = ((points >= -0.5) & (points <= limit)).all(axis=1)
    return float(1 - inside.mean())
