"""Cells into train, val and test."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from chromatell._docs import documented
from chromatell._keys import ATAC, RNA, SPLIT, SPLIT_HOW, SPLITS, TEST, UNS
from chromatell._nearest import names_there
from chromatell._settings import logger, settings
from chromatell._validate import (
    ChromatellError,
    called,
    examples,
    free_split,
    labelled,
    paired,
    result_key,
    split_fractions,
    unique_names,
)
from chromatell.data.named import Modalities, modalities

_USUAL = (0.7, 0.1, 0.2)  # shares
_DRAWS = 20  # the grouped split closest to the fractions is kept; more draws would leave one split for every seed


@modalities
@documented("split")
def split_cells(
    mdata: MuData | AnnData,
    *,
    by: str | None = None,
    fractions: Sequence[float] | Mapping[str, float] = (0.7, 0.1, 0.2),
    holdout: Any = None,
    seed: int | None = None,
    key_added: str = SPLIT,
    copy: bool = False,
    **more: Unpack[Modalities],
) -> MuData | AnnData | None:
    """Each cell's part in training: train, val or test.

    Parameters
    ----------
    mdata
        Paired cells, or an AnnData of either assay.
    by
        Column of ``mdata.obs``, or else of a modality's `obs`. Without `holdout`, all cells that share a label (a
        donor, a batch) get the same part; sizes come near to `fractions` as far as whole groups allow.
    fractions
        Shares of (train, val, test), which sum to 1, or by name, ``{'train': .8, 'test': .2}``. Val or test may be 0.
    holdout
        Whole labels held out as test: one or more labels of `by`, or a dict of ``{column: labels}``. All other cells
        are train or val, at random in the ratio of the first two fractions; where a dict and `by` are both given, in
        whole groups of `by`.

    Returns
    -------
    None, or with ``copy=True`` a new object. Written:

    ``obs[key_added]`` : categorical
        'train', 'val' or 'test'.
    ``uns['ctl']['split']`` : dict
        How: `by` (``''`` at random), `holdout` (JSON of ``{column: labels}``, or ``''``), `seed`, `fractions`
        (float64, 3). Under `key_added` instead of 'split' where that is not the default.

    Raises
    ------
    ChromatellError
        Fractions that are negative, do not sum to 1 or leave a part without cells; fewer groups than parts; a column or
        a label that is not there; cells without a label.

    Examples
    --------
    >>> import chromatell as ctl
    >>> mdata = ctl.datasets.simulate_multiome(100, 20, 50, seed=0)
    >>> ctl.pp.split_cells(mdata, fractions=(0.7, 0.1, 0.2), seed=0)
    >>> mdata.obs["ctl_split"].value_counts().to_dict()
    {'train': 70, 'test': 20, 'val': 10}
    >>> ctl.pp.split_cells(mdata, by="cell_type", holdout="type_1", seed=0)
    """
    result_key(key_added, SPLIT_HOW)
    _check_object(mdata)
    free_split(key_added, mdata.obs, "obs")
    asked = split_fractions(fractions, _USUAL, "cell")
    parts = asked.copy()
    resolved = settings.resolve_seed(seed)
    rng = np.random.default_rng(np.random.SeedSequence(resolved))
    held = _holdout_dict(by, holdout)
    groups = _labels(mdata, by) if by is not None and not (held and not isinstance(holdout, Mapping)) else None
    code = np.full(mdata.n_obs, -1, dtype=np.int8)
    if held:
        code[_held_out(mdata, held)] = SPLITS.index(TEST)
        parts = np.array([parts[0], parts[1], 0.0]) / (parts[0] + parts[1])
    rest = np.flatnonzero(code < 0)
    if rest.size == 0:
        raise ChromatellError(
            f"holdout={holdout!r} holds out all {mdata.n_obs} cells; none is left to train on. Hold out fewer labels."
        )
    if groups is None:
        code[rest] = _random(rng, rest.size, parts)
    else:
        code[rest] = _grouped(rng, groups[rest], parts, str(by))

    how = {
        "by": "" if by is None else by,
        "holdout": json.dumps(held) if held else "",
        "seed": resolved,
        "fractions": asked,
    }
    target = mdata.copy() if copy else mdata
    target.obs[key_added] = pd.Categorical.from_codes(code, list(SPLITS))
    target.uns[UNS] = {**target.uns.get(UNS, {}), (SPLIT_HOW if key_added == SPLIT else key_added): how}
    sizes = np.bincount(code, minlength=3)
    logger.info(
        "Cells: %d train, %d val, %d test (%s).",
        *sizes,
        f"held out: {held}" if held else f"whole groups of {by!r}" if by else "random",
    )
    return target if copy else None


def _check_object(mdata: Any) -> None:
    if isinstance(mdata, MuData):
        if RNA in mdata.mod and ATAC in mdata.mod:
            paired(mdata)
        if not mdata.obs_names.is_unique:
            raise ChromatellError(
                "mdata.obs_names repeat. They must be unique: call obs_names_make_unique() on each modality."
            )
    elif isinstance(mdata, AnnData):
        unique_names(mdata, "")
    else:
        raise ChromatellError(f"Expected a MuData or an AnnData, got {type(mdata).__name__}.")
    if mdata.n_obs == 0:
        raise ChromatellError("There are no cells to split. Check the filters before this call.")
    if not isinstance(mdata.uns.get(UNS, {}), Mapping):
        raise ChromatellError(
            f"mdata.uns[{UNS!r}] is not a dict; the package keeps its records there. Remove it: del mdata.uns[{UNS!r}]."
        )


def _labels(mdata: MuData | AnnData, key: str) -> np.ndarray:
    """Return a column as text, object array (n_obs,): from `mdata.obs`, else from a modality's."""
    tables = {"adata": mdata.obs} if isinstance(mdata, AnnData) else {"mdata": mdata.obs}
    if isinstance(mdata, MuData):
        tables |= {called(name): adata.obs for name, adata in mdata.mod.items()}
    for name, table in tables.items():
        if key in table:
            return labelled(table[key].reindex(mdata.obs_names), key, name).astype(str).to_numpy(dtype=object)
    columns = dict.fromkeys(str(c) for table in tables.values() for c in table.columns)
    raise ChromatellError(f"Did not find {key!r} in obs; columns there: {names_there(columns, key)}.")


