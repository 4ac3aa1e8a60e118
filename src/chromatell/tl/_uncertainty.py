"""``ctl.tl.uncertainty``: how far a prediction may be off, for groups of cells, for cells and for regions."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np
import pandas as pd
import scipy.sparse as sp
from mudata import MuData
from scipy import stats

from chromatell._docs import documented, example
from chromatell._keys import ATAC, ATAC_PRED, REGION, SPLIT, TEST, TRAIN, UNCERTAINTY, UNS, UNSURE, VAL
from chromatell._settings import logger, settings
from chromatell._validate import (
    ChromatellError,
    check_tables,
    examples,
    in_range,
    one_of,
    result_key,
    same_names,
    split_of,
    warn,
)
from chromatell.data.accessibility import open_matrix
from chromatell.data.chosen import cell_labels, indicator
from chromatell.data.named import Modalities, modalities
from chromatell.data.predictions import prediction_keys
from chromatell.models._trained_on import check_cells
from chromatell.tl._link_regions import dense_model

LEVELS = (0.5, 0.8, 0.9, 0.95)
_FEWEST = 10  # cells of a group, in a split


@modalities
@documented("result")
@example("predicted cells")
def uncertainty(
    mdata: MuData,
    groupby: str,
    *,
    key: str = "dense",
    model: Any = None,
    method: str = "auto",
    n_draws: int = 20,
    level: float = 0.9,
    seed: int | None = None,
    key_added: str = UNCERTAINTY,
    copy: bool = False,
    **more: Unpack[Modalities],
) -> MuData | None:
    r"""Intervals for the accessibility of groups of cells, and what the model is unsure of in cells and regions.

    The model is asked several times: by each of its members, or with dropout left on. For group g and region r the
    share of open cells is expected in

    .. math:: \bar p_{gr} \pm q \sqrt{s_{gr}^2 + \bar p_{gr} (1 - \bar p_{gr}) / n_g}

    with s the spread of the group's mean over the draws, and :math:`n_g` the number of cells, whose own noise is the
    second term. Where `mdata` has measured ATAC of validation cells, q is calibrated on them: the quantile of their
    absolute errors in units of the root, over all groups and regions. Else it is the normal one, with a warning.

    Parameters
    ----------
    mdata
        With `rna`, and the model; `atac` and ``obs['ctl_split']`` to calibrate and to check.
    model
        A trained `Dense`, or the path of one, in its place.
    method
        'members', 'dropout', or 'auto': members where there are three or more, else dropout.
    n_draws
        Draws with dropout.
    level
        Coverage of the intervals in the table.
    seed
        Seed of dropout; None follows ``ctl.settings.seed``.

    Returns
    -------
    None, or a new MuData with ``copy=True``. Written, ``mdata.uns['ctl'][key_added]``, a dict:

    `table` : pandas.DataFrame
        A row a group and region: `group`, `region`, `n_cells`, `predicted`, `spread` (s), `low`, `high`, and
        `observed`, the measured share of open cells, where there is one. From test cells where any group has ten, else
        of all cells; groups of under ten of these are left out, which is logged.
    `coverage` : pandas.DataFrame
        Where measured: `split`, `level`, `covered`, the share of groups and regions whose interval holds the measured
        value, `width`, mean, and `n`. 'val' cells are those it was calibrated on, 'test' cells the check.
    `settings` : pandas.DataFrame
        One row: `model`, `method`, `n_draws`, `calibrated`, `seed`.

    ``mdata.mod['atac_pred'].obs['ctl_uncertainty']``, ``.var['ctl_uncertainty']`` : float64
        Where the prediction of `key` is in `X` or a layer: root mean square spread of each cell's probabilities over
        regions, and of each region's over cells.

    Raises
    ------
    ChromatellError
        No such model or column, a model of another family, groups of under ten cells alone, or measured validation or
        test cells that the model was trained on.

    Notes
    -----
    Draws are of the network. Where it has no share in the prediction (``model.card['predicts']``), as with few cells,
    they do not differ, and calibration on measured cells alone widens the interval: `dense(stack=False)` has a spread.

    What members agree on may still be wrong: a cell type that was never seen is no wider. The calibration makes up for
    the mean error of types like those in training, not for that. Coverage is over groups and regions together; single
    groups may be off.

    References
    ----------
    Lakshminarayanan et al., NeurIPS 2017 (ensembles); Gal and Ghahramani, ICML 2016 (dropout); Lei et al., JASA 2018
    (split conformal intervals, whose calibration this is).

    Examples
    --------
    >>> ctl.tl.uncertainty(mdata, "cell_type", n_draws=5)
    >>> mdata.uns["ctl"]["uncertainty"]["coverage"]["split"].unique().tolist()
    ['val', 'test']
    """
    check_tables(mdata)
    one_of(method, ("auto", "members", "dropout"), "method")
    result_key(key_added)
    level = in_range(level, 0.01, 0.999, "level", whole=False)
    n_draws = in_range(n_draws, 1, 10_000, "n_draws")
    seed = settings.resolve_seed(seed)
    codes, names = cell_labels(mdata, groupby)
    from chromatell.models.dense._draws import draws_of_sets

    model = dense_model(mdata, key, model)
    if method == "auto":
        method = "members" if model.network.n_members >= 3 else "dropout"
    regions = pd.Index(model.regions)
    splits = _splits(mdata, codes, len(names))
    observed = _observed(mdata, regions, splits, len(names))
    for part in (VAL, TEST):
        if part in observed:
            check_cells(model.trained_cells, mdata.obs_names[splits[part] >= 0], name=key, part=part)
    calibrated = VAL in observed
    if not calibrated:
        warn(
            "There are no validation cells with measured ATAC in groups of ten or more, so that the intervals are not "
            "calibrated: they take the model's spread at its word, which is too narrow."
        )
    shown = TEST if TEST in splits else "all"
    if shown not in splits:
        raise ChromatellError(
            f"No group of mdata.obs[{groupby!r}] has ten cells. Name a column of larger groups, such as 'cell_type'."
        )
    pred = mdata.mod.get(ATAC_PRED)
    beside = pred is not None and key in prediction_keys(mdata) and pd.Index(pred.var[REGION]).equals(regions)
    sets = sp.vstack([indicator(of, len(names)) for of in splits.values()], format="csr")
    draws = draws_of_sets(model, mdata, regions, sets, method=method, n_draws=n_draws, seed=seed, spread=beside)
    parts = dict(zip(splits, np.split(draws.means, len(splits), axis=1), strict=True))
    cases = {s: _cases(parts[s], observed.get(s), splits[s], len(names)) for s in parts}
    scores = _scores(cases[VAL]) if calibrated else None
    table = _table(cases[shown], names, regions, _quantile(scores, level))
    if few := [name for i, name in enumerate(names) if i not in cases[shown]["groups"]]:
        logger.info("Under ten %scells, left out: %s.", "test " if shown == TEST else "", examples(few))
    if model.fitted.stack is not None and model.fitted.stack.network_weight == 0:
        logger.info("The network has no share in the prediction, so its draws do not differ and the spread is 0.")
    written: dict[str, Any] = {"table": table}
    rows = [_covered(cases[s], s, lv, _quantile(scores, lv)) for s in (VAL, TEST) if s in observed for lv in LEVELS]
    if rows:
        written["coverage"] = pd.DataFrame(rows)
    about = {
        "model": key,
        "method": method,
        "n_draws": model.network.n_members if method == "members" else n_draws,
        "calibrated": calibrated,
        "seed": seed,
    }
    written["settings"] = pd.DataFrame([about], index=["0"])
    target = mdata.copy() if copy else mdata
    target.uns[UNS] = {**target.uns.get(UNS, {}), key_added: written}
    if beside:
        pred = target.mod[ATAC_PRED]
        pred.obs[UNSURE] = pd.Series(np.sqrt(draws.cells), index=mdata.obs_names).reindex(pred.obs_names)
        pred.var[UNSURE] = np.sqrt(draws.regions)
    return target if copy else None


def _splits(mdata: MuData, codes: np.ndarray, n_groups: int) -> dict[str, np.ndarray]:
    """Return the group of each cell, -1 for none, in 'val' and 'test', or in 'all' where no test cells are enough.

    Those without a group that has enough cells are left out.
    """
    split = split_of(mdata, ()) if SPLIT in mdata.obs else np.full(mdata.n_obs, "")
    out = {s: np.where(split == s, codes, -1) for s in (VAL, TEST)} | {"all": codes}
    if SPLIT in mdata.obs and not (split == TRAIN).any():
        logger.info("No cell is marked as one of training.")
    out = {s: of for s, of in out.items() if (_sizes(of, n_groups) >= _FEWEST).any()}
    if TEST in out:
        del out["all"]
    return out


def _sizes(codes: np.ndarray, n_groups: int) -> np.ndarray:
    return np.bincount(codes[codes >= 0], minlength=n_groups)


def _observed(mdata: MuData, regions: pd.Index, splits: dict[str, np.ndarray], n_groups: int) -> dict[str, np.ndarray]:
    """Return the measured share of open cells, (groups, regions), of each split; nothing where nothing was measured."""
    atac = mdata.mod.get(ATAC)
    if atac is None or not regions.isin(atac.var_names).all() or not mdata.obs_names.isin(atac.obs_names).all():
        return {}
    cells = slice(None) if same_names(atac.obs_names, mdata.obs_names) else atac.obs_names.get_indexer(mdata.obs_names)
    x = open_matrix(atac, cells, atac.var_names.get_indexer(regions))
    return {
        split: (indicator(codes, n_groups) @ x).toarray() / np.maximum(_sizes(codes, n_groups), 1)[:, None]
        for split, codes in splits.items()
    }


def _cases(draws: np.ndarray, observed: np.ndarray | None, codes: np.ndarray, n_groups: int) -> dict[str, Any]:
    """Return mean, spread and observed of the groups that have enough cells."""
    n = _sizes(codes, n_groups)
    use = np.flatnonzero(n >= _FEWEST)
    mean, spread = draws[:, use].mean(axis=0), draws[:, use].std(axis=0, ddof=1)
    root = np.sqrt(spread**2 + mean * (1 - mean) / np.maximum(n[use], 1)[:, None])
    known = None if observed is None else observed[use]
    return {"groups": use, "n": n[use], "mean": mean, "spread": spread, "root": root, "observed": known}


def _scores(case: dict[str, Any]) -> np.ndarray:
    return np.sort((np.abs(case["observed"] - case["mean"]) / np.maximum(case["root"], 1e-12)).ravel())


def _quantile(scores: np.ndarray | None, level: float) -> float:
    """Return q: the ceil((n + 1) level)-th smallest of the calibration errors, or the normal quantile."""
    if scores is None:
        return float(stats.norm.ppf(0.5 + level / 2))
    at = int(np.ceil((len(scores) + 1) * level)) - 1
    return float(scores[min(at, len(scores) - 1)])


def _bounds(case: dict[str, Any], q: float) -> tuple[np.ndarray, np.ndarray]:
    return np.clip(case["mean"] - q * case["root"], 0, 1), np.clip(case["mean"] + q * case["root"], 0, 1)


def _covered(case: dict[str, Any], split: str, level: float, q: float) -> dict[str, Any]:
    low, high = _bounds(case, q)
    inside = (case["observed"] >= low - 1e-9) & (case["observed"] <= high + 1e-9)
    covered, width = float(inside.mean()), float((high - low).mean())
    return {"split": split, "level": level, "covered": covered, "width": width, "n": inside.size}


def _table(case: dict[str, Any], names: list[str], regions: pd.Index, q: float) -> pd.DataFrame:
    low, high = _bounds(case, q)
    groups = [names[g] for g in case["groups"]]
    columns: dict[str, Any] = {
        "group": pd.Categorical(np.repeat(groups, len(regions)), categories=groups),
        "region": pd.Categorical(np.tile(regions, len(groups)), categories=regions),
        "n_cells": np.repeat(case["n"], len(regions)),
        "predicted": case["mean"].ravel(),
        "spread": case["spread"].ravel(),
        "low": low.ravel(),
        "high": high.ravel(),
    }
    if case["observed"] is not None:
        columns["observed"] = case["observed"].ravel()
    return pd.DataFrame(columns)
