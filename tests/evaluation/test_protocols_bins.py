from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
from pickles import Evil
from protocol_sets import binned, crop

from xcos.alignment import ARCFACE_112
from xcos.errors import InvalidProtocol
from xcos.evaluation.protocol import VerificationProtocol
from xcos.evaluation.protocols import read_protocol
from xcos.evaluation.protocols.bins import read_bin


def refusal(path: Path) -> InvalidProtocol:
    before = sorted(path.parent.iterdir())
    with pytest.raises(InvalidProtocol) as caught:
        read_bin(path)
    assert sorted(path.parent.iterdir()) == before
    assert caught.value.details["path"] == str(path)
    assert caught.value.details["line"] is None
    return caught.value


def dump(path: Path, images: object, mated: object) -> Path:
    path.write_bytes(pickle.dumps((images, mated)))
    return path


def test_photos_labels_landmarks_and_hash_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "set.bin"
    images, mated = binned(path)
    protocol = read_bin(path)
    assert protocol.mated.tolist() == mated
    assert protocol.probe.tolist() == list(range(0, 40, 2))
    assert protocol.reference.tolist() == list(range(1, 40, 2))
    assert [photo.source for photo in protocol.samples.photos] == images
    assert protocol.samples.photos[3].name == "00002/reference"
    for photo in protocol.samples.photos:
        assert photo.landmarks is not None
        assert np.array_equal(photo.landmarks, ARCFACE_112.points)
    assert protocol.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(("pairs", "sizes"), [(10, [1] * 10), (20, [2] * 10), (23, [3] * 3 + [2] * 7)])
def test_folds_are_ten_contiguous_parts_the_first_ones_larger(tmp_path: Path, pairs: int, sizes: list[int]) -> None:
    # As scikit-learn's KFold without shuffling, which the field's evaluation uses.
    binned(tmp_path / "set.bin", pairs)
    fold = read_bin(tmp_path / "set.bin").fold
    assert fold.tolist() == [number for number, size in enumerate(sizes) for _ in range(size)]


def test_photos_of_the_same_bytes_are_one_and_link_people(tmp_path: Path) -> None:
    images = [crop(at) for at in range(40)]
    images[2] = images[0]  # pairs 1 (mated) and 2 share a photo, and so do 3 (mated) and 2
    images[4] = images[3]
    mated = [True, False, True] + [False] * 17
    samples = read_bin(dump(tmp_path / "set.bin", images, mated)).samples
    assert len(samples) == 38
    assert not samples.subjects_known
    people = {photo.name: subject for photo, subject in zip(samples.photos, samples.subjects.tolist(), strict=True)}
    assert people["00001/probe"] == people["00001/reference"]
    assert people["00002/reference"] == people["00003/reference"] != people["00001/probe"]
    assert len(set(people.values())) == 36


@pytest.mark.parametrize("name", ["lfw", "calfw", "cplfw", "cfp-ff", "cfp-fp", "agedb-30", "vgg2-fp", "bin"])
def test_the_sets_of_the_field_are_read_from_their_bin(tmp_path: Path, name: str) -> None:
    path = tmp_path / "any.bin"
    binned(path)
    protocol = read_protocol(name, path)
    assert isinstance(protocol, VerificationProtocol)
    assert (protocol.name, len(protocol)) == (name, 20)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("where", ["alone", "image", "label"])
def test_a_pickle_that_runs_code_is_refused_with_the_byte_and_nothing_runs(
    tmp_path: Path, protocol: int, where: str
) -> None:
    evil = Evil(tmp_path / "ran")
    images = [crop(0)] * 20
    value = {"alone": evil, "image": ([*images, evil], [True]), "label": (images, [True, evil])}[where]
    path = tmp_path / "set.bin"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    error = refusal(path)
    assert "system" in error.message
    assert isinstance(error.details["offset"], int)
    assert not (tmp_path / "ran").exists()
    pickle.loads(path.read_bytes())
    assert (tmp_path / "ran").exists()  # the same bytes do run where a pickle is trusted


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    path = tmp_path / "set.bin"
    binned(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert isinstance(refusal(path).details["offset"], int)


@pytest.mark.parametrize("content", [b"", b"probe,reference\n", b"\xff\xd8\xff\xe0", b"\0" * 100])
def test_what_is_no_pickle_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "set.bin"
    path.write_bytes(content)
    refusal(path)


@pytest.mark.parametrize("labels", [[2] * 20, [True] * 19, [True] * 21, [], ["1"] * 20, [None] * 20])
def test_labels_out_of_range_or_number_are_refused(tmp_path: Path, labels: list[object]) -> None:
    refusal(dump(tmp_path / "set.bin", [crop(at) for at in range(40)], labels))


def test_fewer_pairs_than_folds_are_refused(tmp_path: Path) -> None:
    binned(tmp_path / "set.bin", 9)
    assert "9 pairs cannot be 10 folds" in refusal(tmp_path / "set.bin").message


@pytest.mark.parametrize("kind", [True, False])
def test_pairs_of_one_kind_only_are_refused(tmp_path: Path, kind: bool) -> None:
    path = dump(tmp_path / "set.bin", [crop(at) for at in range(40)], [kind] * 20)
    assert f"there is no {'non-mated' if kind else 'mated'} pair" in refusal(path).message


def test_a_pair_that_stands_twice_is_refused_with_its_number_unless_as_published(tmp_path: Path) -> None:
    images = [crop(at) for at in range(40)]
    images[10:12] = images[1], images[0]
    path = dump(tmp_path / "set.bin", images, [at in (0, 5) for at in range(20)])
    error = refusal(path)
    assert "set.bin, pair 6: the pair of pair 1 stands here again: twice" in error.message
    assert error.details["pair"] == 6
    assert len(read_bin(path, as_published=True)) == 20


def test_a_pair_of_two_kinds_is_refused_even_as_published(tmp_path: Path) -> None:
    images = [crop(at) for at in range(40)]
    images[10:12] = images[1], images[0]
    path = dump(tmp_path / "set.bin", images, [True] + [False] * 19)
    with pytest.raises(InvalidProtocol, match=r"pair 6: .* as mated and as non-mated"):
        read_bin(path, as_published=True)


def test_a_pair_of_one_photo_is_refused_unless_as_published(tmp_path: Path) -> None:
    images = [crop(at) for at in range(40)]
    images[7] = images[6]
    path = dump(tmp_path / "set.bin", images, [True] + [False] * 19)
    assert refusal(path).details["pair"] == 4
    assert len(read_bin(path, as_published=True).samples) == 39


@pytest.mark.parametrize("size", [(112, 96), (160, 160), (1, 1), (20_000, 9_999)])
def test_a_crop_of_another_size_is_refused_because_the_landmarks_would_be_wrong(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    images = [crop(at) for at in range(40)]
    images[5] = crop(0, size)
    error = refusal(dump(tmp_path / "set.bin", images, [True] + [False] * 19))
    assert "pair 3" in error.message
    assert "112 × 112" in error.message


@pytest.mark.parametrize(
    "broken", [b"no picture", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n" + b"\0" * 40]
)
def test_a_photo_that_is_no_picture_is_left_to_be_counted_as_a_failure(tmp_path: Path, broken: bytes) -> None:
    images = [crop(at) for at in range(40)]
    images[5] = broken
    assert read_bin(dump(tmp_path / "set.bin", images, [True] + [False] * 19)).samples.photos[5].source == broken


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert "InsightFace" in refusal(tmp_path / "none.bin").message
    (tmp_path / "set.bin").mkdir()
    refusal(tmp_path / "set.bin")
