"""Simple predictors of cells x regions that every model must beat, fitted on training cells only."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from anndata import AnnData

from chromatell._keys import TRAIN
from chromatell._validate import ChromatellError, one_of, region_split_of
from chromatell.models.baselines import expression, protocol, sequence
from chromatell.models.baselines.cell_data import CellData, purpose
from chromatell.models.baselines.parts import blocks

FILES = (expression, sequence)  # each registers its baselines

BASELINES = protocol.Listed("cells")
SEQUENCE_BASELINES = protocol.Listed("cells", lambda baseline: issubclass(baseline, sequence.SequenceBaseline))
ORACLES = protocol.oracles("cells")  # shown, but never the best baseline
# What can be said of a region without its ATAC in any training cell; the last of these is an oracle, which reads it.
UNSEEN = protocol.Listed("cells", lambda baseline: not baseline.reads_region_atac)


def held_out_digest(atac: AnnData) -> str:
    """Return a short hash of the names of the held-out regions and of their parts, '' where there are none.

    Stored with a prediction, it tells later which regions were held out when it was made.
    """
    split = region_split_of(atac)
    held = split != TRAIN
    if not held.any():
        return ""
    said = sorted(f"{part}\t{name}" for part, name in zip(split[held], atac.var_names[held], strict=True))
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:16]


class BaselineFitter(CellData):
    """Fit and apply simple baselines, each when it is first asked for.

    Parameters
    ----------
    mdata
        Paired cells with ``obs['ctl_split']``; where regions are split, with ``mdata.mod['atac'].var['ctl_split']``.
    regions
        Names of the regions to predict, from ``mdata.mod['atac'].var_names``.
    labels_key
        A column with cell types; None leaves `celltype_mean` out.
    depth_key
        A column of ``mdata.mod['atac'].obs`` with each cell's fragments; None looks for `n_fragments`, `atac_fragments`
        and `nCount_ATAC`, then sums the counts over all regions.
    seed
        Seed of the randomised decompositions and of the validation cells that are used for tuning.
    motifs
        What ``ctl.genome.motifs.read_motifs`` takes; None leaves `motif_ridge` out.
    inputs
        Modalities that `ridge`, `svd_ridge` and `knn` read: `rna`, and others as ``ctl.tl.dense`` reads them.
    views
        Views of ``ctl.tl.evaluate`` that will be asked for; None is all. Nothing is tuned for the others, for which the
        choice by the Brier score is taken.

    Notes
    -----
    Everything is fitted on the training cells. Neighbours and the weight of library size, components, rank and penalty,
    and the weight of each input beside expression (0 leaves it out), are chosen on at most 1,000 validation cells x
    2,000 regions, for each view by its own score (:class:`~chromatell.models.baselines.cell_data.Tuning`). A choice at
    the end of a grid is a warning. The neighbour and label means hold a few cells' worth of the region mean (1 and 5),
    so that no probability is 0 and a rare label is not noise. `region_mean_depth` scales the Poisson rate of a count
    above zero, which keeps probabilities under 1. `gene_activity` weighs genes by ``exp(-distance / 5 kb) + exp(-1)``
    (Granja et al., Nature Genetics 2021); `knn_atac` uses TF-IDF and truncated SVD without the first component
    (Cusanovich et al., Cell 2018). Those that read sequence are described at
    :class:`~chromatell.models.baselines.sequence_rates.SequenceRates`.

    The ATAC of a held-out region (`ctl_split` 'val' or 'test') is read by `region_mean_true_depth` alone, which is a
    reference. The other baselines that know a region by its ATAC give each held-out region the mean over the training
    regions asked for beside it, and are refused where there is none.

    Memory: the sparse open matrix of the training cells (twice for `knn_atac`), 51 floats a cell, 51 floats a region
    (`ridge`, `svd_ridge`), labels x regions (`celltype_mean`), and what `predict` returns; work runs over 512 cells at
    a time. Neighbours are sought among at most 50,000 training cells.

    Examples
    --------
    >>> import numpy as np, pandas as pd, anndata as ad, mudata as md
    >>> rng = np.random.default_rng(0)
    >>> rna = ad.AnnData(rng.poisson(2.0, (60, 8)).astype("float32"))
    >>> atac = ad.AnnData(rng.poisson(0.3, (60, 12)).astype("float32"))
    >>> mdata = md.MuData({"rna": rna, "atac": atac})
    >>> mdata.obs["ctl_split"] = ["train"] * 40 + ["val"] * 10 + ["test"] * 10
    >>> fitter = BaselineFitter(mdata, atac.var_names)
    >>> fitter.predict("knn", np.arange(50, 60)).shape
    (10, 12)
    """

    def available(self, *, held_out: bool = False) -> list[str]:
        """Return the kinds that can be predicted with what the data holds, in display order.

        With ``held_out=True`` those that say something of a region whose ATAC was never read.
        """
        names = UNSEEN if held_out or not self.seen.size else tuple(BASELINES)
        return [kind for kind in self.possible() if kind in names]

    def predict(
        self, kind: str, rows: np.ndarray, cols: np.ndarray | None = None, *, view: str | None = None
    ) -> np.ndarray:
        """Return the probability that each region is open, float32 (len(rows), len(regions)), in [0, 1].

        Parameters
        ----------
        kind
            A key of `BASELINES`.
        rows
            Positions of the cells in `mdata`, int or bool. A training cell is never its own neighbour.
        cols
            Positions among `regions`; None predicts all of them.
        view
            The view of ``ctl.tl.evaluate`` in which what is tuned is best on validation cells; None takes the Brier
            score.

        Raises
        ------
        ChromatellError
            `kind` is not known, or the data lacks what it needs.
        """
        one_of(kind, BASELINES, "kind")
        n = len(self.regions)
        if not self.seen.size and kind not in UNSEEN:
            raise ChromatellError(
                f"The baseline {kind!r} knows a region by its ATAC in the training cells, and all {n} regions asked "
                f"for are held out. Use one that reads sequence: {', '.join(SEQUENCE_BASELINES)}."
            )
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
        cols = np.arange(n) if cols is None else np.asarray(cols)
        out = np.empty((rows.size, cols.size), dtype=np.float32)
        baseline = self.baseline(kind)
        option = baseline.ready(purpose(view))
        for block in blocks(rows.size):
            if kind in SEQUENCE_BASELINES:
                out[block] = baseline.predict(rows[block], cols, option)
            else:
                out[block] = self._with_held_out(baseline.predict(rows[block], protocol.EVERY, option), cols)
        return out

    def option(self, kind: str, view: str) -> tuple[Any, ...]:
        """Return what is chosen for a view; views for which it is the same have the same prediction."""
        return self.baseline(kind).ready(purpose(view))

    def _with_held_out(self, p: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """Return the columns asked for of `p`, (cells, all regions) or (cells, training regions among them)."""
        if p.shape[1] == len(self.regions):
            return p if cols.size == p.shape[1] and np.array_equal(cols, np.arange(cols.size)) else p[:, cols]
        full = np.repeat(p.mean(axis=1, keepdims=True, dtype=np.float64), len(self.regions), axis=1)
        full[:, self.seen] = p
        return full[:, cols]

    def chosen(self, view: str | None = None) -> dict[str, float]:
        """Return what was chosen so far: `knn_k`, `ridge_components` and `ridge_alpha`, `kmer_ridge_alpha`, ..."""
        return {
            f"{kind}_{name}": float(value)
            for kind, baseline in self.made.items()
            if baseline.chosen
            for name, value in zip(baseline.names, baseline.ready(purpose(view)), strict=True)
        }
