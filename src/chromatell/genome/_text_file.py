"""A text, plain or gzip, told by its content and not by its name."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from chromatell._validate import ChromatellError


@contextmanager
def text_file(path: Path, needed: str) -> Iterator[TextIO]:
    """Open an annotation; one that is absent, cut short or no text is an error, which says what is needed."""
    if not path.is_file():
        raise ChromatellError(f"No annotation file at {str(path)!r}. {needed}")
    try:
        with path.open("rb") as start:
            compressed = start.read(2) == b"\x1f\x8b"
        opener: Callable[..., TextIO] = gzip.open if compressed else open
        with opener(path, "rt", encoding="utf-8") as text:
            yield text
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ChromatellError(
            f"{str(path)!r} is not a whole text file ({type(error).__name__}: {error}). {needed}"
        ) from error
