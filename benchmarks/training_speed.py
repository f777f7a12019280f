"""What training costs, as ratios taken in one run.

    python benchmarks/training_speed.py [cpu] [gpu] [--rounds 5] [--steps 2] [--gpu-batch 256]

cpu: a training step of MobileFaceNet with 1,000 classes on one core, images per second of processor time and largest
resident set, each in a process of its own: torch as it comes (batch 128, fp32, channels first, torch's PReLU) against
the settings of xcos.training.cpu (batch 24, channels last, memory kept, bf16 where the processor has it) and our PReLU.
In brackets the slowest and the fastest round.
gpu: the same step of IR-50 in bf16, and its share of the matrix rate measured on the same card.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from xcos.training.cpu import fast_precision, keep_freed_memory
from xcos.training.losses.arcface import ArcFace
from xcos.training.losses.classifier import Classifier
from xcos.training.networks.ir import Ir
from xcos.training.networks.mobilefacenet import MobileFaceNet
from xcos.training.networks.prelu import PReLU

CLASSES = 1000


class Variant(NamedTuple):
    batch: int
    layout: torch.memory_format
    precision: torch.dtype
    ours: bool
    """Freed memory kept, and our PReLU."""


VARIANTS = {
    "plain": Variant(128, torch.contiguous_format, torch.float32, ours=False),
    "fast": Variant(24, torch.channels_last, fast_precision(), ours=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], default=[])
    parser.add_argument("--rounds", type=int, default=5, help="processes per variant, one after the other in turn")
    parser.add_argument("--steps", type=int, default=2, help="steps of 128 images timed in each")
    parser.add_argument("--gpu-batch", type=int, default=256)
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.variant:
        measure(VARIANTS[options.variant], options.steps)
        return
    print(f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}, "
          f"Python {platform.python_version()}, torch {torch.__version__}")  # fmt: skip
    for name in options.sections or SECTIONS:
        SECTIONS[name](options)


def bar(name: str, value: float, limit: float, unit: str = "", *, at_least: bool = False) -> None:
    met = value >= limit if at_least else value <= limit
    print(f"  {'met ' if met else 'MISS'} {name}: {value:.3g}{unit} (bar {limit:g}{unit})")


def training_step(network: Ir | MobileFaceNet, variant: Variant, device: torch.device) -> Callable[[], None]:
    """One step on the same random batch again and again: forward, ArcFace, backward, SGD."""
    generator = torch.Generator().manual_seed(0)
    network.to(device, memory_format=variant.layout)  # type: ignore[call-overload]
    classifier = Classifier(network.vector_size, CLASSES, ArcFace(), generator=generator).to(device)
    parameters = [*network.parameters(), *classifier.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.01, momentum=0.9, weight_decay=5e-4)
    pixels = torch.rand(variant.batch, 3, network.input_side, network.input_side, generator=generator) * 2 - 1
    pixels = pixels.to(device).contiguous(memory_format=variant.layout)
    labels = torch.randint(CLASSES, (variant.batch,), generator=generator).to(device)

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=variant.precision == torch.bfloat16):
            loss = classifier(network(pixels).vector, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def measure(variant: Variant, steps: int) -> None:
    """Prints images per second of processor time (median) and the largest resident set of this process."""
    torch.set_num_threads(1)
    network = MobileFaceNet()
    if variant.ours:
        keep_freed_memory()
    else:
        put_back_prelu(network)
    step = training_step(network, variant, torch.device("cpu"))
    step()
    rates = []
    for _ in range(steps * VARIANTS["plain"].batch // variant.batch):
        started = time.process_time()
        step()
        rates.append(variant.batch / (time.process_time() - started))
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rate": statistics.median(rates), "megabytes": megabytes}))


def put_back_prelu(network: nn.Module) -> None:
    for layer in list(network.modules()):
        for name, child in layer.named_children():
            if isinstance(child, PReLU):
                setattr(layer, name, nn.PReLU(child.num_parameters))


def cpu(options: argparse.Namespace) -> None:
    print(f"MobileFaceNet and {CLASSES:,} classes, one core, images per second of processor time")
    found: dict[str, list[dict[str, float]]] = {name: [] for name in VARIANTS}
    for _ in range(options.rounds):
        for name in VARIANTS:
            command = [sys.executable, __file__, "--variant", name, "--steps", str(options.steps)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found[name].append(json.loads(done.stdout))
    rates = {name: statistics.median(run["rate"] for run in runs) for name, runs in found.items()}
    peaks = {name: max(run["megabytes"] for run in runs) for name, runs in found.items()}
    for name, variant in VARIANTS.items():
        each = sorted(run["rate"] for run in found[name])
        print(f"  {name}: {rates[name]:.1f} images/s [{each[0]:.1f}, {each[-1]:.1f}], {peaks[name] / 1024:.2f} GB at "
              f"most; batch {variant.batch}, {variant.layout}, {variant.precision}")  # fmt: skip
    ratios = sorted(fast["rate"] / plain["rate"] for fast, plain in zip(found["fast"], found["plain"], strict=True))
    print(f"  fast / plain in {len(ratios)} rounds: {ratios[0]:.2f} to {ratios[-1]:.2f}")
    bar("fast / plain", rates["fast"] / rates["plain"], 2, at_least=True)
    bar("largest resident set of fast", peaks["fast"] / 1024, 2, " GB")


def gpu(options: argparse.Namespace) -> None:
    print("IR-50 in bf16 on a GPU")
    if not torch.cuda.is_available():
        print("  no GPU here; nothing measured")
        return
    torch.backends.cudnn.benchmark = True  # all batches have one shape
    device = torch.device("cuda")
    matrix_rate = matrix_product_rate(device, side=8192)
    variant = Variant(options.gpu_batch, torch.channels_last, torch.bfloat16, ours=True)
    step = training_step(Ir(50), variant, device)
    operations = operations_of(step)
    seconds = seconds_of(step, repeats=20)
    rate, gigabytes = operations / seconds, torch.cuda.max_memory_allocated() / 2**30
    print(f"  {torch.cuda.get_device_name()}, batch {variant.batch}: {variant.batch / seconds:,.0f} images/s, "
          f"{gigabytes:.1f} GB; {rate / 1e12:.0f} TFLOP/s, {rate / matrix_rate:.0%} of the "
          f"{matrix_rate / 1e12:.0f} TFLOP/s of a matrix product")  # fmt: skip


def operations_of(step: Callable[[], None]) -> int:
    """Multiplications and additions of the matrix products and ungrouped convolutions, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        step()
    return int(counter.get_total_flops())


def matrix_product_rate(device: torch.device, *, side: int) -> float:
    """Operations per second of a product of two square bf16 matrices."""
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * side**3 / seconds_of(lambda: torch.mm(a, b), repeats=20)


def seconds_of(work: Callable[[], object], *, repeats: int) -> float:
    """Seconds per call on the GPU, after five calls to warm up."""
    for _ in range(5):
        work()
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(repeats):
        work()
    torch.cuda.synchronize()
    return (time.perf_counter() - started) / repeats


SECTIONS: dict[str, Callable[[argparse.Namespace], None]] = {"cpu": cpu, "gpu": gpu}

if __name__ == "__main__":
    main()
