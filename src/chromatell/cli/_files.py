"""Files of the commands: read safely, checked before any work is done, written beside and renamed."""

from __future__ import annotations

import argparse
import itertools
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chromatell._errors import ChromatellError
from chromatell._nearest import did_you_mean
from chromatell._settings import logger
from chromatell.cli._parser import UsageError as UsageError

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from chromatell.data import BinnedTracks

SUFFIXES = (".h5mu", ".zarr")
_LOOKED_AT = 1000  # files of a folder, for one of nearly the same name


def check_output(
    path: Path,
    inputs: Sequence[Path],
    *,
    overwrite: bool,
    suffixes: Sequence[str] = SUFFIXES,
    kind: str = "data",
    store: Path | None = None,
    model: Path | None = None,
    has_table: bool = False,
    option: str = "-o",
) -> None:
    """Raise, before hours of work, where the result could not be written to `path`, or predictions beside it.

    What is there is replaced only with `overwrite`, and only where it is of the `kind` to be written (see
    ``chromatell.io._replace.check_target``). The `model` that is read is never replaced: the output does not hold it. A
    command that `has_table` writes one too, with ``--csv``. `option` is how the output is named.

    Raises
    ------
    UsageError
        Unknown ending, no such folder, a folder that is not ours to write, or there already; a `store` of predictions
        that is no `.zarr`, does not lie beside the output, or is there already.
    """
    instead = f" For the table alone: --csv {shlex.quote(str(path.with_suffix('.csv')))}" if has_table else ""
    _check_file(path, inputs, overwrite, suffixes, kind, option, instead)
    if model is not None and model.exists() and path.exists() and path.samefile(model):
        raise UsageError(
            f"The output {str(path)!r} is the file of the model, which would be lost with all else in it. Name another."
        )
    if store is not None:
        _check_store(store, path)


def check_table(args: argparse.Namespace) -> None:
    """Raise where the table of ``--csv`` could not be written; - is stdout."""
    if args.csv is not None and str(args.csv) != "-":
        check_output(args.csv, [args.input], overwrite=args.overwrite, suffixes=(".csv",), kind="text", option="--csv")


def _check_file(
    path: Path, inputs: Sequence[Path], overwrite: bool, suffixes: Sequence[str], kind: str, option: str, instead: str
) -> None:
    if path.suffix not in suffixes:
        raise UsageError(f"The output {str(path)!r} must end in {' or '.join(suffixes)}.{instead}")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise UsageError(
            f"The folder of the output, {folder}, does not exist. Make it first: mkdir -p {shlex.quote(str(folder))}"
        )
    if not os.access(folder, os.W_OK):
        raise UsageError(f"The folder of the output, {folder}, is not writable. Name another with {option}.")
    if not path.exists():
        return
    if path.suffix != ".zarr" and path.is_dir():
        raise UsageError(f"The output {str(path)!r} is a folder. Name a file.")
    if not overwrite:
        what = "is an input too" if any(g.exists() and path.samefile(g) for g in inputs) else "is there already"
        raise UsageError(f"The output {str(path)!r} {what}. Name another, or say --overwrite.")

    from chromatell.io._replace import check_target

    try:
        check_target(path, kind, overwrite=True)
    except ChromatellError as error:
        raise UsageError(str(error)) from error


def check_folder(path: Path | None, option: str) -> None:
    """Raise, before any work, where a folder could not be made, or not be written into.

    Raises
    ------
    UsageError
        What is there is no folder, or not ours to write into.
    """
    if path is None:
        return
    existing = path.absolute()
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        why = "is not writable" if existing.is_dir() else "is a file"
        raise UsageError(f"The folder of {option}, {str(path)!r}, cannot be used: {existing} {why}. Name another.")


def check_there(path: Path | None, what: str) -> None:
    """Raise, before any work, where an input that is read later is no file.

    Raises
    ------
    ChromatellError
        There is no such file.
    """
    if path is not None and not path.is_file():
        raise ChromatellError(f"The {what} {str(path)!r} {'is a folder' if path.is_dir() else 'is not there'}.")


def file_or_names(said: Path | str, what: str) -> Path | list[str]:
    """Return a file of regions, or the names of regions that stand in its place, before anything is read.

    Raises
    ------
    ChromatellError
        It is neither a file nor names such as ``chr1:100-600``, joined by commas.
    """
    names = [name.strip() for name in str(said).split(",")]
    if Path(said).exists() or not all(":" in name for name in names):
        check_there(Path(said), what)
        return Path(said)
    return names


def check_data(path: Path | None, *, model: bool = False) -> None:
    """Raise, before the libraries are loaded, where there is no data, or no `model`, to read; a near name is told.

    Raises
    ------
    ChromatellError
        There is nothing at the path.
    """
    if path is not None and not path.exists():
        beside = itertools.islice(path.absolute().parent.glob("*"), _LOOKED_AT)
        needed = ".h5mu, .h5ad, .zarr or exported model" if model else ".h5mu, .h5ad or .zarr"
        raise ChromatellError(
            f"There is no file or folder at {path}. Give the path of a {needed}."
            f"{did_you_mean(path.name, [one.name for one in beside])}"
        )
    if path is not None and path.name.endswith((".tsv", ".tsv.gz", ".bed", ".bed.gz")):
        raise ChromatellError(
            f"{path} is a table, such as fragments. Cells x bins are made of those first: "
            f"chromatell bin {shlex.quote(str(path))} --chrom-sizes hg38 -o cells.h5ad"
        )


def _check_store(store: Path, output: Path) -> None:
    if store.suffix != ".zarr":
        raise UsageError(f"The store of predictions {str(store)!r} must end in .zarr.")
    if store.absolute().parent.resolve() != output.absolute().parent.resolve():
        raise UsageError(
            f"The store {str(store)!r} must lie in the folder of the output {str(output)!r}: the output knows it by "
            "its name beside it."
        )
    if store.absolute() == output.absolute():
        raise UsageError(f"The store {str(store)!r} is the output too: values and cells lie apart. Name another.")
    if store.exists():
        raise UsageError(
            f"The store {str(store)!r} is there already, and --overwrite does not replace stores of predictions, which "
            "other files may read. Remove it, or name another."
        )


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


def check_tracks_output(path: Path, inputs: Sequence[Path], *, overwrite: bool, model: Path | None = None) -> None:
    """Raise, before any work, where a store of tracks could not be written; one that is there takes `overwrite`.

    Raises
    ------
    UsageError
        As :func:`check_output`, or there already.
    """
    check_output(path, inputs, overwrite=overwrite, suffixes=(".zarr",), kind="tracks", model=model)


def read_multiome(path: Path) -> MuData:
    """Return the MuData in a file that may come from a stranger.

    Raises
    ------
    ChromatellError
        The file is refused, cut short, or holds no MuData.
    """
    from mudata import MuData

    from chromatell.io import read

    data = read(path)
    if not isinstance(data, MuData):
        raise ChromatellError(
            f"{path} holds one AnnData; paired cells, a MuData with modalities 'rna' and 'atac', are needed. "
            "Write one: ctl.io.write(mudata.MuData({'rna': rna, 'atac': atac}), 'paired.h5mu')."
        )
    return data


def write(data: AnnData | MuData, path: Path) -> None:
    """Write data in place of what :func:`check_output` let pass: `path` is whole at any moment."""
    from chromatell import io

    io.write(data, path, overwrite=True)
