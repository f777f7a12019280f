from __future__ import annotations

import io
import pickle
import struct
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pickles import Evil

from xcos.errors import InvalidArgument
from xcos.pickled_pairs import PickledPairs, read_pickled_pairs

EVERY_BYTE = bytes(range(256))
IMAGES = [EVERY_BYTE, b"\xff\xd8'\"\\\n", EVERY_BYTE * 300, b"last"]


def read(folder: Path, content: bytes) -> PickledPairs:
    (folder / "set.bin").write_bytes(content)
    return read_pickled_pairs(folder / "set.bin")


def unpickled(content: bytes) -> object:
    """What Python's own interpreter gives where it may import nothing but what turns text into bytes."""

    class Harmless(pickle._Unpickler):
        def find_class(self, module: str, name: str) -> object:
            if (module, name) != ("_codecs", "encode"):
                raise pickle.UnpicklingError(f"{module}.{name}")
            return lambda text, encoding: text.encode(encoding)

    return Harmless(io.BytesIO(content), encoding="bytes").load()


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("outer", [tuple, list])
@pytest.mark.parametrize("inner", [tuple, list])
def test_what_python_3_writes_is_read_in_every_protocol(
    tmp_path: Path, protocol: int, outer: type, inner: type
) -> None:
    pairs = read(tmp_path, pickle.dumps(outer((inner(IMAGES), inner([True, False]))), protocol=protocol))
    assert list(pairs.images) == IMAGES
    assert pairs.mated.tolist() == [True, False]
    assert pairs.mated.dtype == np.bool_
    assert len(pairs) == 2


@pytest.mark.parametrize("pairs", [1, 2, 3, 1001])
def test_tuples_and_lists_of_any_length_are_read(tmp_path: Path, pairs: int) -> None:
    images = tuple(str(number).encode() for number in range(2 * pairs))
    mated = tuple(number % 3 == 0 for number in range(pairs))
    for value in ((images, mated), (list(images), list(mated))):
        got = read(tmp_path, pickle.dumps(value))
        assert (got.images, tuple(got.mated.tolist())) == (images, mated)


@pytest.mark.parametrize("protocol", range(6))
def test_a_photo_that_occurs_often_is_remembered(tmp_path: Path, protocol: int) -> None:
    pairs = read(tmp_path, pickle.dumps(([IMAGES[0]] * 5000, [True] * 2500), protocol=protocol))
    assert pairs.images == (IMAGES[0],) * 5000
    assert pairs.mated.all()


# What Python 2's pickle writes for ([first, second], [True]), by hand: byte strings have instructions of their own.
PYTHON_2 = {
    0: b"((lp0\nS'\\xff\\xd8\\'\\n'\np1\naS\"it's\"\np2\na(lp3\nI01\natp4\n.",
    1: b"(]q\x00(U\x04\xff\xd8'\nq\x01T\x04\x00\x00\x00it'sq\x02e]q\x03I01\natq\x04.",
    2: b"\x80\x02]q\x00(U\x04\xff\xd8'\nq\x01T\x04\x00\x00\x00it'sq\x02e]q\x03\x88a\x86q\x04.",
}


@pytest.mark.parametrize("protocol", PYTHON_2)
def test_what_python_2_writes_is_read_in_every_protocol(tmp_path: Path, protocol: int) -> None:
    pairs = read(tmp_path, PYTHON_2[protocol])
    assert pairs.images == (b"\xff\xd8'\n", b"it's")
    assert pairs.mated.tolist() == [True]
    assert unpickled(PYTHON_2[protocol]) == ([b"\xff\xd8'\n", b"it's"], [True])


def test_labels_may_be_the_numbers_zero_and_one(tmp_path: Path) -> None:
    assert read(tmp_path, pickle.dumps((IMAGES, [1, 0]))).mated.tolist() == [True, False]
    assert read(tmp_path, b"(]q\x00(U\x01aU\x01be]q\x03L1L\nat.").mated.tolist() == [True]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("place", ["alone", "image", "label"])
def test_a_pickle_that_would_run_a_command_is_refused_and_nothing_runs(
    tmp_path: Path, protocol: int, place: str
) -> None:
    evil = Evil(tmp_path / "ran")
    value = {"alone": evil, "image": ([*IMAGES, evil], [True]), "label": (IMAGES, [True, evil])}[place]
    content = pickle.dumps(value, protocol=protocol)
    assert b"system" in content
    with pytest.raises(InvalidArgument, match=r"stands (STACK_)?GLOBAL \(posix system\)") as caught:
        read(tmp_path, content)
    offset = caught.value.details["offset"]
    assert isinstance(offset, int)
    assert content[offset : offset + 1] in (pickle.GLOBAL, pickle.STACK_GLOBAL)
    assert not (tmp_path / "ran").exists()
    pickle.loads(content)
    assert (tmp_path / "ran").exists()  # the same bytes do run where a pickle is trusted


REFUSED = {
    "GLOBAL": b"cbuiltins\neval\n",
    "STACK_GLOBAL": b"\x8c\x02os\x8c\x06system\x93",
    "REDUCE": b"U\x01aU\x01bR",
    "BUILD": b"]]b",
    "INST": b"(ios\nsystem\n",
    "OBJ": b"(]o",
    "NEWOBJ": b"])\x81",
    "NEWOBJ_EX": b"]])\x92",
    "EXT1": b"\x82\x01",
    "EXT2": b"\x83\x01\x00",
    "EXT4": b"\x84\x01\x00\x00\x00",
    "PERSID": b"Px\n",
    "BINPERSID": b"]Q",
    "NEXT_BUFFER": b"\x97",
    "READONLY_BUFFER": b"\x98",
    "BYTEARRAY8": b"\x96" + struct.pack("<Q", 1) + b"a",
    "EMPTY_DICT": b"}",
    "DICT": b"(d",
    "SETITEM": b"}]]s",
    "EMPTY_SET": b"\x8f",
    "FROZENSET": b"(\x91",
    "NONE": b"N",
    "BINFLOAT": b"G" + bytes(8),
    "DUP": b"]2",
    "POP": b"]0",
}


