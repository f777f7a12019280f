"""``xcos gallery``: make a gallery, look after it, forget."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from xcos.catalog import build_matcher
from xcos.cli.progress import progress_bar
from xcos.errors import InvalidArgument
from xcos.files import require_writable
from xcos.gallery.audit import AuditLog, check_audit
from xcos.gallery.gallery import Gallery
from xcos.gallery.store import ErasureReceipt, Subject, layout_of

DAMAGED = 5


def run(options: argparse.Namespace) -> int:
    """Exit code of ``xcos gallery``."""
    acts: dict[str, Callable[[argparse.Namespace], int]] = {
        "create": _create,
        "info": _info,
        "list": _list,
        "erase": _erase,
        "expire": _expire,
        "export": _export,
        "import": _import,
        "check": _check,
    }
    return acts[options.act](options)


def audit_of(gallery: str | Path) -> AuditLog:
    """The log beside a gallery's file."""
    return AuditLog(Path(f"{gallery}.audit.jsonl"))


def _create(options: argparse.Namespace) -> int:
    require_writable(options.gallery)
    layout = layout_of(build_matcher(embedder=options.embedder, model=options.model).embedder)
    with Gallery.create(
        options.gallery,
        layout,
        name=options.name or Path(options.gallery).stem,
        purpose=options.purpose,
        retention_days=options.retention_days,
        codec=options.codec,
    ) as made:
        audit_of(options.gallery).append("create", {"gallery": made.card.name, "purpose": made.card.purpose},
                                         operator=options.operator)  # fmt: skip
    return _say(options, {"gallery": options.gallery}, [f"made {options.gallery} for {options.purpose!r}"])


def _info(options: argparse.Namespace) -> int:
    with Gallery.open(options.gallery) as gallery:
        card, subjects, templates, receipts = gallery.card, gallery.subjects(), len(gallery), gallery.receipts()
    pending = sum(receipt.physical != "done" for receipt in receipts)
    expired = sum(subject.expires <= datetime.now(UTC).timestamp() for subject in subjects)
    facts: dict[str, object] = {
        "name": card.name,
        "purpose": card.purpose,
        "retention_days": card.retention_days,
        "created": _date(card.created),
        "model": card.layout.model,
        "grid": list(card.layout.grid),
        "codec": card.codec,
        "subjects": len(subjects),
        "templates": templates,
        "expired": expired,
        "erasures": len(receipts),
        "erasures_pending": pending,
    }
    return _say(options, facts, [f"{name.replace('_', ' '):18} {value}" for name, value in facts.items()])


def _list(options: argparse.Namespace) -> int:
    with Gallery.open(options.gallery) as gallery:
        subjects = gallery.subjects(tags_of(options.where))
    told = [_subject(subject) for subject in subjects]
    lines = [f"{subject.id}  until {_date(subject.expires)[:10]}  {_tags(subject)}".rstrip() for subject in subjects]
    return _say(options, {"subjects": told}, lines)


def _erase(options: argparse.Namespace) -> int:
    with Gallery.open(options.gallery) as gallery:
        receipts = gallery.erase(*options.subjects, patience=options.patience)
        return _receipts(options, gallery, "erase", receipts)


def _expire(options: argparse.Namespace) -> int:
    with Gallery.open(options.gallery) as gallery:
        gallery.settle(patience=options.patience)
        return _receipts(options, gallery, "expire", gallery.expire(patience=options.patience))


def _receipts(options: argparse.Namespace, gallery: Gallery, act: str, receipts: list[ErasureReceipt]) -> int:
    tokens = [receipt.token for receipt in receipts]
    audit_of(options.gallery).append(act, {"gallery": gallery.card.name, "erased": tokens}, operator=options.operator)
    lines = [
        f"receipt {each.number}: {each.templates} templates, erased from every search; bytes {each.physical}"
        + (f" ({each.residue}): run 'xcos gallery expire' again later" if each.residue else "")
        for each in receipts
    ]
    told: dict[str, object] = {"receipts": [asdict(receipt) for receipt in receipts]}
    return _say(options, told, [*lines, f"{len(receipts)} subjects erased"])


def _export(options: argparse.Namespace) -> int:
    require_writable(options.file, inputs=[options.gallery])
    with Gallery.open(options.gallery) as gallery:
        with progress_bar("subjects", len(gallery.subjects())) as bar:
            templates = gallery.export(options.file, on_subject=bar.advance)
        facts: dict[str, object] = {"gallery": gallery.card.name, "file": options.file, "templates": templates}
    audit_of(options.gallery).append("export", facts, operator=options.operator)
    warning = "it holds personal data, and erasing somebody from the gallery does not reach it"
    return _say(options, facts, [f"wrote {templates:,} templates to {options.file}: {warning}"])


def _import(options: argparse.Namespace) -> int:
    with Gallery.open(options.gallery) as gallery:
        with progress_bar("subjects", None) as bar:
            templates = gallery.import_from(options.file, on_subject=bar.advance)
        facts: dict[str, object] = {"gallery": gallery.card.name, "file": options.file, "templates": templates}
    audit_of(options.gallery).append("import", facts, operator=options.operator)
    return _say(options, facts, [f"took {templates:,} templates from {options.file}"])


def _check(options: argparse.Namespace) -> int:
    with Gallery.open(options.gallery) as gallery:
        report = gallery.check()
        pending = [receipt.number for receipt in gallery.settle(patience=0) if receipt.physical != "done"]
    problems = list(report.problems)
    log = audit_of(options.gallery).path
    lines, head, wrong = check_audit(log) if log.exists() else (0, "", [])
    problems += [f"audit log: {each}" for each in wrong]
    facts: dict[str, object] = {
        "subjects": report.subjects,
        "templates": report.templates,
        "problems": problems,
        "erasures_pending": pending,
        "audit_lines": lines,
        "audit_head": head,
    }
    told = [f"{report.subjects:,} subjects, {report.templates:,} templates", f"audit log: {lines} lines, head {head}"]
    told += [f"pending: bytes of erasure {number} may still be in the write-ahead log" for number in pending]
    _say(options, facts, [*told, *(f"problem: {each}" for each in problems), "" if problems else "all is well"])
    return DAMAGED if problems else 0


def tags_of(pairs: Iterable[str]) -> dict[str, str]:
    """Tags by name of texts such as ``site=north``."""
    tags = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals and value):
            raise InvalidArgument(f"a tag is NAME=VALUE, got {pair!r}")
        tags[name] = value
    return tags


def _subject(subject: Subject) -> dict[str, object]:
    dates = {"created": _date(subject.created), "expires": _date(subject.expires)}
    return {"id": subject.id, **dates, "tags": dict(subject.tags)}


def _tags(subject: Subject) -> str:
    return " ".join(f"{name}={value}" for name, value in sorted(subject.tags.items()))


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _say(options: argparse.Namespace, facts: dict[str, object], lines: Iterable[str]) -> int:
    if options.json:
        print(json.dumps(facts, indent=2))
    else:
        for line in filter(None, lines):
            print(line)
    return 0
