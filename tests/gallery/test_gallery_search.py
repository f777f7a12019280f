"""Searching: the comparator's own scores, nobody missed whatever rounding does, and shortcuts that are measured."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
from gallery_toy import LAYOUT, MODEL, PURPOSE, SHIPPED, enrolment, new_gallery, template
from hypothesis import given, settings
from hypothesis import strategies as st

from xcos.comparators.transport import TransportWeighted
from xcos.compare import NormWeighted, TrustWeighted, Uniform, vectors_as_grids
from xcos.errors import (
    AlreadyEnrolled,
    IncompatibleTemplates,
    InvalidArgument,
    InvalidTemplate,
    PurposeMismatch,
    StoreBusy,
)
from xcos.gallery.fusing import fuse
from xcos.gallery.gallery import Gallery
from xcos.gallery.ranking import lengths_of, rounding, score_of
from xcos.gallery.search import Effort
from xcos.gallery.sketch import Sketcher, differences
from xcos.gallery.store import Enrolment, Layout, NewSubject, StoreChanged
from xcos.interfaces import Comparator
from xcos.types import Comparison, Template

FACTORED: list[Comparator] = [TrustWeighted(), NormWeighted(), Uniform()]
Scores = dict[str, float]


def person(subject: int, photo: int, layout: Layout = LAYOUT, noise: float = 0.5) -> Template:
    """Photos of one made-up person are alike."""
    base, other = template(subject, layout), template(1000 + 100 * subject + photo, layout)
    return Template(base.grid + noise * other.grid, base.vector + noise * other.vector, layout.model)


def filled(path: Path, subjects: int = 30, layout: Layout = LAYOUT, effort: Effort | None = None) -> Gallery:
    gallery = new_gallery(path, layout, codec="half", effort=effort)
    gallery.enrol_all(
        NewSubject(
            f"s{at:03}",
            tuple(Enrolment(person(at, photo, layout)) for photo in range(1 + at % 3)),
            {"site": "north" if at % 2 else "south", "floor": str(at % 5)},
        )
        for at in range(subjects)
    )
    return gallery


def one_by_one(gallery: Gallery, probe: Template, comparator: Comparator | None) -> Scores:
    """Best score of each subject, each pair compared alone: the oracle."""
    found: Scores = {}
    for subject in gallery.subjects():
        for kept in gallery.templates(subject.id):
            pair = (probe.grid[None], kept.template.grid[None])
            if comparator is None:
                pair = vectors_as_grids(probe.vector[None]), vectors_as_grids(kept.template.vector[None])
            similarity, attention = (comparator or Uniform()).maps(*pair)
            score = Comparison(similarity[0], attention[0]).score
            found[subject.id] = max(found.get(subject.id, -2.0), score)
    return found


@pytest.mark.parametrize("comparator", [*FACTORED, None], ids=lambda each: getattr(each, "name", "vector"))
@pytest.mark.parametrize("effort", [Effort(), Effort(exact_up_to=0, shortlist=1, always_exact=True)])
def test_a_search_gives_what_comparing_one_by_one_gives(
    tmp_path: Path, comparator: Comparator | None, effort: Effort
) -> None:
    with filled(tmp_path / "g.db", effort=effort) as gallery:
        probes = [person(at, 77) for at in (3, 8, 11)]
        for probe, found in zip(probes, gallery.search(probes, purpose=PURPOSE, comparator=comparator), strict=True):
            truth = one_by_one(gallery, probe, comparator)
            expected = sorted(truth, key=lambda name: (-truth[name], name))[:10]
            assert [hit.subject for hit in found.hits] == expected
            scores = [hit.comparison.score for hit in found.hits]
            assert scores == pytest.approx([truth[name] for name in expected], abs=1e-12)
            assert (found.templates, found.subjects, found.method) == (60, 30, "exact")


@pytest.mark.parametrize("comparator", FACTORED, ids=lambda each: each.name)
def test_matrix_products_give_the_comparators_scores_within_the_stated_rounding(comparator: Comparator) -> None:
    grids = np.stack([person(at % 9, at, SHIPPED).grid for at in range(300)])
    probes = np.stack([person(at, 77, SHIPPED).grid for at in range(4)])
    grids[5, 2, 3] = 0  # a cell without features
    score = score_of(comparator)
    assert score is not None
    found = score(probes, grids, lengths_of(grids))
    for number, probe in enumerate(probes):
        similarity, attention = comparator.maps(np.broadcast_to(probe, grids.shape), grids)
        error = np.abs(found[:, number] - (similarity * attention).sum(axis=(1, 2)))
        assert error.max() < 1e-6 < rounding(49, 128) < 1e-3


def test_who_might_be_in_the_list_but_for_rounding_is_compared_in_double_precision(tmp_path: Path) -> None:
    """Forty people a hair apart: single precision cannot order them, and the order is right all the same."""
    probe = template(1)
    with new_gallery(tmp_path / "g.db", codec="half") as gallery:
        for at in range(40):
            vector = probe.vector + np.float32(at * 2e-5) * template(2).vector
            gallery.enrol(f"s{at:02}", [Template(template(at).grid, vector.astype(np.float32), MODEL)])
        (found,) = gallery.search([probe], purpose=PURPOSE, comparator=None, top=5)
        truth = one_by_one(gallery, probe, None)
    assert [hit.subject for hit in found.hits] == sorted(truth, key=lambda name: (-truth[name], name))[:5]


def test_equal_scores_are_ordered_by_id_and_all_subjects_may_be_asked_for(tmp_path: Path) -> None:
    with new_gallery(tmp_path / "g.db") as gallery:
        for name in ("dan", "ann", "cat", "bob"):
            gallery.enrol(name, [template(1), template(1)])
        (found,) = gallery.search([template(1)], purpose=PURPOSE, comparator=TrustWeighted(), top=3)
        assert [hit.subject for hit in found.hits] == ["ann", "bob", "cat"]
        (found,) = gallery.search([template(1)], purpose=PURPOSE, comparator=TrustWeighted(), top=100)
        assert [hit.subject for hit in found.hits] == ["ann", "bob", "cat", "dan"]


@pytest.mark.parametrize("effort", [Effort(), Effort(exact_up_to=0, shortlist=15)])
def test_a_filter_is_exact(tmp_path: Path, effort: Effort) -> None:
    with filled(tmp_path / "g.db", effort=effort) as gallery:
        for where in ({"site": "north"}, {"site": "north", "floor": "1"}, {"site": "west"}, {"nothing": "here"}):
            (found,) = gallery.search([person(7, 5)], purpose=PURPOSE, comparator=TrustWeighted(), where=where, top=50)
            wanted = {each.id for each in gallery.subjects(where)}
            assert found.subjects == len(wanted)
            assert {hit.subject for hit in found.hits} <= wanted
            if effort.exact_up_to or found.templates <= 15:
                assert {hit.subject for hit in found.hits} == wanted


def test_an_empty_gallery_and_no_probes_find_nobody(tmp_path: Path) -> None:
    with new_gallery(tmp_path / "g.db") as gallery:
        everything: list[Comparator | None] = [*FACTORED, TransportWeighted(), None]
        for comparator in everything:
            (found,) = gallery.search([template(1)], purpose=PURPOSE, comparator=comparator)
            assert (found.hits, found.templates, found.subjects) == ((), 0, 0)
        assert gallery.search([], purpose=PURPOSE, comparator=None) == []


def test_a_search_needs_the_gallerys_purpose_and_model(tmp_path: Path) -> None:
    with filled(tmp_path / "g.db", 3) as gallery:
        for wrong in ("", "curiosity", PURPOSE.upper()):
            with pytest.raises(PurposeMismatch):
                gallery.search([template(1)], purpose=wrong, comparator=None)
        other = Template(template(1).grid, template(1).vector, "toy/2")
        with pytest.raises(IncompatibleTemplates):
            gallery.search([other], purpose=PURPOSE, comparator=None)
        with pytest.raises(InvalidArgument, match="top"):
            gallery.search([template(1)], purpose=PURPOSE, comparator=None, top=0)
    for exact_up_to, shortlist in ((-1, 1), (0, 0)):
        with pytest.raises(InvalidArgument):
            Effort(exact_up_to, shortlist)


def test_what_is_enrolled_and_erased_while_grids_are_held_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "g.db"
    with filled(path) as gallery, Gallery.open(path) as other:

        def names(probe: Template) -> list[str]:
            (found,) = gallery.search([probe], purpose=PURPOSE, comparator=TrustWeighted(), top=1)
            return [hit.subject for hit in found.hits]

        assert names(person(4, 9)) == ["s004"]
        other.enrol("new", [Enrolment(person(99, 0))])
        assert names(person(99, 9)) == ["new"]
        other.erase("s004")
        assert names(person(4, 9)) != ["s004"]
        other.enrol("in its place", [Enrolment(person(98, 0))])
        assert names(person(98, 9)) == ["in its place"]
        with pytest.raises(AlreadyEnrolled):
            gallery.enrol_all([NewSubject("x", (enrolment(5),)), NewSubject("new", (enrolment(6),))])
        assert names(person(99, 9)) == ["new"]


def test_a_gallery_that_changes_during_each_search_is_an_error_at_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with filled(tmp_path / "g.db", 5) as gallery:

        def changed(*_: object) -> None:
            raise StoreChanged

        monkeypatch.setattr(type(gallery._store), "grids", changed)
        with pytest.raises(StoreBusy, match="faster"):
            gallery.search([template(1)], purpose=PURPOSE, comparator=TrustWeighted())


def test_a_place_that_another_person_took_meanwhile_is_never_named_wrongly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "g.db"
    with filled(path, 5) as gallery, Gallery.open(path) as other:
        store = gallery._store
        grids, moves = store.grids, [("s004", "thief")]

        def late(places: np.ndarray[tuple[int], np.dtype[np.int64]]) -> object:
            if moves:
                gone, new = moves.pop()
                other.erase(gone, patience=0)
                other.enrol(new, [Enrolment(person(50 + at, 1)) for at in range(3)])
            return grids(places)

        monkeypatch.setattr(store, "grids", late)
        (found,) = gallery.search([person(4, 9)], purpose=PURPOSE, comparator=TrustWeighted(), top=5)
        assert {hit.subject for hit in found.hits} == {"s000", "s001", "s002", "s003", "thief"}


# Shortlists


def test_signs_differ_as_often_as_the_angle_says() -> None:
    """Goemans and Williamson: θ/π of the signs, within five standard errors."""
    sketcher, random = Sketcher(512, 4096), np.random.default_rng(0)
    for angle in (0.0, 0.3, 1.0, math.pi / 2, 2.5, math.pi):
        a, b = np.linalg.qr(random.normal(size=(512, 2)))[0].T
        pair = np.stack([a, math.cos(angle) * a + math.sin(angle) * b]).astype(np.float32)
        one, other = sketcher.sketch(pair)
        share = int(differences(other[None], one)[0]) / 4096
        expected = angle / math.pi
        assert share == pytest.approx(expected, abs=5 * math.sqrt(expected * (1 - expected) / 4096) + 1e-9)


def test_sketches_are_what_whole_numbers_give_by_hand() -> None:
    grid = [at % 7 - 3 for at in range(64)]
    stream = hashlib.shake_256(b"xcos.gallery sketch 1").digest(64 * 128 // 8)
    signs = [2 * (byte >> (7 - bit) & 1) - 1 for byte in stream for bit in range(8)]
    positive = [sum(value * signs[at * 128 + bit] for at, value in enumerate(grid)) >= 0 for bit in range(128)]
    packed = bytes(sum(positive[at * 8 + bit] << (7 - bit) for bit in range(8)) for at in range(16))
    assert Sketcher(64, 128).sketch(np.array(grid, np.float32).reshape(1, 64)).astype("<u8").tobytes() == packed


def test_above_the_size_the_user_chose_a_shortlist_is_compared_exactly(tmp_path: Path) -> None:
    layout, effort = Layout(MODEL, (3, 3, 32), 8), Effort(exact_up_to=50, shortlist=40)
    with filled(tmp_path / "g.db", 150, layout, effort) as gallery:
        probes = [person(at, 77, layout) for at in range(0, 150, 10)]
        short = gallery.search(probes, purpose=PURPOSE, comparator=TrustWeighted(), top=3)
        exact = gallery.search(
            probes, purpose=PURPOSE, comparator=TrustWeighted(), top=3, effort=Effort(0, 1, always_exact=True)
        )
        assert {each.method for each in short} == {"shortlist"}
        assert {each.method for each in exact} == {"exact"}
        for one, other in zip(short, exact, strict=True):
            assert one.hits[0].subject == other.hits[0].subject
            assert one.hits[0].comparison.score == other.hits[0].comparison.score


@pytest.mark.parametrize("shortlist", [2, 40])
def test_recall_is_what_counting_by_hand_gives(tmp_path: Path, shortlist: int) -> None:
    layout, subjects = Layout(MODEL, (2, 2, 8), 8), 40
    with filled(tmp_path / "g.db", subjects, layout) as gallery:
        recall = gallery.recall(TrustWeighted(), shortlist=shortlist, searches=10**6, top=3)
        kept = [(each.id, kept.template.grid) for each in gallery.subjects() for kept in gallery.templates(each.id)]
    owners, grids = np.array([name for name, _ in kept]), np.stack([grid for _, grid in kept])
    sketches = Sketcher(layout.features, 512).sketch(grids)
    first, listed, possible = 0, 0, 0
    for at, grid in enumerate(grids):
        similarity, attention = TrustWeighted().maps(np.broadcast_to(grid, grids.shape), grids)
        scores = (similarity * attention).sum(axis=(1, 2))
        scores[at] = -2
        near = np.bitwise_count(sketches ^ sketches[at]).sum(axis=1).astype(int)
        near[at] = 10**6
        chosen = np.argsort(near, kind="stable")[:shortlist]
        exact, short = ({name: max(scores[some][owners[some] == name]) for name in set(owners[some])}
                        for some in (np.arange(len(grids)) != at, chosen))  # fmt: skip
        best, found = (sorted(each, key=lambda name: -each[name])[:3] for each in (exact, short))
        first += best[0] == found[0]
        listed += len(set(best) & set(found))
        possible += len(best)
    assert (recall.searches, recall.templates, recall.shortlist) == (len(grids), len(grids), shortlist)
    # Which of several templates with equally many signs is on the list is nobody's promise.
    assert recall.first == pytest.approx(first / len(grids), abs=0.05)
    assert recall.listed == pytest.approx(listed / possible, abs=0.05)
    assert recall.first_low <= recall.first <= recall.first_high + 1e-12
    assert shortlist != 40 or recall.first > 0.9


def test_recall_needs_something_to_measure(tmp_path: Path) -> None:
    with new_gallery(tmp_path / "g.db") as gallery:
        with pytest.raises(InvalidArgument, match="two templates"):
            gallery.recall(TrustWeighted())
        with pytest.raises(InvalidArgument, match="exactly"):
            gallery.recall(TransportWeighted())


def test_comparators_that_are_no_matrix_products_order_a_shortlist(tmp_path: Path) -> None:
    comparator = TransportWeighted()
    with filled(tmp_path / "g.db", 20, effort=Effort(shortlist=10)) as gallery:
        (found,) = gallery.search([person(4, 9)], purpose=PURPOSE, comparator=comparator, top=3)
        truth = one_by_one(gallery, person(4, 9), comparator)
    assert found.method == "shortlist"
    assert found.hits[0].subject == max(truth, key=lambda name: truth[name])
    assert found.hits[0].comparison.score == pytest.approx(max(truth.values()), abs=1e-12)


# Fusing


def test_photos_are_fused_to_the_weighted_mean_of_their_features() -> None:
    photos = [Enrolment(template(1), quality=1.0), Enrolment(template(2), quality=3.0)]
    mean, weighed = fuse(photos, "mean"), fuse(photos)
    assert np.allclose(mean.grid, (template(1).grid + template(2).grid) / 2, atol=1e-6)
    assert np.allclose(weighed.grid, 0.25 * template(1).grid + 0.75 * template(2).grid, atol=1e-6)
    assert np.allclose(weighed.vector, 0.25 * template(1).vector + 0.75 * template(2).vector, atol=1e-6)
    assert fuse(photos[:1]) is photos[0].template


def test_a_fused_probe_is_nearer_to_its_person_than_most_single_photos(tmp_path: Path) -> None:
    with filled(tmp_path / "g.db", 20) as gallery:
        singles = [person(7, photo, noise=2.0) for photo in range(40, 48)]
        fused = fuse([Enrolment(each) for each in singles], "mean")

        def score(probe: Template) -> float:
            (found,) = gallery.search([probe], purpose=PURPOSE, comparator=TrustWeighted(), top=20)
            return next(hit.comparison.score for hit in found.hits if hit.subject == "s007")

        assert score(fused) > max(map(score, singles))


def test_what_cannot_be_fused_is_refused() -> None:
    opposite = Template(-template(1).grid, -template(1).vector, MODEL)
    with pytest.raises(InvalidTemplate, match="cancel"):
        fuse([Enrolment(template(1)), Enrolment(opposite)])
    with pytest.raises(InvalidArgument):
        fuse([])
    with pytest.raises(InvalidArgument, match="quality"):
        fuse([enrolment(1)], "best")  # type: ignore[arg-type]
    with pytest.raises(IncompatibleTemplates):
        fuse([enrolment(1), Enrolment(Template(template(1).grid, template(1).vector, "toy/2"))])


@settings(max_examples=20)
@given(count=st.integers(1, 60), top=st.integers(1, 70), seed=st.integers(0, 10**6))
def test_the_list_is_right_for_any_number_of_subjects_and_templates(
    tmp_path_factory: pytest.TempPathFactory, count: int, top: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    path = tmp_path_factory.mktemp("any") / "g.db"
    with new_gallery(path, codec="half") as gallery:
        owners = random.integers(0, max(1, count // 3), count)
        gallery.enrol_all(
            NewSubject(f"s{owner:02}", tuple(Enrolment(template(int(at))) for at in np.flatnonzero(owners == owner)))
            for owner in np.unique(owners).tolist()
        )
        probe = template(seed + 5000)
        (found,) = gallery.search([probe], purpose=PURPOSE, comparator=TrustWeighted(), top=top)
        truth = one_by_one(gallery, probe, TrustWeighted())
    assert [hit.subject for hit in found.hits] == sorted(truth, key=lambda name: (-truth[name], name))[:top]
