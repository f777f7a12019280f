"""The loop, its optimizers and what it minimises."""

from __future__ import annotations

import copy
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from scipy.stats import mannwhitneyu
from tiny_training import BACKBONE, HEAD, write_config, write_faces
from torch import Tensor, nn

from xcos.errors import InvalidConfig, InvalidModel
from xcos.training.build import Built, build, build_network, read_weights
from xcos.training.config import IrConfig, LocalConfig, OptimizerConfig, ScheduleConfig, read_config
from xcos.training.data.batches import CropBatch, PairBatch
from xcos.training.data.folder import read_folder
from xcos.training.distributed import Ranks
from xcos.training.head import make_head
from xcos.training.learners import HeadLearner
from xcos.training.loop import Position, Report, load_state, own_state, shared_state, train
from xcos.training.networks.mobilefacenet import MobileFaceNet
from xcos.training.objectives import XcosObjective
from xcos.training.optimizers import make_adam, make_sgd
from xcos.training.schedule import attention_factor, rate_factor
from xcos.training.validation import misordered, split, validation_pairs

ALONE = Ranks(0, 1, torch.device("cpu"))
START = Position()


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    write_faces(folder / "faces")
    return folder


def built(folder: Path, text: str) -> Built:
    return build(read_config(write_config(folder, text)), ALONE)


def run(job: Any, start: Position = START) -> list[Report]:
    reports: list[Report] = []
    train(job, start, on_report=reports.append, on_checkpoint=lambda _: None)
    return reports


@pytest.fixture(scope="module")
def with_teacher(faces: Path) -> Path:
    """The folder, with a trained teacher in it."""
    job = built(faces, BACKBONE).job
    run(job)
    save_file({name: each.clone() for name, each in job.learner.network.state_dict().items()}, faces / "teacher")
    return faces


def bits(module: nn.Module) -> dict[str, Tensor]:
    return {name: each.clone() for name, each in module.state_dict().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


# Schedule and optimizers


def test_the_rate_rises_and_drops_as_a_hand_drawn_course() -> None:
    schedule = ScheduleConfig(epochs=10, warm_up=2, drops=(4, 6.5), factor=0.1)
    course = {0: 0, 0.5: 0.25, 1: 0.5, 2: 1, 3.99: 1, 4: 0.1, 6.49: 0.1, 6.5: 0.01, 9.9: 0.01}
    for time, factor in course.items():
        assert rate_factor(schedule, time) == pytest.approx(factor)
    assert rate_factor(ScheduleConfig(epochs=1), 0) == 1


def test_the_attention_loses_a_hundredth_every_eight_epochs() -> None:
    schedule = ScheduleConfig(epochs=20, attention_every=8, attention_factor=0.99)
    assert [attention_factor(schedule, time) for time in (0, 7.9, 8, 15.9, 16)] == [1, 1, 0.99, 0.99, 0.99**2]
    assert attention_factor(ScheduleConfig(epochs=20), 19) == 1


def test_one_step_of_sgd_is_the_formula_and_decays_no_normalisation() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.PReLU(3), nn.Flatten(), nn.BatchNorm1d(3))
    config = OptimizerConfig(rate=0.1, momentum=0.5, decay=0.2)
    trained = make_sgd(module, "network.", config)
    before = {name: each.detach().clone() for name, each in module.named_parameters()}
    velocity = {name: torch.zeros_like(each) for name, each in before.items()}
    for _ in range(2):
        gradients = {name: torch.randn_like(each) for name, each in before.items()}
        for name, each in module.named_parameters():
            each.grad = gradients[name].clone()
            decay = 0.2 if name.startswith("0.") else 0.0  # the convolution alone
            velocity[name] = 0.5 * velocity[name] + gradients[name] + decay * before[name]
            before[name] -= 0.1 * velocity[name]
        trained.optimizer.step()
    for name, each in module.named_parameters():
        torch.testing.assert_close(each.detach(), before[name], rtol=1e-6, atol=1e-7)


