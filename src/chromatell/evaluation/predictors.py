"""One prediction under its name: what it may have read, where it comes from, and what it says in one comparison."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from mudata import MuData

from chromatell._keys import (
    ATAC,
    ATAC_PRED,
    BASELINE,
    EXTERNAL,
    HELD_OUT_DIGEST,
    INPUTS,
    MODELS,
    PREDICTIONS,
    PROVENANCE,
    READS_REGION_ATAC,
    RNA,
    TRAIN,
    UNS,
    USES_TARGET_ASSAY,
)
from chromatell._validate import ChromatellError, split_of, warn
from chromatell.data.predictions import read_prediction
from chromatell.io._uns_store import decoded
from chromatell.models._trained_on import cell_hashes, check_cells, stored_cells
from chromatell.models.baselines.cells import ORACLES, BaselineFitter, held_out_digest


@dataclass(frozen=True)
class Predictor:
    """One prediction by its name.

    Attributes
    ----------
    predict
        What the truth of a comparison calls with what it scores: cells and regions (places of both) give float32
        (cells, regions); a target, a chromosome and bins give float32 (bins,).
    is_baseline
        It stands beside the models, and gains are taken over it.
    is_oracle
        It reads the target assay of what it predicts: shown, but never the best baseline.
    uses_target_assay
        What the table says of it. Models and baselines that read a cell's own bins all do, and none is an oracle.
    is_probability
        Views of calibration are scored.
    reads_region_atac
        It knows a region by its ATAC, so it says nothing of one that was held out.
    among
        Names of the comparisons in which it stands: kinds of pairs, or targets; None is all.
    option
        From a view to what is chosen for it; `predict` then takes ``view=``. None where nothing is.
    """

    name: str
    predict: Callable[..., Any]
    is_baseline: bool = False
    is_oracle: bool = False
    uses_target_assay: bool = False
    is_probability: bool = True
    reads_region_atac: bool = True
    among: frozenset[str] | None = None
    option: Callable[[str], Any] | None = None

    def by_view(self, views: Sequence[str]) -> list[tuple[Predictor, tuple[str, ...]]]:
        """Return what predicts in which views: a baseline that is tuned may predict otherwise in each."""
        if self.option is None:
            return [(self, tuple(views))]
        options = {view: self.option(view) for view in views}
        groups: dict[Any, list[str]] = {}
        # what takes longest to change is last in an option: those that share it follow each other
        for view in sorted(views, key=lambda v: options[v][::-1]):
            groups.setdefault(options[view], []).append(view)
        return [
            (replace(self, predict=partial(self.predict, view=some[0]), option=None), tuple(some))
            for some in groups.values()
        ]

    def stands_in(self, comparison: str) -> bool:
        """Return whether it is scored in a comparison of this name."""
        return self.among is None or comparison in self.among

    @property
    def may_be_best(self) -> bool:
        """Whether models are measured against it."""
        return self.is_baseline and not self.is_oracle


@dataclass
class Prediction:
    """What a predictor says in one comparison.

    Attributes
    ----------
    values
        Checked; of the shape that the views of the truth read.
    threshold
        Chosen on validation data, where the truth asks for one.
    rng
        Generator of the views that draw labels from a model; None for baselines, and on validation data.
    histograms
        The binned pairs that several views read, once one has made them.
    over_pairs
        What several views read of all pairs in the order of their scores, once one has made it.
    best_threshold
        Returns the threshold that is best on this truth, for use on another; NaN where no view wants one.
    """

    name: str
    values: Any
    is_probability: bool = True
    threshold: float = float("nan")
    rng: np.random.Generator | None = None
    best_threshold: Callable[[], float] = lambda: float("nan")
    histograms: list[Any] | None = None
    over_pairs: Any = None


def fitted_predictor(fitter: BaselineFitter, kind: str, cols: np.ndarray, **said: Any) -> Predictor:
    """Return a baseline of cells, fitted on the regions `cols` when it is first asked; `said` as in `Predictor`."""

    def predict(rows: np.ndarray, wanted: np.ndarray, view: str | None = None) -> np.ndarray:
        return fitter.predict(kind, rows, np.searchsorted(cols, wanted), view=view)

    oracle = kind in ORACLES
    return Predictor(kind, predict, True, oracle, oracle, option=partial(fitter.option, kind), **said)


def stored_predictor(mdata: MuData, name: str, without_held_out: frozenset[str]) -> Predictor:
    """Return a stored prediction; raise where it is not there.

    Parameters
    ----------
    without_held_out
        Names of the comparisons in which it stands where it may have read the ATAC of held-out regions.
    """
    values, origin = read_prediction(mdata, name), origin_of(mdata, name)

    def predict(rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        if cols.size == values.shape[1]:
            return np.asarray(values[rows])
        return values[np.ix_(rows, cols)] if isinstance(values, np.ndarray) else np.asarray(values[rows][:, cols])

    reads = reads_region_atac(origin, held_out_digest(mdata.mod[ATAC]))
    oracle = bool(origin.get(USES_TARGET_ASSAY, False))
    return Predictor(
        name,
        predict,
        origin.get("family") == BASELINE,
        oracle,
        oracle,
        is_probability=origin.get("transform") != "rank",
        reads_region_atac=reads,
        among=without_held_out if reads else None,
    )


def finite(values: np.ndarray, name: str, what: str, cure: str) -> np.ndarray:
    """Return values as contiguous float32, none of which may be NaN or infinite."""
    values = np.ascontiguousarray(values, dtype=np.float32)
    if values.size and not (np.isfinite(values.min()) and np.isfinite(values.max())):
        raise ChromatellError(
            f"The prediction {name!r} holds {int((~np.isfinite(values)).sum())} NaN or infinite values in {what}. "
            f"{cure}, or leave it out: models=[...]."
        )
    return values


def inputs_of(mdata: MuData, names: Iterable[str]) -> list[str]:
    """Return the modalities that stored predictions read, `rna` first; the baselines beside them read the same."""
    said = [json.loads(origin_of(mdata, name).get(INPUTS, "[]")) for name in names]
    return [RNA, *dict.fromkeys(one for inputs in said for one in inputs if one != RNA)]


def origin_of(mdata: MuData, name: str) -> Any:
    """Return where a prediction comes from; of one in a Zarr store, at least the family of the model of its name."""
    pred, own = mdata.mod.get(ATAC_PRED), mdata.uns.get(UNS, {})
    record = {} if pred is None else pred.uns.get(UNS, {}).get(PROVENANCE, {})
    if name in record or (pred is not None and name in pred.layers):
        return record.get(name, {})
    manifest = decoded(own.get(MODELS, {}).get(name, {}).get("manifest"))
    family = {} if manifest is None else {"family": json.loads(manifest).get("family", "")}
    return {**family, **own.get(PREDICTIONS, {}).get(name, {}).get(PROVENANCE, {})}


def reads_region_atac(origin: Mapping[str, Any], digest: str) -> bool:
    """Return whether a stored prediction may have read the ATAC of the regions that are held out now.

    What its record does not say counts as read. Another tool's prediction is taken on trust.

    Parameters
    ----------
    origin
        Its provenance.
    digest
        Digest of the regions that are held out now, see ``held_out_digest``.
    """
    if origin.get("family") == EXTERNAL:
        return False
    if bool(origin.get(READS_REGION_ATAC, True)):
        return True
    return str(origin.get(HELD_OUT_DIGEST)) != digest


def refuse_trained(mdata: MuData, name: str, cells: pd.Index, part: str) -> None:
    """Raise where a stored prediction was trained on these cells of `part`; another tool's is taken on trust.

    Cells are known by name: where `mdata` holds the model, or it is a baseline, fitted on cells of `mdata`, and none of
    those marked 'train' is known, warn.
    """
    origin = origin_of(mdata, name)
    if origin.get("family") == EXTERNAL:
        return
    if not origin:
        warn(
            f"Nothing says what the prediction {name!r} was trained on, so that cells of its training may be scored. "
            f"If it is another tool's, say so: ctl.tl.add_prediction(mdata, values, key={name + '_2'!r}); a copy of "
            "one of this package is scored under its own name."
        )
        return
    check_cells(origin, cells, name=name, part=part)
    if name not in mdata.uns.get(UNS, {}).get(MODELS, {}) and origin.get("family") != BASELINE:
        return  # made for these cells by a model of other data: it says of no others what it was trained on
    trained = mdata.obs_names[split_of(mdata, ()) == TRAIN]
    known = np.concatenate([np.zeros(0, dtype=np.uint64), *stored_cells(origin, repr(name), {}).values()])
    if len(trained) and known.size and not np.isin(cell_hashes(trained), known).any():
        warn(
            f"None of the {len(trained)} 'train' cells is among those that {name!r} was trained on. If cells were "
            "renamed, nothing tells which of them it has seen: carry the split of then over, "
            "mdata.obs['ctl_split'] = before.obs['ctl_split'].values."
        )
