"""What the package raises and warns with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class ChromatellError(ValueError):
    """What was given cannot be used; the message says what to do."""

    __module__ = "chromatell._validate"  # what tracebacks, and filters of warnings, name


class UnknownOption(ChromatellError):
    """A keyword that the class of a model does not know; `name` is None once the message names what was meant."""

    __module__ = "chromatell._validate"

    def __init__(self, message: str, name: str | None) -> None:
        super().__init__(message)
        self.name = name


class ChromatellWarning(UserWarning):
    """What was given can be used, but the user should know something about it."""

    __module__ = "chromatell._validate"


@contextmanager
def as_one_error(
    wrong: type[BaseException] | tuple[type[BaseException], ...],
    tell: Callable[[BaseException], ChromatellError | None],
) -> Iterator[None]:
    """Turn whatever a library raises on a bad file into the one error that `tell` makes of it; None lets it pass."""
    try:
        yield
    except ChromatellError:
        raise
    except wrong as error:
        told = tell(error)
        if told is None:
            raise
        raise told from error
