"""Any source → upright sRGB photo, size bounded before decoding.

One documented rule per kind of input (the catalogue of hostile and odd inputs is tested in
``tests/test_hostile.py``):

=====================  ==============================================================================
input                  rule
=====================  ==============================================================================
format                 decided by the bytes: JPEG, PNG, WebP, BMP, TIFF; the file's name does not count
size                   refused before decoding above ``max_pixels``, 20,000 px a side or 200 MB of file
EXIF orientation       applied; a missing, broken or invalid tag means upright
several frames         the first
palette, 1 bit, gray   expanded to RGB
alpha                  composited over mid-gray (128); so is a PNG's transparent color, if it has 8 bits
16 bit                 scaled to 8, never clipped: gray and arrays divided by 257 and rounded, colour files by
                       their high byte (Pillow's decoder)
float                  accepted in files only, where all values are finite and in 0…1; scaled by 255
CMYK, YCCK, Lab        through the embedded ICC profile; without one by the plain formula (Lab: as D50)
ICC profile            converted to sRGB, perceptual; a profile that cannot be read is ignored
=====================  ==============================================================================
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xcos.errors import (
    CorruptImage,
    ImageTooLarge,
    InvalidArgument,
    InvalidPixels,
    UnreadableSource,
    UnsupportedFormat,
)
from xcos.types import Photo, Pixels

if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from PIL.Image import Transpose

ImageSource: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Picture | NDArray[np.generic]"
)

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
MAX_PIXELS = 50_000_000
MAX_SIDE = 20_000
MAX_BYTES = 200_000_000
# Descriptions of the sRGB profiles that cameras and programs embed; others, linear ones too, are converted.
SRGB_NAMES = ("sRGB", "sRGB built-in", "sRGB IEC61966-2.1", "sRGB IEC61966-2-1 black scaled", "c2")
MID_GRAY = (128, 128, 128)


def read_image(
    source: ImageSource,
    *,
    color: Literal["rgb", "bgr"] = "rgb",
    max_pixels: int = MAX_PIXELS,
) -> Photo:
    """The upright sRGB photo in a path, bytes, binary file, PIL picture or array.

    Arrays are ``(H, W, 3)`` or ``(H, W, 4)`` in the order that ``color`` names, or gray ``(H, W)``; of type
    uint8, or uint16 which is scaled. ``color`` speaks of arrays only. The source is never changed.
    Raises a subclass of :class:`xcos.errors.InputRefused` for anything that cannot be read by the rules of
    this module.
    """
    from PIL import Image as pil

    if color not in ("rgb", "bgr"):
        raise InvalidArgument(f"color must be 'rgb' or 'bgr', got {color!r}", color=str(color))
    if isinstance(source, np.ndarray):
        return _photo_of_array(np.asarray(source), color, max_pixels)
    if isinstance(source, pil.Image):
        return _photo_of_pixels(_decoded(source, max_pixels), "picture")
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _photo_of_bytes(bytes(source), "", max_pixels)
    if isinstance(source, (str, os.PathLike)):
        path = Path(os.fsdecode(source))
        return _photo_of_bytes(file_bytes(path), printable(path.name), max_pixels)
    if hasattr(source, "read"):
        return _photo_of_bytes(_stream_bytes(source), "", max_pixels)
    raise InvalidArgument(
        f"cannot read an image from {type(source).__name__}; pass a path, bytes, a binary file, "
        "a PIL picture or an array",
        type=type(source).__name__,
    )


def file_bytes(path: Path) -> bytes:
    """Content of an image file, undecoded; a pipe, a device, a folder or a file above 200 MB is refused at once."""
    shown = printable(str(path))
    try:
        # Non-blocking, so that opening a FIFO returns at once instead of waiting for a writer.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UnreadableSource(f"cannot open {shown}: {reason}; give the path of an image file", path=shown) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnreadableSource(f"{shown} is not a regular file; give the path of an image file", path=shown)
    with os.fdopen(descriptor, "rb") as file:
        return _stream_bytes(file)


def printable(name: str) -> str:
    """A file name on one line: line breaks, control characters and bytes that are no text as escapes."""
    text = name.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _stream_bytes(file: BinaryIO) -> bytes:
    content = b""
    try:
        # A raw stream may give less than asked for; nothing more comes after an empty answer.
        while len(content) <= MAX_BYTES and (piece := file.read(MAX_BYTES + 1 - len(content))):
            if not isinstance(piece, bytes):
                raise InvalidArgument("the file gives text; open it in binary mode ('rb')")
            content = content + piece if content else piece
    except InvalidArgument:
        raise
    except OSError as error:
        raise UnreadableSource(f"the file cannot be read: {error}; open it for reading, in binary mode") from error
    except ValueError as error:  # closed, or opened as the text that it is not
        raise InvalidArgument(f"the file cannot be read: {error}; open it in binary mode ('rb')") from error
    if len(content) > MAX_BYTES:
        raise ImageTooLarge(f"the file has more than {MAX_BYTES:,} bytes; give a smaller one", max_bytes=MAX_BYTES)
    return content


class _Silence:
    """No warnings while any thread is inside, and the filters of before once all are out.

    ``catch_warnings`` changes the whole process: two threads that leave it in another order than they entered it
    would leave every warning switched off.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._filters = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.simplefilter("ignore")
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._filters.__exit__(None, None, None)