@pytest.mark.parametrize("name", REFUSED)
def test_every_other_instruction_is_refused_by_its_name(tmp_path: Path, name: str) -> None:
    first = "EMPTY_DICT" if name == "SETITEM" else name
    with pytest.raises(InvalidArgument, match=rf"at byte [0-9]+ stands {first}\b"):
        read(tmp_path, b"\x80\x04" + REFUSED[name] + b".")


@pytest.mark.parametrize(
    "content",
    [
        b"U\x01a(X\x01\x00\x00\x00aX\x06\x00\x00\x00latin1tR.",
        b"c_codecs\ndecode\n(U\x01aU\x06latin1tR.",
        b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x05\x00\x00\x00rot13tR.",
        b"c_codecs\nencode\n(X\x01\x00\x00\x00atR.",
        b"c_codecs\nencode\nX\x01\x00\x00\x00aR.",
        b"c_codecs\nencode\n(X\x02\x00\x00\x00\xc4\x80X\x06\x00\x00\x00latin1tR.",  # not a byte
    ],
)
def test_text_becomes_bytes_in_the_one_way_python_writes(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InvalidArgument, match="is refused: at byte"):
        read(tmp_path, content)


@pytest.mark.parametrize("protocol", range(6))
def test_numpy_labels_are_refused_with_advice(tmp_path: Path, protocol: int) -> None:
    with pytest.raises(InvalidArgument, match=r"numpy.*labels\.tolist\(\)"):
        read(tmp_path, pickle.dumps((IMAGES, np.array([True, False])), protocol=protocol))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "its end, without STOP"),
        (b"\x80\x02]", "its end, without STOP"),
        (b"\x80\x06].", "PROTO"),
        (b"hello", "an unknown instruction 'h'|GET"),
        (b"\xff", "an unknown instruction"),
        (b"]].", "STOP leaves 2 values"),
        (b".", "STOP leaves 0 values"),
        (b"].more", "STOP leaves 1 values and 4 bytes"),
        (b"(].", "STOP leaves 1 values"),
        (b"a.", "APPEND finds no value"),
        (b"]e.", "APPENDS finds no value"),
        (b"U\x01aU\x01ba.", "APPEND finds no value"),
        (b"h\x07.", "BINGET finds no value"),
        (b"q\x07.", "BINPUT finds no value"),
        (b"S'a\n.", "STRING with a broken argument"),
        (b"S'\\q'\n.", "STRING with a broken argument .*unknown escape"),
        (b"S'\\x4'\n.", "STRING with a broken argument"),
        (b"S'\\'\n.", "STRING with a broken argument"),
        (b"T\xff\x00\x00\x00a.", "BINSTRING with a broken argument"),
        (b"Ix\n.", "INT with a broken argument"),
        (b"(I2\nl.", "INT with a broken argument .* where 0 or 1 must stand"),
        (b"]q\x00(q\x00e.", "BINPUT finds no value"),
        (b"].", "must hold a tuple of images and labels, got a list of"),
        (b"(]]]t.", "must hold a tuple of images and labels"),
        (b"U\x01a.", "must hold a tuple of images and labels, got one bytes"),
        (pickle.dumps((["text"] * 2, [True])), "list of byte strings and one of booleans"),
        (pickle.dumps((b"ab", [True])), "list of byte strings"),
        (pickle.dumps((IMAGES, [0, 2])), "list of byte strings and one of booleans"),
        (pickle.dumps((IMAGES, [b"a", True])), "list of byte strings and one of booleans"),
        (pickle.dumps((IMAGES, [True])), "4 images and 1 labels"),
        (pickle.dumps((IMAGES, [True] * 4)), "4 images and 4 labels"),
        (pickle.dumps(([], [])), "0 images and 0 labels"),
        (pickle.dumps(([b"a", b""], [True])), "none empty"),
    ],
)
def test_what_is_no_set_of_pairs_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        read(tmp_path, content)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"none\.bin: No such file"):
        read_pickled_pairs(tmp_path / "none.bin")


WHOLE = [pickle.dumps(([b"ab", b"\xff\xd8", b"ab", b"c"], [True, False]), protocol=protocol) for protocol in range(4)]


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.sampled_from([*WHOLE, *PYTHON_2.values()]),
    changes=st.lists(st.tuples(st.floats(0, 0.999), st.binary(max_size=2), st.integers(0, 2)), min_size=1, max_size=3),
)
def test_a_damaged_file_is_refused_or_means_what_python_says(
    tmp_path: Path, content: bytes, changes: list[tuple[float, bytes, int]]
) -> None:
    for share, new, taken in changes:
        at = int(share * len(content))
        content = content[:at] + new + content[at + taken :]
    try:
        pairs = read(tmp_path, content)
    except InvalidArgument:
        return
    images, labels = cast("tuple[list[bytes], list[bool]]", unpickled(content))
    assert list(pairs.images) == list(images)
    assert pairs.mated.tolist() == [bool(label) for label in labels]


def test_reading_a_pickle_of_pairs_needs_no_torch() -> None:
    import subprocess
    import sys

    code = "import sys, xcos.pickled_pairs; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
