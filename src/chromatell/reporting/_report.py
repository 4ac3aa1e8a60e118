"""``ctl.io.report``: data, models and scores as one page to read, print and send."""

from __future__ import annotations

import datetime
import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Unpack

from anndata import AnnData
from mudata import MuData

from chromatell._docs import example
from chromatell._keys import EVALUATION
from chromatell._settings import file_name
from chromatell._validate import ChromatellError
from chromatell.data._tracks_store import is_tracks_store
from chromatell.data.chosen import cell_labels
from chromatell.data.named import Modalities, modalities
from chromatell.data.tracks import BinnedTracks
from chromatell.io._guard import read
from chromatell.io._replace import check_target
from chromatell.io._write import sibling
from chromatell.reporting._html import Html, page, tag
from chromatell.reporting._sections import Asked, sections_of_cells
from chromatell.reporting._tracks import sections_of_tracks

SUFFIXES = (".html", ".htm")
_PACKAGES = ("chromatell", "anndata", "mudata", "scanpy", "scvi-tools", "torch", "numpy", "matplotlib")


@modalities
@example("evaluated")
def report(
    data: MuData | AnnData | BinnedTracks | str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    groupby: str = "cell_type",
    key: str = EVALUATION,
    title: str | None = None,
    overwrite: bool = False,
    **more: Unpack[Modalities],
) -> Path:
    """Write what data, models and scores say into one HTML file, and return its path.

    The file needs no network and holds no script: it can be sent, opened offline and printed. It shows the data and
    their split, the leaderboard with gains over the best baseline, precision and recall, calibration, scores of single
    cells and regions, an embedding coloured by score and by how far cells lie from the training cells, top regions,
    uncertainty, gene and motif activity, links and perturbations under their usual names, the card of each model, and
    versions. What was not computed is named with the call that computes it.

    Parameters
    ----------
    data
        MuData, AnnData of cells x bins, BinnedTracks, or the path of one; a file is checked before it is read.
    path
        The `.html` to write.
    groupby
        Column of `obs` whose groups colour the embedding and are counted in each split; left out where it is absent.
    key
        `key_added` of ``ctl.tl.evaluate``.
    title
        Heading of the page; None takes the name of the file, or the kind of data.
    overwrite
        Replace a text file that is there.

    Returns
    -------
    pathlib.Path
        The file: HTML, UTF-8. No barcode is in it; names of groups, regions and genes are.

    Raises
    ------
    ChromatellError
        The ending is not `.html`, something is there, nothing can be written there, the data are of no kind above, or
        they lack the column `groupby` (where it is not the default).

    Notes
    -----
    An embedding is taken from `obsm` (UMAP before others); where there is none, the two leading principal components of
    the prediction are computed. At most 20,000 cells are drawn. Peak memory grows with the prediction only then.

    References
    ----------
    Mitchell et al. (2019), Model cards for model reporting, FAT* '19, doi:10.1145/3287560.3287596.

    Examples
    --------
    >>> ctl.io.report(mdata, "report.html").name
    'report.html'
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        fitting = path.parent / f"{path.stem or 'report'}.html"
        raise ChromatellError(
            f"path={str(path)!r} must end in .html: the report is a page for a browser. Take path={str(fitting)!r}."
        )
    check_target(path, "text", overwrite=overwrite)
    named = file_name(data) if isinstance(data, str | os.PathLike) else None
    if isinstance(data, str | os.PathLike):
        data = BinnedTracks.open(data) if is_tracks_store(Path(data)) else read(data)
    if isinstance(data, BinnedTracks):
        sections = sections_of_tracks(data, key)
    elif isinstance(data, MuData | AnnData):
        if groupby != "cell_type":  # which is shown where it is there
            cell_labels(data, groupby)
        sections = sections_of_cells(data, Asked(groupby, key))
    else:
        raise ChromatellError(
            f"report() takes a MuData, an AnnData, BinnedTracks or the path of one; got {type(data).__name__}."
        )
    now = datetime.datetime.now(datetime.UTC)
    intro = [tag("p", f"Made by chromatell {version('chromatell')} on {now:%Y-%m-%d, %H:%M} UTC.", class_="soft")]
    sections.append(("versions", "Versions", _versions()))
    shown = page(title or f"chromatell report: {named or type(data).__name__}", intro, sections)
    path.parent.mkdir(parents=True, exist_ok=True)
    with sibling(path.absolute(), overwrite=overwrite) as temporary:
        temporary.write_text(shown, encoding="utf-8")
    return path


def _versions() -> Html:
    """Return the versions that made the page; those that made a model stand on its card."""
    versions = []
    for name in _PACKAGES:
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:  # an environment without the package's metadata
            versions.append(f"{name}, version not known")
    return tag("p", "This page: " + ", ".join(versions) + ".")
