"""Scripted hostile and odd image files, each with the answer it must get. The same files come from every run.

Most are made from one of the example photos, so that those which decode hold a face and can go on through the
whole path. The files are made by hand where no encoder would write them.
"""

from __future__ import annotations

import io
import os
import pickle
import random
import stat
import struct
import sys
import time
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, PngImagePlugin, TiffImagePlugin

import xcos

CORRUPT, UNSUPPORTED = "corrupt_image", "unsupported_format"
TOO_LARGE, UNREADABLE, PIXELS = "too_large", "unreadable_source", "invalid_pixels"
ANY = (CORRUPT, UNSUPPORTED, TOO_LARGE, PIXELS)
SEED = 20240
ORIENTATION = 274


@dataclass(frozen=True)
class HostileFile:
    """A path, and the codes with which it may be refused."""

    path: Path
    expected: frozenset[str]
    """Empty: it must decode."""
    note: str
    may_decode: bool = False
    """It may also decode, for damage that a decoder need not see."""

    def allows(self, code: str | None) -> bool:
        """Whether this answer is right; ``None`` stands for a decoded photo."""
        return (not self.expected or self.may_decode) if code is None else code in self.expected


def make_hostile_files(folder: Path) -> list[HostileFile]:
    """Writes all of them into an empty folder and returns them in a fixed order."""
    makers = [_no_images, _decodable, _modes, _metadata, _frames, _truncated, _broken, _bombs, _mutants]
    files = []
    for name, content, note, codes, may_decode in (case for maker in makers for case in maker()):
        path = folder / name
        if path.exists():
            raise FileExistsError(f"two hostile files are called {name}")
        path.write_bytes(content)
        files.append(HostileFile(path, frozenset(codes), note, may_decode))
    return files + list(_paths(folder))


class Case(NamedTuple):
    name: str
    content: bytes
    note: str
    codes: tuple[str, ...] = ()
    may_decode: bool = False


Cases = Iterator[Case]


@cache
def face() -> Image.Image:
    """The example photo that all others are made from: 300 × 300, RGB."""
    with Image.open(Path(xcos.__file__).parent / "data" / "examples" / "0_front.jpg") as picture:
        return picture.convert("RGB")


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    """The bytes of a file of that kind."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


@cache
def good() -> dict[str, bytes]:
    """One intact file of each kind, by its ending."""
    return {
        "jpg": encoded(face(), "JPEG", quality=90),
        "progressive.jpg": encoded(face(), "JPEG", quality=90, progressive=True),
        "png": encoded(face(), "PNG"),
        "webp": encoded(face(), "WEBP", quality=90),
        "lossless.webp": encoded(face(), "WEBP", lossless=True, method=0),
        "bmp": encoded(face(), "BMP"),
        "tif": encoded(face(), "TIFF"),
        "lzw.tif": encoded(face(), "TIFF", compression="tiff_lzw"),
    }


def chunk(kind: bytes, data: bytes) -> bytes:
    """One PNG chunk."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    width: int,
    height: int,
    rows: bytes,
    *,
    bits: int = 8,
    color: int = 2,
    before: bytes = b"",
    after: bytes = b"",
) -> bytes:
    """A PNG of raw rows, each with its filter byte, and further chunks before and after the pixels."""
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)),
            before,
            chunk(b"IDAT", zlib.compress(rows, 1)),
            after,
            chunk(b"IEND", b""),
        )
    )


def face_png(before: bytes = b"", after: bytes = b"") -> bytes:
    """The face as PNG with further chunks."""
    rows = b"".join(b"\0" + row.tobytes() for row in np.asarray(face()))
    return png(*face().size, rows, before=before, after=after)


def exif(orientation: Any) -> Image.Exif:
    """EXIF data with nothing but an orientation."""
    data = Image.Exif()
    data[ORIENTATION] = orientation
    return data


def tiff_header(tags: dict[int, int], next_directory: int = 0, pixels: bytes = b"") -> bytes:
    """A little-endian TIFF with one directory of 32-bit values; its pixels follow it."""
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + struct.pack("<I", next_directory) + pixels


