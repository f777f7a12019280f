"""Decoders talk on stderr by themselves; what is wrong with a photo is said by our own error, once."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_decoder_chatter() -> Iterator[None]:
    """Keeps libtiff's lines and Pillow's log from stderr while photos are read; errors are still raised."""
    logger = logging.getLogger("PIL")
    level = logger.level
    try:
        kept = os.dup(2)
    except OSError:  # stderr is closed: nothing can be said there anyway
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        logger.setLevel(logging.CRITICAL + 1)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
        logger.setLevel(level)
