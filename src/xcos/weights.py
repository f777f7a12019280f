"""Weight files: found without running foreign code, known by their hash before they are parsed."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from xcos.alignment import ARCFACE_112, DLIB_150
from xcos.errors import InvalidCard, WeightsMismatch, WeightsMissing
from xcos.types import CropTemplate

TEMPLATES = {template.name: template for template in (ARCFACE_112, DLIB_150)}


@dataclass(frozen=True)
class WeightCard:
    """What a network is and how its crops must be made; nothing of this is ever guessed."""

    name: str
    sha256: str
    """Of the weight file as published."""
    template: CropTemplate
    color: Literal["rgb", "bgr"]
    """Order of channels the network was trained on; crops are always RGB outside the embedder."""
    mean: tuple[float, float, float]
    scale: float
    """Network input = (pixel − mean) · scale, per channel in the network's own order."""
    licence: str
    source: str
    training_data: str

    def to_dict(self) -> dict[str, object]:
        """Plain JSON values, as :func:`read_card` reads them."""
        cut = self.template
        known = TEMPLATES.get(cut.name) is cut
        points = {"name": cut.name, "width": cut.width, "height": cut.height, "points": cut.points.tolist()}
        return {
            "name": self.name,
            "sha256": self.sha256,
            "template": cut.name if known else points,
            "color": self.color,
            "mean": list(self.mean),
            "scale": self.scale,
            "licence": self.licence,
            "source": self.source,
            "training_data": self.training_data,
        }

    @property
    def fingerprint(self) -> str:
        """Short hash of all fields."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:8]


def read_card(path: str | Path) -> WeightCard:
    """The card in a JSON or TOML file (by its ending) with every field of :class:`WeightCard`.

    ``template`` is ``"arcface_112"``, ``"dlib_150"`` or ``{"name", "width", "height", "points"}``; ``mean`` is
    one number or three. Raises :class:`InvalidCard` naming the field that is missing or wrong.
    """
    return card_from(read_fields(path), Path(path).name)


def read_fields(path: str | Path) -> dict[str, object]:
    """What a JSON object or a TOML file says; which of the two it is, its ending tells."""
    path = Path(path)
    parse, kind = (tomllib.loads, "TOML table") if path.suffix.lower() == ".toml" else (json.loads, "JSON object")
    try:
        fields = parse(path.read_text("utf-8"))
    except OSError as error:
        raise InvalidCard(
            f"cannot read the weight card {path}: {error.strerror or error}; give a card's file"
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidCard(f"the weight card {path.name} is no text; it must be a {kind}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidCard(
            f"cannot read the weight card {path.name}: {error}; by its ending it must be a {kind}"
        ) from error
    if not isinstance(fields, dict):
        raise InvalidCard(f"the weight card {path.name} must be a {kind}, got {type(fields).__name__}")
    return fields


def card_from(fields: Mapping[str, object], shown: str) -> WeightCard:
    """The card with these fields; errors call it ``shown``."""
    wanted = ("name", "sha256", "template", "color", "mean", "scale", "licence", "source", "training_data")
    require_fields(fields, wanted, f"the weight card {shown}")
    try:
        return WeightCard(
            name=_text(fields, "name"),
            sha256=_sha256(fields["sha256"]),
            template=_template(fields["template"]),
            color=_color(fields["color"]),
            mean=_mean(fields["mean"]),
            scale=_scale(fields["scale"]),
            licence=_text(fields, "licence"),
            source=_text(fields, "source"),
            training_data=_text(fields, "training_data"),
        )
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise InvalidCard(f"the weight card {shown} has a wrong value: {error}") from error


def require_fields(fields: Mapping[str, object], wanted: Sequence[str], what: str) -> None:
    """Raises :class:`InvalidCard` unless ``fields`` has exactly the ``wanted`` keys."""
    missing, unknown = [key for key in wanted if key not in fields], sorted(set(fields) - set(wanted))
    if missing or unknown:
        found = [f"lacks {missing}"] * bool(missing) + [f"has unknown fields {unknown}"] * bool(unknown)
        raise InvalidCard(
            f"{what} {' and '.join(found)}; it needs exactly {', '.join(wanted)}",
            missing=missing,
            unknown=unknown,
        )


def _text(fields: Mapping[str, object], key: str) -> str:
    value = fields[key]
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key} must be a text that says something, got {value!r}")
    return value


def _sha256(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch("[0-9a-fA-F]{64}", value):
        raise ValueError(f"sha256 must be the 64 hexadecimal digits that sha256sum prints for the file, got {value!r}")
    return value.lower()


def _color(value: object) -> Literal["rgb", "bgr"]:
    if value == "rgb":
        return "rgb"
    if value == "bgr":
        return "bgr"
    raise ValueError(f"color must be 'rgb' or 'bgr', got {value!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _mean(value: object) -> tuple[float, float, float]:
    means: list[Any] = value if isinstance(value, list) else [value] * 3
    if len(means) != 3 or not all(_is_number(mean) for mean in means):
        raise ValueError(f"mean must be one number or three, got {value!r}")
    return float(means[0]), float(means[1]), float(means[2])


def _scale(value: object) -> float:
    if not isinstance(value, (int, float)) or not _is_number(value) or value == 0:
        raise ValueError(f"scale must be a number other than 0, got {value!r}")
    return float(value)


def _template(value: object) -> CropTemplate:
    if isinstance(value, str):
        if value not in TEMPLATES:
            raise ValueError(f"template {value!r} is unknown; one of {sorted(TEMPLATES)} or an object with points")
        return TEMPLATES[value]
    if isinstance(value, dict):
        wanted = ("name", "width", "height", "points")
        if set(value) != set(wanted):
            raise ValueError(f"template needs exactly {', '.join(wanted)}, got {', '.join(map(str, value)) or 'none'}")
        width, height = value["width"], value["height"]
        if not (isinstance(width, int) and isinstance(height, int)):
            raise ValueError(f"width and height of a template are whole pixels, got {width!r} and {height!r}")
        return CropTemplate(str(value["name"]), width, height, value["points"])
    raise ValueError(f"template must be a name or an object, got {value!r}")


def packaged_file(package: str, *parts: str) -> Path:
    """Path of a file inside an installed package, whose code is not run."""
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        path = Path(folder, *parts)
        if path.is_file():
            return path
    raise WeightsMissing(
        f"the weight file {'/'.join(parts)} of the package '{package}' was not found; install it again: "
        f"pip install --force-reinstall {package}",
        package=package,
        file="/".join(parts),
    )


def verified_bytes(path: Path, sha256: str) -> bytes:
    """Content of ``path``, refused unless its SHA-256 is the published one."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsMissing(f"cannot read the weight file {path.name}: {error.strerror}", file=path.name) from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise WeightsMismatch(
            f"the weight file {path.name} has SHA-256 {found[:16]}… and {sha256[:16]}… was expected; it was not "
            "loaded: install the package again or correct the card",
            file=path.name,
            found=found,
            expected=sha256,
        )
    return content