def gray_tiff(width: int, height: int, pixels: bytes = b"", next_directory: int = 0, **changed: int) -> bytes:
    """An uncompressed 8-bit gray TIFF made by hand; ``changed`` is by tag, such as ``t259=5``."""
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 0, 277: 1, 278: height, 279: width * height}
    tags |= {int(tag[1:]): value for tag, value in changed.items()}
    tags.setdefault(273, 0)
    tags[273] = changed.get("t273", 8 + 2 + 12 * len(tags) + 4)
    return tiff_header(tags, next_directory, pixels)


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """A WebP container."""
    body = b"".join(kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for kind, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def jpeg_segment(marker: int, data: bytes) -> bytes:
    """One marker segment with its length."""
    return bytes((0xFF, marker)) + struct.pack(">H", len(data) + 2) + data


def _with_segment(marker: int, data: bytes) -> bytes:
    content = good()["jpg"]
    return content[:2] + jpeg_segment(marker, data) + content[2:]


def _patched(content: bytes, position: int, data: bytes) -> bytes:
    return content[:position] + data + content[position + len(data) :]


def _no_images() -> Cases:
    """Bytes of other formats; what the name says does not count."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(zipfile.ZipInfo("face.jpg"), good()["jpg"])
    array = io.BytesIO()
    np.save(array, np.zeros((4, 4, 3), np.uint8))
    noise = b"\xa5" + random.Random(SEED).randbytes(4095)
    small = face().resize((64, 64))
    contents = {
        "zero_bytes.jpg": b"",
        "one_byte.png": b"\x89",
        "text.jpg": b"These are not the pixels you are looking for.\n" * 20,
        "utf16.jpg": "\ufeffNeither are these.".encode("utf-16-le") * 20,
        "page.jpg": b"<!DOCTYPE html><html><body><h1>404 Not Found</h1></body></html>",
        "page_lower.jpg": b"<html><head></head></html>",
        "document.pdf": b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\n%%EOF\n",
        "picture_inside.pdf": encoded(small, "PDF", creationDate=time.gmtime(0), modDate=time.gmtime(0)),
        "drawing.svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9999999" height="9999999"/>',
        "drawing_xml.svg": b'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY a "aaaa">]><svg>&a;</svg>',
        "page.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%true) (w) file\n",
        "page_dos.eps": b"\xc5\xd0\xd3\xc6" + struct.pack("<II", 30, 100) + b"\0" * 200,
        "font.ttf": b"\0\x01\0\0\0\x0c" + b"\0" * 300,
        "font.otf": b"OTTO\0\x0c" + b"\0" * 300,
        "font.woff2": b"wOF2" + b"\0" * 300,
        "single.gif": encoded(small, "GIF"),
        "animated.gif": encoded(small, "GIF", save_all=True, append_images=[small.rotate(90)]),
        "extents.gif": b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02\0;",
        "photo.heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 300,
        "photo.avif": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + b"\0" * 300,
        "film.mp4": b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + b"\0" * 300,
        "container.jxl": b"\0\0\0\x0cJXL \r\n\x87\n" + b"\0" * 300,
        "codestream.jxl": b"\xff\x0a" + b"\0" * 300,
        "container.jp2": b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0" * 300,
        "layers.psd": b"8BPS\0\x01" + b"\0" * 300,
        "icon.ico": encoded(small, "ICO"),
        "plain.ppm": encoded(small, "PPM"),
        "plain.tga": encoded(small, "TGA"),
        "sky.fits": b"SIMPLE  =                    T".ljust(80) + b"BITPIX  =                    8".ljust(80),
        "object.pickle": pickle.dumps({"weights": [1.0, 2.0]}, protocol=4),
        "object_old.pickle": pickle.dumps({"weights": [1.0, 2.0]}, protocol=0),
        "pixels.npy": array.getvalue(),
        "archive.zip": archive.getvalue(),
        "archive.gz": b"\x1f\x8b\x08\0" + zlib.compress(good()["bmp"]),
        "program.elf": b"\x7fELF\x02\x01\x01" + b"\0" * 300,
        "zeros.bmp": b"\0" * 10_000,
        "noise.jpg": noise,
        "face_after_a_newline.jpg": b"\n" + good()["jpg"],
        "sound.webp": b"RIFF\x24\0\0\0WAVEfmt " + b"\0" * 300,
    }
    for name, content in contents.items():
        yield Case(name, content, "not one of the five formats", (UNSUPPORTED,))
    yield Case("starts_like_a_bitmap.txt", b"BM is how this text begins. " * 20, "text, yet also BMP's mark", ANY)


def _decodable() -> Cases:
    """Right bytes under wrong or no names, and bytes after the end."""
    yield Case("png_called.jpg", good()["png"], "a PNG")
    yield Case("jpeg_called.png", good()["jpg"], "a JPEG")
    yield Case("webp_called.tif", good()["webp"], "a WebP")
    yield Case("tiff_called.exe", good()["tif"], "a TIFF")
    yield Case("bmp_called_nothing", good()["bmp"], "a BMP without an ending")
    for ending, content in good().items():
        yield Case(f"trailing_text.{ending}", content + b"<script>alert(1)</script>" * 50, "text after the end")
    yield Case("trailing_zip.jpg", good()["jpg"] + b"PK\x03\x04" + b"\0" * 500, "an archive after the end")
    yield Case("trailing_image.png", good()["png"] + good()["jpg"], "another image after the end")
    upside_down = np.asarray(face())[::-1].astype(np.uint8)
    flipped = encoded(Image.fromarray(upside_down), "BMP")
    yield Case("top_down.bmp", _patched(flipped, 22, struct.pack("<i", -300)), "rows from the top, negative height")
    yield Case("big_endian.tif", encoded(face(), "TIFF", tiffinfo=_big_endian()), "big-endian TIFF")
    yield Case("deflate.tif", encoded(face(), "TIFF", compression="tiff_adobe_deflate"), "deflated TIFF")
    yield Case("jpeg_inside.tif", encoded(face(), "TIFF", compression="jpeg"), "TIFF that holds a JPEG")
    yield Case("big.tif", encoded(face(), "TIFF", big_tiff=True), "BigTIFF")
    yield Case("one_pixel.png", png(1, 1, b"\0\x01\x02\x03"), "the smallest picture")
    yield Case("one_row.png", png(20_000, 1, b"\0" + b"\x40" * 60_000), "as wide as allowed, one pixel high")


def _big_endian() -> TiffImagePlugin.ImageFileDirectory_v2:
    return TiffImagePlugin.ImageFileDirectory_v2(prefix=b"MM")


def _modes() -> Cases:
    """Pixel formats beside 8-bit RGB."""
    gray = np.asarray(face().convert("L"))
    with_alpha = face().copy()
    with_alpha.putalpha(Image.linear_gradient("L").resize(face().size))
    palette = face().convert("P", palette=Image.Palette.ADAPTIVE)
    cmyk, deep = face().convert("CMYK"), gray.astype(np.uint16) * 257
    pictures: dict[str, tuple[Image.Image, str, dict[str, Any]]] = {
        "mode_1.png": (face().convert("1"), "PNG", {}),
        "mode_1.bmp": (face().convert("1"), "BMP", {}),
        "mode_1_fax.tif": (face().convert("1"), "TIFF", {"compression": "group4"}),
        "mode_l.png": (face().convert("L"), "PNG", {}),
        "mode_l.jpg": (face().convert("L"), "JPEG", {}),
        "mode_la.png": (with_alpha.convert("LA"), "PNG", {}),
        "mode_p.png": (palette, "PNG", {}),
        "mode_p.bmp": (palette, "BMP", {}),
        "mode_p_transparent.png": (palette, "PNG", {"transparency": 3}),
        "mode_p_alpha_table.png": (palette, "PNG", {"transparency": bytes(range(256))}),
        "mode_l_transparent.png": (face().convert("L"), "PNG", {"transparency": 100}),
        "mode_rgb_transparent.png": (face(), "PNG", {"transparency": (255, 255, 255)}),
        "mode_rgba.png": (with_alpha, "PNG", {}),
        "mode_rgba.webp": (with_alpha, "WEBP", {}),
        "mode_rgba.tif": (with_alpha, "TIFF", {}),
        "mode_rgba.bmp": (with_alpha, "BMP", {}),
        "mode_cmyk.jpg": (cmyk, "JPEG", {}),
        "mode_cmyk.tif": (cmyk, "TIFF", {}),
        "mode_ycbcr.tif": (face().convert("YCbCr"), "TIFF", {}),
        "mode_lab.tif": (_lab(), "TIFF", {}),
        "mode_i16.png": (Image.fromarray(deep), "PNG", {}),
        "mode_i16.tif": (Image.fromarray(deep), "TIFF", {}),
        "mode_i.tif": (Image.fromarray(deep.astype(np.int32)), "TIFF", {}),
        "mode_f.tif": (Image.fromarray(gray.astype(np.float32) / 255), "TIFF", {}),
    }
    for name, (picture, kind, options) in pictures.items():
        yield Case(name, encoded(picture, kind, **options), f"{picture.mode} pixels")
    ycck = encoded(cmyk, "JPEG")
    yield Case("mode_ycck.jpg", _patched(ycck, ycck.index(b"Adobe") + 11, b"\2"), "CMYK said to be YCCK")
    rows = (np.asarray(face()).astype(np.uint16) * 257).astype(">u2")
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    yield Case("mode_rgb16.png", png(300, 300, raw, bits=16), "16 bits in each of three channels")
    key = chunk(b"tRNS", b"\xff\xff" * 3)
    yield Case("mode_rgb16_key.png", png(300, 300, raw, bits=16, before=key), "16 bits, a transparent color")
    invisible = Image.new("RGBA", (300, 300), (255, 0, 0, 0))
    yield Case("invisible.png", encoded(invisible, "PNG"), "alpha is 0 everywhere")
    refused: dict[str, tuple[NDArray[Any], str]] = {
        "float_to_255.tif": (gray.astype(np.float32), "floats beyond 1"),
        "float_nan.tif": (np.full((300, 300), np.nan, np.float32), "not a number"),
        "float_infinite.tif": (np.full((300, 300), np.inf, np.float32), "infinite"),
        "float_negative.tif": (np.full((300, 300), -0.5, np.float32), "negative floats"),
        "int_beyond_16_bits.tif": (deep.astype(np.int32) * 3, "integers beyond 16 bits"),
        "int_negative.tif": (deep.astype(np.int32) - 70_000, "negative integers"),
    }
    for name, (array, note) in refused.items():
        yield Case(name, encoded(Image.fromarray(array), "TIFF"), note, (PIXELS,))


def _lab() -> Image.Image:
    lab = ImageCms.profileToProfile(
        face(), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    if lab is None:
        raise RuntimeError("no Lab picture was made")
    del lab.info["icc_profile"]  # it bears the time of its making
    return lab


def _metadata() -> Cases:
    """EXIF orientation, right, wrong and broken; profiles and comments."""
    kinds = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}
    for value in (*range(1, 9), 0, 9, 90, 65535):
        for ending, kind in kinds.items():
            content = encoded(face(), kind, exif=exif(value))
            yield Case(f"orientation_{value}.{ending}", content, f"orientation {value}; the pixels are not turned")
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[ORIENTATION] = value
        yield Case(f"orientation_{value}.tif", encoded(face(), "TIFF", tiffinfo=tags), f"orientation {value}")
    orientation = b"Exif\0\0II*\0\x08\0\0\0\x01\0"
    garbage = {
        "noise": b"Exif\0\0" + random.Random(SEED).randbytes(500),
        "empty": b"Exif\0\0",
        "cut": b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01",
        "loop": orientation + struct.pack("<HHIII", 0x8769, 4, 1, 8, 8),
        "offset": b"Exif\0\0II*\0\xff\xff\xff\x7f",
        "text": orientation + struct.pack("<HHI4sI", ORIENTATION, 2, 4, b"six\0", 0),
        "several": orientation + struct.pack("<HHIHHI", ORIENTATION, 3, 2, 6, 6, 0),
    }
    for name, data in garbage.items():
        yield Case(f"exif_{name}.jpg", _with_segment(0xE1, data), "broken EXIF data")
        yield Case(f"exif_{name}.png", face_png(chunk(b"eXIf", data[6:])), "broken EXIF data")
        yield Case(f"exif_{name}.webp", encoded(face(), "WEBP", exif=data), "broken EXIF data")
    dated = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = _patched(dated, 24, bytes(12))  # without the time of its making
    profiles = {"srgb": profile, "cut": profile[:200], "noise": b"\xff" * 600, "flipped": _flips(profile, 9, 30)}
    for name, data in profiles.items():
        for ending, kind in kinds.items():
            yield Case(f"profile_{name}.{ending}", encoded(face(), kind, icc_profile=data), "color profile")
        yield Case(f"profile_{name}.tif", encoded(face(), "TIFF", icc_profile=data), "color profile")
    yield Case("profile_huge.jpg", encoded(face(), "JPEG", icc_profile=b"\xee" * 5_000_000), "5 MB color profile")
    yield Case("profile_part_missing.jpg", _with_segment(0xE2, b"ICC_PROFILE\0\x02\x05" + b"a" * 99), "part 2 of 5")
    yield Case("comment.jpg", _with_segment(0xFE, b"%s%n" * 16_000), "64 KB of comment")
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "x" * 100_000, zip=True)
    yield Case("comment.png", encoded(face(), "PNG", pnginfo=text), "100 KB of comment")
    yield Case("photoshop.jpg", _with_segment(0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0\xff\xff\xff\xff"), "cut record")


def _frames() -> Cases:
    """Files with several pictures: the first counts."""
    others = [face().rotate(90), face().rotate(180)]
    yield Case("animated.webp", encoded(face(), "WEBP", save_all=True, append_images=others), "three frames")
    yield Case("animated.png", encoded(face(), "PNG", save_all=True, append_images=others), "three frames")
    late = encoded(face(), "PNG", save_all=True, append_images=others, default_image=True)
    yield Case("still_and_animation.png", late, "a still beside two frames")
    yield Case("pages.tif", encoded(face(), "TIFF", save_all=True, append_images=others), "three pages")
    yield Case("stereo.mpo", encoded(face(), "MPO", save_all=True, append_images=others), "three pictures in an MPO")
    yield Case("stereo_broken.jpg", _with_segment(0xE2, b"MPF\0II*\0\x08\0\0\0\xff\xff" + b"\1" * 40), "no real MPO")
    yield Case("page_loop.tif", gray_tiff(8, 8, bytes(64), next_directory=8), "the page after the first is the first")
    count = struct.pack(">II", 0xFFFFFFFF, 0)
    yield Case("frames_claimed.png", face_png(chunk(b"acTL", count)), "claims 4 billion frames", (CORRUPT,), True)


def _truncated() -> Cases:
    """Cut within the header, where the bytes may be nothing known, and within the pixels."""
    for ending, content in good().items():
        for length in (3, 9, 14, 24):
            note = f"the first {length} bytes"
            yield Case(f"cut_{length}.{ending}", content[:length], note, (CORRUPT, UNSUPPORTED))
        for percent in (5, 20, 40, 60, 80, 90):
            cut = content[: len(content) * percent // 100]
            yield Case(f"cut_{percent}_percent.{ending}", cut, f"the first {percent} %", (CORRUPT,))
        note = "without the last 2 bytes: all pixels may be there"
        yield Case(f"cut_at_the_end.{ending}", content[:-2], note, (CORRUPT,), True)


def _broken() -> Cases:
    """Structures that contradict themselves."""
    jpg, portable = good()["jpg"], good()["png"]
    tables, start, scan = jpg.index(b"\xff\xc4"), jpg.index(b"\xff\xc0"), jpg.index(b"\xff\xda")
    data = portable.index(b"IDAT")
    broken = {
        "huffman_counts.jpg": _patched(jpg, tables + 5, b"\xff" * 16),
        "huffman_class.jpg": _patched(jpg, tables + 4, b"\x77"),
        "frame_none.jpg": jpg[:start] + jpg[scan:],
        "frame_of_no_height.jpg": _patched(jpg, start + 5, b"\0\0"),
        "frame_of_no_width.jpg": _patched(jpg, start + 7, b"\0\0"),
        "two_components.jpg": _patched(jpg, start + 9, b"\x02"),
        "twelve_bits.jpg": _patched(jpg, start + 4, b"\x0c"),
        "lossless_process.jpg": _patched(jpg, start, b"\xff\xc3"),
        "sampling_of_zero.jpg": _patched(jpg, start + 11, b"\0"),
        "only_the_ends.jpg": b"\xff\xd8\xff\xd9" * 2,
        "markers_only.jpg": b"\xff\xd8" + b"\xff" * 5000,
        "crc_of_header.png": _patched(portable, 29, b"\0\0\0\0"),
        "crc_of_pixels.png": _patched(portable, data + 4 + len(portable) // 4, b"\0\xff\0\xff"),
        "no_pixels.png": portable[: data - 4] + chunk(b"IEND", b""),
        "no_header.png": portable[:8] + portable[data - 4 :],
        "header_alone.png": portable[:33],
        "signature_alone.png": portable[:8],
        "zero_width.png": png(0, 300, b"\0" * 300),
        "zero_both.png": png(0, 0, b""),
        "bits_of_three.png": png(9, 9, b"\0" * 99, bits=3),
        "color_of_seven.png": png(9, 9, b"\0" * 99, color=7),
        "filter_of_nine.png": png(9, 9, (b"\x09" + b"\0" * 27) * 9),
        "not_deflated.png": portable[: data - 4] + chunk(b"IDAT", b"\0" * 500) + chunk(b"IEND", b""),
        "container_alone.webp": riff(),
        "unknown_chunk.webp": riff((b"ABCD", b"\0" * 64)),
        "empty_picture.webp": riff((b"VP8 ", b"")),
        "noise_picture.webp": riff((b"VP8 ", random.Random(SEED).randbytes(500))),
        "noise_lossless.webp": riff((b"VP8L", b"\x2f" + random.Random(SEED).randbytes(500))),
        "header_size.bmp": _patched(good()["bmp"], 14, struct.pack("<I", 41)),
        "bits_of_five.bmp": _patched(good()["bmp"], 28, struct.pack("<H", 5)),
        "compression_of_99.bmp": _patched(good()["bmp"], 30, struct.pack("<I", 99)),
        "mark_alone.bmp": b"BM" + b"\0" * 60,
        "strip_beyond_the_end.tif": gray_tiff(64, 64, bytes(10), t273=0x7FFFFFF0),
        "directory_beyond_the_end.tif": b"II*\0\xf0\xff\xff\x7f" + b"\0" * 300,
        "directory_of_65535.tif": b"II*\0\x08\0\0\0\xff\xff" + b"\x01" * 400,
        "no_width.tif": tiff_header({257: 8, 258: 8, 259: 1, 262: 1, 273: 8}),
        "samples_of_65535.tif": gray_tiff(8, 8, bytes(64), t277=65535),
        "compression_of_65000.tif": gray_tiff(8, 8, bytes(64), t259=65000),
        "lzw_noise.tif": gray_tiff(64, 64, random.Random(SEED).randbytes(4096), t259=5),
        "big_header_alone.tif": b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0",
    }
    for name, content in broken.items():
        yield Case(name, content, "contradicts itself", (CORRUPT,))
    either = {
        "zero_width.tif": gray_tiff(0, 8),
        "zero_height.tif": gray_tiff(8, 0),
        "zero_size.bmp": _patched(good()["bmp"], 18, struct.pack("<ii", 0, 0)),
    }
    for name, content in either.items():
        yield Case(name, content, "has no pixels", (CORRUPT, PIXELS))
    harmless = {
        "run_lengths.bmp": _run_lengths(),
        "half_of_the_rows.png": png(300, 300, (b"\0" + b"\x50" * 900) * 150),
        "length_of_chunk.png": _patched(portable, data - 4, b"\xff\xff\xff\xff"),
        "huffman_none.jpg": jpg[:tables] + jpg[scan:],
        "damaged_scan.jpg": _patched(jpg, scan + 2000, b"\0" * 3000),
        "early_end.jpg": jpg[: len(jpg) // 2] + b"\xff\xd9",
        "quantization_none.jpg": jpg.replace(b"\xff\xdb", b"\xff\xfe"),
        "segment_of_no_length.jpg": jpg[:2] + b"\xff\xe1\0\0" + jpg[2:],
        "crc_of_comment.png": face_png(_patched(chunk(b"tEXt", b"a\0b"), 11, b"\0\0\0\0")),
        "two_headers.png": portable[:33] + portable[8:],
        "no_end.png": portable[:-12],
        "palette_too_short.png": png(9, 9, (b"\0" + b"\xff" * 9) * 9, color=3, before=chunk(b"PLTE", b"\0" * 3)),
        "palette_none.png": png(9, 9, (b"\0" + b"\xff" * 9) * 9, color=3),
        "key_too_short.png": face_png(chunk(b"tRNS", b"\0")),
        "size_of_container.webp": _patched(good()["webp"], 4, b"\xff\xff\xff\x7f"),
        "pixels_offset.bmp": _patched(good()["bmp"], 10, struct.pack("<I", 3)),
        "strip_size_of_zero.tif": gray_tiff(8, 8, bytes(64), t279=0),
        "strip_size_of_4_gb.tif": gray_tiff(8, 8, bytes(64), t279=0xFFFFFFFF),
        "rows_of_zero.tif": gray_tiff(8, 8, bytes(64), t278=0),
        "tiles_of_zero.tif": gray_tiff(8, 8, bytes(64), t322=0, t323=0, t324=8, t325=64),
        "tiles_of_4_gb.tif": gray_tiff(8, 8, bytes(64), t322=0xFFFFFFF0, t323=0xFFFFFFF0, t324=8, t325=64),
    }
    for name, content in harmless.items():
        yield Case(name, content, "damage that a decoder may pass over", (CORRUPT, PIXELS, TOO_LARGE), True)


def _run_lengths() -> bytes:
    """A BMP of 200 × 200 whose run lengths leave the picture."""
    header = struct.pack("<IiiHHIIiiII", 40, 200, 200, 1, 8, 1, 0, 0, 0, 256, 0)
    pixels = b"\0\x02\xff\xff" * 400 + b"\xff\x01" * 10
    return b"BM" + struct.pack("<IHHI", 54 + 1024 + len(pixels), 0, 0, 54 + 1024) + header + bytes(1024) + pixels


def _bombs() -> Cases:
    """Small files that unpack to much, refused before they do."""

    def bomb(name: str, content: bytes, note: str) -> Case:
        return Case(name, content, note, (TOO_LARGE,))

    jpg, start = good()["jpg"], good()["jpg"].index(b"\xff\xc0")
    text = zlib.compress(b"a" * 20_000_000)
    yield bomb("bomb_30000.png", _one_color(30_000), "900 megapixels of one color in 100 KB")
    yield bomb("bomb_12000.png", _one_color(12_000), "144 megapixels: under Pillow's limit, over ours")
    yield bomb("bomb_claimed.png", png(2_000_000_000, 2_000_000_000, b"\0" * 99), "claims 4e18 pixels")
    yield bomb("narrow.png", png(1, 65_535, b"\0\1\2\3" * 65_535), "1 × 65,535")
    yield bomb("wide.png", png(65_535, 1, b"\0" + bytes(65_535 * 3)), "65,535 × 1")
    yield bomb("just_too_wide.png", png(20_001, 1, b"\0" + bytes(20_001 * 3)), "20,001 × 1")
    yield bomb("text.png", face_png(chunk(b"zTXt", b"a\0\0" + text)), "20 MB of text")
    yield bomb("text_at_the_end.png", face_png(after=chunk(b"zTXt", b"a\0\0" + text)), "20 MB of text after the pixels")
    yield bomb("text_unicode.png", face_png(chunk(b"iTXt", b"a\0\1\0\0\0" + text)), "20 MB of Unicode text")
    million = zlib.compress(b"a" * 1_000_000)
    many = b"".join(chunk(b"zTXt", b"a%d\0\0" % index + million) for index in range(70))
    yield bomb("text_in_parts.png", face_png(many), "70 times 1 MB of text")
    yield bomb("profile_bomb.png", face_png(chunk(b"iCCP", b"a\0\0" + text)), "20 MB of color profile")
    yield bomb("huge.jpg", _patched(jpg, start + 5, b"\xff\xdc\xff\xdc"), "claims 65,500 × 65,500")
    yield bomb("large.jpg", _patched(jpg, start + 5, b"\x27\x10\x27\x10"), "claims 10,000 × 10,000")
    yield bomb("narrow.jpg", _patched(jpg, start + 5, b"\xff\xdc\0\x01"), "claims 1 × 65,500")
    yield bomb("gigapixel.tif", gray_tiff(40_000, 40_000), "claims 1.6 gigapixels")
    yield bomb("large.tif", gray_tiff(15_000, 10_000), "claims 150 megapixels")
    yield bomb("large_lzw.tif", gray_tiff(10_000, 10_000, bytes(99), t259=5), "claims 100 megapixels")
    yield bomb("wide.tif", gray_tiff(0x7FFFFFFF, 1), "claims 2 billion × 1")
    yield bomb("huge.bmp", _patched(good()["bmp"], 18, struct.pack("<ii", 30_000, 30_000)), "claims 30,000 × 30,000")
    yield bomb("wide.bmp", _patched(good()["bmp"], 18, struct.pack("<ii", 2**31 - 1, 1)), "claims 2 billion × 1")
    yield bomb("animated_16383.webp", _huge_webp(), "claims 16,383 × 16,383")


def _one_color(side: int) -> bytes:
    """A PNG of ``side`` × ``side`` white 1-bit pixels, all there."""
    packer = zlib.compressobj(1)
    row = b"\0" + b"\xff" * (-(-side // 8))
    packed = b"".join(packer.compress(row * 100) for _ in range(side // 100)) + packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def _huge_webp() -> bytes:
    """An animated WebP with a canvas as large as the format allows."""
    content = encoded(face(), "WEBP", save_all=True, append_images=[face().rotate(90)])
    canvas = content.index(b"VP8X") + 12
    return _patched(content, canvas, struct.pack("<I", 16_382)[:3] * 2)


def _mutants() -> Cases:
    """Intact files with a few bytes changed: any typed answer is right."""
    for kind, (ending, content) in enumerate(good().items()):
        for index in range(12):
            changed = _flips(content, SEED + 100 * kind + index, 1 + index)
            yield Case(f"mutant_{index}.{ending}", changed, "bytes changed at random", ANY, True)
        headed = _flips(content[:200], SEED + kind, 3) + content[200:]
        yield Case(f"mutant_header.{ending}", headed, "header changed at random", ANY, True)


def _flips(content: bytes, seed: int, count: int) -> bytes:
    """The bytes with ``count`` of them replaced, by seed."""
    dice, changed = random.Random(seed), bytearray(content)
    for _ in range(count):
        changed[dice.randrange(len(changed))] = dice.randrange(256)
    return bytes(changed)


def _paths(folder: Path) -> Iterator[HostileFile]:
    """Paths that are no plain file, and plain files with odd names."""

    def refused(path: Path, note: str) -> HostileFile:
        return HostileFile(path, frozenset({UNREADABLE}), note)

    def written(name: str, note: str) -> HostileFile:
        (folder / name).write_bytes(good()["jpg"])
        return HostileFile(folder / name, frozenset(), note)

    (folder / "directory.jpg").mkdir()
    yield refused(folder / "directory.jpg", "a directory")
    yield refused(folder / "missing.jpg", "not there")
    yield refused(folder / "missing" / "face.jpg", "in a directory that is not there")
    yield refused(folder / "nul\0.jpg", "a NUL byte in the name")
    yield refused(folder / ("n" * 300 + ".jpg"), "a name of 304 bytes")
    yield written("plain.jpg", "a plain file")
    yield refused(folder / "plain.jpg" / "face.jpg", "below a file")
    yield HostileFile(folder / "directory.jpg" / ".." / "plain.jpg", frozenset(), "a path with ..")
    yield written("with space and 'quotes' & $HOME;.jpg", "signs that a shell would read")
    yield written("-rf.jpg", "begins like an option")
    yield written("Gesicht größer 顔 🙂.jpg", "a name beyond ASCII")
    yield written("b" * 251 + ".jpg", "a name of 255 bytes")
    large = folder / "sparse.jpg"
    with large.open("wb") as file:
        file.write(good()["jpg"])
        file.truncate(200_000_001)
    yield HostileFile(large, frozenset({TOO_LARGE}), "one byte more than allowed")
    if sys.platform == "win32":
        return
    yield written("two\nlines\t.jpg", "a newline in the name")
    for name, target in (("dangling", "missing.jpg"), ("loop", "loop.jpg"), ("to_directory", "directory.jpg")):
        (folder / f"{name}.jpg").symlink_to(target)
        yield refused(folder / f"{name}.jpg", f"symbolic link: {name}")
    (folder / "link.jpg").symlink_to("plain.jpg")
    yield HostileFile(folder / "link.jpg", frozenset(), "symbolic link to a plain file")
    os.mkfifo(folder / "pipe.jpg")
    yield refused(folder / "pipe.jpg", "a FIFO that nobody writes to")
    yield refused(Path("/dev/zero"), "a device without an end")
    yield refused(Path("/dev/null"), "a device without content")
    if os.geteuid() != 0:  # root may read everything
        secret = written("unreadable.jpg", "may not be read").path
        secret.chmod(0)
        yield refused(secret, "may not be read")
    if sys.platform == "linux":
        yield written(os.fsdecode(b"no utf-8 \xff\xfe.jpg"), "a name that is not UTF-8")
        os.mknod(folder / "socket.jpg", stat.S_IFSOCK | 0o600)
        yield refused(folder / "socket.jpg", "a socket")