def test_an_optimizers_state_by_name_goes_on_as_if_nothing_had_been() -> None:
    config = OptimizerConfig(rate=0.1, momentum=0.9, decay=0.01)
    torch.manual_seed(0)
    one = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    attention = dict(one[2].named_parameters(prefix="2"))
    other = copy.deepcopy(one)
    other_attention = dict(other[2].named_parameters(prefix="2"))
    sides = [
        (module, (make_sgd(module, "", config, leave=named.values()), make_adam(named, config)))
        for module, named in ((one, attention), (other, other_attention))
    ]
    inputs = torch.randn(4, 8, 3)

    def step(module: nn.Module, optimizers: Any, x: Tensor) -> None:
        module(x).square().mean().backward()
        for each in optimizers:
            each.optimizer.step()
            each.optimizer.zero_grad()

    for x in inputs[:2]:
        step(*sides[0], x)
    other.load_state_dict(one.state_dict())
    for source, target in zip(sides[0][1], sides[1][1], strict=True):
        state = source.state()
        assert set(state) >= {f"{name}/momentum_buffer" for name in source.names} or "2.weight/exp_avg" in state
        target.load({name: each.clone() for name, each in state.items()})
    for x in inputs[2:]:
        step(*sides[0], x)
        step(*sides[1], x)
    assert same(bits(one), bits(other))


def test_state_of_a_parameter_that_is_not_trained_is_refused() -> None:
    trained = make_sgd(nn.Linear(2, 2), "", OptimizerConfig())
    with pytest.raises(InvalidModel, match=r"knows other\.weight"):
        trained.load({"other.weight/momentum_buffer": torch.zeros(2, 2)})


# Building


def test_classes_are_counted_in_the_data(faces: Path, tmp_path: Path) -> None:
    assert built(faces, BACKBONE).job.classifier.classes == 4
    write_faces(tmp_path / "faces", people=7, photos=2)
    assert built(tmp_path, BACKBONE).job.classifier.classes == 7
    assert built(tmp_path, BACKBONE.replace('"faces"', '"faces"\nheld_out = 3')).job.classifier.classes == 4


def test_an_id_vector_has_as_many_numbers_as_the_projected_grid(with_teacher: Path) -> None:
    job = built(with_teacher, HEAD).job
    assert job.classifier.centers.shape == (2, 4 * 4 * 4)


def test_photos_of_another_size_are_refused(tmp_path: Path) -> None:
    write_faces(tmp_path / "faces", side=98)
    with pytest.raises(InvalidConfig, match=r"98 × 98 pixels and \[network\] needs 112 × 112"):
        built(tmp_path, BACKBONE)


def test_people_held_out_are_not_trained_on(faces: Path) -> None:
    everyone = read_folder(faces / "faces")
    kept, held = split(everyone, 2)
    assert set(kept.names) | set(held.names) == set(everyone.names)
    assert not set(kept.names) & set(held.names)
    assert not set(kept.places.tolist()) & set(held.places.tolist())
    for part in (kept, held):
        for label, place in zip(part.labels.tolist(), part.places.tolist(), strict=True):
            assert part.names[label] == everyone.names[everyone.labels[everyone.places.tolist().index(place)]]


def test_holding_out_nearly_all_or_people_of_one_photo_is_refused(faces: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="leave two or more"):
        split(read_folder(faces / "faces"), 3)
    write_faces(tmp_path / "single", people=5, photos=1)
    with pytest.raises(InvalidConfig, match="no mated pair"):
        split(read_folder(tmp_path / "single"), 2)


@pytest.mark.parametrize("network", [IrConfig(depth=18), LocalConfig(), LocalConfig(vector_size=9)])
def test_weights_of_another_network_are_refused_in_one_line(
    with_teacher: Path, network: IrConfig | LocalConfig
) -> None:
    with pytest.raises(InvalidModel) as caught:
        build_network(replace(network, weights=with_teacher / "teacher"))
    told = r"(\S+ is (missing|unknown|\(.*\) and should be \(.*\))(, | and [\d,]+ more; ))+give weights of the same"
    kind = "Ir" if isinstance(network, IrConfig) else "LocalNetwork"
    assert re.search(f"do not fit the configured {kind}: {told}", caught.value.message)
    assert "\n" not in caught.value.message
    assert caught.value.details["path"] == str(with_teacher / "teacher")


def test_what_is_no_weight_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"\x80\x04K\x01.")  # a pickle
    with pytest.raises(InvalidModel, match="give a safetensors file"):
        read_weights(tmp_path / "weights", "network")
    (tmp_path / "run").mkdir()
    with pytest.raises(InvalidModel, match="holds no checkpoint"):
        read_weights(tmp_path / "run", "network")


