"""Readers of protocols: what is compared with what in the sets that the field reports, and in lists of one's own.

A reader takes the path of what its owner gives out and returns a protocol whose every line was checked, before any
photo is read. It opens the files it names; it writes, downloads and executes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

from xcos.errors import InvalidArgument
from xcos.evaluation.protocol import IdentificationProtocol, VerificationProtocol
from xcos.evaluation.protocols import owners
from xcos.evaluation.protocols.agedb import read_agedb_30
from xcos.evaluation.protocols.bins import read_bin
from xcos.evaluation.protocols.cfp import read_cfp_ff, read_cfp_fp
from xcos.evaluation.protocols.csv_files import ScoreTable, read_csv, read_scores
from xcos.evaluation.protocols.gallery import read_gallery
from xcos.evaluation.protocols.grouped import read_grouped, read_rfw
from xcos.evaluation.protocols.ijb import read_ijbb, read_ijbc
from xcos.evaluation.protocols.lfw import read_lfw, read_lfw_view1
from xcos.evaluation.protocols.masked import read_masked
from xcos.evaluation.protocols.owners import Owner
from xcos.evaluation.protocols.relatives import read_calfw, read_cplfw, read_sllfw
from xcos.evaluation.protocols.tinyface import read_tinyface
from xcos.evaluation.protocols.ytf import read_ytf, read_ytf_corrected

__all__ = [
    "OWNERS",
    "READERS",
    "VERIFICATION",
    "Owner",
    "ScoreTable",
    "VerificationReader",
    "read_protocol",
    "read_scores",
]


class VerificationReader(Protocol):
    """Reads pairs; ``as_published`` lets pairs stand that occur twice or have one photo on both sides.

    Without ``with_photos`` no photo need be there, for scores that were computed elsewhere.
    """

    def __call__(self, path: Path, /, *, as_published: bool = False, with_photos: bool = True) -> VerificationProtocol:
        """The protocol in ``path``."""
        ...


VERIFICATION: dict[str, VerificationReader] = {
    "agedb-30": read_agedb_30,
    "bin": read_bin,
    "calfw": read_calfw,
    "cfp-ff": read_cfp_ff,
    "cfp-fp": read_cfp_fp,
    "cplfw": read_cplfw,
    "csv": read_csv,
    "grouped": read_grouped,
    "ijbb": read_ijbb,
    "ijbc": read_ijbc,
    "lfw": read_lfw,
    "lfw-view1": read_lfw_view1,
    "lfw-view1-train": partial(read_lfw_view1, part="train"),
    "masked": read_masked,
    "rfw": read_rfw,
    "sllfw": read_sllfw,
    "vgg2-fp": partial(read_bin, name="vgg2-fp"),
    "ytf": read_ytf,
    "ytf-corrected": read_ytf_corrected,
}
READERS: dict[str, Callable[[Path], VerificationProtocol | IdentificationProtocol]] = {
    **VERIFICATION,
    "gallery": read_gallery,
    "tinyface": read_tinyface,
}
"""All readers by name."""
OWNERS: dict[str, Owner] = {
    "agedb-30": owners.AGEDB,
    "bin": owners.BIN,
    "calfw": owners.CALFW,
    "cfp-ff": owners.CFP,
    "cfp-fp": owners.CFP,
    "cplfw": owners.CPLFW,
    "ijbb": owners.IJB,
    "ijbc": owners.IJB,
    "lfw": owners.LFW,
    "lfw-view1": owners.LFW,
    "lfw-view1-train": owners.LFW,
    "masked": owners.MFR2,
    "rfw": owners.RFW,
    "sllfw": owners.SLLFW,
    "tinyface": owners.TINYFACE,
    "vgg2-fp": owners.VGGFACE2,
    "ytf": owners.YTF,
    "ytf-corrected": owners.YTF,
}
"""Where each set comes from; lists of one's own (``csv``, ``gallery``, ``grouped``) are not here."""


def read_protocol(
    name: str, path: str | Path, *, as_published: bool = False, with_photos: bool = True
) -> VerificationProtocol | IdentificationProtocol:
    """What the reader of that name makes of ``path``.

    ``as_published`` speaks of pairs only: it lets those stand that occur twice or compare a photo with itself, which
    are refused otherwise. ``with_photos=False`` does not ask whether the photos of pairs are there, for scores that
    were computed elsewhere. Raises :class:`~xcos.errors.InvalidProtocol` for what is wrong with the files and
    :class:`~xcos.errors.InvalidArgument` for a name that no reader has.
    """
    if name not in READERS:
        raise InvalidArgument(f"no protocol is named {name!r}; there are {', '.join(sorted(READERS))}", name=name)
    if name in VERIFICATION:
        return VERIFICATION[name](Path(path), as_published=as_published, with_photos=with_photos)
    return READERS[name](Path(path))