_SILENCE = _Silence()


def _photo_of_bytes(content: bytes, name: str, max_pixels: int) -> Photo:
    from PIL import Image as pil
    from PIL import UnidentifiedImageError

    # Odd metadata makes Pillow warn; size is bounded here, before decoding, by our own limit.
    with _SILENCE:
        try:
            picture = pil.open(io.BytesIO(content), formats=FORMATS)
        except UnidentifiedImageError as error:
            raise _unidentified(content) from error
        except pil.DecompressionBombError as error:
            raise ImageTooLarge(f"the image is too large: {error}", max_pixels=max_pixels) from error
        except Exception as error:  # a decoder may raise anything on hostile headers
            raise _undecodable(error) from error
        with picture:
            pixels = _decoded(picture, max_pixels)
            kind = "JPEG" if picture.format == "MPO" else str(picture.format)
    return Photo(pixels, hashlib.sha256(content).hexdigest(), kind, name)


def _decoded(picture: Picture, max_pixels: int) -> Pixels:
    _bound(picture.size, max_pixels)
    try:
        return _upright_rgb(picture)
    except InvalidPixels:
        raise
    except Exception as error:  # a decoder may raise anything on hostile bytes
        raise _undecodable(error) from error


def _bound(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if min(size) < 1:
        raise InvalidPixels(f"the image has no pixels: {width} × {height}", width=width, height=height)
    if width * height > max_pixels or max(size) > MAX_SIDE:
        raise ImageTooLarge(
            f"the image is {width:,} × {height:,} pixels; at most {max_pixels:,} pixels and {MAX_SIDE:,} a side "
            "are read: give a smaller copy",
            width=width,
            height=height,
            max_pixels=max_pixels,
        )


_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"BM")
"""How JPEG, PNG, TIFF and BMP begin; WebP's mark stands at byte 8."""

