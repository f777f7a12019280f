"""Whoever does the work, the features are the same bytes."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.util
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from engine_child import SHARD, SPEC, listed
from fakes import AngleEmbedder, FixedDetector
from hypothesis import given
from hypothesis import strategies as st

from xcos.catalog import DATA
from xcos.errors import InvalidArgument, InvalidModel, MissingPackage, NoFace, XcosError
from xcos.evaluation import embedding
from xcos.evaluation.daft_engine import DaftEngine, Worker, _error
from xcos.evaluation.embedding import EmbeddedSamples, embed_samples
from xcos.evaluation.engines import LocalPool
from xcos.evaluation.extractor_spec import extractor_spec
from xcos.evaluation.protocol import PhotoSource
from xcos.evaluation.work import Job, KeyedPhoto, packed, recipe_of, unpacked, with_mirror
from xcos.extractor import Extractor
from xcos.feature_store import Recipe

LOOPBACK = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}
"""127.0.0.1, ::1 and ::ffff:127.0.0.1 as /proc/net/tcp and tcp6 write them on a little-endian machine."""


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> EmbeddedSamples:
    """What one thread of this process makes of the example photos."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedding, "PHOTOS_PER_SHARD", SHARD)
        cache = tmp_path_factory.mktemp("cache")
        return embed_samples(listed(), SPEC.build(), cache=cache, engine=LocalPool(1))


@pytest.mark.parametrize("streams", [0, 2, 3])
def test_the_number_of_threads_changes_no_bit(
    wanted: EmbeddedSamples, monkeypatch: pytest.MonkeyPatch, streams: int
) -> None:
    monkeypatch.setattr(embedding, "PHOTOS_PER_SHARD", SHARD)
    made = embed_samples(listed(), SPEC.build(), engine=LocalPool(streams))
    present = np.flatnonzero(wanted.present)
    assert made.grids[present].tobytes() == wanted.grids[present].tobytes()
    assert made.vectors.tobytes() == wanted.vectors.tobytes()
    assert made.failures == wanted.failures