def test_weights_without_the_part_that_is_asked_for_are_refused(tmp_path: Path) -> None:
    save_file({"network.weight": torch.zeros(2), "optimizer.rest": torch.zeros(1)}, tmp_path / "one")
    save_file({"head.weight": torch.zeros(3)}, tmp_path / "other")
    save_file({"weight": torch.zeros(4)}, tmp_path / "bare")
    assert [*read_weights(tmp_path / "one", "network")] == ["weight"]
    with pytest.raises(InvalidModel, match="one holds no head, only a network; give weights of a head"):
        read_weights(tmp_path / "one", "head")
    with pytest.raises(InvalidModel, match="other holds no network, only a head"):
        read_weights(tmp_path / "other", "network")
    assert len(read_weights(tmp_path / "bare", "head")["weight"]) == 4


# Training


def test_a_network_learns_people(faces: Path) -> None:
    text = BACKBONE.replace("epochs = 2", "epochs = 8").replace("sample_rate = 0.5", "")
    reports = run(built(faces, text).job)
    assert [report.step for report in reports] == list(range(1, 33))
    first, last = (np.mean([each.losses["loss"] for each in part]) for part in (reports[:4], reports[-4:]))
    assert last < 0.6 * first
    assert reports[-1].seconds_left == 0
    assert reports[-1].epoch == 8
    assert all(report.images_per_second > 0 for report in reports)


def test_a_head_learns_and_its_teacher_does_not(with_teacher: Path) -> None:
    job = built(with_teacher, HEAD.replace("epochs = 1", "epochs = 6")).job
    assert isinstance(job.objective, XcosObjective)
    (teacher,) = job.objective.teacher._teacher
    before, student = bits(teacher), bits(job.learner)
    reports = run(job)
    assert same(bits(teacher), before)
    assert not any(module.training for module in teacher.modules())
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert not any("teacher" in name for name in shared_state(job))
    after = bits(job.learner)
    # The vector's layer is not on the way to the grid, and the projection's normalisation takes a constant away.
    unmoved = {name for name in after if torch.equal(after[name], student[name])}
    assert {"network.linear.weight"} <= unmoved <= {"network.linear.weight", "network.encoder.8.bias"}
    assert reports[-1].losses["loss"] < reports[0].losses["loss"]
    assert len(reports[0].rates) == 2


@pytest.mark.parametrize("weighting", ["separable", "symmetric", "concat", "norm", "uniform"])
def test_every_parameter_that_is_to_be_trained_gets_a_gradient(with_teacher: Path, weighting: str) -> None:
    # Distributed training waits for all of them.
    job = built(with_teacher, HEAD.replace('"concat"', f'"{weighting}"')).job
    job.objective.losses(next(iter(job.feed.batches(0, 0))))["loss"].backward()  # type: ignore[no-untyped-call]
    wanting = {name for name, each in job.learner.named_parameters() if each.requires_grad and each.grad is None}
    assert wanting == set()
    assert not dict(job.learner.named_parameters())["network.linear.weight"].requires_grad


def test_a_frozen_network_keeps_every_bit(with_teacher: Path) -> None:
    job = built(with_teacher, HEAD.replace('"teacher"\n[teacher]', '"teacher"\nfrozen = true\n[teacher]')).job
    before = bits(job.learner.network)
    head = bits(job.learner.head) if isinstance(job.learner, HeadLearner) else {}
    run(job)
    assert same(bits(job.learner.network), before)
    assert isinstance(job.learner, HeadLearner)
    assert not same(bits(job.learner.head), head)


def test_the_loss_is_the_weighted_sum_and_the_same_when_asked_again(with_teacher: Path) -> None:
    text = HEAD.replace("channels = 4", "channels = 4\nidentity = 0.25\ncosine = 3.0")
    job = built(with_teacher, text).job
    batch = next(iter(job.feed.batches(0, 0)))
    assert isinstance(batch, PairBatch)
    labels = batch.probes.labels.clone(), batch.references.labels.clone()
    first, second = job.objective.losses(batch), job.objective.losses(batch)
    assert first["loss"].item() == pytest.approx(0.25 * first["identity"].item() + 3 * first["cosine"].item())
    assert {name: each.item() for name, each in first.items()} == {name: each.item() for name, each in second.items()}
    assert torch.equal(batch.probes.labels, labels[0])
    assert torch.equal(batch.references.labels, labels[1])
    assert batch.probes.labels.max() < job.classifier.classes


