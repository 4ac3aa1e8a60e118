"""``ctl.tl.neighbor_score``: whether cells that are near in an embedding are near in the assays, and of one type."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Unpack

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from chromatell._keys import (
    ALL_SPACE,
    HELD_OUT_SPACE,
    NEIGHBOR_SCORE,
    RANDOM,
    RNA,
    RNA_SPACE,
    SPLIT,
    SPLITS,
    TEST,
    TRAIN,
    UNS,
    X_PCA,
    X_XCHROM,
)
from chromatell._nearest import names_there
from chromatell._rows import compact, matrix
from chromatell._settings import logger, settings
from chromatell._validate import (
    ChromatellError,
    in_range,
    one_of,
    paired,
    region_split_of,
    result_key,
    split_of,
    warn,
)
from chromatell.data.accessibility import open_matrix, selected
from chromatell.data.expression import Embedding, Expression
from chromatell.data.lsi import Lsi
from chromatell.data.named import Modalities, modalities
from chromatell.metrics.views import label_codes
from chromatell.models.baselines.neighbours import nearest
from chromatell.models.baselines.parts import N_LSI, labels_of

COLUMNS = ("embedding", "metric", "space", "k", "value", "n")
_MAX_CELLS = 10_000  # whose neighbours are sought, among all
_MIN_REGIONS = 10


@modalities
def neighbor_score(
    mdata: MuData,
    *,
    key: str = X_XCHROM,
    labels: str | None = "cell_type",
    n_neighbors: int | Sequence[int] = (10, 50, 100),
    space: str | None = None,
    split: str | None = None,
    seed: int | None = None,
    key_added: str = NEIGHBOR_SCORE,
    copy: bool = False,
    **more: Unpack[Modalities],
) -> MuData | None:
    r"""Neighbour score and label score of an embedding, in the RNA space and in one that the model did not read.

    With :math:`N_k(c)` the k nearest cells of cell c in the embedding and :math:`M_k(c)` those in another space,

    .. math:: \text{neighbour score} = \operatorname{mean}_c \frac{|N_k(c) \cap M_k(c)|}{k}, \qquad
              \text{label score} = \operatorname{mean}_c \frac{|\{i \in N_k(c): l_i = l_c\}|}{k}.

    An embedding that was made from expression is near to the expression by construction, so the score in the RNA space
    is circular. The same is computed in a space that the model did not read: LSI of the ATAC of the test regions.

    Parameters
    ----------
    mdata
        Paired cells; with ``mdata.mod['atac'].var['ctl_split']`` from ``ctl.pp.split_regions``.
    key
        The embedding, in ``mdata.mod['rna'].obsm``.
    labels
        Column with cell types, in ``mdata.obs`` or a modality's `obs`; None leaves the label score out.
    n_neighbors
        Values of k, one or several; those that are not below the number of cells are left out.
    space
        The RNA space, in ``mdata.mod['rna'].obsm``; None takes 'X_pca', or principal components of expression (fitted
        on the training cells) where that is not there. It is scored beside the embedding, which shows what the model
        adds to its input.
    split
        Score the cells of this split only, 'test' say; their neighbours are sought among all cells. None scores all.
    seed
        Seed of the LSI and of the cells drawn; None follows ``ctl.settings.seed``.
    key_added
        Name of the table in ``mdata.uns['ctl']``.

    Returns
    -------
    None, or a new MuData with ``copy=True``. Written:

    ``mdata.uns['ctl']['neighbor_score']`` : pandas.DataFrame
        `embedding` (`key`; the RNA space; 'random', what an embedding without information is expected to score),
        `metric` ('neighbor' or 'label'), `space` ('rna'; 'atac_held_out', or 'atac_all' where no region was held out;
        for labels their column), `k` (int64), `value`, `n` (cells behind the value, int64).

    Raises
    ------
    ChromatellError
        An embedding or a column is not there or holds NaN, no test region is open, or too few cells. Nothing was
        changed.

    Warns
    -----
    ChromatellWarning
        Regions were not split: LSI is of all regions, which a model may have read in the training cells. With
        ``split='test'`` it has not, and nothing is said.

    Notes
    -----
    Neighbours in Euclidean distance, never the cell itself. A cell that is open in none of the LSI's regions is neither
    scored nor a neighbour there; one without a label has no label score. LSI is fitted on all cells: 29 components of
    TF-IDF (the first, which is depth, is left out), scaled to unit length (Cusanovich et al., Cell 2018). At most
    10,000 cells, drawn at random, are scored, which is logged. Peak memory: the sparse open matrix of the regions, and
    scored cells x k neighbours of each space.

    The scores are those of scBasset (Yuan & Kelley, Nature Methods 2022) and XChrom, which took k = 10, 50 and 100 and
    the RNA space.

    Examples
    --------
    >>> import chromatell as ctl
    >>> mdata = ctl.datasets.simulate_multiome(200, 30, 300, n_types=2, seed=0)
    >>> mdata.mod["rna"].obsm["X_pca"] = mdata.mod["rna"].X[:, :10].toarray()
    >>> mdata.mod["rna"].obsm["mine"] = mdata.mod["rna"].X[:, 5:15].toarray()
    >>> mdata.mod["atac"].var["ctl_split"] = ["train", "test"] * 150
    >>> ctl.tl.neighbor_score(mdata, key="mine", n_neighbors=[10])
    >>> table = mdata.uns["ctl"]["neighbor_score"]
    >>> table[["embedding", "metric", "space"]].agg(" ".join, axis=1).tolist()
    ['mine neighbor rna', 'mine neighbor atac_held_out', 'mine label cell_type', 'X_pca neighbor atac_held_out',
     'X_pca label cell_type', 'random neighbor rna', 'random neighbor atac_held_out', 'random label cell_type']
    """
    result_key(key_added)
    several = n_neighbors if isinstance(n_neighbors, Iterable) else [n_neighbors]
    n_neighbors = [in_range(k, 1, 1_000_000, "n_neighbors") for k in several]
    if not n_neighbors:
        raise ChromatellError("n_neighbors= names no number. Leave it out for 10, 50 and 100.")
    expression, opened = paired(mdata)
    kinds = None if labels is None else label_codes(labels_of(mdata, labels).to_numpy(dtype=object))[0]
    streams = np.random.SeedSequence(settings.resolve_seed(seed)).spawn(2)
    draw, fit = np.random.default_rng(streams[0]), int(streams[1].generate_state(1)[0])
    rows = _cells(mdata, split, draw)
    embeddings = {key: _embedding(expression.obsm, key)}
    rna_name = space or X_PCA
    embeddings[rna_name] = (
        _components(mdata, fit)
        if space is None and X_PCA not in expression.obsm
        else _embedding(expression.obsm, rna_name)
    )
    atac_name, lsi_space = _held_out_lsi(opened, split, fit)
    known = np.any(lsi_space != 0, axis=1)
    ks = _neighbours(n_neighbors, int(known.sum()))

    near = {name: _nearest(e, rows, np.arange(mdata.n_obs), ks[-1]) for name, e in embeddings.items()}
    seen = known[rows]
    true = {RNA_SPACE: (slice(None), near[rna_name])}
    true[atac_name] = (seen, _nearest(lsi_space, rows[seen], np.flatnonzero(known), ks[-1]))
    table: list[tuple[Any, ...]] = []
    for name, closest in near.items():
        for other, (cells, neighbours) in true.items():
            if (name, other) != (rna_name, RNA_SPACE):  # with itself it shares all
                table += [(name, "neighbor", other, k, *_shared(closest[cells, :k], neighbours[:, :k])) for k in ks]
        if kinds is not None:
            table += [(name, "label", labels, k, *_same(kinds, rows, closest[:, :k])) for k in ks]
    for other, (_, neighbours) in true.items():
        table += [(RANDOM, "neighbor", other, k, k / (mdata.n_obs - 1), len(neighbours)) for k in ks]
    if kinds is not None:
        table += [(RANDOM, "label", labels, k, *_same_at_random(kinds, rows)) for k in ks]
    target = mdata.copy() if copy else mdata
    target.uns[UNS] = {**target.uns.get(UNS, {}), key_added: _typed(table)}
    return target if copy else None


def _cells(mdata: MuData, split: str | None, rng: np.random.Generator) -> np.ndarray:
    """Return the places of the cells that are scored."""
    rows = np.arange(mdata.n_obs)
    if split is not None:
        one_of(split, SPLITS, "split")
        rows = np.flatnonzero(split_of(mdata, require=(split,)) == split)
    if rows.size > _MAX_CELLS:
        logger.info("Neighbours of %d of %d cells, drawn at random.", _MAX_CELLS, rows.size)
        rows = np.sort(rng.choice(rows, _MAX_CELLS, replace=False))
    return rows


def _embedding(obsm: Any, key: str) -> np.ndarray:
    """Return an embedding of the cells, float32 (n_obs, d)."""
    if key not in obsm:
        raise ChromatellError(
            f"Did not find mdata.mod['rna'].obsm[{key!r}]; there: {names_there(obsm, key)}. Train a model, "
            "ctl.tl.xchrom(mdata), or name another."
        )
    held = obsm[key]
    values = np.asarray(held.toarray() if sp.issparse(held) else held, dtype=np.float32)
    if values.ndim != 2 or not np.isfinite(values).all():
        raise ChromatellError(
            f"mdata.mod['rna'].obsm[{key!r}] has shape {values.shape} and {int((~np.isfinite(values)).sum())} NaN or "
            "infinite values; finite numbers, n_obs x d, are needed. Remove such cells, or name another."
        )
    return values


def _components(mdata: MuData, seed: int) -> np.ndarray:
    """Return principal components of expression, fitted on the training cells where cells were split."""
    rna = mdata.mod[RNA]
    keep = selected(rna)
    x = compact(matrix(rna)[:, keep])
    train = split_of(mdata) == TRAIN if SPLIT in mdata.obs else np.ones(mdata.n_obs, dtype=bool)
    expression = Expression.fit(x[train], rna.var_names[keep])
    embedding = Embedding.fit(expression, x[train], seed=seed)
    return np.concatenate([embedding.transform(z) for _, z, _ in expression.blocks(x)])


def _held_out_lsi(atac: AnnData, split: str | None, seed: int) -> tuple[str, np.ndarray]:
    """Return the name of the space and LSI of the regions that no model has read; 0 for cells open in none of them."""
    held = region_split_of(atac) == TEST
    name = HELD_OUT_SPACE if held.any() else ALL_SPACE
    if not held.any():
        held[:] = True
        if split != TEST:
            warn(
                "No region is held out, so LSI is of all regions, which a model may have read in the training cells. "
                "Split them before training, ctl.pp.split_regions(mdata), or score the test cells, split='test'."
            )
    truth = open_matrix(atac, slice(None), np.flatnonzero(held))
    n = int((np.diff(truth.tocsc().indptr) > 0).sum())
    if n < _MIN_REGIONS:
        raise ChromatellError(
            f"{n} of the {int(held.sum())} {'test' if name == HELD_OUT_SPACE else ''} regions are open in a cell; LSI "
            f"needs {_MIN_REGIONS}. Hold out more regions, ctl.pp.split_regions(mdata, fractions=(0.5, 0.1, 0.4))."
        )
    return name, Lsi.fit(truth, N_LSI, seed=seed).transform(truth)


def _neighbours(n_neighbors: Sequence[int], n_cells: int) -> list[int]:
    """Return the numbers of neighbours, ascending, that are below the number of cells."""
    wanted = sorted(set(n_neighbors))
    held = [k for k in wanted if k < n_cells]
    if not held:
        raise ChromatellError(
            f"n_neighbors={list(n_neighbors)}, but only {n_cells} cells have an open region in the ATAC space. Give "
            "fewer neighbours."
        )
    if len(held) < len(wanted):
        logger.info("Left out, since only %d cells can be neighbours: k = %s.", n_cells, wanted[len(held) :])
    return held


def _nearest(space: np.ndarray, rows: np.ndarray, among: np.ndarray, k: int) -> np.ndarray:
    """Return the places of the k nearest of the cells `among`, int (rows, k), nearest first, never the cell itself."""
    place = np.full(len(space), -1)
    place[among] = np.arange(among.size)
    return among[nearest(space[among], space[rows], k, place[rows])]


def _shared(neighbours: np.ndarray, true: np.ndarray) -> tuple[float, int]:
    """Return the mean share of neighbours that two sets (cells, k) have in common, and the number of cells."""
    both = np.sort(np.concatenate([neighbours, true], axis=1), axis=1)
    return float((both[:, 1:] == both[:, :-1]).sum(axis=1).mean() / neighbours.shape[1]), len(neighbours)


def _same(codes: np.ndarray, rows: np.ndarray, neighbours: np.ndarray) -> tuple[float, int]:
    """Return the mean share of neighbours with the cell's label, and the number of cells that have one."""
    labelled = codes[rows] >= 0
    if not labelled.any():
        return float("nan"), 0
    return float((codes[neighbours[labelled]] == codes[rows[labelled], None]).mean()), int(labelled.sum())


def _same_at_random(codes: np.ndarray, rows: np.ndarray) -> tuple[float, int]:
    """Return the same for neighbours drawn at random."""
    size = np.bincount(codes[codes >= 0])
    own = codes[rows][codes[rows] >= 0]
    return (float((size[own] - 1).mean() / (codes.size - 1)) if own.size else float("nan")), own.size


def _typed(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    types = dict.fromkeys(COLUMNS[:3], object) | {"k": np.int64, "value": np.float64, "n": np.int64}
    return table.astype(types).set_axis(pd.RangeIndex(len(table)).astype(str), axis=0)
