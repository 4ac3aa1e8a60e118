"""How ``ctl.tl.evaluate`` scores models that read a cell's own open bins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from chromatell._keys import CURVES, EVALUATION, GAINS, OWN_ATAC, SPLITS, UNS
from chromatell._settings import logger, settings
from chromatell._validate import ChromatellError, examples, in_range, one_of, store_key
from chromatell.tl._bin_boards import BASELINES_OF, How, Task
from chromatell.tl._bin_cells import BinCells, reading_models
from chromatell.tl._bin_scores import VIEWS
from chromatell.tl._evaluate_cells import beside
from chromatell.tl._evaluation_tables import stacked


def evaluate_bins(
    data: AnnData | MuData,
    models: str | Sequence[str] | Mapping[str, Any] | None = None,
    *,
    baselines: str | Sequence[str] | None = "all",
    split: str = "test",
    pairs: str | Sequence[str] | None = None,
    views: str | Sequence[str] | None = None,
    labels: str | None = "cell_type",
    depth_key: str | None = None,
    n_bootstrap: int = 200,
    top: int = 2000,
    regions: str | Sequence[str] | None = None,
    max_regions: int | None = None,
    removed: float = 0.2,
    seed: int | None = None,
    key_added: str = EVALUATION,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Score models of cells x bins; parameters and what is written as in :func:`chromatell.tl.evaluate`."""
    store_key(key_added)
    one_of(split, SPLITS, "split")
    streams = np.random.SeedSequence(settings.resolve_seed(seed)).spawn(6)
    found = reading_models(data, models)
    cells = BinCells.read(data, found)
    how = How(
        split,
        tuple(one_of(k, OWN_ATAC, "pairs") for k in _listed(pairs)) if pairs is not None else OWN_ATAC,
        pairs is not None,
        VIEWS if views is None else tuple(one_of(v, VIEWS, "views") for v in _listed(views)),
        labels,
        in_range(removed, 0.01, 0.99, "removed", whole=False),
        in_range(n_bootstrap, 0, 1_000_000, "n_bootstrap"),
        in_range(top, 1, 1_000_000_000, "top"),
        depth_key,
        _baselines(baselines, found),
        _scored_bins(cells, regions, max_regions, np.random.default_rng(streams[0])),
    )
    task = Task(cells, found, how, streams[1:])
    boards = {k: board for k in OWN_ATAC if k in how.kinds and (board := task.board(k)) is not None}
    if not boards:
        raise ChromatellError(
            f"Nothing to score: no model among {examples(found) or 'none'} and no baseline for {', '.join(how.kinds)}. "
            "Leave pairs= and baselines= out for all."
        )
    tables = {kind: board.tables(split, kind) for kind, board in boards.items()}
    written = {
        key_added: stacked([scores for scores, _ in tables.values()]),
        beside(key_added, GAINS): stacked([gains for _, gains in tables.values()]),
        beside(key_added, CURVES): {k: b.curves for k, b in boards.items() if b.curves is not None},
    }
    target = data.copy() if copy else data
    target.uns[UNS] = {**target.uns.get(UNS, {}), **written}
    return target if copy else None


def _listed(names: str | Sequence[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _baselines(asked: str | Sequence[str] | None, models: Mapping[str, Any]) -> tuple[str, ...]:
    every = [kind for kinds in BASELINES_OF.values() for kind in kinds]
    wanted = (
        [] if asked is None else every if asked == "all" else [one_of(k, every, "baselines") for k in _listed(asked)]
    )
    if taken := [name for name in models if name in every]:
        raise ChromatellError(
            f"The model {taken[0]!r} has the name of a baseline. Name it otherwise: models={{'mine': "
            f"ctl.models.load(adata, key={taken[0]!r})}}."
        )
    return tuple(wanted)


def _scored_bins(
    cells: BinCells, regions: str | Sequence[str] | None, max_regions: int | None, rng: np.random.Generator
) -> np.ndarray:
    """Return the places, among the bins that are read, of those that are scored."""
    if isinstance(regions, str):
        raise ChromatellError(f"regions={regions!r}: of cells x bins, a list of names of bins is needed.")
    cols = np.arange(cells.bins.size)
    if regions is not None:
        cols = np.sort(cells.atac.var_names[cells.bins].get_indexer(pd.Index(regions)))
        if not cols.size or cols[0] < 0 or np.unique(cols).size < cols.size:
            raise ChromatellError(
                f"regions= names {len(regions)} bins, of which {int((cols < 0).sum())} are not among the "
                f"{cells.bins.size} that are in use and known to the models, or one is named twice. Names are those of "
                "adata.var_names."
            )
    limit = cols.size if max_regions is None else in_range(max_regions, 1, 1_000_000_000, "max_regions")
    if limit < cols.size:
        logger.info("Scored are %d of %d bins, drawn at random (max_regions); all are read.", limit, cols.size)
        cols = np.sort(rng.choice(cols, limit, replace=False))
    return cols
