"""What a report says of genes, motifs, links and perturbations, where the verbs for them were run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from chromatell._keys import (
    ATAC,
    GENE,
    GENE_ACTIVITY,
    MOTIF_ACTIVITY,
    PEARSON,
    PEARSON_MEASURED,
    PERTURBATION,
    REGION_LINKS,
    RNA,
    UNS,
)
from chromatell._validate import ChromatellError
from chromatell.data.chosen import cell_labels
from chromatell.reporting._html import WIDTH, Html, join, picture, table, tag, told

_TOP = 10  # rows of a table
_FDR = 0.1


def biology(data: MuData | AnnData, groupby: str) -> Html:
    """Return what was computed, a part each; raise where nothing was."""
    parts: list[tuple[str, Callable[[MuData, str], Html]]] = [
        ("Gene activity and expression", _genes),
        ("Activity of motifs", _motifs),
        ("Genes that move regions near them", _links),
        ("In silico perturbation", _perturbed),
    ]
    out: list[Html] = []
    for heading, make in parts if isinstance(data, MuData) else []:
        part = told(partial(make, data, groupby))
        if part:
            out += [tag("h3", heading), part]
    if not out:
        raise ChromatellError(
            "Run ctl.tl.gene_activity(mdata), ctl.tl.motif_activity(mdata), ctl.tl.link_regions(mdata) or "
            "ctl.tl.perturb(mdata, targets)."
        )
    return join(out)


def _genes(data: MuData, groupby: str) -> Html:
    from chromatell import pl

    if GENE_ACTIVITY not in data.mod or PEARSON not in data.mod[GENE_ACTIVITY].var:
        return Html("")
    var = data.mod[GENE_ACTIVITY].var
    columns = {GENE: "gene", "n_regions": "regions", PEARSON: "r", PEARSON_MEASURED: "r measured"}
    names = [c for c in columns if c in var]
    top = var.nlargest(_TOP, PEARSON)[names].round(3)
    shown = picture(
        lambda ax: pl.gene_activity(data, ax=ax),
        "Correlation of gene activity and expression, a point a gene",
        size=(WIDTH, 3.4),
    )
    said = f"The {len(top)} of {len(var):,} genes whose activity correlates best with their expression."
    return _side_by_side(shown, table([columns[c] for c in names], top.itertuples(index=False, name=None), said))


def _motifs(data: MuData, groupby: str) -> Html:
    from chromatell import pl

    activity = next(
        (data.mod[m].obsm[MOTIF_ACTIVITY] for m in (RNA, ATAC) if m in data.mod and _has(data.mod[m])), None
    )
    if activity is None:
        return Html("")
    _, groups = cell_labels(data, groupby)
    shown = picture(
        lambda ax: pl.motif_activity(data, groupby=groupby, ax=ax),
        "Mean activity of motifs in groups of cells",
        size=(WIDTH, float(np.clip(1.6 + 0.17 * min(activity.shape[1], 25), 2.6, 5.5))),
        caption=f"{min(activity.shape[1], 25)} of {activity.shape[1]:,} motifs in {len(groups)} groups.",
    )
    about = _result(data, MOTIF_ACTIVITY, "motifs")
    if about is None:
        return shown
    top = about.nlargest(_TOP, "variability")[["motif", "n_regions", "variability"]]
    said = "Variability is the standard deviation over cells; 1 is chance."
    return _side_by_side(
        shown, table(["motif", "regions", "variability"], top.itertuples(index=False, name=None), said)
    )


def _has(adata: AnnData) -> bool:
    return isinstance(adata.obsm.get(MOTIF_ACTIVITY), pd.DataFrame)


def _links(data: MuData, groupby: str) -> Html:
    from chromatell import pl

    links = _result(data, REGION_LINKS, "table")
    if links is None:
        return Html("")
    sure = links["fdr"] < _FDR
    columns = ["gene", "region", "distance", "effect", "pvalue", "fdr"]
    top = links.nsmallest(_TOP, "pvalue")[columns]
    heads = ["gene", "region", "bp to start", "effect, log-odds", "p", "FDR"]
    said = (
        f"{int(sure.sum()):,} of {len(links):,} linked pairs ({links['gene'].nunique():,} genes) move more than "
        f"regions of other chromosomes do, at an FDR of {_FDR:.0%}. It is the model that was asked: a gene may stand "
        "for others that it goes with."
    )
    shown = told(
        lambda: picture(
            lambda ax: pl.link_regions(data, fdr=_FDR, ax=ax),
            "Effect of one gene on the regions near it",
            size=(WIDTH, 2.9),
            caption=f"Regions near {top['gene'].iloc[0]}",
        )
    )
    return join([shown, table(heads, top.itertuples(index=False, name=None), said)])


def _perturbed(data: MuData, groupby: str) -> Html:
    from chromatell import pl

    effects = _result(data, PERTURBATION, "table")
    if effects is None:
        return Html("")
    shown = told(
        lambda: picture(
            lambda ax: pl.perturb(data, n_top=12, ax=ax),
            "Change of log-odds of regions in each group",
            size=(WIDTH, 4.2),
        )
    )
    columns = {"target": "without", "group": "group", "size": "size, log-odds", "toward": "toward", "cosine": "cosine"}
    top = effects.nlargest(_TOP, "size")[list(columns)]
    said = f"The {len(top)} largest of {len(effects):,} effects (root mean square over regions)."
    return _side_by_side(shown, table(list(columns.values()), top.itertuples(index=False, name=None), said))


def _result(data: MuData, key: str, part: str) -> Any:
    """Return a table that a verb wrote under its usual name, or None."""
    entry = data.uns.get(UNS, {}).get(key)
    wanted = entry.get(part) if isinstance(entry, Mapping) else None
    return wanted if isinstance(wanted, pd.DataFrame) and len(wanted) else None


def _side_by_side(*parts: Html) -> Html:
    return tag("div", *(tag("div", part) for part in parts), class_="grid")
