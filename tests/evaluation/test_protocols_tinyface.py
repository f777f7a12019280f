from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from protocol_sets import tinyface, touch

from xcos.errors import InvalidProtocol
from xcos.evaluation.protocol import IdentificationProtocol
from xcos.evaluation.protocols import OWNERS, read_protocol


def read(folder: Path) -> IdentificationProtocol:
    protocol = read_protocol("tinyface", folder)
    assert isinstance(protocol, IdentificationProtocol)
    return protocol


def refusal(folder: Path, path: Path) -> str:
    with pytest.raises(InvalidProtocol) as caught:
        read(folder)
    assert (caught.value.details["path"], caught.value.details["line"]) == (str(path), None)
    return caught.value.message


def test_a_set_by_hand(tmp_path: Path) -> None:
    protocol = read(tinyface(tmp_path))
    assert [photo.name for photo in protocol.samples.photos] == [
        "Probe/12_1.jpg",
        "Probe/7_1.jpg",
        "Probe/7_10.jpg",
        "Gallery_Match/12_9.jpg",
        "Gallery_Match/7_3.jpg",
        "Gallery_Match/7_4.jpg",
        "Gallery_Distractor/1_99.jpg",
        "Gallery_Distractor/street.jpg",
    ]
    assert protocol.probes.tolist() == [0, 1, 2]
    assert protocol.gallery.tolist() == [3, 4, 5, 6, 7]
    assert protocol.samples.subjects.tolist() == [1, 0, 0, 1, 0, 0, 2, 3]


def test_a_distractor_is_never_a_probes_mate_whatever_its_name(tmp_path: Path) -> None:
    touch(tinyface(tmp_path) / "Testing_Set/Gallery_Distractor", ["7_77.jpg"])
    protocol = read(tmp_path)
    people = protocol.samples.subjects
    assert not set(people[6:].tolist()) & set(people[:6].tolist())
    assert len(set(people[6:].tolist())) == 3


@pytest.mark.parametrize("home", [".", "tinyface/Testing_Set"])
def test_the_test_set_is_found(tmp_path: Path, home: str) -> None:
    made = tinyface(tmp_path / "other") / "Testing_Set"
    target = tmp_path / "set" / home
    target.parent.mkdir(parents=True, exist_ok=True)
    made.rename(target)
    assert len(read(tmp_path / "set").samples) == 8


def test_the_hash_is_of_the_sorted_names(tmp_path: Path) -> None:
    tinyface(tmp_path)
    command = "for each in Probe Gallery_Match Gallery_Distractor; do LC_ALL=C ls $each | sed s,^,$each/,; done"
    printed = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path / "Testing_Set", capture_output=True, check=True
    ).stdout
    assert read(tmp_path).sha256 == hashlib.sha256(printed).hexdigest()


@pytest.mark.parametrize("kind", ["Probe", "Gallery_Match", "Gallery_Distractor"])
def test_a_missing_or_empty_folder_is_told_where_the_set_is_published(tmp_path: Path, kind: str) -> None:
    folder = tinyface(tmp_path) / "Testing_Set" / kind
    for photo in folder.iterdir():
        photo.unlink()
    assert OWNERS["tinyface"].page in refusal(tmp_path, folder)
    folder.rmdir()
    assert OWNERS["tinyface"].page in refusal(tmp_path, folder)


def test_a_probe_without_a_mate_is_refused(tmp_path: Path) -> None:
    home = tinyface(tmp_path) / "Testing_Set"
    (home / "Gallery_Match/12_9.jpg").unlink()
    assert "Probe/12_1.jpg has no photo of its person in Gallery_Match; 1 of 3 probes" in refusal(tmp_path, home)


@pytest.mark.parametrize("name", ["noname.jpg", "x_1.jpg", "_1.jpg", "7.jpg", "-7_1.jpg", "9999999999_1.jpg"])
def test_a_name_without_its_person_is_refused(tmp_path: Path, name: str) -> None:
    touch(tinyface(tmp_path) / "Testing_Set/Probe", [name])
    assert name in refusal(tmp_path, tmp_path / "Testing_Set/Probe")


def test_other_files_are_refused_and_hidden_ones_are_not_seen(tmp_path: Path) -> None:
    touch(tinyface(tmp_path) / "Testing_Set/Gallery_Distractor", [".DS_Store"])
    assert len(read(tmp_path).samples) == 8
    touch(tmp_path / "Testing_Set/Gallery_Distractor", ["list.mat"])
    assert "list.mat is no photo" in refusal(tmp_path, tmp_path / "Testing_Set/Gallery_Distractor")
