"""``chromatell bin``: fragments, or peaks, to cells x bins."""

from __future__ import annotations

import argparse
import gzip
import zlib
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from chromatell._errors import ChromatellError
from chromatell._keys import ATAC, RNA
from chromatell._settings import settings
from chromatell.cli._choices import check_build
from chromatell.cli._console import output
from chromatell.cli._files import UsageError, check_output, check_there, write
from chromatell.cli._prepare import given

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

_MATRICES = (".h5ad", ".h5mu", ".zarr", ".h5")
_OF_GRID = ("bin_size", "blacklist")
_HEADERS = ("barcode", "barcodes", "cell", "cell_id")
_MAX_LIST = 1_000_000_000  # characters of a list of barcodes


def run(args: argparse.Namespace) -> None:
    """Count, join with what else is known of the cells, write."""
    _check(args)

    from chromatell.pp import bin_genome

    source = _read(args.input) if _is_matrix(args.input) else args.input
    cells = _read(args.barcodes) if _is_matrix(args.barcodes) else None
    known = cells if cells is not None else source
    paired = args.output.suffix == ".h5mu"
    rna = _expression(known, args) if paired else None
    names = list(cells.obs_names if rna is None else rna.obs_names) if cells is not None else _listed(args.barcodes)
    options = given(args, "chrom_sizes", "blacklist", "min_fragments", "count", "assign")
    if args.bin_size is not None:
        options["size"] = args.bin_size
    if args.bins is not None:
        options["bins"] = _bins_of(args.bins)
    atac = bin_genome(source, barcodes=names, drop_empty=not args.keep_empty, **options)
    _label(atac, known)
    write(atac if rna is None else _joined(rna, atac), args.output)
    if settings.verbosity:
        more = "[--context X_pca] [--labels COLUMN]" if paired else "[--labels COLUMN]"
        at = quote(str(args.output))
        trained = f"TRAINED{args.output.suffix}"
        lines = [
            f"Wrote {atac.n_obs:,} cells x {atac.n_vars:,} bins to {args.output}.",
            f"Train:  chromatell train {at} -o {trained} --family atacformer {more}",
        ]
        if args.bins is not None:
            lines[1] = f"Apply a model of these bins:  chromatell predict {at} --model MODEL -o PREDICTED.h5mu"
        output().print("\n".join(lines), soft_wrap=True, markup=False)


def _check(args: argparse.Namespace) -> None:
    """Raise, before anything is read, where the call could not end well."""
    inputs = [path for path in (args.input, args.barcodes, args.blacklist, args.bins) if path is not None]
    check_output(args.output, inputs, overwrite=args.overwrite, suffixes=(".h5ad", ".h5mu", ".zarr"))
    if not _is_matrix(args.input):
        check_there(args.input, "fragments file")
    if not _is_matrix(args.barcodes):
        check_there(args.barcodes, "list of --barcodes")
    check_there(args.blacklist, "blacklist")
    if args.bins is None and args.chrom_sizes is None:
        raise UsageError("Name the genome: --chrom-sizes hg38 (or another build, or a chrom.sizes file).")
    check_build(args.chrom_sizes)
    if args.bins is not None and (args.keep_empty or given(args, *_OF_GRID)):
        option = next(iter(given(args, *_OF_GRID)), "keep_empty").replace("_", "-")
        raise UsageError(f"--{option} does not go with --bins, which are all taken as they are.")
    if args.min_fragments is not None and (args.barcodes is not None or _is_matrix(args.input)):
        raise UsageError("--min-fragments is for a fragments file without --barcodes, where the cells are not known.")


def _is_matrix(path: Path | None) -> bool:
    return path is not None and path.suffix in _MATRICES


def _read(path: Path) -> AnnData | MuData:
    """Return the cells of a file: the package's, or Cell Ranger ARC's."""
    from chromatell import datasets, io

    return datasets.multiome_10x(path) if path.suffix == ".h5" else io.read(path)


def _bins_of(path: Path) -> AnnData:
    from mudata import MuData

    data = _read(path)
    if isinstance(data, MuData) and ATAC not in data.mod:
        raise ChromatellError(f"{path} of --bins has no modality 'atac'; it has {sorted(data.mod)}.")
    return data.mod[ATAC] if isinstance(data, MuData) else data


def _expression(known: Any, args: argparse.Namespace) -> AnnData:
    """Return the expression to put beside the bins, or say that there is none."""
    from anndata import AnnData
    from mudata import MuData

    if isinstance(known, MuData) and RNA in known.mod:
        return known.mod[RNA]
    if isinstance(known, AnnData) and args.barcodes is not None:
        return known
    lacking = f"{args.barcodes or args.input} has none. " if _is_matrix(args.barcodes or args.input) else ""
    raise UsageError(
        f"An .h5mu holds expression too. {lacking}Name the cells that have it, --barcodes RNA.h5ad, or let the output "
        "end in .h5ad."
    )


def _label(atac: AnnData, known: Any) -> None:
    """Add the columns of obs that are known of the cells, of a MuData also those of its modalities."""
    from mudata import MuData

    tables = [] if isinstance(known, Path) else [known.obs]
    if isinstance(known, MuData):
        tables += [known.mod[name].obs for name in (RNA, ATAC) if name in known.mod]
    for table in tables:
        atac.obs = atac.obs.join(table[[column for column in table if column not in atac.obs]])


def _joined(rna: AnnData, atac: AnnData) -> MuData:
    """Return expression and bins of the same cells; their columns of obs are those of the whole too."""
    from mudata import MuData

    from chromatell._compat import no_pull
    from chromatell._validate import examples

    if not atac.obs_names.isin(rna.obs_names).all():
        lacking = atac.obs_names[~atac.obs_names.isin(rna.obs_names)]
        raise ChromatellError(f"{len(lacking)} of {atac.n_obs} cells have no expression (such as {examples(lacking)}).")
    with no_pull():
        paired = MuData({RNA: rna[atac.obs_names].copy(), ATAC: atac})
    paired.obs = atac.obs.copy()
    return paired


def _listed(path: Path | None) -> list[str] | None:
    """Return the first word of each line of a text file, plain or packed: barcodes.tsv.gz, or a table of cells."""
    if path is None:
        return None
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rt", encoding="utf-8") if packed else path.open(encoding="utf-8") as handle:
            text = handle.read(_MAX_LIST + 1)
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ChromatellError(
            f"{path} of --barcodes is no list of barcodes, one a line, plain or gzip ({type(error).__name__}). Name "
            "barcodes.tsv.gz, or a .h5ad of the cells."
        ) from error
    if len(text) > _MAX_LIST:
        raise ChromatellError(f"{path} of --barcodes holds over {_MAX_LIST:,} characters: it is no list of barcodes.")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    names = [line.replace(",", "\t").split("\t")[0].strip().strip('"') for line in lines]
    names = names[1:] if names and names[0].lower() in _HEADERS else names
    if not names:
        raise ChromatellError(f"{path} of --barcodes is empty; one barcode a line is needed.")
    return names
