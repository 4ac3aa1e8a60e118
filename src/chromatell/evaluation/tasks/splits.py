"""Which cells x regions are scored, new cells, new regions, or both; and the labels of the cells."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from chromatell._keys import ATAC_PRED, PREDICTABLE, SPLIT_HOW, TRAIN, UNS
from chromatell._nearest import names_there
from chromatell._settings import logger, settings
from chromatell._validate import ChromatellError, examples, name_list, one_of, split_of, warn
from chromatell.evaluation.views.pairs import MIN_TYPE_CELLS
from chromatell.metrics.views import explained_by, label_codes
from chromatell.models.baselines.parts import labels_of

CROSS_CELL, CROSS_SAMPLE, CROSS_REGION, CROSS_BOTH = "cross-cell", "cross-sample", "cross-region", "cross-both"
KINDS = (CROSS_CELL, CROSS_SAMPLE, CROSS_REGION, CROSS_BOTH)
HELD_OUT = (CROSS_REGION, CROSS_BOTH)  # regions whose ATAC nothing has read

_CONFOUNDED = 0.10  # share of the variance of log depth between cell types
_MIN_CELLS = 1_000  # kept where cells and regions must both be thinned out


@dataclass(frozen=True)
class Block:
    """Places of cells in the MuData and of regions among the predicted ones."""

    rows: np.ndarray
    cols: np.ndarray


@dataclass(frozen=True)
class Splits:
    """How cells and predicted regions were split.

    Attributes
    ----------
    cells, regions
        'train', 'val' or 'test', object (n_obs,) and (n predicted regions,).
    by_sample
        Whether cells were split in whole groups other than the labels, such as donors.
    """

    cells: np.ndarray
    regions: np.ndarray
    by_sample: bool

    @property
    def cell_kind(self) -> str:
        """Name of the pairs of new cells and training regions."""
        return CROSS_SAMPLE if self.by_sample else CROSS_CELL

    def present(self, part: str) -> list[str]:
        """Return the kinds of pairs for which there are cells and regions of `part`."""
        cells, regions = (self.cells == part).any(), (self.regions == part).any() and part != TRAIN
        kinds = [self.cell_kind] if cells and (self.regions == TRAIN).any() else []
        if regions and (self.cells == TRAIN).any():
            kinds.append(CROSS_REGION)
        return [*kinds, CROSS_BOTH] if cells and regions else kinds

    def kinds(self, pairs: str | Sequence[str] | None, part: str) -> list[str]:
        """Return the kinds of pairs to score, each of which has cells and regions."""
        present = self.present(part)
        if pairs is None:
            return present
        wanted = []
        for name in [pairs] if isinstance(pairs, str) else pairs:
            one_of(name, KINDS, "pairs")
            if name == CROSS_SAMPLE and not self.by_sample:
                raise ChromatellError(
                    f"pairs={name!r}: cells were not split in whole samples, so these pairs are {CROSS_CELL!r}. Split "
                    "again with ctl.pp.split_cells(mdata, by='donor')."
                )
            wanted.append(self.cell_kind if name == CROSS_CELL else name)
        if not wanted:
            raise ChromatellError(f"pairs={pairs!r} names none of {list(KINDS)}. Leave it out for all.")
        missing = [name for name in wanted if name not in present]
        if missing:
            n = {k: int((self.regions == k).sum()) for k in (TRAIN, part)}
            raise ChromatellError(
                f"pairs={missing[0]!r} needs cells and regions that are not there: {int((self.cells == part).sum())} "
                f"{part!r} cells, and of {self.regions.size} predicted regions {n}. Split cells with "
                "ctl.pp.split_cells(mdata) and regions with ctl.pp.split_regions(mdata), before training."
            )
        return [name for name in (self.cell_kind, *HELD_OUT) if name in wanted]

    def block(self, kind: str, part: str, places: np.ndarray) -> Block:
        """Return all pairs of a kind; regions only those at these `places`."""
        cells = TRAIN if kind == CROSS_REGION else part
        regions = part if kind in HELD_OUT else TRAIN
        return Block(np.flatnonzero(self.cells == cells), places[self.regions[places] == regions])


def read_splits(mdata: MuData, regions: pd.Index, region_split: np.ndarray, part: str, labels: str | None) -> Splits:
    """Return the splits; cells of `part` must be there unless regions of it are."""
    needed = part if part == TRAIN or not (region_split == part).any() else TRAIN
    cells = split_of(mdata, require=(needed,))
    columns = _split_by(mdata)
    return Splits(cells, region_split, any(c != labels for c in columns))


def _split_by(mdata: MuData) -> list[str]:
    """Return the columns whose whole groups were kept together or held out; none for a random split."""
    how = mdata.uns.get(UNS, {}).get(SPLIT_HOW, {})
    if not isinstance(how, Mapping):
        return []
    columns = [str(how["by"])] if how.get("by") else []
    if how.get("holdout"):
        columns += list(json.loads(str(how["holdout"])))
    return list(dict.fromkeys(columns))


def thinned(block: Block, kind: str, max_regions: int | None, rng: np.random.Generator) -> Block:
    """Return a random part of a block where one prediction of it would be above ``ctl.settings.dense_limit``."""
    rows, cols = block.rows, block.cols
    fits = settings.dense_limit // 4
    if kind == CROSS_REGION:  # training cells are many, and are not what is new
        n_regions = min(cols.size, max_regions or cols.size)
        limit = max(fits // max(n_regions, 1), min(_MIN_CELLS, rows.size), 1)
        if limit < rows.size:
            logger.info("%s: scored in %d of %d training cells, drawn at random.", kind, limit, rows.size)
            rows = np.sort(rng.choice(rows, limit, replace=False))
    limit = max(1, fits // max(rows.size, 1)) if max_regions is None else max_regions
    if limit < cols.size:
        logger.info(
            "Scored on %d of %d regions, drawn at random (max_regions, ctl.settings.dense_limit).", limit, cols.size
        )
        cols = cols[np.sort(rng.choice(cols.size, limit, replace=False))]
    return Block(rows, cols)


def asked_regions(mdata: MuData, regions: pd.Index, wanted: str | Sequence[str] | None) -> np.ndarray:
    """Return the places of the regions that the user asked for among the predicted ones."""
    if wanted is None:
        return np.arange(len(regions))
    if isinstance(wanted, str):
        one_of(wanted, ("predictable",), "regions")
        pred = mdata.mod.get(ATAC_PRED)
        if pred is None or PREDICTABLE not in pred.var:
            raise ChromatellError(
                f"Did not find mdata.mod['atac_pred'].var[{PREDICTABLE!r}]. Run ctl.tl.evaluate(mdata) first, with "
                "validation cells."
            )
        places = np.flatnonzero(pred.var[PREDICTABLE].to_numpy(dtype=bool))
        if places.size == 0:
            raise ChromatellError(
                f"None of the {len(regions)} regions is predictable: on the validation cells no gain over the best "
                "baseline stands up to a false-discovery rate of 5%. Score all of them: regions=None."
            )
        return places
    wanted = pd.Index(name_list(wanted, "regions"))
    places = regions.get_indexer(wanted)
    if (places < 0).any() or len(set(places)) < len(places) or not len(places):
        unknown = wanted[places < 0]
        raise ChromatellError(
            f"{len(unknown)} of the {len(places)} regions asked for are not predicted (such as {examples(unknown)}), "
            "or one is named twice. Names are those of mdata.mod['atac_pred'].var['region']."
        )
    return places


def check_label_column(data: Any, key: str | None) -> None:
    """Raise where a column of labels that the user named is nowhere in `data`; the usual one may be absent."""
    if key in (None, "cell_type") or not isinstance(data, MuData | AnnData):
        return
    mods = data.mod if isinstance(data, MuData) else {}
    columns = [*data.obs, *(c for name, a in mods.items() for one in a.obs for c in (one, f"{name}:{one}"))]
    if key not in columns:
        name = "mdata" if mods else "adata"
        raise ChromatellError(
            f"labels={key!r} is no column of {name}.obs; columns there: "
            f"{names_there(dict.fromkeys(c for c in columns if ':' not in c), key)}. Name one of them, or leave "
            "labels= out."
        )


def labels_or_none(mdata: MuData, key: str | None) -> np.ndarray | None:
    """Return a column of labels, object (n_obs,); None where there is none."""
    if key is None:
        return None
    try:
        return labels_of(mdata, key).to_numpy(dtype=object)
    except ChromatellError:
        return None


def beside_matched(labels: np.ndarray | None) -> str:
    """Return what to read beside depth-matched scores, given the labels of the scored cells."""
    count = label_codes(labels)[2] if labels is not None else np.zeros(0, dtype=int)
    if (most := int(count.max(initial=0))) >= MIN_TYPE_CELLS:
        return "read the depth-matched scores beside 'within_type'"
    needed = f"'within_type' needs a type of {MIN_TYPE_CELLS} scored cells and the largest has {most}"
    return f"read the depth-matched scores beside 'profile', since {needed}"


def warn_of_confounding(labels: np.ndarray | None, depth: np.ndarray, instead: str) -> None:
    """Warn where matching cells by depth removes what is known of their type."""
    share = 0.0 if labels is None else explained_by(labels, np.log1p(depth))
    if share > _CONFOUNDED:
        warn(
            f"Cell type explains {share:.0%} of the variance of log depth: matching cells by depth then removes "
            f"biology too, so {instead}."
        )
