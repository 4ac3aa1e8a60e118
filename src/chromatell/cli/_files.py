"""Files of the commands: read safely, checked before any work is done, written beside and renamed."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mudata
from anndata import AnnData
from mudata import MuData

from chromatell._compat import no_pull
from chromatell._settings import logger
from chromatell._validate import ChromatellError

if TYPE_CHECKING:
    from chromatell.data import BinnedTracks

SUFFIXES = (".h5mu", ".zarr")


class UsageError(Exception):
    """The call itself is wrong, whatever the files hold."""


def check_output(path: Path, inputs: Sequence[Path], *, overwrite: bool, suffixes: Sequence[str] = SUFFIXES) -> None:
    """Raise, before hours of work, where the result could not be written to `path`.

    Raises
    ------
    UsageError
        Unknown ending, no such folder, a folder that is not ours to write, or one of the inputs without `overwrite`.
    """
    if path.suffix not in suffixes:
        raise UsageError(f"The output {str(path)!r} must end in {' or '.join(suffixes)}.")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise UsageError(f"The folder of the output, {folder}, does not exist. Make it first: mkdir -p {folder}")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"The folder of the output, {folder}, is not writable. Name another with -o.")
    if not path.exists():
        return
    if path.suffix != ".zarr" and path.is_dir():
        raise UsageError(f"The output {str(path)!r} is a folder. Name a file.")
    for given in inputs:
        if given.exists() and path.samefile(given) and not overwrite:
            raise UsageError(f"The output {str(path)!r} is an input too. Name another, or say --overwrite.")


def check_there(path: Path | None, what: str) -> None:
    """Raise, before any work, where an input that is read later is no file.

    Raises
    ------
    ChromatellError
        There is no such file.
    """
    if path is not None and not path.is_file():
        raise ChromatellError(f"The {what} {str(path)!r} {'is a folder' if path.is_dir() else 'is not there'}.")


def check_store(store: Path | None, output: Path) -> None:
    """Raise where a store of predictions could not be written, or not be found again from the output.

    Raises
    ------
    UsageError
        Not a `.zarr`, not beside the output, or there already.
    """
    if store is None:
        return
    if store.suffix != ".zarr":
        raise UsageError(f"The store of predictions {str(store)!r} must end in .zarr.")
    if store.absolute().parent.resolve() != output.absolute().parent.resolve():
        raise UsageError(
            f"The store {str(store)!r} must lie in the folder of the output {str(output)!r}: the output knows it by "
            "its name beside it."
        )
    if store.exists() or store == output:
        raise UsageError(f"The store {str(store)!r} is there already. Remove it, or name another.")


def named_signal(args: argparse.Namespace) -> dict[str, Any]:
    """Return the bigWigs of --plus, --minus and --signal as ``ctl.pp.bin_tracks`` takes them; none where none is given.

    Raises
    ------
    UsageError
        Beside IN, or signal with and without strand.
    ChromatellError
        No such file.
    """
    given = {name: getattr(args, name) for name in ("plus", "minus", "signal") if getattr(args, name) is not None}
    if "signal" in given and len(given) > 1:
        raise UsageError("--signal is without strand: leave it out, or --plus and --minus.")
    if given and args.input is not None:
        raise UsageError(f"Name {str(args.input)!r} or bigWigs (--{next(iter(given))}), not both.")
    for name, path in given.items():
        check_there(path, f"bigWig of --{name}")
    strands = {"plus": "+", "minus": "-", "signal": "."}
    return {name: {"path": path, "strand": strands[name], "role": "input"} for name, path in given.items()}


def write_tracks(tracks: BinnedTracks, path: Path) -> None:
    """Write a store of tracks, in place of what :func:`check_tracks_output` let pass."""
    tracks.save(path, overwrite=True)
    logger.debug("Wrote %s.", path)


def check_tracks_output(path: Path, inputs: Sequence[Path], *, overwrite: bool) -> None:
    """Raise, before any work, where a store of tracks could not be written; one that is there takes `overwrite`.

    Raises
    ------
    UsageError
        As :func:`check_output`, or there already.
    """
    check_output(path, inputs, overwrite=overwrite, suffixes=(".zarr",))
    if path.exists() and not overwrite:
        raise UsageError(f"The output {str(path)!r} is there already. Name another, or say --overwrite.")


def read_multiome(path: Path) -> MuData:
    """Return the MuData in a file that may come from a stranger.

    Raises
    ------
    ChromatellError
        The file is refused, cut short, or holds no MuData.
    """
    from chromatell.io import read

    data = read(path)
    if not isinstance(data, MuData):
        raise ChromatellError(
            f"{path} holds one AnnData; paired cells, a MuData with modalities 'rna' and 'atac', are needed. "
            "Write one: mudata.MuData({'rna': rna, 'atac': atac}).write('paired.h5mu')."
        )
    return data


def write(data: AnnData | MuData, path: Path) -> None:
    """Write data so that `path` is whole at any moment: it is written beside and renamed."""
    from chromatell.io._write import beside

    # mudata would otherwise pull the modalities' columns into .obs and .var, which the user did not ask for
    with beside(path.absolute()) as temporary, no_pull():
        if isinstance(data, AnnData):
            (data.write_zarr if path.suffix == ".zarr" else data.write_h5ad)(temporary)
        elif path.suffix == ".zarr":
            mudata.write_zarr(temporary, data)
        else:
            mudata.write_h5mu(temporary, data)
    logger.debug("Wrote %s.", path)