def test_the_packaged_network_gives_a_photo_the_same_bits_in_any_block(
    wanted: EmbeddedSamples, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So what a cache knows already, which changes the blocks, changes no feature of it."""
    monkeypatch.setattr(embedding, "PHOTOS_PER_SHARD", 3)
    made = embed_samples(listed(), SPEC.build())
    assert made.vectors.tobytes() == wanted.vectors.tobytes()


# Jobs in words


@given(
    name=st.text(min_size=1),
    path=st.one_of(st.none(), st.binary(min_size=1).filter(lambda raw: b"\0" not in raw)),
    content=st.binary(),
    points=st.one_of(st.none(), st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=10, max_size=10)),
    mirror=st.booleans(),
)
def test_a_job_in_words_is_the_job(
    name: str, path: bytes | None, content: bytes, points: list[float] | None, mirror: bool
) -> None:
    landmarks = None if points is None else np.array(points).reshape(5, 2)
    source = content if path is None else Path("/photos", os.fsdecode(path))
    recipe = Recipe("model", "detector", "0", "single", ("sharpness",))
    job = Job((KeyedPhoto("key", "sha", PhotoSource(name, source, landmarks)),) * 2, recipe, mirror, Path("/cache"))
    text, blobs = packed(job)
    back = unpacked(text.encode("ascii").decode(), [bytes(blob) for blob in blobs])
    assert (back.recipe, back.mirror, back.folder, len(back.photos)) == (recipe, mirror, Path("/cache"), 2)
    for each in back.photos:
        assert (each.key, each.sha256, each.photo.name, each.photo.source) == ("key", "sha", name, source)
        if landmarks is None:
            assert each.photo.landmarks is None
        else:
            assert each.photo.landmarks is not None
            assert each.photo.landmarks.tobytes() == landmarks.tobytes()


def job_for(extractor: Extractor, folder: Path | None, *, mirror: bool = False) -> Job:
    path = DATA / "examples" / "0_front.jpg"
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    photo = KeyedPhoto(sha256, sha256, PhotoSource("0_front", path))
    made_by = with_mirror(extractor) if mirror else extractor
    return Job((photo,), recipe_of(made_by, second_look=False), mirror, folder)


def test_a_worker_writes_the_shard_and_answers_with_its_name(tmp_path: Path) -> None:
    worker = Worker(pickle.loads(pickle.dumps(SPEC)))
    for mirror in (False, True):
        answer = json.loads(worker.do(*packed(job_for(SPEC.build(), tmp_path, mirror=mirror))))
        assert (tmp_path / answer["shard"]).is_file()


def test_a_worker_refuses_a_job_that_was_meant_for_another_extractor(tmp_path: Path) -> None:
    other = Extractor(FixedDetector(), AngleEmbedder(), "center")
    answer = json.loads(Worker(SPEC).do(*packed(job_for(other, tmp_path))))
    assert answer["error"]["code"] == "invalid_argument"
    assert "the workers' extractor is" in answer["error"]["message"]
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_sees_other_files_says_so(tmp_path: Path) -> None:
    broken = dataclasses.replace(SPEC, files=((str(tmp_path / "model.onnx"), "0" * 64),))
    answer = json.loads(Worker(broken).do(*packed(job_for(SPEC.build(), tmp_path))))
    assert answer["error"]["code"] == "invalid_model"


def test_an_error_of_a_worker_is_raised_as_what_it_is() -> None:
    error = _error(NoFace("none", width=3).to_dict()["error"])  # type: ignore[arg-type]
    assert type(error) is NoFace
    assert (error.message, error.details) == ("none", {"width": 3})
    assert isinstance(_error({"code": "of another release", "message": "so", "details": {}}), XcosError)


# Extractors in words


def test_a_spec_builds_the_extractor_of_these_names_again_and_again() -> None:
    spec = extractor_spec(embedder="dlib", face="largest")
    again = pickle.loads(pickle.dumps(spec))
    assert again == spec
    built = [recipe_of(each.build(), second_look=True) for each in (spec, again)]
    assert built[0] == built[1]
    assert (built[0].detector, built[0].face) == ("mtcnn", "largest")
    assert built[0].model.startswith("dlib_face_recognition_resnet_model_v1/last/")
    assert extractor_spec().build().embedder.model == SPEC.build().embedder.model


@pytest.mark.real_data
def test_a_users_detector_file_is_named_in_full_and_known_by_its_hash(
    real_file: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(real_file("models/yunet/yunet_n_320_320.onnx"), tmp_path / "yunet.onnx")
    monkeypatch.chdir(tmp_path)
    spec = extractor_spec(detector="yunet:yunet.onnx")
    assert spec.detector == f"yunet:{tmp_path / 'yunet.onnx'}"
    monkeypatch.chdir("/")
    assert spec.build().detector.name.startswith("yunet/")
    (tmp_path / "yunet.onnx").write_bytes((tmp_path / "yunet.onnx").read_bytes() + b"\0")
    with pytest.raises(InvalidModel, match="not the file it was"):
        spec.build()
    (tmp_path / "yunet.onnx").unlink()
    with pytest.raises(InvalidModel, match="cannot read"):
        spec.build()


def test_files_that_are_not_there_are_refused_before_any_work(tmp_path: Path) -> None:
    for names in ({"detector": "yunet:none.onnx"}, {"embedder": "onnx:none.onnx"}, {"model": tmp_path / "none"}):
        with pytest.raises(InvalidModel, match="cannot read"):
            extractor_spec(**names)
    with pytest.raises(InvalidArgument, match="either the model or the embedder"):
        extractor_spec(model=tmp_path, embedder="dlib")


# Daft


def test_a_distributed_engine_needs_a_cache() -> None:
    with pytest.raises(InvalidArgument, match="give a cache all workers see"):
        embed_samples(listed(), SPEC.build(), engine=DaftEngine(SPEC))


@pytest.mark.parametrize("options", [{"runner": "dask"}, {"address": "auto"}, {"workers": -1}])
def test_an_engine_that_cannot_be_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match="runner must be"):
        DaftEngine(SPEC, **options)


@pytest.mark.parametrize(("runner", "package"), [("native", "daft"), ("ray", "ray")])
def test_without_the_packages_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runner: Any, package: str
) -> None:
    class Nothing:
        """Stands for Daft, which is not reached."""

    monkeypatch.setitem(sys.modules, "daft", None if package == "daft" else Nothing)
    monkeypatch.setitem(sys.modules, "ray", None)
    for name in ("DAFT_ANALYTICS_ENABLED", "DAFT_PROGRESS_BAR", "RAY_USAGE_STATS_ENABLED"):
        monkeypatch.setenv(name, "0")
    with pytest.raises(MissingPackage, match=r"pip install 'xcos\[scale\]'") as caught:
        embed_samples(listed(), SPEC.build(), cache=tmp_path, engine=DaftEngine(SPEC, runner))
    assert caught.value.details == {"package": package}


def needs(*packages: str) -> pytest.MarkDecorator:
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(
        bool(missing),
        reason=f"{' and '.join(missing)} not installed: pip install 'xcos[scale]' to test the real engine",
    )


RUNNERS = [
    pytest.param("native", marks=needs("daft")),
    pytest.param("ray", marks=needs("daft", "ray")),
]


class Ended(NamedTuple):
    code: int
    told: dict[str, Any]
    """What the child printed last, if it got so far."""
    errors: str


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Callable[..., Ended]]:
    """Runs the child in a session of its own, of which nothing is left afterwards: Ray's agents survive a kill."""
    home = Path(__file__).parents[1]
    groups = []
    # short, for the sockets in it
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as sockets:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(home), *sys.path]),
            "HOME": str(tmp_path),
            "RAY_TMPDIR": sockets,
        }

        def run(runner: str, die_after: int = 0) -> Ended:
            words = [runner, str(tmp_path / "cache"), str(tmp_path / "out.npz"), str(die_after)]
            with (tmp_path / "told").open("w+") as told, (tmp_path / "errors").open("w+") as errors:
                process = subprocess.Popen(
                    [sys.executable, str(home / "engine_child.py"), *words],
                    env=environment,
                    stdout=told,
                    stderr=errors,
                    start_new_session=True,
                )
                groups.append(process.pid)
                code = process.wait(300)
            lines = (tmp_path / "told").read_text().splitlines()
            return Ended(code, json.loads(lines[-1]) if lines else {}, (tmp_path / "errors").read_text())

        yield run
        for group in groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)


