"""Sets of masked faces whose list has LFW's form: MFR2 (Anwar and Raychowdhury 2020), or LFW with masks drawn on it."""

from __future__ import annotations

from pathlib import Path

from xcos.evaluation.protocol import VerificationProtocol
from xcos.evaluation.protocols import owners
from xcos.evaluation.protocols.lfw import NamedPhoto, add_blocks, add_pair, header, named_pair
from xcos.evaluation.protocols.lists import Place, inside, is_file, photo_folder, read_list, refused
from xcos.evaluation.protocols.pairing import NamedSamples, PairList

ENDINGS = (".jpg", ".jpeg", ".png")


def read_masked(path: Path, *, as_published: bool = False, with_photos: bool = True) -> VerificationProtocol:
    """Pairs of ``pairs.txt`` in LFW's form; photos ``name/name_0001`` that end in .jpg, .jpeg or .png.

    With LFW's header its folds; without one, as in MFR2, none. The people's folders lie beside the list or in
    ``images/``; people are known by name. Which photos show a mask neither the list nor this reader says. A photo that
    is there with two endings is refused; without ``with_photos`` one that is absent ends in .jpg.
    """
    file = read_list(path / "pairs.txt", owners.MFR2)
    folder = photo_folder(path, "images")

    def photo_name(photo: NamedPhoto, place: Place) -> str:
        stem = inside(photo.stem, place)
        there = [stem + ending for ending in ENDINGS if is_file(folder / (stem + ending))]
        if len(there) > 1:
            raise refused(place, f"{' and '.join(there)} are both there; only one of them can be the photo meant")
        return there[0] if there else stem + ENDINGS[0]

    pairs = PairList(NamedSamples())
    block = header(file)
    if block:
        add_blocks(pairs, file.lines[1:], block, photo_name)
    else:
        for line in file.lines:
            add_pair(pairs, line.place, named_pair(line), photo_name)
    return pairs.protocol(
        "masked", folder, owners.MFR2, file.sha256, as_published=as_published, with_photos=with_photos
    )
