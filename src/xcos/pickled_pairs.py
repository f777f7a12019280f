"""InsightFace's ``.bin`` test sets: one pickle of encoded photos and labels, read without running it.

A pickle is a program. This module knows the few instructions that build tuples and lists of byte strings and
booleans, interprets those itself, and refuses all others; nothing is ever imported or called.
"""

from __future__ import annotations

import io
import pickletools
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xcos.errors import InvalidArgument
from xcos.types import freeze

NEWEST = 5
"""Newest pickle protocol read."""


@dataclass(frozen=True, eq=False)
class PickledPairs:
    """Pairs of encoded photos: pair k is photos 2k and 2k + 1."""

    images: tuple[bytes, ...]
    """``2 · n`` image files."""
    mated: NDArray[np.bool_]
    """``(n,)``: whether a pair shows one person."""

    def __post_init__(self) -> None:
        if len(self.images) != 2 * len(self.mated) or len(self.mated) == 0 or not all(self.images):
            raise InvalidArgument(
                f"a set of pairs needs one label for two images, none empty; got {len(self.images)} images and "
                f"{len(self.mated)} labels"
            )
        freeze(self, mated=self.mated)

    def __len__(self) -> int:
        return len(self.mated)


def read_pickled_pairs(path: str | Path) -> PickledPairs:
    """The pairs in an InsightFace ``.bin``, as Python 2 or 3 wrote it in protocol 0 to 5.

    Raises :class:`InvalidArgument` that names the instruction and its byte offset where the file does anything but
    list byte strings and booleans.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InvalidArgument(
            f"cannot read {path}: {error.strerror}; give an InsightFace .bin", path=str(path)
        ) from error
    return pickled_pairs_in(content, str(path))


def pickled_pairs_in(content: bytes, path: str) -> PickledPairs:
    """The same of a file's bytes; ``path`` is for messages."""
    value = _Interpreter(content, path).run()
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise InvalidArgument(f"{path} must hold a tuple of images and labels, got {_kind(value)}", path=path)
    images, labels = value
    if not _all(images, bytes) or not _all(labels, (bool, int)) or not set(labels) <= {0, 1}:
        raise InvalidArgument(
            f"{path} must hold a list of byte strings and one of booleans, got {_kind(images)} and {_kind(labels)}",
            path=path,
        )
    return PickledPairs(tuple(images), np.array(labels, bool))


def _all(values: object, kinds: type | tuple[type, ...]) -> bool:
    return isinstance(values, (tuple, list)) and all(isinstance(value, kinds) for value in values)


def _kind(value: object) -> str:
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {sorted({type(each).__name__ for each in value})}"
    return f"one {type(value).__name__}"