def check_same(out: Path, wanted: EmbeddedSamples) -> None:
    with np.load(out) as made:
        present = np.flatnonzero(wanted.present)
        assert made["present"].tolist() == wanted.present.tolist()
        assert made["grids"][present].tobytes() == wanted.grids[present].tobytes()
        assert made["vectors"].tobytes() == wanted.vectors.tobytes()
        assert made["sharpness"].tobytes() == wanted.measures["sharpness"].tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("runner", RUNNERS)
def test_two_workers_of_the_real_engine_give_the_same_bytes_and_hear_nobody_outside(
    runner: str, wanted: EmbeddedSamples, child: Callable[..., Ended], tmp_path: Path
) -> None:
    code, told, errors = child(runner)
    assert code == 0, errors
    check_same(tmp_path / "out.npz", wanted)
    failures = [[each.name, each.code] for each in wanted.failures]
    assert told["failures"] == failures == [["nobody", "unsupported_format"]]
    assert (told["told"], told["known"]) == (len(wanted.samples.photos), [0])
    listeners = set(told["listeners"])
    assert listeners <= LOOPBACK
    assert bool(listeners) == (runner == "ray")  # Ray's servers are seen, so the look is at the right processes
    assert not (tmp_path / ".ray").exists()  # the home of this run: no token is left there


@pytest.mark.slow
@pytest.mark.parametrize("runner", RUNNERS)
def test_a_killed_run_on_the_real_engine_goes_on_with_the_finished_shards(
    runner: str, wanted: EmbeddedSamples, child: Callable[..., Ended], tmp_path: Path
) -> None:
    code, _, errors = child(runner, die_after=2 * SHARD)
    assert code == -signal.SIGKILL, errors
    finished = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.features")}
    assert len(finished) >= 2
    code, told, errors = child(runner)
    assert code == 0, errors
    assert told["known"][0] >= 2 * SHARD
    assert told["told"] + told["known"][0] == len(wanted.samples.photos)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    check_same(tmp_path / "out.npz", wanted)
