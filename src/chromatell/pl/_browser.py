"""``ctl.pl.browser``: groups of cells in a genome browser, inside a notebook."""

from __future__ import annotations

import base64
import functools
import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
import pandas as pd
from mudata import MuData

from chromatell._docs import documented
from chromatell._keys import CHROM, END, START
from chromatell._settings import logger
from chromatell._validate import in_range
from chromatell.data.named import Modalities, modalities
from chromatell.genome.gene_bodies import read_gene_bodies
from chromatell.genome.regions import normalise_chrom, plain_chrom
from chromatell.pl._region import Window, window_of
from chromatell.pl._region import region as picture

_COLOURS = {"predicted": "rgb(0,158,115)", "observed": "rgb(120,120,120)"}
_PLAIN = {ord("<"): "(", ord(">"): ")", ord("&"): "+"}  # a label is shown as HTML


@modalities
@documented("genome plot")
def browser(
    mdata: MuData,
    region: str,
    groupby: str = "cell_type",
    *,
    groups: Sequence[str] | None = None,
    key: str | None = None,
    annotation: str | os.PathLike[str] | pd.DataFrame | None = None,
    flank: int = 1_000_000,
    **more: Unpack[Modalities],
) -> Any:
    """Accessibility of each group around one window of the genome, in igv.js, to scroll and to zoom.

    Parameters
    ----------
    region
        Where it opens, such as ``'chr1:35,000,000-35,200,000'`` (0-based, half-open).
    flank
        bp on either side that can be scrolled to.

    Returns
    -------
    igv_notebook.Browser or matplotlib.axes.Axes
        In a Jupyter notebook with igv-notebook (extra `browser`), a browser with a track a group and source, all on one
        scale: grey what was observed, green the prediction. Elsewhere the picture of :func:`chromatell.pl.region`,
        which is logged.

    Raises
    ------
    ChromatellError
        The region does not parse or holds no region of `mdata`, or no such column, group or prediction.

    Notes
    -----
    Nothing is fetched: igv.js comes with igv-notebook, values lie in the page, and the reference is the chromosome's
    name and the end of its last region, without sequence; so that it works without network and for any genome. The
    notebook grows with groups x regions within `flank`, about 100 bytes each.

    References
    ----------
    Robinson et al., igv.js, Bioinformatics 2023.

    Examples
    --------
    >>> import chromatell as ctl
    >>> mdata = ctl.datasets.pbmc_example()
    >>> first = mdata.mod["atac"].var.iloc[0]
    >>> shown = ctl.pl.browser(mdata, f"{first['chrom']}:{first['start'] - 5000}-{first['end'] + 5000}")
    >>> type(shown).__name__  # no notebook here: the picture
    'Axes'
    """
    flank = in_range(flank, 0, 100_000_000, "flank")
    if missing := _missing():
        logger.info("%s: a picture in place of the browser.", missing)
        return picture(mdata, region, groupby, groups=groups, key=key, annotation=annotation)
    config = configuration(window_of(mdata, region, groupby, groups, key, flank=flank), annotation)
    _start()
    return importlib.import_module("igv_notebook").Browser(config)


def configuration(window: Window, annotation: Any = None) -> dict[str, Any]:
    """Return what igv.js is given: JSON-able, with every value in it and no address to fetch."""
    last = max(int(places[END].max()) for _, places, _ in window.layers)
    size = max(last, window.end) + 1
    tracks: list[dict[str, Any]] = []
    for i, group in enumerate(window.groups):
        for source, places, means in window.layers:
            shown = zip(places[START], places[END], means[i], strict=True)
            values = [
                {"chr": window.chrom, "start": int(s), "end": int(e), "value": round(float(v), 5)}
                for s, e, v in shown
                if np.isfinite(v)
            ]
            name = f"{group}, {source}".translate(_PLAIN)
            style = {"color": _COLOURS[source], "height": 40, "autoscaleGroup": "1"}
            tracks.append({"name": name, "type": "wig", "features": values, **style})
    if annotation is not None:
        tracks.append({"name": "Genes", "type": "annotation", "features": _genes(annotation, window), "height": 60})
    reference = {
        "id": "regions",
        "fastaURL": _data_url(f">{window.chrom}\nN\n"),
        "chromSizesURL": _data_url(f"{window.chrom}\t{size}\n"),
        "wholeGenomeView": False,
    }
    locus = f"{window.chrom}:{window.start + 1}-{window.end}"  # 1-based
    return {"loadDefaultGenomes": False, "reference": reference, "locus": locus, "tracks": tracks}


def _genes(annotation: Any, window: Window) -> list[dict[str, Any]]:
    genes = read_gene_bodies(annotation)
    plain = plain_chrom(window.chrom)
    low = min(int(places[START].min()) for _, places, _ in window.layers)
    high = max(int(places[END].max()) for _, places, _ in window.layers)
    here = (normalise_chrom(genes[CHROM]) == plain) & (genes[START] < high) & (genes[END] > low)
    strand = genes["strand"] if "strand" in genes else pd.Series(".", index=genes.index)
    rows = zip(genes[START][here], genes[END][here], genes["name"][here], strand[here], strict=True)
    return [
        {"chr": window.chrom, "start": int(s), "end": int(e), "name": str(n).translate(_PLAIN), "strand": str(d)}
        for s, e, n, d in rows
    ]


def _data_url(text: str) -> str:
    return f"data:text/plain;base64,{base64.b64encode(text.encode()).decode()}"


def _missing() -> str:
    """Return what there is not of a notebook and igv-notebook, '' where both are there."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if getattr(shell, "kernel", None) is None:
        return "No notebook"
    if importlib.util.find_spec("igv_notebook") is None:
        return "igv-notebook is not installed (pip install 'chromatell[browser]')"
    return ""


@functools.cache
def _start() -> None:
    """Load igv.js into the notebook, once."""
    importlib.import_module("igv_notebook").init()