_SIGNATURES = (
    (b"GIF8", "GIF"),
    (b"%PDF", "PDF"),
    (b"%!PS", "EPS"),
    (b"<svg", "SVG"),
    (b"<?xml", "XML or SVG"),
    (b"<!DOCTYPE", "HTML"),
    (b"<html", "HTML"),
    (b"8BPS", "Photoshop"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (b"\x00\x00\x00\x0cjP", "JPEG 2000"),
    (b"PK\x03\x04", "ZIP"),
)


def _unidentified(content: bytes) -> UnsupportedFormat | CorruptImage:
    if content.startswith(_MAGIC) or content[8:12] == b"WEBP":
        return CorruptImage(
            "the file begins like an image but its header is broken or of a kind not read here; give an intact "
            "copy, or save it as 8-bit RGB"
        )
    found = next((name for magic, name in _SIGNATURES if content.startswith(magic)), "")
    if content[4:8] == b"ftyp":
        found = {b"avif": "AVIF", b"avis": "AVIF"}.get(content[8:12], "HEIC or another ISO media file")
    seen = "an empty file" if not content else f"a file of type {found}" if found else "not an image known here"
    return UnsupportedFormat(
        f"this is {seen}, judged by its bytes; JPEG, PNG, WebP, BMP and TIFF are read: convert it first",
        found=found or None,
        formats=list(FORMATS),
    )


def _undecodable(error: Exception) -> CorruptImage | ImageTooLarge:
    cause, message = type(error).__name__, str(error)[:200]
    # Pillow has no type of its own for PNG text and profiles that unpack beyond its limits, only these words.
    if isinstance(error, MemoryError) or message.startswith(("Decompressed data too large", "Too much memory")):
        return ImageTooLarge(f"the image unpacks to too much data ({cause}: {message}); save it anew", cause=cause)
    return CorruptImage(f"the image cannot be decoded ({cause}: {message}); give an intact copy", cause=cause)


def _upright_rgb(picture: Picture) -> Pixels:
    """Upright, in sRGB; the caller has bounded the size. A file just opened stands at its first frame."""
    picture.load()
    turn = _orientation(picture)
    rgb = _to_rgb(picture)
    if turn is not None:
        rgb = rgb.transpose(turn)
    return np.array(rgb, np.uint8)


def _orientation(picture: Picture) -> Transpose | None:
    """PIL transposition of EXIF tag 274; broken metadata means upright, as does an invalid value."""
    try:
        value = picture.getexif().get(274, 1)
    except Exception:
        return None
    from PIL.Image import Transpose as T

    turns: dict[object, Transpose] = {
        2: T.FLIP_LEFT_RIGHT,
        3: T.ROTATE_180,
        4: T.FLIP_TOP_BOTTOM,
        5: T.TRANSPOSE,
        6: T.ROTATE_270,
        7: T.TRANSVERSE,
        8: T.ROTATE_90,
    }
    return turns.get(value)


def _to_rgb(picture: Picture) -> Picture:
    from PIL import Image as pil

    profile = picture.info.get("icc_profile")
    picture = _eight_bit(picture)
    if picture.mode == "P":
        picture = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
    if picture.mode in ("La", "RGBa"):
        picture = picture.convert("LA" if picture.mode == "La" else "RGBA")
    if picture.mode in ("LA", "PA", "RGBA") or "transparency" in picture.info:
        layers = picture.convert("RGBA")
        opaque = picture.convert("L") if picture.mode in ("L", "LA") else layers.convert("RGB")
        ground = pil.new("RGB", picture.size, MID_GRAY)
        ground.paste(_to_srgb(opaque, profile), mask=layers.getchannel("A"))
        return ground
    if picture.mode == "1":
        picture = picture.convert("L")
    return _to_srgb(picture, profile).convert("RGB")


def _eight_bit(picture: Picture) -> Picture:
    """16-bit and float pictures as 8-bit gray; others unchanged."""
    from PIL import Image as pil

    if picture.mode.startswith("I;16") or picture.mode == "I":
        values = np.asarray(picture)
        if values.min() < 0 or values.max() > 65535:
            raise InvalidPixels(
                f"integer pixels run from {values.min()} to {values.max()}; 16 bit means 0…65535: convert first"
            )
        return pil.fromarray(_scaled(values))
    if picture.mode == "F":
        levels = np.asarray(picture)
        if not np.isfinite(levels).all() or levels.min() < 0 or levels.max() > 1:
            raise InvalidPixels("float pixels must be finite and in 0…1; scale the image first")
        return pil.fromarray(np.rint(levels * 255).astype(np.uint8))
    return picture


def _scaled(values: NDArray[np.integer]) -> Pixels:
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _to_srgb(picture: Picture, profile: object) -> Picture:
    """The picture through its ICC profile; unchanged where there is none or it cannot be used."""
    if picture.mode == "LAB":
        return _lab_to_srgb(picture)
    if not isinstance(profile, bytes) or picture.mode not in ("RGB", "L", "CMYK"):
        return picture
    from PIL import ImageCms as cms

    try:
        source = cms.ImageCmsProfile(io.BytesIO(profile))
        if cms.getProfileDescription(source).strip() in SRGB_NAMES:
            return picture
        converted = cms.profileToProfile(picture, source, cms.createProfile("sRGB"), outputMode="RGB")
    except (cms.PyCMSError, OSError, ValueError, TypeError):
        return picture
    return picture if converted is None else converted


def _lab_to_srgb(picture: Picture) -> Picture:
    from PIL import ImageCms as cms

    converted = cms.profileToProfile(picture, cms.createProfile("LAB"), cms.createProfile("sRGB"), outputMode="RGB")
    if converted is None:
        raise InvalidPixels("Lab pixels could not be converted; save the image as RGB")
    return converted


def _photo_of_array(array: NDArray[np.generic], color: Literal["rgb", "bgr"], max_pixels: int) -> Photo:
    from PIL import Image as pil

    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        hint = "; move the channels last" if array.ndim == 3 and array.shape[0] in (1, 3, 4) else ""
        raise InvalidPixels(
            f"an array must be (H, W), (H, W, 3) or (H, W, 4), got {array.shape}{hint}",
            shape=str(array.shape),
        )
    if 0 in array.shape:
        raise InvalidPixels(f"the array has no pixels: {array.shape}", shape=str(array.shape))
    if array.dtype not in (np.uint8, np.uint16):
        raise InvalidPixels(
            f"an array must be uint8, or uint16 which is scaled, got {array.dtype}; floats: (x * 255).round()"
            ".astype('uint8') if they run from 0 to 1",
            dtype=str(array.dtype),
        )
    _bound((array.shape[1], array.shape[0]), max_pixels)
    pixels: Pixels = _scaled(array) if array.dtype == np.uint16 else array.astype(np.uint8)  # type: ignore[arg-type]
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    if color == "bgr":
        pixels = pixels[:, :, [2, 1, 0, 3][: pixels.shape[2]]]
    if pixels.shape[2] == 4:
        pixels = np.array(_to_rgb(pil.fromarray(np.ascontiguousarray(pixels))))
    return _photo_of_pixels(np.ascontiguousarray(pixels), "array")


def _photo_of_pixels(pixels: Pixels, kind: str) -> Photo:
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return Photo(pixels, digest.hexdigest(), kind)
