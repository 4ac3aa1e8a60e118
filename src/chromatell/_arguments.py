"""Types of arguments, checked at the door of each public function by its own annotations."""

from __future__ import annotations

import functools
import inspect
import os
import types
from collections.abc import Callable, Iterable, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
import pandas as pd

from chromatell._errors import ChromatellError, UnknownOption
from chromatell._nearest import keyword_meant

_P = ParamSpec("_P")
_R = TypeVar("_R")
_Wrapper = TypeVar("_Wrapper", bound=Callable[..., Any])
_SHOWN = 60  # characters of a value
_COLUMNS = frozenset({"by", "groupby", "labels", "batch_key", "sample_key", "per"})  # each names one column of obs

# class -> what opens a file of it; of several in an annotation the first counts
_OPENED = {"MuData": "ctl.io.read", "BinnedTracks": "ctl.data.BinnedTracks.open", "AnnData": "ctl.io.read"}

# Annotation -> the values it lets through, and what a message calls them. Any other annotation lets everything
# through: the function itself knows better.
_KINDS: dict[Any, tuple[tuple[type, ...], str]] = {
    bool: ((bool, np.bool_), "True, False"),
    int: ((Real,), "a whole number"),
    float: ((Real,), "a number"),
    str: ((str,), "text"),
    Path: ((str, os.PathLike), "a path"),
    os.PathLike: ((str, os.PathLike), "a path"),
    pd.DataFrame: ((pd.DataFrame,), "a table"),
    types.NoneType: ((types.NoneType,), "None"),
}