def test_the_cosine_loss_is_the_squared_distance_from_the_teachers_cosine(with_teacher: Path) -> None:
    job = built(with_teacher, HEAD).job
    batch = next(iter(job.feed.batches(0, 0)))
    assert isinstance(batch, PairBatch)
    assert isinstance(job.objective, XcosObjective)
    teacher, _ = build_network(job.config.network)
    teacher.eval()
    with torch.no_grad():
        a, b = (teacher(side.pixels).vector for side in (batch.probes, batch.references))
        wanted = (a * b).sum(1) / (a.square().sum(1) * b.square().sum(1)).sqrt()
        pixels = torch.cat([batch.probes.pixels, batch.references.pixels])
        scores = copy.deepcopy(job.learner)(pixels).scores
    loss = job.objective.losses(batch)["cosine"].item()
    assert loss == pytest.approx((scores - wanted).square().mean().item(), rel=1e-5)


def test_the_teacher_is_asked_about_the_photos_before_they_were_covered(with_teacher: Path) -> None:
    bare = built(with_teacher, HEAD).job
    covered = built(with_teacher, HEAD.replace("[run]", "[augmentation]\nsquares = 0.5\nblob = 0.5\n[run]")).job
    seen: list[list[Tensor]] = []
    for job in (bare, covered):
        assert isinstance(job.objective, XcosObjective)
        pixels: list[Tensor] = []
        for network in (job.objective.teacher._teacher[0], job.learner.network):
            network.register_forward_pre_hook(lambda _, inputs, kept=pixels: kept.append(inputs[0]))
        job.objective.losses(next(iter(job.feed.batches(0, 0))))
        seen.append(pixels)
    (student, teacher), (covered_student, covered_teacher) = seen
    assert torch.equal(teacher, student)
    assert torch.equal(covered_teacher, teacher)
    assert (covered_student != student).flatten(1).any(dim=1).all()


def test_a_clipped_gradient_makes_a_step_of_the_rate_times_its_bound(faces: Path) -> None:
    text = BACKBONE.replace("rate = 0.05", "rate = 0.05\nclip = 1e-3\nmomentum = 0.0\ndecay = 0.0")
    job = built(faces, text.replace("batch = 4", "batch = 16").replace("epochs = 2", "epochs = 1")).job
    before = [each.detach().clone() for each in job.learner.parameters()]
    run(job)
    moved = [each.detach() - was for each, was in zip(job.learner.parameters(), before, strict=True)]
    length = math.sqrt(sum(float(each.double().square().sum()) for each in moved))
    assert length == pytest.approx(0.05 * 1e-3, rel=0.02)


def test_half_precision_is_near_and_its_losses_are_float32(faces: Path) -> None:
    losses = []
    for precision in ("float32", "bfloat16"):
        text = BACKBONE.replace("widths = [2, 4]", "widths = [8, 16]")
        job = built(faces, text + f'precision = "{precision}"\nchannels_last = true').job
        batch = next(iter(job.feed.batches(0, 0)))
        assert isinstance(batch, CropBatch)
        losses.append(job.objective.losses(batch)["loss"])
        assert losses[-1].dtype == torch.float32
        assert all(each.dtype == torch.float32 for each in job.learner.parameters())
    assert losses[0].item() != losses[1].item()
    assert losses[1].item() == pytest.approx(losses[0].item(), rel=0.05)


def test_a_loss_that_is_no_number_ends_the_training(faces: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"lower optimizer\.rate"):
        run(built(faces, BACKBONE.replace("rate = 0.05", "rate = 1e30")).job)


def test_the_same_seed_trains_the_same_network_and_another_another(faces: Path) -> None:
    states = []
    for seed in (0, 0, 1):
        job = built(faces, BACKBONE.replace("epochs = 2", "epochs = 1") + f"seed = {seed}").job
        run(job)
        states.append(shared_state(job))
    assert same(states[0], states[1])
    assert not same(states[0], states[2])


class _Stop(Exception):
    pass


@pytest.mark.parametrize("kind", ["network", "head"])
@pytest.mark.parametrize("after", [1, 2, 3])
def test_loaded_state_goes_on_to_the_same_bits(with_teacher: Path, kind: str, after: int) -> None:
    text = BACKBONE if kind == "network" else HEAD.replace("epochs = 1", "epochs = 2")
    whole = built(with_teacher, text).job
    run(whole)
    wanted = {**shared_state(whole), **own_state(whole)}

    first = built(with_teacher, text).job
    stopped: list[tuple[Position, dict[str, Tensor]]] = []

    def stop(position: Position) -> None:
        if position.step == after:
            state = {**shared_state(first), **own_state(first)}
            stopped.append((position, {name: each.clone() for name, each in state.items()}))
            raise _Stop

    with pytest.raises(_Stop):
        train(first, START, on_report=lambda _: None, on_checkpoint=stop)
    ((position, state),) = stopped
    torch.rand(7)  # what other code draws in between is forgotten
    second = built(with_teacher, text).job
    load_state(second, state)
    run(second, position)
    assert same({**shared_state(second), **own_state(second)}, wanted)


