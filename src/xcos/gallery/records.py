"""Records of one size each, so that a store can overwrite one where it lies.

SQLite's ``secure_delete`` zeroes what is deleted, but not the copies that its trees leave in a page's unused part when
they move records about. Records that are never deleted, only overwritten by as many bytes, are never moved.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xcos.errors import InvalidArgument, StoreDamaged
from xcos.gallery.sketch import Words
from xcos.gallery.store import Enrolment, GalleryCard, Layout, Subject

SUBJECT_BYTES = 512
Heads = NDArray[np.void]


def head_kind(card: GalleryCard) -> np.dtype[np.void]:
    """What is kept of a template beside its grid; ``sid`` is 0 in a record that is free."""
    return np.dtype(
        [
            ("sid", "<i8"),
            ("quality", "<f8"),
            ("created", "<f8"),
            ("expires", "<f8"),
            ("source", "u1", 32),
            ("digest", "u1", 16),
            ("vector", "<f4", (card.layout.vector,)),
            ("sketch", "<u8", (card.sketch_bits // 64,)),
        ]
    )


def pack_head(
    kind: np.dtype[np.void], sid: int, enrolment: Enrolment, times: tuple[float, float], sketch: Words, grid: bytes
) -> bytes:
    """The head of one template, made and expiring at ``times``, with the digest of itself and its grid."""
    head = np.zeros((), kind)
    head["sid"], head["quality"], (head["created"], head["expires"]) = sid, enrolment.quality, times
    head["source"] = np.frombuffer(bytes.fromhex(enrolment.source) or bytes(32), np.uint8)
    head["vector"], head["sketch"] = enrolment.template.vector, sketch
    head["digest"] = np.frombuffer(_digest(head, grid), np.uint8)
    return head.tobytes()


def is_intact(head: Any, grid: bytes) -> bool:
    """Whether one head states the digest of itself and its grid."""
    return bool(head["digest"].tobytes() == _digest(head, grid))


def _digest(head: Any, grid: bytes) -> bytes:
    """BLAKE2b of a template's head, its digest left out, and its grid: 16 bytes."""
    blank = head.copy()
    blank["digest"] = 0
    return hashlib.blake2b(blank.tobytes() + grid, digest_size=16).digest()


def pack_subject(subject: Subject) -> bytes:
    """A subject, filled up with zeros; refused where the id and tags are too long for a record."""
    fields = {"id": subject.id, "created": subject.created, "expires": subject.expires, "tags": dict(subject.tags)}
    content = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    if len(content) > SUBJECT_BYTES:
        raise InvalidArgument(
            f"the id and tags of subject {subject.id[:40]!r} take {len(content)} bytes of at most {SUBJECT_BYTES}; "
            "shorten them"
        )
    return content.ljust(SUBJECT_BYTES, b"\0")


def unpack_subject(content: bytes) -> Subject | None:
    """The subject in a record; None if the record is free."""
    words = content.rstrip(b"\0")
    if not words:
        return None
    try:
        fields = json.loads(words.decode("utf-8", "surrogatepass"))
        return Subject(str(fields["id"]), float(fields["created"]), float(fields["expires"]), dict(fields["tags"]))
    except (ValueError, KeyError, TypeError) as error:
        raise StoreDamaged("a subject's record cannot be read; run 'xcos gallery check' and restore a copy") from error


def pack_card(card: GalleryCard) -> str:
    """JSON of a card."""
    return json.dumps({**card.__dict__, "layout": card.layout.__dict__}, sort_keys=True)


def unpack_card(text: str) -> GalleryCard:
    """The card in a JSON text; raises what json and the card itself raise."""
    fields = json.loads(text)
    layout = fields.pop("layout")
    return GalleryCard(**fields, layout=Layout(layout["model"], tuple(layout["grid"]), layout["vector"]))
