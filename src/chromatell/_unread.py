"""Options that a user names and nothing would read: he would think that they did something."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from types import SimpleNamespace
from typing import Any

from chromatell._errors import ChromatellError

Readers = Iterable[tuple[Collection[str], bool, str]]  # options, whether they are read, and with which choices


def usual(function: Callable[..., Any]) -> SimpleNamespace:
    """Return what each keyword of a function is where it is left out."""
    parameters = inspect.signature(function).parameters.values()
    return SimpleNamespace(**{p.name: p.default for p in parameters if p.default is not p.empty})


def refuse_unread(given: Mapping[str, Any], base: Any, readers: Readers) -> None:
    """Raise where an option is named that nothing would read: the user would think that it did something.

    Parameters
    ----------
    given
        Options that the user named.
    base
        The configuration without them: a value that stands there already says nothing new.
    readers
        Names of options, whether they are read, and in words with which choices they are.
    """
    for names, is_read, needed in readers:
        for name in names:
            asked, left_out = given.get(name), getattr(base, name, None)  # 0 and False ask for nothing
            plain = asked is None or isinstance(asked, bool | int | float | str | list | tuple)
            nothing = (not asked or asked == left_out) if plain else asked is left_out
            if not is_read and not nothing:
                shown = f"{name}={asked!r}" if plain else f"{name}="
                raise ChromatellError(
                    f"{shown} would be read by nothing: it is for {needed}. Take that, or leave {name}= out."
                )
