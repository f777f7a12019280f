"""The bench: all methods by all measures, intervals over people, resumed where it was; and its command."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from explainers import faithful_toys as toys
from PIL import Image

from xcos.catalog import DATA
from xcos.cli.main import main
from xcos.errors import InvalidArgument, InvalidProtocol
from xcos.evaluation.protocol import PhotoSource, Samples, SampleSource, VerificationProtocol
from xcos.evaluation.uncertainty import Estimate, unsupported
from xcos.explainers.bench import BenchResult, Row, default_measures, estimate_dict, run_bench, spread
from xcos.explainers.bench_pairs import evenly, listed_pairs, pairs_of
from xcos.explainers.bench_report import bench_html, bench_markdown, interval_text, sentences, write_bench
from xcos.explainers.faithfulness import (
    CellOcclusion,
    Deletion,
    Figure,
    Insertion,
    Measure,
    PatchLfw,
    Selectivity,
    Symmetry,
)
from xcos.explainers.faithfulness.measure import Case, Explain, Need, Play, Record

METHODS = ("true", "random", "inverse", "constant")
MEASURES: list[Measure] = [Deletion(), Insertion(), CellOcclusion(), Symmetry(most_pairs=6), PatchLfw()]
PAIRS = toys.people(10)


def matcher() -> toys.WeightedPixels:
    return toys.weighted(toys.skewed_weights())


def methods(names: Sequence[str] = METHODS, *, passes: int = 2, most: int = 10**9) -> list[toys.ToyExplainer]:
    return [toys.ToyExplainer(matcher(), name, passes, most=most) for name in names]


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> BenchResult:
    return run_bench(matcher(), methods(), PAIRS, MEASURES, tmp_path_factory.mktemp("bench"))


# --- the table ---


def test_the_true_map_is_ranked_first_and_its_inverse_last(result: BenchResult) -> None:
    assert result.methods[0].name == "true"
    assert {method.name for method in result.methods} == set(METHODS)
    ranks = {method.name: method.rank for method in result.methods}
    assert ranks["true"] < ranks["random"] < ranks["inverse"]


@dataclass(frozen=True)
class Favours:
    """A measure that one method wins."""

    favourite: str
    variant: int = 0
    needs: ClassVar[tuple[Need, ...]] = ()
    most_pairs: ClassVar[int] = 0
    explains_again: ClassVar[bool] = False
    figures: ClassVar[tuple[Figure, ...]] = (Figure("win", "higher", headline=True),)

    @property
    def title(self) -> str:
        return f"favours {self.favourite}"

    def play(self, case: Case, explain: Explain, _threshold: float) -> Play:
        yield from ()
        shown = explain(case.pair.probe, case.pair.reference)
        return {"win": np.array([float(shown.method == self.favourite)])}

    def values(self, record: Record, _mated: bool, _threshold: float) -> dict[str, float]:
        return {"win": float(record["win"][0])}


def test_every_measure_has_one_vote_however_many_variants_it_has(tmp_path: Path) -> None:
    measures: list[Measure] = [Favours("true"), Favours("true", 1), Favours("true", 2), Favours("inverse")]
    found = run_bench(matcher(), methods(("true", "inverse")), PAIRS, measures, tmp_path)
    assert {method.name: method.rank for method in found.methods} == {"true": 1.5, "inverse": 1.5}


def test_the_table_has_every_figure_of_every_method(result: BenchResult) -> None:
    wanted = {(method, measure.title, figure.name) for method in METHODS for measure in MEASURES
              for figure in measure.figures}  # fmt: skip
    assert {(row.method, row.measure.split("(")[0], row.figure) for row in result.rows} == wanted
    assert result.row("true", "cell occlusion", "rank correlation").estimate.value == pytest.approx(1)
    assert result.row("true", "symmetry(most_pairs=6)", "maps agree").estimate.trials == 6
    with pytest.raises(InvalidArgument, match="no figure"):
        result.row("true", "deletion", "speed")


def test_one_beats_another_only_where_the_intervals_do_not_touch(result: BenchResult) -> None:
    assert result.beats("true", "inverse", "cell occlusion", "rank correlation")
    assert not result.beats("inverse", "true", "cell occlusion", "rank correlation")
    assert not result.beats("true", "true", "cell occlusion", "rank correlation")
    assert result.beats("true", "inverse", "deletion", "score area, mated")  # lower is better

    def with_row(low: float, high: float, better: str) -> BenchResult:
        rows = [Row("a", "m", "m", "f", better, True, Estimate(0.5, 0.4, 0.6, 20, "")),  # type: ignore[arg-type]
                Row("b", "m", "m", "f", better, True, Estimate((low + high) / 2, low, high, 20, ""))]  # type: ignore[arg-type]  # fmt: skip
        return replace(result, rows=tuple(rows))

    assert with_row(0.2, 0.39, "higher").beats("a", "b", "m", "f")
    assert not with_row(0.2, 0.4, "higher").beats("a", "b", "m", "f")  # they touch
    assert with_row(0.2, 0.39, "lower").beats("b", "a", "m", "f")
    assert not with_row(0.2, 0.39, "neither").beats("a", "b", "m", "f")
    handful = with_row(0.2, 0.39, "higher")
    rows = [replace(row, estimate=replace(row.estimate, trials=9)) for row in handful.rows]
    assert not replace(handful, rows=tuple(rows)).beats("a", "b", "m", "f")


def test_the_clean_pairs_set_the_threshold_that_is_told(result: BenchResult) -> None:
    assert result.threshold == toys.threshold_of(matcher(), PAIRS)
    scores, mated = toys.scores_of(matcher(), PAIRS), np.array([pair.mated for pair in PAIRS])
    assert result.accuracy == ((scores >= result.threshold) == mated).mean()
    assert (result.pairs, result.mated, result.people) == (20, 10, 10)


def test_methods_above_the_budget_are_left_out_and_named(tmp_path: Path) -> None:
    explainers = [*methods(("true",)), *methods(("random",), passes=500)]
    found = run_bench(matcher(), explainers, PAIRS, [CellOcclusion()], tmp_path, budget=100)
    assert [method.name for method in found.methods] == ["true"]
    assert [(each.name, each.passes) for each in found.left_out] == [("random", 500)]
    assert any("random (500 passes)" in sentence for sentence in sentences(found))


def test_names_that_come_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="methods of different names, got true twice"):
        run_bench(matcher(), methods(("true", "true")), PAIRS, MEASURES, tmp_path)
    with pytest.raises(InvalidArgument, match="measures of different names"):
        run_bench(matcher(), methods(("true",)), PAIRS, [Deletion(), Deletion()], tmp_path)


def test_pairs_are_taken_evenly_and_of_both_kinds() -> None:
    mated = np.arange(20) < 10
    assert spread(mated, 0).tolist() == list(range(20))
    assert spread(mated, 4).tolist() == [0, 5, 10, 15]
    assert spread(mated, 99).tolist() == list(range(20))
    assert spread(np.arange(12) < 2, 8).tolist()[:2] == [0, 1]  # all there are, and the rest of the other kind
    assert len(spread(np.arange(12) < 2, 8)) == 8


def test_the_default_measures_have_different_names() -> None:
    from xcos.explainers.faithfulness.measure import name_of

    names = [name_of(measure) for measure in default_measures(7, 7)]
    assert len(set(names)) == len(names) >= 14


def test_methods_of_many_passes_explain_few_changed_pairs_and_the_others_all(tmp_path: Path) -> None:
    light, heavy = methods(("true",)), methods(("random",), passes=17)
    found = run_bench(matcher(), [*light, *heavy], PAIRS, [Deletion(), PatchLfw()], tmp_path, extra_pairs=4)
    pairs = {(row.method, row.measure): row.estimate.trials for row in found.rows if row.headline}
    assert pairs["true", "patch-lfw"] == pairs["true", "deletion"] == pairs["random", "deletion"] == len(PAIRS)
    assert pairs["random", "patch-lfw"] == 4
    assert len(heavy[0].asked) == len(PAIRS) + 4
    assert any("4 pairs or fewer" in sentence for sentence in sentences(found))


# --- resuming ---


def test_a_second_run_computes_nothing_and_gives_the_same(tmp_path: Path) -> None:
    first = run_bench(matcher(), methods(), PAIRS, MEASURES, tmp_path)
    network, explainers = matcher(), methods()
    again = run_bench(network, explainers, PAIRS, MEASURES, tmp_path)
    assert network.seen == []
    assert all(not explainer.asked for explainer in explainers)
    assert again.to_dict() == first.to_dict()


def test_a_run_that_was_stopped_goes_on_and_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole = run_bench(matcher(), methods(("true",)), PAIRS, MEASURES, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run_bench(matcher(), methods(("true",), most=30), PAIRS, MEASURES, tmp_path / "cut")
    (rest,) = methods(("true",))
    resumed = run_bench(matcher(), [rest], PAIRS, MEASURES, tmp_path / "cut")
    assert 0 < len(rest.asked) < 30
    assert repr(resumed.rows) == repr(whole.rows)


def test_damaged_and_missing_files_are_made_anew_and_the_rest_is_kept(tmp_path: Path) -> None:
    first = run_bench(matcher(), methods(("true",)), PAIRS, MEASURES, tmp_path)
    files = sorted((tmp_path / "kept").rglob("*.*"))
    random = np.random.default_rng(0)
    for path in random.choice(np.array(files), 12, replace=False):
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
    explainer = methods(("true",))[0]
    again = run_bench(matcher(), [explainer], PAIRS, MEASURES, tmp_path)
    assert len(explainer.asked) <= 12
    assert repr(again.rows) == repr(first.rows)


def test_a_limit_of_pairs_keeps_what_was_played_and_names_itself(tmp_path: Path) -> None:
    few = run_bench(matcher(), methods(("true",)), PAIRS, [PatchLfw(most_pairs=6)], tmp_path)
    assert few.row("true", "patch-lfw(most_pairs=6)", "error area").estimate.trials == 6
    (explainer,) = methods(("true",))
    run_bench(matcher(), [explainer], PAIRS, [PatchLfw()], tmp_path)
    assert len(explainer.asked) == len(PAIRS) - 6  # the patched pairs that are new


def test_more_pairs_later_reuse_what_is_there_but_for_what_depends_on_the_list(tmp_path: Path) -> None:
    few = [*PAIRS[:5], *PAIRS[10:15]]
    run_bench(matcher(), methods(("true",)), few, [CellOcclusion(), Selectivity()], tmp_path)
    explainer = methods(("true",))[0]
    run_bench(matcher(), [explainer], PAIRS, [CellOcclusion()], tmp_path)
    assert len(explainer.asked) == 10  # the pairs that are new


# --- report ---


def test_the_reports_hold_every_method_and_nothing_from_outside(result: BenchResult, tmp_path: Path) -> None:
    files = write_bench(result, tmp_path)
    assert [path.name for path in files] == ["bench.json", "bench.md", "bench.html"]
    page, table = files[2].read_text("utf-8"), files[1].read_text("utf-8")
    for method in METHODS:
        assert f"&nbsp;{method}</td>" in page
        assert f"| {method} |" in table
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!data:)", page)
    assert "http" not in re.sub(r"data:image/jpeg;base64,[A-Za-z0-9+/=]+", "", page)
    assert page.count("data:image/jpeg") == 4 * 2 * (1 + len(METHODS))
    assert "Who beats whom" in page
    document = json.loads(files[0].read_text("utf-8"))
    assert document["bench"]["measures"]["deletion"]["fill"] == "black"
    assert document["bench"]["measures"]["patch-lfw"]["seed"] == 3
    assert len(document["bench"]["figures"]) == len(result.rows)


def test_a_figure_that_applies_to_nothing_has_no_number() -> None:
    found = unsupported("it applies to no pair", 0, "")
    assert interval_text(found) == "–"
    assert estimate_dict(found) == {"value": None, "low": None, "high": None, "pairs": 0}


def test_names_are_escaped_in_the_page(result: BenchResult) -> None:
    shown = replace(result.shown[0], name="<script>alert(1)</script>")
    assert "<script>" not in bench_html(replace(result, shown=(shown,)))


def test_the_markdown_is_two_tables_of_even_lines(result: BenchResult) -> None:
    for block in bench_markdown(result).split("\n\n"):
        lines = [line for line in block.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) <= 1


def numbers_of(text: str) -> list[str]:
    """Every ``value [low, high]`` in the order of the text."""
    plain = re.sub(r"\s*<[^>]*>\s*", " ", re.sub(r"<svg.*?</svg>", "", text))
    return [f"{value} [{ends}]" for value, ends in re.findall(r"(-?\d+\.\d{3}) \[(-?[\d.]+, -?[\d.]+)\]", plain)]


def test_page_table_and_json_hold_equal_numbers(result: BenchResult, tmp_path: Path) -> None:
    document, table, page = (file.read_text("utf-8") for file in write_bench(result, tmp_path))
    rows = {(row["method"], row["measure"], row["figure"]): row for row in json.loads(document)["bench"]["figures"]}

    def told(method: str, measure: str, figure: str) -> list[str]:
        row = rows[method, measure, figure]
        return [] if row["value"] is None else [f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"]

    names = [method.name for method in result.methods]
    figures = dict.fromkeys((row.measure, row.figure) for row in result.rows)
    ranked = [each for name in names for measure, figure, _ in result.headlines for each in told(name, measure, figure)]
    every = [each for measure, figure in figures for name in names for each in told(name, measure, figure)]
    assert len(every) > 40
    assert numbers_of(table) == ranked + every
    assert numbers_of(page) == ranked + every


def test_what_beats_every_floor_and_what_a_floor_beats_is_marked(result: BenchResult) -> None:
    def with_rows(*ends: tuple[str, float, float]) -> BenchResult:
        methods = [replace(result.methods[0], name=name) for name, _, _ in ends]
        rows = [Row(name, "m", "m", "f", "lower", True, Estimate((low + high) / 2, low, high, 20, ""))
                for name, low, high in ends]  # fmt: skip
        return replace(result, methods=tuple(methods), rows=tuple(rows))

    table = with_rows(("own", 0.1, 0.2), ("random", 0.3, 0.4), ("uniform", 0.3, 0.4), ("lime", 0.2, 0.35))
    standings = [table.standing(name, "m", "f") for name in ("own", "random", "uniform", "lime")]
    assert standings == ["beats all floors", "", "", ""]
    assert with_rows(("own", 0.5, 0.6), ("random", 0.3, 0.4)).standing("own", "m", "f") == "beaten by a floor"
    assert with_rows(("own", 0.5, 0.6)).standing("own", "m", "f") == ""
    assert "▲ 0.150" in re.sub(r"<[^>]*>", "", bench_html(table))
    assert "0.150 [0.100, 0.200] ▲ |" in bench_markdown(table)


def blank_photos(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)


def test_people_of_a_csv_list_are_linked_by_its_mated_pairs(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    blank_photos(tmp_path, *(f"{name}.png" for name in "abcd"))
    path.write_text("probe,reference,mated\na.png,b.png,1\nb.png,c.png,1\nd.png,a.png,0\n")
    pairs = listed_pairs(str(path))
    assert [pair.mated for pair in pairs] == [True, True, False]
    assert pairs[0].people[0] == pairs[1].people[1] == pairs[2].people[1] != pairs[2].people[0]
    path.write_text("probe,reference,mated\na.png,b.png,1\nb.png,c.png,1\nc.png,a.png,0\n")
    with pytest.raises(InvalidArgument, match=r"pair 3 \(c.png, a.png\): called non-mated"):
        listed_pairs(str(path))
    path.write_text("probe,reference\na.png,b.png\n")
    with pytest.raises(InvalidProtocol, match="mated"):
        listed_pairs(str(path))


def test_lfw_is_its_development_test_and_any_protocol_of_single_photos_will_do(tmp_path: Path) -> None:
    blank_photos(tmp_path, *(f"images/{name}/{name}_000{at}.jpg" for name in ("Ann_B", "Cy_D") for at in (1, 2, 3)))
    (tmp_path / "pairsDevTest.txt").write_text("1\nAnn_B\t1\t2\nAnn_B\t3\tCy_D\t2\n")
    pairs = listed_pairs(f"lfw:{tmp_path}")
    assert [pair.mated for pair in pairs] == [True, False]
    assert pairs[1].reference.source == tmp_path / "images" / "Cy_D" / "Cy_D_0002.jpg"
    assert len(evenly(pairs * 5, 4)) == 4
    assert [pair.people for pair in listed_pairs(f"lfw-view1:{tmp_path}")] == [pair.people for pair in pairs]
    with pytest.raises(InvalidProtocol, match="nothing"):
        listed_pairs(f"lfw:{tmp_path / 'nothing'}")


def test_a_protocol_of_samples_of_several_photos_is_refused() -> None:
    photos = tuple(PhotoSource(name, Path(name)) for name in "abcd")
    samples = Samples(photos, (SampleSource(((0, 1),)), SampleSource(((2,),)), SampleSource(((3,),))),
                      np.array([0, 0, 1]), True)  # fmt: skip
    columns = np.array([0, 0]), np.array([1, 2]), np.array([True, False]), np.array([0, 0])
    with pytest.raises(InvalidArgument, match="samples of several"):
        pairs_of(VerificationProtocol("videos", samples, *columns, sha256=""))


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    rows = ["0_front,0_smile,1", "1_front,1_smile,1", "0_front,1_front,0", "2_front,0_smile,0"]
    lines = [
        ",".join(f"{DATA / 'examples' / word}.jpg" if "_" in word else word for word in row.split(",")) for row in rows
    ]
    (tmp_path / "pairs.csv").write_text("\n".join(["probe,reference,mated", *lines]) + "\n")
    return tmp_path / "pairs.csv"


@pytest.mark.slow
def test_the_command_writes_the_reports_and_goes_on_where_it_was(
    listed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["bench", "explainers", "--pairs", str(listed), "--methods", "own,center", "--out", str(tmp_path / "out")]
    words += ["--measures", "deletion,completeness"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "| own |" in printed
    assert "2 methods on 4 pairs (2 mated) of 3 people" in printed
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "kept").rglob("*.*")}
    assert main([*words, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert [Path(file).name for file in summary["files"]] == ["bench.json", "bench.md", "bench.html"]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "kept").rglob("*.*")} == before
    document = json.loads((tmp_path / "out" / "bench.json").read_text("utf-8"))
    own = next(row for row in document["bench"]["figures"]
               if (row["method"], row["measure"]) == ("own", "completeness"))  # fmt: skip
    assert own["value"] < 1e-6
    assert 0 < document["locality"]["leak"] < 1.5


@pytest.mark.slow
def test_the_command_plays_on_twins_too(listed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    probe = np.asarray(Image.open(DATA / "examples" / "3_front.jpg").convert("RGB"))
    for part, rows in (("brow", slice(90, 120)), ("chin", slice(200, 230))):
        home = tmp_path / "twins" / "three" / part
        home.mkdir(parents=True)
        twin = probe.copy()
        twin[rows, 100:200] = twin[rows, 100:200].mean(axis=(0, 1))
        Image.fromarray(probe).save(home / "probe.png")
        Image.fromarray(twin).save(home / "twin.png")
    words = ["bench", "explainers", "--pairs", str(listed), "--methods", "own", "--out", str(tmp_path / "out")]
    assert main([*words, "--measures", "completeness", "--twins", str(tmp_path / "twins")]) == 0
    printed = capsys.readouterr().out
    assert "2 triplets" in printed
    assert "| true part |" in printed
    document = json.loads((tmp_path / "out" / "bench.json").read_text("utf-8"))
    (twins,) = document["twins"]
    assert {each["part"] for each in twins["parts"]} == {"all", "brow", "chin"}
    assert twins["played"] == 2
    assert twins["games"]["pixel change"]["rates"][1]["value"] == 1
    assert "Twins with one part changed" in (tmp_path / "out" / "bench.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--methods", "own,,own"], "different names"),
        (["--methods", "own", "--pairs-limit", "-1"], "--pairs-limit"),
        (["--methods", "own", "--budget", "0"], "--budget"),
        (["--methods", "nothing"], "method 'nothing' is unknown"),
        (["--methods", "own", "--randomised", "2", "--model", "mine"], "leave away --model"),
        (["--methods", "own", "--measures", "beauty"], "measure 'beauty' is unknown"),
        (["--methods", "own,rise", "--option", "rise.masks"], "METHOD.NAME=VALUE"),
        (["--methods", "own", "--option", "rise.masks=9"], "'rise', which is not among --methods"),
        (["--methods", "rise", "--option", "rise.masks=9", "--option", "rise.masks=8"], "rise.masks is given twice"),
        (["--methods", "rise", "--option", "rise.moons=9"], "has no option moons"),
    ],
)
def test_wrong_words_are_told(
    words: list[str], message: str, listed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "explainers", "--pairs", str(listed), "--out", str(tmp_path / "out"), *words]) == 2
    assert message in capsys.readouterr().err
