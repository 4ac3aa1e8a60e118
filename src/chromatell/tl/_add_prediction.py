"""``ctl.tl.add_prediction``: another tool's output joins the leaderboard."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData
from scipy.special import expit
from scipy.stats import rankdata

from chromatell._keys import ATAC, ATAC_PRED, EXTERNAL, PRED_PREFIX, REGION, USES_TARGET_ASSAY
from chromatell._rows import matrix, read
from chromatell._settings import logger
from chromatell._validate import ChromatellError, examples, modality, one_of, unique_names
from chromatell.data.named import Modalities, modalities
from chromatell.data.predictions import write_prediction, written_together
from chromatell.genome.regions import normalise_chrom, parse_regions
from chromatell.models.baselines.cells import BASELINES
from chromatell.tl._targets import fits_in_memory, replaceable, target_regions

_TRANSFORMS = ("sigmoid", "poisson", "rank")
_TOLERANCE = 1e-5  # rounding of float16 and float32 outputs around 0 and 1
_ROWS = 1024


@modalities
def add_prediction(
    mdata: MuData,
    prediction: np.ndarray | sp.spmatrix | AnnData | str | Path,
    *,
    key: str,
    transform: Literal["sigmoid", "poisson", "rank"] | None = None,
    uses_target_assay: bool = False,
    copy: bool = False,
    **more: Unpack[Modalities],
) -> MuData | None:
    """Write another tool's prediction beside those of this package, so that `tl.evaluate` scores it alike.

    Parameters
    ----------
    mdata
        With modality `atac`. The regions needed are those of ``atac_pred`` where that is there, else the selected ones.
    prediction
        An AnnData, the path of a `.h5ad` or `.zarr`, or a table with the names of cells and regions, one value a cell
        and region: these are matched by name in any order, others among them are left out and counted. Regions may be
        named as in ``mdata.mod['atac']``, with the prefix ``atac_pred:``, in ``var['region']``, or by the same
        coordinates in another style (``chr1-100-600``). A bare array (dense or sparse) must be n_obs x n regions, in
        the order of ``mdata.obs_names`` and of the regions.
    key
        Name on the leaderboard, such as ``'multivi'``.
    transform
        None: the values are probabilities and must lie in [0, 1]. ``'sigmoid'``: they are logits. ``'poisson'``: they
        are expected counts, and ``1 - exp(-value)`` is stored. ``'rank'``: only their order means something, and each
        is replaced by its rank among all pairs over the number of pairs; views of ranking hold, those of calibration
        say nothing.
    uses_target_assay
        Whether the tool saw the ATAC of the test cells; stored with the prediction.

    Returns
    -------
    None, or a new MuData with ``copy=True``. Written:

    ``mdata.mod['atac_pred'].layers[key]`` : numpy.ndarray (n_obs, n regions), float32
        In `X` where nothing was there.

    Raises
    ------
    ChromatellError
        A cell or region is missing, a name repeats, the shape differs, a value is NaN or out of range, `key` is a
        baseline's or another model's, or the file is not one that is safe to read. Nothing was changed.

    Notes
    -----
    Peak memory: n_obs x n regions float32; with ``transform='rank'`` six times that.

    Examples
    --------
    >>> import numpy as np
    >>> import chromatell as ctl
    >>> mdata = ctl.datasets.simulate_multiome(50, 20, 30, seed=0)
    >>> ctl.tl.add_prediction(mdata, np.full((50, 30), 0.1), key="constant")
    >>> mdata.mod["atac_pred"].shape
    (50, 30)
    """
    if transform is not None:
        one_of(transform, _TRANSFORMS, "transform")
    modality(mdata, ATAC)
    if key in BASELINES:
        raise ChromatellError(f"key={key!r} is the name of a baseline; choose another, such as '{key}_mine'.")
    replaceable(mdata, key, EXTERNAL)
    regions = target_regions(mdata)
    fits_in_memory(mdata.n_obs, len(regions))
    if isinstance(prediction, str | Path):
        prediction = _read(prediction)
    if isinstance(prediction, pd.DataFrame):
        prediction = _of_table(prediction)
    if isinstance(prediction, AnnData):
        values = _matched(mdata, prediction, regions)
    else:
        values = _exact(mdata, prediction, regions)
    values = _as_probability(values, transform, key)
    target = mdata.copy() if copy else mdata
    provenance = {"family": EXTERNAL, "transform": transform, USES_TARGET_ASSAY: bool(uses_target_assay)}
    with written_together(target):
        write_prediction(target, key, values, regions, provenance, main=False)
    return target if copy else None


def _read(path: str | Path) -> AnnData:
    from chromatell.io._guard import read

    if Path(path).suffix.lower() not in (".h5ad", ".zarr"):
        raise ChromatellError(
            f"A prediction is read from a .h5ad or .zarr with cell and region names; got {str(path)!r}. "
            "Write one: AnnData(values, obs=..., var=...).write_h5ad('prediction.h5ad')."
        )
    adata = read(path)
    if not isinstance(adata, AnnData):
        raise ChromatellError(f"{str(path)!r} holds a {type(adata).__name__}; an AnnData of cells x regions is needed.")
    return adata


def _matched(mdata: MuData, prediction: AnnData, regions: pd.Index) -> np.ndarray:
    """Return the values of an AnnData in the order of `mdata` and of `regions`, float32."""
    if prediction.X is None or prediction.n_obs == 0 or prediction.n_vars == 0:
        raise ChromatellError(
            f"The prediction holds no values (shape {prediction.shape}); put them into .X, cells x regions."
        )
    unique_names(prediction, ATAC_PRED)
    cells = prediction.obs_names.get_indexer(mdata.obs_names)
    columns = _region_positions(prediction, regions)
    for position, names, own, what in (
        (cells, mdata.obs_names, prediction.obs_names, "cells"),
        (columns, regions, prediction.var_names, "regions"),
    ):
        if (position < 0).any():
            missing = names[position < 0]
            raise ChromatellError(
                f"The prediction lacks {len(missing)} of {len(names)} {what} (such as {examples(missing)}); its own "
                f"are named like {examples(own)}. Every cell of mdata and every region of the target is needed: "
                "predict them, or name them as in mdata."
            )
    extra = prediction.n_obs - len(cells), prediction.n_vars - len(columns)
    if any(extra):
        logger.info("Left out of the prediction: %d cells and %d regions that are not in mdata.", *extra)
    values = matrix(prediction)
    out = np.empty((len(cells), len(columns)), dtype=np.float32)
    for start in range(0, len(cells), _ROWS):
        block = read(values[cells[start : start + _ROWS]][:, columns])
        out[start : start + _ROWS] = block.toarray() if sp.issparse(block) else np.asarray(block)
    return out


def _region_positions(prediction: AnnData, regions: pd.Index) -> np.ndarray:
    """Return where each region stands in the prediction, -1 where it does not."""
    candidates = [prediction.var_names, prediction.var_names.str.removeprefix(PRED_PREFIX)]
    if REGION in prediction.var:
        candidates.append(pd.Index(prediction.var[REGION].astype(str)))
    candidates.append(_coordinates(prediction.var_names))
    best = np.full(len(regions), -1)
    for i, names in enumerate(candidates):
        if not names.is_unique:
            continue
        wanted = _coordinates(regions) if i == len(candidates) - 1 else regions
        position = names.get_indexer(wanted)
        if (position >= 0).sum() > (best >= 0).sum():
            best = position
    return best


def _coordinates(names: pd.Index) -> pd.Index:
    """Return names in one style, ``chr1:100-600``; a name without coordinates stays."""
    names = pd.Index(names).astype(str)
    table = parse_regions(names)
    styled = normalise_chrom(table["chrom"]) + ":" + table["start"].astype(str) + "-" + table["end"].astype(str)
    return pd.Index(np.where(table["start"] >= 0, styled, names))


def _of_table(table: pd.DataFrame) -> Any:
    """Return a table as cells and regions with their names, or as a bare array where it was given none."""
    values = table.to_numpy()
    if all(isinstance(axis, pd.RangeIndex) for axis in (table.index, table.columns)):
        return values
    if values.dtype.kind not in "fiub":
        return values  # whose error names its dtype
    names = [pd.DataFrame(index=axis.astype(str)) for axis in (table.index, table.columns)]
    return AnnData(values, obs=names[0], var=names[1])


def _exact(mdata: MuData, prediction: Any, regions: pd.Index) -> np.ndarray:
    """Return a bare array as float32; its shape must be that of the target."""
    needed = (mdata.n_obs, len(regions))
    if not sp.issparse(prediction):
        prediction = np.asarray(prediction)
    if prediction.dtype.kind not in "fiub":
        raise ChromatellError(
            f"The prediction has dtype {prediction.dtype}; numbers are needed: "
            "prediction = prediction.astype('float32')."
        )
    if prediction.shape != needed:
        raise ChromatellError(
            f"The prediction has shape {prediction.shape}; {needed} is needed: the cells of mdata.obs_names x the "
            "regions of the target, in that order. Give an AnnData with names to have them matched."
        )
    return np.array(prediction.toarray() if sp.issparse(prediction) else prediction, dtype=np.float32)


def _as_probability(values: np.ndarray, transform: str | None, key: str) -> np.ndarray:
    """Return values in [0, 1], float32; `values` may be overwritten."""
    n_bad = sum(int((~np.isfinite(values[i : i + _ROWS])).sum()) for i in range(0, len(values), _ROWS))
    if n_bad:
        raise ChromatellError(
            f"The prediction {key!r} holds {n_bad} NaN or infinite values of {values.size}; every pair needs a finite "
            "value."
        )
    low, high = float(values.min()), float(values.max())
    if transform is None:
        if low < -_TOLERANCE or high > 1 + _TOLERANCE:
            raise ChromatellError(
                f"The prediction {key!r} holds values from {low:.3g} to {high:.3g}; probabilities in [0, 1] are "
                "needed. Say what they are: transform='sigmoid' for logits, 'poisson' for expected counts, 'rank' to "
                "keep their order alone."
            )
        return np.clip(values, 0, 1, out=values)
    if transform == "sigmoid":
        return expit(values, out=values)
    if transform == "poisson":
        if low < 0:
            raise ChromatellError(
                f"The prediction {key!r} holds values down to {low:.3g}; expected counts are not negative. Use "
                "transform='rank'."
            )
        return np.negative(np.expm1(np.negative(values, out=values), out=values), out=values)
    logger.info("Prediction %r: ranks are stored; its calibration and Brier score mean nothing.", key)
    return (rankdata(values, method="average") / values.size).reshape(values.shape).astype(np.float32)
