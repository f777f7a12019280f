"""A folder into a gallery: counted, resumable, and doubtful labels told."""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from fakes import MODEL as FAKE_MODEL
from fakes import AngleEmbedder, FixedDetector, calibration, cosine, save_photo
from gallery_toy import PURPOSE, SHIPPED, enrolment, new_gallery
from PIL import Image

from xcos.comparators.transport import TransportWeighted
from xcos.compare import Uniform
from xcos.errors import InvalidArgument
from xcos.extractor import Extractor
from xcos.gallery import folder as folder_module
from xcos.gallery.folder import doubt_labels, enrol_folder
from xcos.gallery.gallery import Gallery
from xcos.gallery.store import Layout, NewSubject

LAYOUT = Layout(FAKE_MODEL, (2, 2, 2), 2)


def write(folder: Path, people: Mapping[str, Sequence[int]]) -> Path:
    """Photos that carry these angles; 255 shows nobody."""
    for name, angles in people.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for at, angle in enumerate(angles):
            save_photo(folder / name / f"{at}.png", angle)
    return folder


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    return Gallery.create(tmp_path / "g.db", LAYOUT, name="angles", purpose=PURPOSE, retention_days=1, codec="half")


def extractor() -> Extractor:
    return Extractor(FixedDetector(), AngleEmbedder())


def test_a_folder_is_enrolled_and_every_photo_counted(gallery: Gallery, tmp_path: Path) -> None:
    people = write(tmp_path / "people", {"ann": [0, 5, 255], "bob": [90, 95], "nobody": []})
    Image.fromarray(np.full((64, 64, 3), 255, np.uint8)).save(people / "nobody" / "0.png")  # other bytes than ann's
    (people / "bob" / "notes.txt").write_text("not a photo")
    (people / "bob" / ".hidden.png").write_text("not seen")
    (people / "bob" / "folder").mkdir()
    (people / "stray.png").write_text("belongs to nobody")
    shutil.copy(people / "ann" / "0.png", people / "ann" / "copy.png")
    todo: list[int] = []
    done: list[int] = []
    enrolled = enrol_folder(gallery, extractor(), people, on_todo=todo.append, on_photo=lambda: done.append(1))
    assert (enrolled.photos, enrolled.enrolled, enrolled.known, enrolled.subjects) == (9, 4, 0, 3)
    expected = {"no_face": 2, "duplicate": 1, "unsupported_format": 1, "unreadable_source": 1}
    assert enrolled.codes == expected
    assert enrolled.enrolled + len(enrolled.failures) == enrolled.photos
    assert enrolled.without == ("nobody",)
    assert todo == [len(done)]
    assert [each.id for each in gallery.subjects()] == ["ann", "bob"]
    hashes = {hashlib.sha256((people / "ann" / f"{at}.png").read_bytes()).hexdigest() for at in (0, 1)}
    assert {each.source for each in gallery.templates("ann")} == hashes


def test_a_second_run_embeds_nothing_and_one_that_was_stopped_goes_on(
    gallery: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_module, "AT_ONCE", 4)
    people = write(tmp_path / "people", {f"p{at}": [10 * at, 10 * at + 1, 10 * at + 2] for at in range(5)})
    photos: list[int] = []

    def stop() -> None:
        photos.append(1)
        if len(photos) == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        enrol_folder(gallery, extractor(), people, on_photo=stop)
    assert len(gallery) == 8
    embedder = AngleEmbedder()
    rest = enrol_folder(gallery, Extractor(FixedDetector(), embedder), people)
    assert (rest.known, rest.enrolled, len(rest.failures)) == (8, 7, 0)
    assert len(embedder.seen) == 7
    again = enrol_folder(gallery, Extractor(FixedDetector(), embedder), people)
    assert (again.known, again.enrolled) == (15, 0)
    assert len(embedder.seen) == 7
    assert gallery.check().problems == ()


def test_the_same_photo_under_two_names_is_enrolled_under_neither(gallery: Gallery, tmp_path: Path) -> None:
    people = write(tmp_path / "people", {"ann": [0, 5], "bob": [90]})
    shutil.copy(people / "ann" / "0.png", people / "bob" / "same.png")
    enrolled = enrol_folder(gallery, extractor(), people)
    assert enrolled.codes == {"two_subjects": 2}
    assert {failure.path.name for failure in enrolled.failures} == {"0.png", "same.png"}
    assert len(gallery.templates("ann")) == len(gallery.templates("bob")) == 1


@pytest.mark.parametrize("make", [lambda _: None, lambda path: path.mkdir(), lambda path: path.write_text("x")])
def test_what_is_no_folder_of_people_is_refused(gallery: Gallery, tmp_path: Path, make: object) -> None:
    make(tmp_path / "people")  # type: ignore[operator]
    with pytest.raises(InvalidArgument, match="sub-folder"):
        enrol_folder(gallery, extractor(), tmp_path / "people")


def test_strangers_and_twins_are_those_that_the_angles_say(gallery: Gallery, tmp_path: Path) -> None:
    """Threshold 0.5 … 0.625 at any rate: 60° and 51.3°. Bob's third photo is cat's; dan and eve are 27° apart."""
    people = {"ann": [0, 10, 20], "bob": [75, 85, 172], "cat": [165, 176], "dan": [220, 225], "eve": [252]}
    enrol_folder(gallery, extractor(), write(tmp_path / "people", people))
    doubts = doubt_labels(gallery, Uniform(), calibration(), fmr=0.01)
    (stranger,) = doubts.strangers
    assert (stranger.subject, stranger.nearest) == ("bob", "cat")
    assert stranger.score == pytest.approx(cosine(172 - 85), abs=2e-3)
    assert stranger.nearest_score == pytest.approx(cosine(4), abs=2e-3)
    found = {(each.one, each.other): each.score for each in doubts.twins}
    limit = math.degrees(math.acos(0.625))
    expected = {}
    names = list(people)
    for at, one in enumerate(names):
        for other in names[at + 1 :]:
            nearest = min(abs(a - b) for a in people[one] for b in people[other])
            if nearest <= limit:
                expected[one, other] = pytest.approx(cosine(nearest), abs=2e-3)
    assert found == expected
    assert ("bob", "cat") in found
    assert ("dan", "eve") in found


def test_labels_of_too_many_or_with_a_comparator_without_products_are_refused(
    gallery: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol_folder(gallery, extractor(), write(tmp_path / "people", {"ann": [0, 10, 20]}))
    monkeypatch.setattr(folder_module, "MOST_COMPARED", 2)
    with pytest.raises(InvalidArgument, match="too many"):
        doubt_labels(gallery, Uniform(), calibration(), fmr=0.01)
    with pytest.raises(InvalidArgument, match="transport"):
        doubt_labels(gallery, TransportWeighted(), calibration(), fmr=0.01)


def test_a_person_alone_or_with_one_photo_is_no_stranger(tmp_path: Path) -> None:
    with new_gallery(tmp_path / "g.db", SHIPPED) as gallery:
        gallery.enrol_all(NewSubject(f"s{at}", (enrolment(at, SHIPPED),)) for at in range(70))
        doubts = doubt_labels(gallery, Uniform(), calibration(), fmr=0.01)
    assert doubts.strangers == ()
    assert doubts.twins == ()
    assert doubts.threshold == 0.5625
    assert np.isfinite(doubts.fmr)