def _holdout_dict(by: str | None, holdout: Any) -> dict[str, list[str]]:
    if holdout is None:
        return {}
    if not isinstance(holdout, Mapping):
        if by is None:
            raise ChromatellError(
                f"holdout={holdout!r} needs the column of these labels: give by='cell_type', "
                "or holdout={'cell_type': ...}."
            )
        holdout = {by: holdout}
    as_list = {k: [v] if isinstance(v, str) or not np.iterable(v) else list(v) for k, v in holdout.items()}
    if not as_list or not all(as_list.values()):
        raise ChromatellError(f"holdout={holdout!r} names no label. Leave it out for a random split.")
    return {str(k): [str(v) for v in labels] for k, labels in as_list.items()}


def _held_out(mdata: MuData | AnnData, held: dict[str, list[str]]) -> np.ndarray:
    mask = np.zeros(mdata.n_obs, dtype=bool)
    for key, wanted in held.items():
        labels = _labels(mdata, key)
        present = sorted(set(labels))
        unknown = [w for w in wanted if w not in present]
        if unknown:
            raise ChromatellError(
                f"holdout: no cell has {key!r} = {examples(unknown)}; labels there: "
                f"{names_there(present, unknown[0], 40)}."
            )
        mask |= np.isin(labels, wanted)
    return mask


def _random(rng: np.random.Generator, n: int, parts: np.ndarray) -> np.ndarray:
    """Return codes 0, 1, 2 whose numbers are the fractions rounded (largest remainders up)."""
    exact = parts * n
    sizes = np.floor(exact + 1e-9).astype(int)
    for i in np.argsort(sizes - exact, kind="stable")[: n - sizes.sum()]:
        sizes[i] += 1
    empty = [f"{SPLITS[i]} ({parts[i]:g})" for i in range(3) if parts[i] > 0 and sizes[i] == 0]
    if empty:
        raise ChromatellError(
            f"fractions give no cell to {', '.join(empty)} of the {n} cells that are split. "
            "Use larger fractions, or 0 for none."
        )
    return rng.permutation(np.repeat(np.arange(3, dtype=np.int8), sizes))


def _grouped(rng: np.random.Generator, groups: np.ndarray, parts: np.ndarray, by: str) -> np.ndarray:
    names, member, sizes = np.unique(groups.astype(str), return_inverse=True, return_counts=True)
    wanted = np.flatnonzero(parts > 0)
    if len(names) < len(wanted):
        raise ChromatellError(
            f"{by!r} has {len(names)} groups ({examples(names)}) for {len(wanted)} parts "
            f"({', '.join(SPLITS[i] for i in wanted)}). Set a fraction to 0, or split over cells: "
            "ctl.pp.split_cells(mdata, by=None)."
        )
    target = parts * sizes.sum()
    draws = [_assign(rng, sizes, target, wanted) for _ in range(_DRAWS)]
    miss = [np.abs(np.bincount(d, weights=sizes, minlength=3) - target).sum() for d in draws]
    return draws[int(np.argmin(miss))][member]


def _assign(rng: np.random.Generator, sizes: np.ndarray, target: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return each group's part: in random order, where most cells are lacking; no wanted part stays empty."""
    part = np.full(len(sizes), -1, dtype=np.int8)
    lacking = target.copy()
    order = rng.permutation(len(sizes))
    for i, group in enumerate(order):
        empty = [p for p in wanted if not (part == p).any()]
        choice = empty if len(order) - i <= len(empty) else wanted
        best = max(choice, key=lambda p: lacking[p])
        part[group] = best
        lacking[best] -= sizes[group]
    return part
