"""What `tl.evaluate` reads of cells x bins: the split, open bins, labels, and models that read a cell's own bins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from chromatell._keys import ATAC, RNA, SPLIT
from chromatell._settings import logger
from chromatell._validate import ChromatellError, examples, modality, split_of, unique_names
from chromatell._values import nonnegative
from chromatell.data.accessibility import open_matrix, selected
from chromatell.io._uns_store import model_keys
from chromatell.metrics.views import label_codes
from chromatell.models import load
from chromatell.models._base import ChromatinModel


@dataclass(frozen=True)
class BinCells:
    """Cells x bins, and what is known of the cells.

    Attributes
    ----------
    data
        What the user gave.
    atac
        The cells x bins.
    split
        'train', 'val' or 'test', object (n_obs,).
    bins
        Places of the bins that are read and scored, ascending.
    """

    data: AnnData | MuData
    atac: AnnData
    split: np.ndarray
    bins: np.ndarray

    @classmethod
    def read(cls, data: AnnData | MuData, models: Mapping[str, ChromatinModel]) -> BinCells:
        """Check the cells; read and scored are the bins in use that all of the models know."""
        atac = modality(data, ATAC) if isinstance(data, MuData) else data
        unique_names(atac, ATAC)
        nonnegative(atac, ATAC)
        keep = selected(atac)
        names = atac.var_names.astype(str)
        for key, model in models.items():
            known = names.isin(model.var_names[ATAC])
            if not known.any():
                raise ChromatellError(
                    f"None of the {atac.n_vars:,} variables (such as {examples(names)}) is a bin of the model {key!r} "
                    f"(such as {examples(model.var_names[ATAC])}). Cells x bins are scored, in the model's bins: count "
                    "them: adata = ctl.pp.bin_genome('fragments.tsv.gz', bins=model.regions)."
                )
            keep = keep & known
        bins = np.flatnonzero(keep)
        if bins.size < 2:
            raise ChromatellError(
                f"The models {examples(models)} share {bins.size} of the bins in use. Score them one at a time, "
                "models='name', or look at var['ctl_selected']."
            )
        if bins.size < selected(atac).sum():
            logger.info("Read and scored are %d of %d bins: those that all models know.", bins.size, atac.n_vars)
        return cls(data, atac, _split(data, atac), bins)

    def rows(self, part: str) -> np.ndarray:
        """Return the places of the cells of a part."""
        return np.flatnonzero(self.split == part)

    def binarized(self, rows: np.ndarray) -> sp.csr_matrix:
        """Return the open bins of cells, float32 CSR (cells, bins)."""
        return open_matrix(self.atac, rows, self.bins)

    def query(self, rows: np.ndarray, binarized: sp.csr_matrix) -> AnnData:
        """Return cells with these open bins, and nothing else, for a model."""
        obs = pd.DataFrame(index=self.atac.obs_names[rows])
        return AnnData(binarized, obs=obs, var=self.atac.var.iloc[self.bins][[]].copy())

    def labels(self, key: str) -> np.ndarray | None:
        """Return a column as text, None where a cell has no label, object (n_obs,); None where there is no column."""
        tables = [self.atac.obs]
        if isinstance(self.data, MuData):
            tables += [self.data.obs, *(self.data.mod[m].obs for m in (RNA,) if m in self.data.mod)]
        for table in tables:
            if key in table:
                column = table[key].reindex(self.atac.obs_names)
                codes, names, _ = label_codes(column.to_numpy(dtype=object))
                return np.array([*names, None], dtype=object)[codes]  # the last is for code -1
        return None


def _split(data: AnnData | MuData, atac: AnnData) -> np.ndarray:
    """Return the split of the cells x bins; of a MuData that of the whole."""
    if isinstance(data, AnnData) and SPLIT not in data.obs:
        raise ChromatellError(
            f"Did not find adata.obs[{SPLIT!r}]. Run ctl.pp.split_cells(adata) before training. Are these the bins of "
            "a MuData that was split? Then ctl.tl.evaluate(mdata, pairs='completion'), or copy it: "
            f"adata.obs[{SPLIT!r}] = mdata.obs[{SPLIT!r}]."
        )
    split = pd.Series(split_of(data), index=data.obs_names)
    return split.reindex(atac.obs_names).to_numpy(dtype=object)


def reading_models(data: AnnData | MuData, models: str | Sequence[str] | Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the models that read a cell's own open bins.

    Parameters
    ----------
    models
        Names of models in ``uns``, or a dict of names and models, or what `chromatell.models.load` takes; None takes
        every one in ``uns``, and leaves out those that do not read open bins. An empty list gives none.

    Raises
    ------
    ChromatellError
        There is none, a name is not there, or one that was named does not read open bins.
    """
    if isinstance(models, Mapping):
        loaded = {str(k): m if isinstance(m, ChromatinModel) else load(m) for k, m in models.items()}
    else:
        names = model_keys(data) if models is None else [models] if isinstance(models, str) else list(models)
        loaded = {name: load(data, key=name) for name in dict.fromkeys(names)}
    others = [name for name, model in loaded.items() if not model.reads_atac]
    reading = {name: model for name, model in loaded.items() if name not in others}
    if others and (models is not None or not reading):
        raise ChromatellError(
            f"The models {examples(others)} do not read a cell's own open bins: they predict from a context, and are "
            "scored by what they predict for a MuData, ctl.tl.evaluate(mdata). Train one without a context, "
            "ctl.tl.atacformer(adata)."
        )
    if others:
        logger.info("Left out, since they predict from a context: %s.", ", ".join(others))
    if not reading and models is None:
        raise ChromatellError(
            f"Did not find a model in {'mdata' if isinstance(data, MuData) else 'adata'}.uns['ctl']['models']. An "
            "AnnData is taken as cells x bins; train on it with ctl.tl.atacformer(adata). A MuData keeps its models "
            "itself: ctl.tl.evaluate(mdata, pairs='completion'). Expression belongs into a MuData with 'rna' and "
            "'atac'; a model of another object is named so: models={'mine': mdata}."
        )
    return reading


def remove_bins(
    binarized: sp.csr_matrix, share: float, rng: np.random.Generator
) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Take a share of each cell's open bins apart; return those that are left, and those removed, CSR (cells, bins).

    A cell with n open bins loses ``rint(share * n)`` of them: none of one or two at a share of 0.2.

    Examples
    --------
    >>> seen, removed = remove_bins(sp.csr_matrix(np.ones((1, 10))), 0.2, np.random.default_rng(0))
    >>> seen.sum().item(), removed.sum().item()
    (8.0, 2.0)
    """
    n = np.diff(binarized.indptr)
    cell = np.repeat(np.arange(binarized.shape[0]), n)
    order = np.lexsort((rng.random(cell.size), cell))  # the open bins of each cell in a random order
    gone = np.zeros(cell.size, dtype=bool)
    gone[order] = np.arange(cell.size) - binarized.indptr[cell] < np.rint(share * n)[cell]
    parts = [
        sp.csr_matrix((np.ones(m.sum(), dtype=np.float32), (cell[m], binarized.indices[m])), shape=binarized.shape)
        for m in (~gone, gone)
    ]
    return parts[0], parts[1]