def arguments(function: Callable[_P, _R], also: Sequence[str] = ()) -> Callable[_P, _R]:
    """Raise, before anything else is done, where an argument is of a type that the annotations do not name.

    What a number or a name must be is the function's own to check. So are dicts, and values of classes, such as MuData:
    their errors say how to make one. An unknown keyword is answered with the one that was meant, of the function's own
    and those in `also`, which a wrapper takes before it.
    """
    signature = _own_signature(function)
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    known = list(dict.fromkeys([*(name for name, p in signature.parameters.items() if p.kind in kinds), *also]))
    hints: dict[str, Any] = {}

    @functools.wraps(function)
    def checked(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        if not hints:
            hints.update({name: _hint(p.annotation, function) for name, p in signature.parameters.items()})
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            if "unexpected keyword" in str(error):  # which ``**more: Unpack[...]`` would let through
                raise TypeError(f"{function.__name__}() {error}.{_meant(known, kwargs)}") from None
            return function(*args, **kwargs)  # which raises it, in Python's own words
        for name, value in given.items():
            check(name, value, hints[name], signature.parameters[name].default)
        try:
            return function(*args, **kwargs)
        except UnknownOption as error:  # what a class does not know may be a keyword of the function that calls it
            if error.name is not None and (meant := keyword_meant(error.name, known)):
                error.args, error.name = (f"{error}{meant}",), None
            raise

    return checked


def wraps_with_keywords(function: Callable[..., Any]) -> Callable[[_Wrapper], _Wrapper]:
    """Do what `functools.wraps` does, and show the wrapper's own keywords in place of ``**more: Unpack[...]``.

    Examples
    --------
    >>> def draw(data, **more: Unpack[Shown]): ...
    >>> @wraps_with_keywords(draw)
    ... def drawn(*args, save: str | None = None, **kwargs): ...
    >>> list(inspect.signature(drawn).parameters)
    ['data', 'save']
    """

    def wrap(wrapper: _Wrapper) -> _Wrapper:
        own = [p for p in inspect.signature(wrapper).parameters.values() if p.kind is p.KEYWORD_ONLY]
        signature = _own_signature(function)
        added = [p for p in own if p.name not in signature.parameters]
        every = sorted([*signature.parameters.values(), *added], key=lambda p: p.kind)  # ``**options`` stay the last
        functools.update_wrapper(wrapper, function)
        vars(wrapper)["__signature__"] = signature.replace(parameters=every)
        return wrapper

    return wrap


def _own_signature(function: Callable[..., Any]) -> inspect.Signature:
    """Return a signature without ``**more: Unpack[...]``, the keywords that a wrapper takes before the function."""
    signature = inspect.signature(function)
    own = [p for p in signature.parameters.values() if not str(p.annotation).startswith("Unpack[")]
    return signature.replace(parameters=own)


def check(name: str, value: Any, hint: Any, default: Any) -> None:
    """Raise where the value of an argument is of a type that its annotation does not name."""
    if not _fits(value, hint):
        raise ChromatellError(_message(name, value, hint, default))
    if isinstance(value, str | os.PathLike):
        kinds = {getattr(part, "__name__", str(part)) for part in _parts(hint)} - {"NoneType"}
        if kinds and kinds <= set(_OPENED):
            call = next(call for kind, call in _OPENED.items() if kind in kinds)
            needed = _joined([kind for kind in _OPENED if kind in kinds])
            raise ChromatellError(
                f"{name}={str(value)!r} is a path; an open {needed} is needed: {name} = {call}({str(value)!r})."
            )


def _meant(known: list[str], given: Iterable[str]) -> str:
    """Return what to say after an unknown keyword: the one that was meant, or all that there are."""
    unknown = next(name for name in given if name not in known)
    return keyword_meant(unknown, known, "{}=") or f" It takes {', '.join(known) or 'none'}."


def _hint(annotation: Any, function: Callable[..., Any]) -> Any:
    """Return an annotation as types; Any where only a type checker can read it."""
    if annotation is inspect.Parameter.empty:
        return Any

    def alone() -> None: ...

    alone.__annotations__ = {"value": annotation}  # by itself: one that cannot be read spares the others
    try:
        return get_type_hints(alone, inspect.unwrap(function).__globals__)["value"]
    except (NameError, TypeError):
        return Any


def _parts(hint: Any) -> tuple[Any, ...]:
    """Return what a union lets through, unions in it included."""
    if get_origin(hint) in (Union, types.UnionType):
        return tuple(part for one in get_args(hint) for part in _parts(one))
    return (hint,)


def _fits(value: Any, hint: Any) -> bool:
    return any(_fits_one(value, part) for part in _parts(hint))


def _fits_one(value: Any, part: Any) -> bool:
    part = types.NoneType if part is None else part
    kind = get_origin(part) or part
    if kind in _KINDS:
        return isinstance(value, _KINDS[kind][0]) and not (kind in (int, float) and isinstance(value, bool))
    if kind in (Sequence, Iterable, list):  # a list of names or of numbers
        of = get_args(part)[0]
        return _fits(value, of) if isinstance(value, str) else not isinstance(value, Real | os.PathLike | None)
    return True


def _joined(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _called(part: Any) -> str:
    """Return what a message calls the values of an annotation."""
    part = types.NoneType if part is None else part
    kind = get_origin(part) or part
    if kind in _KINDS:
        return _KINDS[kind][1]
    return f"a list of {'numbers' if get_args(part)[0] in (int, float) else 'names'}"


def _message(name: str, value: Any, hint: Any, default: Any) -> str:
    needed = list(dict.fromkeys(", ".join(_called(part) for part in _parts(hint)).split(", ")))
    if "text" in needed and "a path" in needed:
        needed.remove("text")
    listed = _joined(needed)
    shown = " ".join(repr(value).split())
    shown = shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "..."
    kind = type(value).__name__
    more = "" if default is inspect.Parameter.empty else f" Left out, it is {default!r}."
    if name in _COLUMNS and isinstance(value, list | tuple):
        join = " + '_' + ".join(f"mdata.obs[{one!r}].astype(str)" for one in value)
        more = f" Join several columns to one: mdata.obs['both'] = {join}; then {name}='both'."
        more = f" Name one column: {name}={value[0]!r}." if len(value) == 1 else more
    return f"{name}={shown} is of type {kind}; {listed} is needed.{more}"