def test_dropout_goes_on_where_it_was(faces: Path) -> None:
    text = BACKBONE.replace("epochs = 2", "epochs = 1")

    def with_dropout() -> Any:
        job = built(faces, text).job
        encoder = job.learner.network.encoder
        assert isinstance(encoder, nn.Sequential)
        encoder.append(nn.Dropout(0.5))
        return job

    whole = with_dropout()
    run(whole)
    first = with_dropout()
    states: dict[int, tuple[Position, dict[str, Tensor]]] = {}

    def keep(position: Position) -> None:
        state = {**shared_state(first), **own_state(first)}
        states[position.step] = position, {name: each.clone() for name, each in state.items()}

    train(first, START, on_report=lambda _: None, on_checkpoint=keep)
    second = with_dropout()
    load_state(second, states[2][1])
    run(second, states[2][0])
    assert same(shared_state(second), shared_state(whole))
    third = with_dropout()
    load_state(third, {**states[2][1], "random.cpu": states[1][1]["random.cpu"]})
    run(third, states[2][0])
    assert not same(shared_state(third), shared_state(whole))


def test_a_state_of_another_training_is_refused_in_one_line(faces: Path, tmp_path: Path) -> None:
    write_faces(tmp_path / "faces", people=3)
    job = built(faces, BACKBONE).job
    state = {**shared_state(job), **own_state(job)}
    wider = built(faces, BACKBONE.replace("vector_size = 8", "vector_size = 9")).job
    with pytest.raises(InvalidModel) as caught:
        load_state(wider, state)
    assert caught.value.message == (
        "the checkpoint does not fit this training: network.linear.weight is (8, 8) and should be (9, 8); "
        "go on with the configuration it was written with"
    )
    fewer = built(tmp_path, BACKBONE).job
    with pytest.raises(InvalidModel, match=r"classifier .*: centers is \(4, 8\) and should be \(3, 8\); go on with"):
        load_state(fewer, state)


EVERY_STATE = [
    *(HEAD.replace('"concat"', f'"{name}"') for name in ("separable", "symmetric", "concat", "norm", "uniform")),
    *(BACKBONE.replace("cosface", name) for name in ("arcface", "adaface", "sphereface2")),
    BACKBONE.replace("cosface", "softmax").replace("margin = 0.1", ""),
    BACKBONE.replace("rate = 0.05", "rate = 0.05\nmomentum = 0.0"),
    HEAD.replace("channels = 4", "channels = 4\nidentity = 0.0\ndetach_similarity = true"),
]


@pytest.mark.parametrize("text", EVERY_STATE)
def test_a_step_leaves_all_that_is_asked_for_on_resuming(with_teacher: Path, text: str) -> None:
    job = built(with_teacher, text).job
    run(job)
    state = {name: each.clone() for name, each in {**shared_state(job), **own_state(job)}.items()}
    again = built(with_teacher, text).job
    load_state(again, state)
    assert same({**shared_state(again), **own_state(again)}, state)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda state, name: state.pop(f"optimizer.{name}/momentum_buffer"), "lacks .*momentum_buffer"),
        (lambda state, name: state.update({f"optimizer.{name}/exp_avg": torch.zeros(1)}), "knows .*exp_avg"),
        (lambda state, name: state.update({f"optimizer.{name}/momentum_buffer": torch.zeros(1)}), r"is \(1,\), not"),
        (lambda state, _: state.update({"optimizer.absent/momentum_buffer": torch.zeros(1)}), r"has optimizer\.absent"),
        (lambda state, _: state.update({"random.other": torch.zeros(1)}), r"has random\.other"),
        (lambda state, _: state.update({"spare": torch.zeros(1)}), "has spare"),
        (lambda state, _: state.pop("random.classes"), r"lacks random\.classes"),
        (lambda state, _: state.pop("random.cpu"), r"lacks random\.cpu"),
    ],
)
@pytest.mark.parametrize("name", ["network.linear.weight", "classifier.centers"])
def test_a_state_with_more_or_less_is_refused(faces: Path, change: Any, told: str, name: str) -> None:
    job = built(faces, BACKBONE).job
    run(job)
    state = {**shared_state(job), **own_state(job)}
    load_state(built(faces, BACKBONE).job, state)
    change(state, name)
    with pytest.raises(InvalidModel, match=told):
        load_state(built(faces, BACKBONE).job, state)


