"""Shards of features: what is whole comes back to the last bit, what is not never does."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from xcos.errors import InvalidArgument
from xcos.feature_store import (
    MOST_FOR_HALF,
    PREFIX,
    FeatureStore,
    Kept,
    Place,
    Recipe,
    Refused,
    Shard,
    StoredRows,
    make_shard,
    open_shard,
    opened_store,
    rows_of,
    write_shard,
)

RECIPE = Recipe("model", "detector", "only", "single", ("sharpness",))


def kept(value: float, shape: tuple[int, ...] = (2, 3, 4)) -> Kept:
    size = int(np.prod(shape))
    grid = (value + np.arange(size)).reshape(shape).astype(np.float32)
    return Kept(grid, np.array([value, -value], np.float32), (value / 3,))


def some() -> Shard:
    return make_shard({"a": kept(1.1), "b": Refused("no_face", "none, they say: ‘nobody’"), "c": kept(-1e-30)})


def equal(one: Shard, other: Shard) -> bool:
    same = all(
        getattr(one, name).dtype == getattr(other, name).dtype
        and getattr(one, name).shape == getattr(other, name).shape
        and getattr(one, name).tobytes() == getattr(other, name).tobytes()
        for name in ("grids", "vectors", "measures")
    )
    return same and one.photos == other.photos and one.refused == other.refused


@given(
    values=arrays(
        np.float32,
        st.tuples(*(st.integers(1, 4) for _ in range(4))),
        elements=st.floats(width=32, allow_nan=False),
    ),
    measures=st.integers(0, 3),
    message=st.text(),
)
def test_what_was_written_comes_back_to_the_last_bit(values: np.ndarray, measures: int, message: str) -> None:
    results: dict[str, Kept | Refused] = {
        f"photo {at}": Kept(grid, grid[0, 0], tuple(0.1 * at for _ in range(measures)))
        for at, grid in enumerate(values)
    }
    results["bad"] = Refused("corrupt_image", message)
    shard = make_shard(results)
    with tempfile.TemporaryDirectory() as folder:
        back = open_shard(write_shard(shard, Path(folder)))
        assert equal(back, shard)
        assert back.photos == tuple(f"photo {at}" for at in range(len(values)))
        assert back.grids.tobytes() == values.tobytes()


def test_a_shard_of_failures_alone_comes_back(tmp_path: Path) -> None:
    shard = make_shard({"a": Refused("no_face", "none")})
    assert equal(open_shard(write_shard(shard, tmp_path)), shard)


def test_a_change_of_any_byte_is_found(tmp_path: Path) -> None:
    path = write_shard(some(), tmp_path)
    content = path.read_bytes()
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(ValueError, match=r"shard|damaged"):
            open_shard(path)
    path.write_bytes(content)
    assert equal(open_shard(path), some())


def test_a_file_that_is_cut_or_grown_is_found_without_reading_it(tmp_path: Path) -> None:
    path = write_shard(some(), tmp_path)
    content = path.read_bytes()
    for wrong in (*(content[:length] for length in range(0, len(content), 7)), content + b"\0"):
        path.write_bytes(wrong)
        with pytest.raises(ValueError, match="shard"):
            open_shard(path, check=False)


@pytest.mark.parametrize("kind", ["|O", "<U4", ">f4", "<i8"])
def test_numbers_of_another_kind_are_never_made(tmp_path: Path, kind: str) -> None:
    path = write_shard(some(), tmp_path)
    content = path.read_bytes()
    magic, size, length, _ = PREFIX.unpack(content[: PREFIX.size])
    fields = json.loads(content[PREFIX.size : PREFIX.size + length])
    fields["arrays"]["grids"][0] = kind
    header = json.dumps(fields).encode().ljust(length)
    assert len(header) == length
    digest = hashlib.sha256(header).digest()  # a forger can do that
    path.write_bytes(PREFIX.pack(magic, size, length, digest) + header + content[PREFIX.size + length :])
    with pytest.raises(ValueError, match="kind"):
        open_shard(path)


def test_half_precision_costs_a_thousandth_at_most_and_large_features_none() -> None:
    random = np.random.default_rng(0)
    grid = (random.normal(size=(3, 3, 8)) * 10.0 ** random.integers(-3, 2, (3, 3, 1))).astype(np.float32)
    small = make_shard({"a": Kept(grid, grid[0, 0])}, "half")
    assert small.grids.dtype == np.float16
    # ten bits of fraction, rounded: half of 2^-10 of the value; below 6e-5 the numbers lie 6e-8 apart
    assert (np.abs(small.grids[0] - grid) <= np.abs(grid) * 2.0**-11 + 2.0**-25).all()
    assert small.vectors.dtype == np.float32
    large = make_shard({"a": Kept(grid * np.float32(2 * MOST_FOR_HALF / np.abs(grid).max()), grid[0, 0])}, "half")
    assert large.grids.dtype == np.float32


@given(data=st.data())
def test_rows_are_those_of_all_arrays_one_after_the_other(data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=4).filter(any))
    random = np.random.default_rng(0)
    parts = tuple(random.normal(size=(length, 2, 3)).astype(np.float16) for length in lengths)
    whole = np.concatenate(parts).astype(np.float32)
    places = np.array([(number, row) for number, part in enumerate(parts) for row in range(len(part))])
    rows = StoredRows(parts, places, whole.shape)
    index = np.array(data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=9)), np.int64)
    np.testing.assert_array_equal(rows[index], whole[index])
    np.testing.assert_array_equal(rows.take(index)[np.arange(len(index))], whole[index])
    np.testing.assert_array_equal(rows.row_of_cells(1), whole[:, 1])
    assert (len(rows), rows.shape) == (len(whole), whole.shape)
    np.testing.assert_array_equal(rows_of(whole)[index], whole[index])


def keep(store: FeatureStore, results: dict[str, Kept | Refused]) -> None:
    shard = make_shard(results)
    store.add(shard if store.folder is None else open_shard(write_shard(shard, store.folder)))


def test_a_store_knows_what_was_kept_and_forgets_what_is_damaged(tmp_path: Path) -> None:
    with opened_store(tmp_path, RECIPE, set()) as store:
        keep(store, {"a": kept(1), "b": Refused("no_face", "none")})
        keep(store, {"c": kept(2)})
    with opened_store(tmp_path, RECIPE, {"b", "c"}) as store:
        assert store.known == {"a": Place(0, 0), "b": Refused("no_face", "none"), "c": Place(1, 0)} or store.known == {
            "a": Place(1, 0),
            "b": Refused("no_face", "none"),
            "c": Place(0, 0),
        }
        place = store.known["c"]
        assert isinstance(place, Place)
        np.testing.assert_array_equal(store.rows("grids", [place])[np.array([0])][0], kept(2).grid)
    (damaged,) = (path for path in tmp_path.glob("*/*.features") if b'"c"' in path.read_bytes())
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\x01")
    with opened_store(tmp_path, RECIPE, {"a", "c"}) as store:
        assert sorted(store.known) == ["a", "b"]
    assert not damaged.exists()


def test_shards_that_nobody_asks_for_are_neither_read_whole_nor_removed(tmp_path: Path) -> None:
    with opened_store(tmp_path, RECIPE, set()) as store:
        keep(store, {"a": kept(1)})
    (path,) = tmp_path.glob("*/*.features")
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with opened_store(tmp_path, RECIPE, {"z"}) as store:
        assert store.known == {}
    assert path.exists()


def test_another_recipe_has_another_folder(tmp_path: Path) -> None:
    recipes = [
        RECIPE,
        Recipe("other", "detector", "only", "single", ("sharpness",)),
        Recipe("model", "other", "only", "single", ("sharpness",)),
        Recipe("model", "detector", "center", "single", ("sharpness",)),
        Recipe("model", "detector", "only", "half", ("sharpness",)),
        Recipe("model", "detector", "only", "single", ()),
        Recipe("model", "detector", "only", "single", ("sharpness",), xcos="0.0.0"),
        Recipe("model", "detector", "only", "single", ("sharpness",), format=0),
    ]
    assert len({recipe.name for recipe in recipes}) == len(recipes)
    with opened_store(tmp_path, RECIPE, set()) as store:
        keep(store, {"a": kept(1)})
    for recipe in recipes[1:]:
        with opened_store(tmp_path, recipe, {"a"}) as store:
            assert store.known == {}


def test_what_a_killed_run_left_half_written_is_removed(tmp_path: Path) -> None:
    with opened_store(tmp_path, RECIPE, set()) as store:
        assert store.folder is not None
        (store.folder / ".x.features.abc.tmp").write_bytes(b"half")
    with opened_store(tmp_path, RECIPE, set()) as store:
        assert list(tmp_path.rglob("*.tmp")) == []


def test_a_store_is_open_to_one_run_at_a_time(tmp_path: Path) -> None:
    with (
        opened_store(tmp_path, RECIPE, set()),
        pytest.raises(InvalidArgument, match="another run uses this cache"),
        opened_store(tmp_path, RECIPE, set()),
    ):
        pass
    with opened_store(tmp_path, RECIPE, set()):
        pass


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with opened_store(None, RECIPE, {"a"}) as store:
        keep(store, {"a": kept(1)})
        assert store.known == {"a": Place(0, 0)}
    assert list(tmp_path.iterdir()) == []
