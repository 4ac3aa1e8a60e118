"""``ctl.tl.rank_regions``: differential accessibility, predicted and measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
import pandas as pd
from mudata import MuData

from chromatell._docs import documented, example
from chromatell._keys import ATAC, RANK_REGIONS, RNA, SPLITS, UNS
from chromatell._nearest import names_there
from chromatell._settings import logger, settings
from chromatell._validate import ChromatellError, examples, in_range, modality, one_of, result_key, split_of, warn
from chromatell.data.accessibility import fragment_counts
from chromatell.data.chosen import Accessibility, accessibility, cell_labels, indicator
from chromatell.data.named import Modalities, modalities
from chromatell.evaluation.predictors import refuse_trained
from chromatell.io._uns_store import model_keys
from chromatell.models import load
from chromatell.tl._measured_tests import MIN_CELLS, TESTS, by_cells, by_deseq2, by_donors, false_discovery
from chromatell.tl._resampling import Effects, cell_weights, group_effects

_TOP = 100  # regions of the highest effect whose overlap is reported
_FEWEST = 10  # open cells of a measured region, from which on its effect counts in the agreement


@modalities
@documented("result")
@example("predicted cells")
def rank_regions(
    mdata: MuData,
    groupby: str,
    *,
    key: str | None = None,
    groups: Sequence[str] | None = None,
    reference: str | int | bool = "rest",
    sample_key: str | None = None,
    split: str | None = None,
    test: str | None = None,
    level: float = 0.95,
    n_bootstrap: int = 200,
    seed: int | None = None,
    key_added: str = RANK_REGIONS,
    copy: bool = False,
    **more: Unpack[Modalities],
) -> MuData | None:
    r"""Regions that differ between groups: effects with intervals on the prediction, tests on what was measured.

    The effect of region r in group g is :math:`\log_2 (p_{gr} + 0.001) - \log_2 (p_{\bar g r} + 0.001)`, of mean
    probabilities inside and outside the group, each scaled to the mean depth. Its interval comes from resampling cells,
    or with `sample_key` donors, and from the disagreement of the model's members, where ``mdata`` carries a `Dense`
    with several. Predicted values are smoothed over cells: they get **no p-value**. Where `mdata` has measured ATAC of
    these cells, its effects and a test stand beside it.

    Parameters
    ----------
    mdata
        With `atac_pred`; `atac` where it was measured.
    key
        Which prediction; None takes the latest; 'atac' ranks by the measured effects.
    groups
        Which to compare; None takes all that have two cells. The others still count as the rest.
    reference
        A group, or 'rest' for all other cells that have a label.
    sample_key
        Column of `obs` with the donor or sample of each cell: the interval and the test are over donors. Without it
        cells count as independent, which cells of one donor are not.
    split
        'train', 'val' or 'test': these cells alone. On 'test' the agreement is that of new cells.
    test
        Test of measured ATAC: 'cells' (binomial, given the depth), 'donors' (t-test of the donors' log ratios),
        'deseq2' (pseudobulk counts of donors; extra `differential`). None takes 'donors' with a `sample_key`, else
        'cells'.
    level
        Coverage of the intervals.
    n_bootstrap
        Replicates.
    seed
        Seed of the replicates; None follows ``ctl.settings.seed``.

    Returns
    -------
    None, or a new MuData with ``copy=True``. Written, ``mdata.uns['ctl'][key_added]``, a dict:

    `table` : pandas.DataFrame
        A row a group and region, each group by `rank`: 1 has the highest lower bound, so that it surely is more open.
        `effect`, `low`, `high` (log2; NaN, and last, where the region is open in none of the cells compared), `inside`,
        `outside` (probability at the mean depth). Where measured also
        `measured_effect`, `measured_inside`, `measured_outside`, `measured_pvalue` (NaN where a group has too few
        donors for the test) and `measured_fdr` (Benjamini and Hochberg, in each group).
    `agreement` : pandas.DataFrame
        Where measured, a row a group: `n_cells`; `pearson` and `spearman` of the two effects over the `n_regions`
        with 10 or more open cells; `n_significant` at an FDR of 5%, `same_sign`, the share of them that the prediction
        has on the same side; `top_shared`, the share of its 100 first regions that are among the 100 of the largest
        measured effect.
    `settings` : pandas.DataFrame
        One row: `key`, `groupby`, `reference`, `resampled` ('cells' or 'donors'), `n_members`, `test`, `split`,
        `level`, `n_bootstrap`, `seed`.

    Raises
    ------
    ChromatellError
        No such prediction, column or group, groups of under two cells, under two donors, or a `split` of
        which the model was trained on cells.

    Notes
    -----
    Two members tell little of what a model is unsure of: train five, ``ctl.tl.dense(mdata, n_members=5)``. Peak memory:
    the table, and 64 MB blocks of cells x regions. Tests of single cells call what is not there, on predictions most of
    all: see the user guide.

    References
    ----------
    Squair et al., Nature Communications 2021 (cells of a donor are not independent); Love et al., Genome Biology 2014.

    Examples
    --------
    >>> ctl.tl.rank_regions(mdata, "cell_type", n_bootstrap=20)
    >>> mdata.uns["ctl"]["rank_regions"]["table"].shape[0]
    240
    """
    result_key(key_added)
    reference = str(reference)  # a cluster's number, as in `groups`
    level = in_range(level, 0.5, 0.999, "level", whole=False)
    n_bootstrap = in_range(n_bootstrap, 2, 100_000, "n_bootstrap")
    seed = settings.resolve_seed(seed)
    source = accessibility(mdata, key)
    codes, names = cell_labels(mdata, groupby)
    if split is not None:
        one_of(split, SPLITS, "split")
        codes = np.where(split_of(mdata, (split,)) == split, codes, -1)
        if not source.measured:
            refuse_trained(mdata, source.key, mdata.obs_names[codes >= 0], split)
    codes, names, enough = _with_cells(codes, names, groupby, split)
    chosen = _chosen(names, enough, groups, reference, groupby)
    samples, n_samples = _samples(mdata, sample_key, codes)
    test = one_of(test or ("cells" if samples is None else "donors"), TESTS, "test")
    if test != "cells" and samples is None:
        raise ChromatellError(f"test={test!r} compares donors: name their column, sample_key='donor'.")

    rng = np.random.default_rng(seed)
    weights = cell_weights(codes, len(names), samples, n_bootstrap, rng)
    wobble = None if source.measured else _wobble(mdata, source, codes, len(names))
    picks = None if wobble is None else rng.integers(len(wobble), size=n_bootstrap)
    at = None if reference == "rest" else names.index(reference)
    effects = group_effects(
        source.values, codes, len(names), weights=weights, n_samples=n_samples, reference=at, wobble=wobble, picks=picks
    )
    measured = p = None
    own = _measured(mdata, source)
    if own is not None:
        measured = (
            effects
            if source.measured
            else group_effects(own.values, codes, len(names), weights=weights[:0], reference=at)
        )
        p = _pvalues(mdata, own, codes, chosen, at, samples, test)

    table = pd.concat(
        [_table(names[g], source.regions, effects, measured, p, g, level) for g in chosen],
        ignore_index=True,
    )
    table["group"] = pd.Categorical(table["group"], categories=[names[g] for g in chosen])
    table["region"] = pd.Categorical(table["region"], categories=source.regions)
    about: dict[str, Any] = {
        "key": source.key,
        "groupby": groupby,
        "reference": reference,
        "resampled": "cells" if samples is None else "donors",
        "n_members": 0 if wobble is None else len(wobble),
        "test": test if own is not None else "",
        "split": split or "",
        "level": level,
        "n_bootstrap": n_bootstrap,
        "seed": seed,
    }
    written: dict[str, Any] = {"table": table, "settings": pd.DataFrame([about], index=["0"])}
    if own is not None and not source.measured:
        written["agreement"] = _agreement(table, own, source.regions, codes, names, chosen)
    target = mdata.copy() if copy else mdata
    target.uns[UNS] = {**target.uns.get(UNS, {}), key_added: written}
    return target if copy else None


def _with_cells(
    codes: np.ndarray, names: list[str], groupby: str, split: str | None
) -> tuple[np.ndarray, list[str], list[str]]:
    """Return codes and names of the groups that have cells, and the names of those that have two and can be compared.

    A group of one cell still counts to the rest of the others.
    """
    n = np.bincount(codes[codes >= 0], minlength=len(names))
    enough = [name for name, cells in zip(names, n, strict=True) if cells >= 2]
    if len(enough) < 2:
        raise ChromatellError(
            f"mdata.obs[{groupby!r}] has {len(enough)} groups of two or more cells; two are needed. Name another column"
            f"{', or leave split= out' if split is not None else ''}."
        )
    if len(enough) < len(names):
        logger.info("Under two cells, not compared: %s.", examples(np.array(names)[n < 2], 5))
    keep = np.flatnonzero(n)
    place = np.full(len(names) + 1, -1)
    place[keep] = np.arange(keep.size)
    return place[codes], [names[g] for g in keep], enough


def _chosen(
    names: list[str], enough: list[str], groups: Sequence[str] | None, reference: str, groupby: str
) -> list[int]:
    asked = enough if groups is None else [groups] if isinstance(groups, str) else list(dict.fromkeys(map(str, groups)))
    unknown = [g for g in [*asked, *([] if reference == "rest" else [reference])] if g not in enough]
    if unknown:
        raise ChromatellError(
            f"No group {examples(unknown)} of two or more cells in mdata.obs[{groupby!r}]; there: "
            f"{names_there(enough, unknown[0], 20)}."
        )
    chosen = [names.index(g) for g in asked if g != reference]
    if not chosen:
        raise ChromatellError(f"Nothing is left to compare with reference={reference!r}. Name other groups=.")
    return chosen


def _samples(mdata: MuData, sample_key: str | None, codes: np.ndarray) -> tuple[np.ndarray | None, int | None]:
    """Return the donor of each cell, numbered without gaps, and how many there are."""
    if sample_key is None:
        return None, None
    of, _ = cell_labels(mdata, sample_key)
    of = np.where(codes >= 0, of, -1)
    present = np.unique(of[of >= 0])
    if present.size < 2:
        raise ChromatellError(
            f"mdata.obs[{sample_key!r}] has {present.size} donor among these cells; two are needed, and four or more "
            "are worth resampling. Leave sample_key= out to resample cells."
        )
    return np.where(of >= 0, np.searchsorted(present, of), -1), int(present.size)


def _wobble(mdata: MuData, source: Accessibility, codes: np.ndarray, n_groups: int) -> np.ndarray | None:
    """Return log of each member's group means over their mean, (members, groups, regions), where there are members."""
    if source.key not in model_keys(mdata):
        logger.info("%r has no model in mdata: intervals are of resampled cells alone.", source.key)
        return None
    model: Any = load(mdata, key=source.key)
    config = getattr(model, "network", None)
    if model.family != "dense" or getattr(config, "n_members", 1) < 2:
        logger.info("%r has no members that could differ: intervals are of resampled cells alone.", source.key)
        return None
    if RNA not in mdata.mod:
        logger.info("There is no modality 'rna' for the members of %r to read: intervals are of resampled cells alone.",
                    source.key)  # fmt: skip
        return None
    from chromatell.models.dense._draws import draws_of_sets

    draws = draws_of_sets(model, mdata, source.regions, indicator(codes, n_groups))
    means = np.log(np.clip(draws.means, 1e-9, None))
    return (means - means.mean(axis=0)).astype(np.float32)


def _measured(mdata: MuData, source: Accessibility) -> Accessibility | None:
    """Return measured accessibility of the same cells and regions, or None."""
    if source.measured:
        return source
    atac = mdata.mod.get(ATAC)
    if atac is None or not source.regions.isin(atac.var_names).all():
        return None
    if not atac.obs_names.equals(mdata.obs_names):
        logger.warning(
            "mdata.mod['atac'] holds other cells than mdata, or the same in another order, so that nothing measured "
            "stands beside. Bring them together: mdata = mdata[mdata.mod['atac'].obs_names].copy()."
        )
        return None
    own = accessibility(mdata, ATAC)
    return Accessibility(own.values[:, atac.var_names.get_indexer(source.regions)], source.regions, ATAC, True)


def _pvalues(
    mdata: MuData,
    own: Accessibility,
    codes: np.ndarray,
    chosen: list[int],
    reference: int | None,
    samples: np.ndarray | None,
    test: str,
) -> dict[int, np.ndarray]:
    x = own.values
    if test == "deseq2":
        atac = modality(mdata, ATAC)
        x = fragment_counts(atac)[:, atac.var_names.get_indexer(own.regions)]
    out, few = {}, []
    for g in chosen:
        inside = np.flatnonzero(codes == g)
        outside = np.flatnonzero((codes >= 0) & (codes != g) if reference is None else codes == reference)
        if test == "cells":
            out[g] = by_cells(x, inside, outside)
        else:
            assert samples is not None  # asked for above
            out[g] = (by_donors if test == "donors" else by_deseq2)(x, inside, outside, samples)
            if np.isnan(out[g]).all():
                few.append(g)
    if few:
        warn(
            f"{len(few)} of {len(chosen)} groups have under two donors of {MIN_CELLS} cells inside or outside, and "
            "get no p-value by donors. Name coarser groups, or take test='cells'."
        )
    return out


def _table(
    name: str,
    regions: pd.Index,
    effects: Effects,
    measured: Effects | None,
    p: dict[int, np.ndarray] | None,
    g: int,
    level: float,
) -> pd.DataFrame:
    low, high = effects.interval(level)
    silent = effects.inside[g] + effects.outside[g] == 0  # no cell says anything, and no replicate would: no interval
    columns: dict[str, Any] = {
        "group": name,
        "region": regions,
        "rank": 0,
        "effect": np.where(silent, np.nan, effects.effect[g]),
        "low": np.where(silent, np.nan, low[g]),
        "high": np.where(silent, np.nan, high[g]),
        "inside": effects.inside[g],
        "outside": effects.outside[g],
    }
    if measured is not None and p is not None:
        columns |= {
            "measured_effect": np.where(measured.inside[g] + measured.outside[g] == 0, np.nan, measured.effect[g]),
            "measured_inside": measured.inside[g],
            "measured_outside": measured.outside[g],
            "measured_pvalue": p[g],
            "measured_fdr": false_discovery(p[g]),
        }
    table = pd.DataFrame(columns).sort_values("low", ascending=False, kind="stable", ignore_index=True)
    table["rank"] = np.arange(1, len(table) + 1)
    return table


def _agreement(
    table: pd.DataFrame, own: Accessibility, regions: pd.Index, codes: np.ndarray, names: list[str], chosen: list[int]
) -> pd.DataFrame:
    n_open = np.asarray(own.values[np.flatnonzero(codes >= 0)].sum(axis=0)).ravel()
    enough = pd.Series(n_open >= _FEWEST, index=regions)
    rows = []
    for g in chosen:
        part = table[table["group"] == names[g]].set_index("region")
        kept = part[enough.loc[part.index].to_numpy()]
        sure = part[part["measured_fdr"] < 0.05]
        same = np.sign(sure["effect"]) == np.sign(sure["measured_effect"])
        top = min(_TOP, len(kept))
        both = kept.nsmallest(top, "rank").index.intersection(kept.nlargest(top, "measured_effect").index)
        rows.append(
            {
                "group": names[g],
                "n_cells": int((codes == g).sum()),
                "n_regions": len(kept),
                "pearson": kept["effect"].corr(kept["measured_effect"]),
                "spearman": kept["effect"].corr(kept["measured_effect"], method="spearman"),
                "n_significant": len(sure),
                "same_sign": float(same.mean()) if len(sure) else np.nan,
                "top_shared": len(both) / top if top else np.nan,
            }
        )
    return pd.DataFrame(rows)
