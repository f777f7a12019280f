"""A list of one's own for searches: who is in the gallery, and whose photos are looked for in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xcos.evaluation.protocol import IdentificationProtocol, PhotoSource, Samples, single
from xcos.evaluation.protocols.csv_files import table_in
from xcos.evaluation.protocols.lists import Place, refused, require_photos, shown
from xcos.evaluation.protocols.pairing import NamedSamples
from xcos.tables import Row

COLUMNS = ("role", "subject", "photo")
ROLES = ("gallery", "probe")


def read_gallery(path: Path) -> IdentificationProtocol:
    """Searches in a CSV file: ``role,subject,photo``, in any order; the role is ``gallery`` or ``probe``.

    A search is mated if the probe's subject has a photo in the gallery. A subject may have several photos in it: the
    best counts. Paths start from the file's folder; other columns are not read. A photo stands once: as a probe it
    would find itself in the gallery. Raises :class:`~xcos.errors.InvalidProtocol` with the line.
    """
    table, sha256 = table_in(path)
    names = [name.lower() for name in table.columns]
    missing = [name for name in COLUMNS if name not in names]
    if missing or len(set(names)) != len(names):
        what = f"no column {', '.join(missing)} among" if missing else "columns must have names, each its own:"
        raise refused(Place(path, 1), f"{what} {shown(','.join(table.columns))}; wanted {','.join(COLUMNS)}")
    at = [names.index(name) for name in COLUMNS]
    samples, roles = NamedSamples(), []
    for row in table.rows:
        roles.append(_add(samples, row, Place(path, row.line), at, len(names)))
    probes = np.array([role == "probe" for role in roles], np.bool_)
    for kind, told in ((probes, "probe"), (~probes, "gallery")):
        if not kind.any():
            raise refused(Place(path, None), f"no row has the role {told}; a search needs a probe and a gallery")
    require_photos(samples.names, samples.places, path.parent, None)
    photos = tuple(PhotoSource(name, path.parent / name) for name in samples.names)
    return IdentificationProtocol(
        name="gallery",
        samples=Samples(photos, tuple(map(single, range(len(photos)))), samples.subject_numbers(), subjects_known=True),
        gallery=np.flatnonzero(~probes),
        probes=np.flatnonzero(probes),
        sha256=sha256,
    )


def _add(samples: NamedSamples, row: Row, place: Place, at: list[int], columns: int) -> str:
    """Adds the photo of a row; its role."""
    if len(row.cells) != columns:
        raise refused(place, f"{columns} columns were expected, got {len(row.cells)}: {shown(','.join(row.cells))}")
    role, subject, photo = (row.cells[each] for each in at)
    if role.strip().lower() not in ROLES:
        raise refused(place, f"the role must be gallery or probe, got {shown(role)}")
    if not subject.strip() or not photo:
        raise refused(place, "subject and photo must both be named")
    before = len(samples)
    number = samples.number(str(Path(photo)), place, subject.strip())
    if number < before:
        raise refused(place, f"{photo} stands in {samples.places[number].told} already; a photo stands once")
    return role.strip().lower()
