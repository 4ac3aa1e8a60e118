"""``ctl.datasets.tutorial``: files that the tutorials read, made where they are asked for."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from chromatell._arguments import arguments
from chromatell._keys import ATAC, CHROM, RNA, START
from chromatell._settings import cache_folder, file_name, logger
from chromatell._validate import ChromatellError, one_of
from chromatell.datasets._arc_folder import write_arc
from chromatell.datasets._pbmc_example import pbmc_example
from chromatell.datasets._run_on import write_run_on
from chromatell.datasets._simulate_multiome import simulate_multiome
from chromatell.io._tabix import write_bgzf
from chromatell.io._write import sibling

_SAYS = "chromatell_tutorial.json"
_MADE = 1  # raised where what is made changes
_CHROMS = {"k562_like": "chr1", "other_protocol": "chr2"}


@arguments
def tutorial(name: str, folder: str | os.PathLike[str] | None = None) -> dict[str, Path]:
    """Write the files of a tutorial, small and always the same, and return their paths. Nothing is downloaded.

    Parameters
    ----------
    name
        - 'multiome': **simulated** cells in the layout of Cell Ranger ARC 2: `filtered_feature_bc_matrix.h5`,
          `atac_fragments.tsv.gz` with its index, `atac_peaks.bed`; 800 cells x 600 genes and 1,500 peaks.
        - 'fragments': the packaged blood cells as `fragments.tsv.gz`, a fragment of 200 bp **placed at random in the
          region** for each of its counts, and `cells.h5ad`, their expression; 3,200 cells.
        - 'nascent': **simulated** run-on transcription and histone marks as bigWigs, on two chromosomes of 24 Mb, in
          folders `k562_like` (PRO-seq) and `other_protocol` (PRO-cap), with `genes.bed`. Needs the extra `tracks`.
    folder
        Where to write; made where there is none. None takes the user's cache folder. What an earlier call wrote there
        is taken as it is.

    Returns
    -------
    dict of str to pathlib.Path
        Name of each file, in a folder with '/', to its path; and 'folder'.

    Raises
    ------
    ChromatellError
        No such tutorial, a folder that holds something else, or nothing can be written there.

    Notes
    -----
    Scores on made-up data say how the package works, not how well a model does on cells. For the blood cells,
    ``ctl.datasets.pbmc_example`` says what to know.

    Examples
    --------
    >>> import chromatell as ctl
    >>> files = ctl.datasets.tutorial("fragments", "blood")
    >>> sorted(name for name in files if name != "folder")
    ['cells.h5ad', 'fragments.tsv.gz']
    """
    one_of(name, tuple(_MAKERS), "name")
    said = {"tutorial": name, "made": _MADE}
    place = _cache(name) if folder is None else Path(folder)
    if _told(place) != said:
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise ChromatellError(
                f"{str(place)!r} is there and does not hold the tutorial {name!r}. Name another folder, or remove it "
                "yourself if nothing in it is needed."
            )
        place.parent.mkdir(parents=True, exist_ok=True)
        with sibling(place.absolute()) as temporary:
            temporary.mkdir()
            _MAKERS[name](temporary)
            (temporary / _SAYS).write_text(json.dumps(said), encoding="utf-8")
        logger.info("The files of the tutorial %r are in %s.", name, file_name(place))
    files = sorted(p for p in place.rglob("*") if p.is_file() and p.name != _SAYS)
    return {"folder": place, **{p.relative_to(place).as_posix(): p for p in files}}


def _multiome(folder: Path) -> None:
    mdata = simulate_multiome(800, 600, 1500, n_types=5, depth=250, truth=False, seed=1)
    write_arc(mdata, folder, np.random.default_rng(1))


def _fragments(folder: Path) -> None:
    """Write a fragment for each count of the packaged cells."""
    mdata = pbmc_example()
    atac = mdata.mod[ATAC]
    counts = atac.X.tocoo()
    times = counts.data.astype(np.int64)
    cell, region = np.repeat(counts.row, times), np.repeat(counts.col, times)
    start = atac.var[START].to_numpy(np.int64)[region] + np.random.default_rng(0).integers(0, 301, region.size)
    rows = pd.DataFrame({CHROM: atac.var[CHROM].astype(str).to_numpy()[region], START: start, "end": start + 200})
    rows["barcode"], rows["count"] = atac.obs_names.to_numpy()[cell], 1
    text = rows.sort_values([CHROM, START, "barcode"], kind="stable").to_csv(sep="\t", header=False, index=False)
    write_bgzf(folder / "fragments.tsv.gz", text.encode())
    mdata.mod[RNA].write_h5ad(folder / "cells.h5ad")


def _nascent(folder: Path) -> None:
    for i, (part, chrom) in enumerate(_CHROMS.items()):
        protocol = "PRO-seq" if i == 0 else "PRO-cap"
        write_run_on(folder / part, chrom, np.random.default_rng(i + 1), protocol=protocol)


_MAKERS: dict[str, Callable[[Path], None]] = {"multiome": _multiome, "fragments": _fragments, "nascent": _nascent}


def _cache(name: str) -> Path:
    return cache_folder() / f"tutorial-{name}-{_MADE}"


def _told(folder: Path) -> dict[str, object] | None:
    """Return what a folder says that it holds; None where it says nothing."""
    file = folder / _SAYS
    if not file.is_file() or file.stat().st_size > 10_000:
        return None
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        return None
    return said if isinstance(said, dict) else None
