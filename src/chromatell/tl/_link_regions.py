"""``ctl.tl.link_regions``: which gene's expression moves which region, in a trained model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
import pandas as pd
import scipy.sparse as sp
from mudata import MuData

from chromatell._compat import text_of
from chromatell._docs import documented, example
from chromatell._keys import CHROM, LINKS, REGION_LINKS, RNA, UNS
from chromatell._progress import progress
from chromatell._settings import settings
from chromatell._validate import ChromatellError, examples, in_range, modality, one_of, result_key
from chromatell.data.chosen import coordinates
from chromatell.data.named import Modalities, modalities
from chromatell.genome.regions import normalise_chrom
from chromatell.models import load
from chromatell.tl._knockout import PredictedEffects
from chromatell.tl._measured_tests import false_discovery
from chromatell.tl._sequences import stored_model

METHODS = ("knockout", "gradient")


@modalities
@documented("result")
@example("predicted cells")
def link_regions(
    mdata: MuData,
    *,
    key: str = "dense",
    model: Any = None,
    genes: Sequence[str] | None = None,
    method: str = "knockout",
    n_cells: int = 500,
    seed: int | None = None,
    key_added: str = REGION_LINKS,
    copy: bool = False,
    **more: Unpack[Modalities],
) -> MuData | None:
    r"""Genes that move the regions near them, by knocking them out in a trained model.

    The effect of gene g on region r is

    .. math:: e_{gr} = \frac{1}{|C_g|} \sum_{c \in C_g} \mathrm{logit}\, p_r(x_c)
              - \mathrm{logit}\, p_r(x_c^{\,x_g = 0})

    over cells :math:`C_g` that express g: above 0 where the gene's expression goes with an open region. Depth stays as
    it is; in a `Dense`, total and number of detected genes as well. Each pair that ``ctl.pp.link_genes`` linked is
    tested against the null that place tells nothing: its p-value is the share of the regions **on other chromosomes**
    that the same gene moves as much, in either direction.

    Parameters
    ----------
    mdata
        With `rna`, links (``ctl.pp.link_genes``), and the model.
    model
        A trained model, or the path of one, in its place. It must read expression: a `Dense`, an `XChrom` with
        ``embedding=None``, or an `AtacFormer` with a context that it computes from expression.
    genes
        Which; None takes all that the model reads and that have links.
    method
        'knockout', or for a `Dense` 'gradient': change of the log-odds for one standard deviation of expression more,
        mean over all cells.
    n_cells
        Cells over which the mean is taken, drawn at random; all where there are fewer.

    Returns
    -------
    None, or a new MuData with ``copy=True``. Written, ``mdata.uns['ctl'][key_added]``, a dict:

    `table` : pandas.DataFrame
        A row a linked pair, by p-value: `gene`, `region`, `distance` (bp to the start site, 0 within the region),
        `effect` (log-odds; of a Poisson model log rate), `pvalue`, `fdr` (Benjamini and Hochberg over the table),
        `n_cells` that express the gene.
    `settings` : pandas.DataFrame
        One row: `model`, `method`, `n_cells`, `n_null` (regions on other chromosomes, median over genes), `seed`.

    Raises
    ------
    ChromatellError
        No such model or gene, a model that reads no expression, no links, or regions on one chromosome alone.

    Notes
    -----
    This asks the model, not the cell: it says what the model has learned from coexpression, among other things, and a
    gene may stand for another that it goes with. Genes that under 10 of the drawn cells express are left out. The cells
    that express a gene are predicted without it, at the mean depth: 755 genes of 500 cells x 5,399 regions take 12 s
    of one core. A `Dense` without a stack, whose log-odds are linear in its state, is decoded once a gene. Peak memory:
    cells x genes, and three matrices of the drawn cells x regions; without a stack 128 genes x regions.

    Examples
    --------
    >>> ctl.pp.link_genes(mdata, mdata.mod["rna"].var)
    >>> ctl.tl.link_regions(mdata, n_cells=100)
    >>> list(mdata.uns["ctl"]["region_links"]["table"].columns[:4])
    ['gene', 'region', 'distance', 'effect']
    """
    from chromatell.models.dense._gene_effects import GeneEffects, StackEffects

    one_of(method, METHODS, "method")
    result_key(key_added)
    n_cells = in_range(n_cells, 10, 10_000_000, "n_cells")
    seed = settings.resolve_seed(seed)
    expression = modality(mdata, RNA)
    model = expression_model(mdata, key, model)
    names, regions = pd.Index(model.read_expression.genes), pd.Index(model.region_names(None))
    distance = _links(mdata, names, regions, genes)
    chrom = normalise_chrom(coordinates(mdata, regions)[CHROM]).to_numpy(dtype=object)
    drawn = np.sort(np.random.default_rng(seed).permutation(expression.n_obs)[:n_cells])
    rows = np.sort(mdata.obs_names.get_indexer(expression.obs_names))[drawn]  # of mdata, which may hold other cells too
    effects: Any
    if model.family == "dense":
        of = GeneEffects if model.fitted.stack is None else StackEffects
        effects = of(model, mdata if len(rows) == mdata.n_obs else mdata[rows])
    elif method == "gradient":
        raise ChromatellError(
            f"method='gradient' needs a Dense; the model is of family {model.family!r}. Take method='knockout'."
        )
    else:
        effects = PredictedEffects(model, mdata, rows)
    asked = np.flatnonzero(np.diff(distance.indptr) > 0)
    tables, n_null = [], []
    with progress("Genes", len(asked), "genes") as advance:
        for block, used, values in effects.of(asked, method):
            for gene, n, effect in zip(block, used, values, strict=True):
                linked = slice(distance.indptr[gene], distance.indptr[gene + 1])
                near = distance.indices[linked]
                null = np.sort(np.abs(effect[~np.isin(chrom, np.unique(chrom[near]))]))
                if n == 0 or null.size == 0:
                    continue
                n_null.append(null.size)
                pairs = {"gene": names[gene], "region": regions[near], "distance": distance.data[linked] - 1}
                tested = {"effect": effect[near], "pvalue": _pvalue(effect[near], null), "n_cells": n}
                tables.append(pd.DataFrame(pairs | tested))
            advance(len(block))
    if not tables:
        raise ChromatellError(
            "No pair can be tested: no linked gene is expressed in ten of the cells, or the regions lie on one "
            "chromosome alone, so that none elsewhere tells what chance gives. Take more cells, n_cells=..."
        )
    table = pd.concat(tables, ignore_index=True)
    table["distance"] = table["distance"].astype(np.int64)
    table.insert(5, "fdr", false_discovery(table["pvalue"].to_numpy()))
    table = table.sort_values(["pvalue", "gene", "distance"], kind="stable", ignore_index=True)
    n_of_null = int(np.median(n_null))
    about = {"model": key, "method": method, "n_cells": len(rows), "n_null": n_of_null, "seed": seed}
    target = mdata.copy() if copy else mdata
    written = {"table": table, "settings": pd.DataFrame([about], index=["0"])}
    target.uns[UNS] = {**target.uns.get(UNS, {}), key_added: written}
    return target if copy else None


def _pvalue(effect: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Return the share of the sorted `null` that is as large as each effect, itself counted in."""
    above = null.size - np.searchsorted(null, np.abs(effect), side="left")
    return (above + 1) / (null.size + 1)


