"""Package-wide settings: ``ctl.settings``."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.logging import RichHandler

from chromatell._errors import ChromatellError
from chromatell._nearest import names_there

logger = logging.getLogger("chromatell")


def cache_folder() -> Path:
    """Return the folder for what can be made again: that of the variable ``CHROMATELL_CACHE``, else the user's own."""
    import pooch

    return Path(os.environ.get("CHROMATELL_CACHE") or pooch.os_cache("chromatell")).expanduser().absolute()


_KNOBS = ("seed", "verbosity", "n_jobs", "dense_limit", "check_seconds")
# a knob to the kind of number that it takes, and the least one
_NUMBERS: dict[str, tuple[Any, int]] = {
    "seed": (Integral, 0),
    "n_jobs": (Integral, 1),
    "dense_limit": (Real, 0),
    "check_seconds": (Real, 0),
}


def _check_number(name: str, value: Any) -> None:
    """Raise where a knob is given what it cannot take; a seed may be None."""
    kind, least = _NUMBERS[name]
    if isinstance(value, kind) and not isinstance(value, bool) and value >= least or (name == "seed" and value is None):
        return
    needed = f"a {'whole number' if kind is Integral else 'number'} from {least}{' or None' if name == 'seed' else ''}"
    raise ChromatellError(f"ctl.settings.{name}={value!r}: {needed} is needed, such as ctl.settings.{name} = {least}.")


@dataclass(repr=False)
class Settings:
    """Knobs that every function reads when its own argument is left at None.

    Attributes
    ----------
    seed
        The one seed from which every generator is spawned. Follows `scvi.settings.seed` where that was set and this was
        not.
    verbosity
        0 silent, 1 warnings, 2 what was found and done, with progress bars (default), 3 everything.
    n_jobs
        Worker processes or threads for work that is split; 1 does it in this process.
    dense_limit
        Bytes above which a dense cells x regions matrix is not made unless a store on disk is named; messages give them
        in GiB, of 1024**3 bytes.
    check_seconds
        Seconds of the processor that a child process may take to open a `.h5mu`, `.h5ad`, `.zarr` or bigWig that this
        process did not write, before it is read here; by the clock ten times as many (Windows: as many). Larger files
        get more. 0 opens no child process: about half a second less
        for each file, and damaged files that hang or crash a library do so in this process.
    """

    seed: int | None = None
    n_jobs: int = 1
    dense_limit: int = 4 * 1024**3
    check_seconds: float = 60
    _verbosity: int = 2

    def __repr__(self) -> str:
        """Show every knob."""
        return f"Settings({', '.join(f'{name}={getattr(self, name)!r}' for name in _KNOBS)})"

    def __setattr__(self, name: str, value: object) -> None:
        """Set a knob that there is; a name that was mistyped would be kept, and read by nothing."""
        if name not in {*self.__dataclass_fields__, "verbosity"}:
            raise AttributeError(f"ctl.settings has no {name!r}; there: {names_there(_KNOBS, name)}.")
        if name in _NUMBERS:
            _check_number(name, value)
        super().__setattr__(name, value)

    @property
    def verbosity(self) -> int:
        """0 silent, 1 warnings, 2 information and progress bars, 3 everything."""
        return self._verbosity

    @verbosity.setter
    def verbosity(self, level: int) -> None:
        if level not in (0, 1, 2, 3):
            raise ChromatellError(f"settings.verbosity is {level!r}; it must be 0, 1, 2 or 3.")
        self._verbosity = level
        logger.setLevel((logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)[level])

    def resolve_seed(self, seed: int | None = None) -> int:
        """Return `seed`, else the setting, else scvi-tools' own, else 0."""
        chosen = self.seed if seed is None else seed
        if chosen is not None:
            whole = isinstance(chosen, Integral) and not isinstance(chosen, bool)
            if not whole or not 0 <= int(chosen) < 2**63:
                raise ChromatellError(f"seed={chosen!r}: a whole number from 0 to {2**63 - 1} is needed.")
            return int(chosen)
        scvi = sys.modules.get("scvi")  # never imported for this: it takes seconds
        scvi_seed = getattr(getattr(scvi, "settings", None), "seed", None)
        return 0 if scvi_seed is None else int(scvi_seed)

    @property
    def progress(self) -> bool:
        """True where a progress bar would be seen: a terminal or a notebook, and verbosity of at least 2."""
        notebook = "ipykernel" in sys.modules  # where rich draws nothing, and warns, without ipywidgets
        interactive = importlib.util.find_spec("ipywidgets") is not None if notebook else sys.stderr.isatty()
        return self._verbosity >= 2 and interactive and os.environ.get("CI", "") != "true"


settings = Settings()


def check_fits(n_bytes: float, what: str, cure: str) -> None:
    """Raise where something would take more than ``settings.dense_limit``; `what` ends with the verb.

    Examples
    --------
    >>> from chromatell._settings import check_fits
    >>> check_fits(2 * 1024**3, "The values take", "Take fewer.")
    """
    if n_bytes > settings.dense_limit:
        raise ChromatellError(
            f"{what} {gib(n_bytes)}, above ctl.settings.dense_limit ({gib(settings.dense_limit)}). {cure}"
        )


def gib(n_bytes: float) -> str:
    """Return a size as every message on memory gives it.

    Examples
    --------
    >>> from chromatell._settings import gib
    >>> gib(4 * 1024**3)
    '4 GiB'
    """
    return f"{n_bytes / 1024**3:.3g} GiB"


def file_name(path: str | os.PathLike[str]) -> str:
    """Return the name of a file, for the log: where it lies is of one machine, and would be printed in notebooks.

    Examples
    --------
    >>> from chromatell._settings import file_name
    >>> file_name("/home/me/genomes/hg38.fa")
    'hg38.fa'
    """
    return Path(path).name


def _attach_handler() -> None:
    if not logger.handlers:
        handler = RichHandler(console=Console(stderr=True), show_path=False, show_time=False)
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
        logger.propagate = False
    logger.setLevel(logging.INFO)


_attach_handler()
