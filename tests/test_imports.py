"""Who may import what, and what `import xcos` may cost."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import xcos

PACKAGE = Path(xcos.__file__).parent
# The table of docs/architecture.md: a module imports from rows above its own, or from its own row.
ROWS = (
    {"version", "errors", "types"},
    {"interfaces", "images", "alignment", "faces", "compare", "calibration", "quality", "weights", "regions"}
    | {"files", "feature_store", "onnx_runtime", "occluders", "pickled_pairs", "tables", "intervals"},
    {"extractor", "verification", "canvas"},
    {"draw", "report", "verifier"},
    {"pairs", "detectors", "embedders", "comparators"},
    {"catalog", "models", "evaluation", "explainers", "gallery", "testing"},
    {"training"},
    {"gradients"},
    {"cli", "__main__"},
)
# Who may start a training; each is itself imported only by its command.
TRAINERS = {"cli/convert_weights.py", "cli/plug.py", "cli/train.py"}
# The packages that need the extra `train`, and who names their classes by where they are, to load them when asked for.
TORCH = {"training", "gradients"}
NAMING = {"catalog.py", "explainers/listed.py"}
# A result shows itself in a notebook; what it needs for that is imported when it is shown.
SHOWING = {("verification", "draw"), ("verification", "report")}
HEAVY = ("numpy", "PIL", "onnx", "onnxruntime", "joblib", "jinja2", "rich", "matplotlib", "torch", "fastapi")
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def part(path: Path) -> str:
    """First name below the package: a module or a folder."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Parts of xcos that a module imports anywhere, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names: list[str | None] = []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "xcos" else [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {name.split(".")[1] for name in names if name and name.startswith("xcos.")}
    return found


def roots(path: Path) -> set[str]:
    """First names of everything that a module imports."""
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {name.split(".")[0] for name in names}


def test_every_module_stands_in_the_table() -> None:
    assert {part(path) for path in MODULES} == set().union(*ROWS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_its_row_and_above(path: Path) -> None:
    row = {name: at for at, names in enumerate(ROWS) for name in names}
    me = part(path)
    wrong = {name for name in imported(path) if row[name] > row[me] and (me, name) not in SHOWING}
    assert not wrong


def test_torch_is_imported_by_training_and_gradients_alone_and_those_by_their_commands_or_nobody() -> None:
    importers: dict[str, set[str]] = {"torch": set(), "training": set(), "gradients": set()}
    for path in MODULES:
        name, used = path.relative_to(PACKAGE).as_posix(), imported(path) | (roots(path) & {"torch"})
        for what in importers:
            importers[what] |= {name} if what in used and part(path) != what else set()
    assert {part(PACKAGE / name) for name in importers["torch"]} <= TORCH
    assert {name for name in importers["training"] if part(PACKAGE / name) not in TORCH} <= TRAINERS
    assert not importers["gradients"]


def test_gradients_are_named_by_where_they_are_in_the_catalogue_alone() -> None:
    named = {path.relative_to(PACKAGE).as_posix() for path in MODULES if names_gradients(path)}
    assert named == NAMING


def names_gradients(path: Path) -> bool:
    texts = (node.value for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Constant))
    return part(path) != "gradients" and any(str(text).startswith("xcos.gradients") for text in texts)


def test_the_catalogue_loads_no_explainer_before_one_is_made() -> None:
    code = (
        "import sys, xcos.catalog; from xcos.catalog import EXPLAINERS; "
        "homes = {listed.path.split(':')[0] for listed in EXPLAINERS.values()}; assert len(homes) > 15; "
        "print(sorted(homes & set(sys.modules)), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[] False\n"


def test_the_explainers_of_any_matcher_need_no_torch() -> None:
    names = [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in MODULES]
    wanted = [name for name in names if name.startswith("xcos.explainers.") and not name.endswith("__init__")]
    code = (
        "import importlib, sys; sys.modules['torch'] = None; "
        f"[importlib.import_module(name) for name in {wanted}]; print(len({wanted}))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 5


def test_importing_the_package_loads_nothing_heavy_and_prints_nothing() -> None:
    code = f"import sys, xcos; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert done.stderr == ""


def test_using_every_public_name_opens_no_network_and_needs_no_torch() -> None:
    code = (
        "import sys, xcos; [getattr(xcos, name) for name in xcos.__all__]; "
        "print([name for name in ('onnxruntime', 'onnx', 'torch', 'matplotlib', 'fastapi') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_names_for_type_checkers_are_the_names_at_run_time() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text("utf-8"))
    checked = {
        (alias.name, node.module)
        for branch in tree.body
        if isinstance(branch, ast.If)
        for node in branch.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert checked == {(name, f"xcos.{home}") for name, home in xcos._HOME.items()}
    for name in xcos.__all__:
        assert getattr(xcos, name) is not None
    assert dir(xcos) == sorted(xcos.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'verify_all'"):
        xcos.verify_all  # noqa: B018


def test_every_public_name_keeps_its_meaning_after_the_whole_package_is_used() -> None:
    code = (
        "import types, xcos; xcos.default_verifier; [getattr(xcos, name) for name in xcos.__all__];"
        "print([name for name in xcos.__all__ if isinstance(getattr(xcos, name), types.ModuleType)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_help_waits_for_nothing_heavy() -> None:
    code = (
        "import sys; from xcos.cli import main\n"
        "try:\n    main(['explain', '--help'])\n"
        f"except SystemExit: print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\n[]\n")