_INSTRUCTIONS = {instruction.code: instruction for instruction in pickletools.opcodes}
_LATIN1 = object()
"""Stands for ``_codecs.encode``, through which Python 3 writes byte strings in protocols 0 to 2; never called."""
_BYTE_STRINGS = {"BINSTRING", "SHORT_BINSTRING"}
"""Byte strings of Python 2, which :mod:`pickletools` gives as Latin-1 text."""
_VALUES = {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE"}
_VALUES |= {"INT", "BININT", "BININT1", "LONG", "LONG1"}
_LABELS = {b"00\n": False, b"01\n": True, b"0\n": False, b"1\n": True, b"0L\n": False, b"1L\n": True}
_MEMORY = {"PUT", "BINPUT", "LONG_BINPUT", "GET", "BINGET", "LONG_BINGET"}
_HARMLESS = _BYTE_STRINGS | _VALUES | _MEMORY | {"PROTO", "FRAME"}
"""Instructions whose argument is read by :mod:`pickletools`."""


class _Interpreter:
    """Runs one pickle of harmless instructions."""

    def __init__(self, content: bytes, name: str) -> None:
        self._stream = io.BytesIO(content)
        self._size = len(content)
        self._name = name
        self._stack: list[object] = []
        self._below: list[list[object]] = []
        """What lay on the stack at each mark that is still open."""
        self._memo: dict[int, object] = {}

    def run(self) -> object:
        """The value the pickle builds."""
        while True:
            at, name, argument = self._next()
            if name == "STOP":
                break
            try:
                self._do(name, argument)
            except (IndexError, KeyError, ValueError) as error:
                raise self._refused(at, f"{name} finds no value it can work on") from error
            except _Refused as error:
                raise self._refused(at, f"{name} {error}".rstrip()) from None
        if len(self._stack) != 1 or self._below or self._stream.tell() != self._size:
            raise self._refused(at, f"STOP leaves {len(self._stack)} values and {self._size - at - 1} bytes")
        return self._stack[0]

    def _next(self) -> tuple[int, str, object]:
        """Byte offset, name and argument of the next instruction."""
        at = self._stream.tell()
        code = self._stream.read(1).decode("latin-1")
        known = _INSTRUCTIONS.get(code)
        if known is None:
            raise self._refused(at, f"an unknown instruction {code!r}" if code else "its end, without STOP")
        try:
            return at, known.name, self._argument(known)
        except ValueError as error:
            raise self._refused(at, f"{known.name} with a broken argument ({error})") from error

    def _argument(self, instruction: pickletools.OpcodeInfo) -> object:
        if instruction.name == "STRING":
            return self._quoted()
        if instruction.name in ("INT", "LONG"):
            return self._label()
        if instruction.name == "GLOBAL":
            return " ".join(self._stream.readline().rstrip(b"\n").decode("utf-8") for _ in range(2))
        if instruction.name not in _HARMLESS or instruction.arg is None:
            return None
        return instruction.arg.reader(self._stream)

    def _quoted(self) -> bytes:
        """A Python 2 byte string in quotes; :mod:`pickletools` reads those of ASCII only."""
        line = self._stream.readline().rstrip(b"\r\n")
        if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
            raise ValueError("no quoted string")
        return re.sub(rb"\\(x[0-9a-f]{2}|.?)", _escaped, line[1:-1])

    def _label(self) -> bool:
        """A number on a line of text; only what stands for a label."""
        line = self._stream.readline()
        if line not in _LABELS:
            raise ValueError(f"{line[:20]!r} where 0 or 1 must stand")
        return _LABELS[line]

    def _do(self, name: str, argument: object) -> None:
        stack, memo = self._stack, self._memo
        match name:
            case "PROTO" if isinstance(argument, int) and argument <= NEWEST:
                pass
            case "FRAME":
                pass
            case "MARK":
                self._below.append(stack)
                self._stack = []
            case "EMPTY_LIST":
                stack.append([])
            case "LIST":
                values = self._since_mark()
                self._stack.append(values)
            case "TUPLE":
                values = self._since_mark()
                self._stack.append(tuple(values))
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE1":
                stack.append((stack.pop(),))
            case "TUPLE2":
                stack[-2:] = [(stack[-2], stack[-1])]
            case "TUPLE3":
                stack[-3:] = [(stack[-3], stack[-2], stack[-1])]
            case "APPEND":
                self._extend([stack.pop()])
            case "APPENDS":
                self._extend(self._since_mark())
            case "NEWTRUE" | "NEWFALSE":
                stack.append(name == "NEWTRUE")
            case "STRING":
                stack.append(argument)
            case _ if name in _BYTE_STRINGS:
                stack.append(str(argument).encode("latin-1"))
            case _ if name in _VALUES:
                stack.append(argument)
            case "PUT" | "BINPUT" | "LONG_BINPUT" if isinstance(argument, int):
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET" if isinstance(argument, int):
                stack.append(memo[argument])
            case "GLOBAL" if argument == "_codecs encode":
                stack.append(_LATIN1)
            case "REDUCE" if stack[-2] is _LATIN1:
                stack[-2:] = [_latin1(stack[-1])]
            case "GLOBAL":
                raise _Refused(_asked_for(str(argument)))
            case "STACK_GLOBAL":
                raise _Refused(_asked_for(" ".join(map(str, stack[-2:]))))
            case _:
                raise _Refused

    def _since_mark(self) -> list[object]:
        """What lies above the last mark; the stack is what lay below it again."""
        values, self._stack = self._stack, self._below.pop()
        return values

    def _extend(self, values: list[object]) -> None:
        target = self._stack[-1]
        if not isinstance(target, list):
            raise ValueError("not a list")
        target.extend(values)

    def _refused(self, at: int, what: str) -> InvalidArgument:
        return InvalidArgument(
            f"{self._name} is refused: at byte {at} stands {what}; only tuples and lists of byte strings and booleans "
            "are read, because a pickle can run any program",
            path=self._name,
            offset=at,
        )


class _Refused(Exception):
    """An instruction that is not among the harmless ones."""


def _asked_for(name: str) -> str:
    """What an instruction wants to import, with advice where it is harmless."""
    if name.startswith("numpy"):
        return f"({name}): NumPy objects; write plain lists, labels.tolist() and images as bytes"
    return f"({name})"


def _escaped(found: re.Match[bytes]) -> bytes:
    """The byte that an escape of Python 2's ``repr`` stands for."""
    if len(found[1]) == 3:
        return bytes.fromhex(found[1][1:].decode())
    known = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"\\": b"\\", b"'": b"'", b'"': b'"'}
    if found[1] not in known:
        raise ValueError(f"an unknown escape {found[0]!r}")
    return known[found[1]]


def _latin1(arguments: object) -> bytes:
    match arguments:
        case (str(text), "latin1" | "latin-1"):
            return text.encode("latin-1")
    raise ValueError("not a byte string")