def any_model(mdata: MuData, key: str, model: Any) -> Any:
    """Return a model of any family: the one that is given, else that of `mdata`."""
    from chromatell.models._base import ChromatinModel

    if model is None:
        model = stored_model(mdata, key, "Train one with ctl.tl.dense(mdata)")
    elif not isinstance(model, ChromatinModel):
        model = load(model)
    return model


def dense_model(mdata: MuData, key: str, model: Any) -> Any:
    """Return a trained `Dense`: the one that is given, else that of `mdata`."""
    model = any_model(mdata, key, model)
    if model.family != "dense":
        raise ChromatellError(
            f"The model is of family {model.family!r}; this needs one that reads genes, of family 'dense'. "
            "Train it, ctl.tl.dense(mdata), and ask for it: key='dense', model=None."
        )
    return model


def expression_model(mdata: MuData, key: str, model: Any) -> Any:
    """Return a trained model that computes what it reads from expression: the one given, else that of `mdata`."""
    model = any_model(mdata, key, model)
    if getattr(model, "read_expression", None) is None:
        raise ChromatellError(
            f"This model, of family {model.family!r}, reads no expression, or an embedding of the user's own: no gene "
            "can be taken out of it. Train one that reads genes, ctl.tl.xchrom(mdata, embedding=None) or "
            "ctl.tl.dense(mdata), and ask for it: key='dense', model=None."
        )
    return model


def _links(mdata: MuData, own: pd.Index, regions: pd.Index, genes: Sequence[str] | None) -> sp.csr_matrix:
    """Return distance + 1 of the linked pairs among the model's genes and regions, CSR (genes, regions)."""
    links = mdata.uns.get(UNS, {}).get(LINKS)
    if links is None:
        raise ChromatellError("Did not find mdata.uns['ctl']['links']. Run ctl.pp.link_genes(mdata, annotation) first.")
    named = [pd.Index(text_of(links[part])) for part in ("gene", "region")]
    row, col = named[0].get_indexer(own), named[1].get_indexer(regions)
    known = sp.coo_matrix(sp.csr_matrix(links["distance"])[np.maximum(row, 0)][:, np.maximum(col, 0)])
    keep = (row[known.row] >= 0) & (col[known.col] >= 0)
    if genes is not None:
        asked = pd.Index([genes] if isinstance(genes, str) else list(genes)).astype(str)
        missing = asked[~asked.isin(own)]
        if len(missing):
            raise ChromatellError(f"The model reads no gene {examples(missing)}; it reads {examples(own)}.")
        keep &= np.isin(np.asarray(own), asked)[known.row]
    if not keep.any():
        raise ChromatellError(
            f"None of the genes {'that were named ' if genes is not None else ''}is linked to a region of the model. "
            "Link further: ctl.pp.link_genes(mdata, annotation, max_distance=250_000)."
        )
    pairs = (known.data[keep], (known.row[keep], known.col[keep]))
    return sp.csr_matrix(pairs, shape=(len(own), len(regions)))