@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_a_network_sees_its_own_order_of_channels(tmp_path: Path, color: str) -> None:
    for person in range(2):
        home = tmp_path / "faces" / f"person_{person}"
        home.mkdir(parents=True)
        for photo in range(2):
            Image.new("RGB", (112, 112), (255, 51, 0)).save(home / f"{photo}.png")
    text = BACKBONE.replace('"local"', f'"local"\ncolor = "{color}"')
    job = built(tmp_path, text).job
    batch = next(iter(job.feed.batches(0, 0)))
    assert isinstance(batch, CropBatch)
    seen: list[Tensor] = []
    job.learner.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    job.objective.losses(batch)
    red, green, blue = 1.0, -0.6, -1.0  # (x − 127.5) / 127.5
    wanted = torch.tensor([red, green, blue] if color == "rgb" else [blue, green, red])
    torch.testing.assert_close(seen[0], wanted[None, :, None, None].expand(4, 3, 112, 112))


def test_the_layers_of_the_vector_stay_as_they_are_under_a_head() -> None:
    torch.manual_seed(0)
    network = MobileFaceNet(4)
    learner = HeadLearner(network, make_head("separable", 512, channels=4), frozen=False)
    before = {name: each.clone() for name, each in network.state_dict().items()}
    for mode in (True, False, True):
        learner.train(mode)
        vectors, scores = learner(torch.randn(4, 3, 112, 112))
        if mode:
            (vectors.sum() + scores.sum()).backward()
            make_sgd(learner, "", OptimizerConfig()).optimizer.step()
    for name, each in network.state_dict().items():
        moved = not torch.equal(each, before[name])
        assert moved == (not name.startswith("pooled.")), name


# Measuring


def test_misordered_is_the_mann_whitney_statistic() -> None:
    generator = np.random.default_rng(1)
    scores = generator.integers(0, 20, 200).astype(float)  # with many ties
    mated = generator.random(200) < 0.3
    statistic = mannwhitneyu(scores[~mated], scores[mated]).statistic
    assert misordered(scores, mated) == pytest.approx(statistic / (mated.sum() * (~mated).sum()), abs=1e-12)


def test_misordered_at_its_ends() -> None:
    mated = np.array([True, True, False, False])
    assert misordered(np.array([2.0, 3.0, 0.0, 1.0]), mated) == 0
    assert misordered(np.array([0.0, 1.0, 2.0, 3.0]), mated) == 1
    assert misordered(np.zeros(4), mated) == 0.5
    with pytest.raises(InvalidConfig, match="not numbers"):
        misordered(np.array([0.0, np.nan, 0.0, 0.0]), mated)


def test_the_same_pairs_are_measured_every_time_and_a_person_counts_eight_photos_at_most(tmp_path: Path) -> None:
    people = read_folder(write_faces(tmp_path / "faces", people=2, photos=11))
    photos, pairs = validation_pairs(people)
    assert np.bincount(people.labels[photos]).tolist() == [8, 8]
    again = validation_pairs(people)[1]
    assert all(np.array_equal(one, other) for one, other in zip(pairs, again, strict=True))
    same_person = people.labels[photos[pairs.first]] == people.labels[photos[pairs.second]]
    assert np.array_equal(same_person, pairs.mated)


def test_a_part_of_the_classes_is_met_in_each_step(faces: Path) -> None:
    job = built(
        faces, BACKBONE.replace("batch = 4", "batch = 2").replace("sample_rate = 0.5", "sample_rate = 0.25")
    ).job
    batch = next(iter(job.feed.batches(0, 0)))
    job.objective.losses(batch)["loss"].backward()  # type: ignore[no-untyped-call]
    touched = set(job.classifier.centers.grad.abs().sum(1).nonzero().flatten().tolist())  # type: ignore[union-attr]
    assert isinstance(batch, CropBatch)
    assert touched <= set(batch.labels.tolist())


def test_the_configuration_is_not_changed_by_building(faces: Path) -> None:
    config = read_config(write_config(faces, BACKBONE))
    twin = replace(config)
    build(config, ALONE)
    assert config == twin
