"""What a sample is like, so that one that is unlike that of training is told; and which marks validation bears out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from chromatell._keys import VAL
from chromatell._settings import logger
from chromatell._validate import ChromatellError
from chromatell.data._other_assays import one_read
from chromatell.data._tracks_inputs import input_values
from chromatell.data.tracks import BinnedTracks
from chromatell.metrics import average_precision

SIGNAL, READS, TOP, BINS = "signal", "reads", "top", "bins"
_SHALLOW = 20.0  # times fewer reads than in training
_UNLIKE = 4.0  # ratio of the odds that a read lies in the highest bins
_ENOUGH = 20_000  # bins of which one in a thousand says something
_LOOKED_AT = 100_000  # bins
_MOST = 200_000  # validation bins that the card looks at
_PIECE = 4096  # bins predicted at a time
_LEAST_R, _LEAST_GAIN = 0.25, 0.05  # below, a mark is not to be had


def describe_signal(tracks: BinnedTracks, names: Sequence[str], split: str | None = None) -> dict[str, float]:
    """Return of the usable bins how many there are, their mean number of reads, and the share in the highest 0.1%.

    One read is what the tenth percentile of the bins with signal holds, whatever the unit.
    """
    totals: list[np.ndarray] = []
    step = -(-tracks.n_bins // _LOOKED_AT)  # each so-manieth bin of a genome tells enough
    for chrom in tracks.chroms:
        totals.append(input_values(tracks, chrom, names)[:, tracks.usable(chrom, split)][:, ::step].sum(axis=0))
    signal = np.concatenate(totals).astype(np.float64)
    if not signal.sum() > 0:
        return {BINS: float(signal.size), READS: 0.0, TOP: 0.0}
    k = max(1, signal.size // 1000)
    top = np.partition(signal, signal.size - k)[-k:].sum() / signal.sum()
    read = one_read(signal)
    return {BINS: float(signal.size), READS: float(signal.mean() / read), TOP: float(top)}


def check_signal(said: Any) -> None:
    """Raise where what a record says of its signal, if it does, is not that."""
    fit = said is None or (
        isinstance(said, dict) and all(isinstance(v := said.get(k), int | float) and v >= 0 for k in (READS, TOP, BINS))
    )
    if not fit:
        raise ChromatellError(f"What the model says of its signal is {str(said)[:80]!r}. Ask for the file again.")


def unlike(trained: Mapping[str, Any], query: Mapping[str, float], *, carries: bool) -> list[str]:
    """Return what to warn of: that a query has far fewer reads than the sample of training, or is of another assay."""
    cure = "" if carries else " architecture='transfer' is made for that."
    said = []
    if query[READS] > 0 and trained[READS] / query[READS] > _SHALLOW:
        said.append(
            f"The query has {trained[READS] / query[READS]:.0f} times fewer reads a bin than the sample of training "
            f"({query[READS]:.3g}, {trained[READS]:.3g}): weak places will be missed.{cure}"
        )
    single = [0.001 / max(x[READS], 1e-9) for x in (query, trained)]  # what bins of one read each would hold
    told = all(s < x[TOP] / 2 for s, x in zip(single, (query, trained), strict=True))
    if told and min(query[BINS], trained[BINS]) >= _ENOUGH:
        odds = [x[TOP] / max(1 - x[TOP], 1e-6) for x in (query, trained)]
        if max(odds) / max(min(odds), 1e-6) > _UNLIKE:
            said.append(
                f"In the query the highest 0.1% of the bins hold {query[TOP]:.0%} of the reads, in training "
                f"{trained[TOP]:.0%}: is it another assay (PRO-cap, PRO-seq, GRO-seq), or an artefact that wants "
                f"masking (ctl.pp.mask_bins)? Predictions are then less sure.{cure}"
            )
    return said


def validated(
    tracks: BinnedTracks,
    targets: Sequence[str],
    observed: Callable[[str], np.ndarray],
    predictor: Callable[[str], Callable[[slice], np.ndarray]],
    *,
    classes: bool,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Return of each target how well validation bins are predicted, and whether the mark is to be had; {} without any.

    Both are None of a target whose validation bins do not tell: none is known, or they are all alike.

    Parameters
    ----------
    observed
        Chromosome to targets (targets, bins).
    predictor
        Chromosome to what predicts some of its bins.
    """
    rng = np.random.default_rng(seed)
    pieces = []
    for chrom in tracks.chroms:
        first = np.unique(np.flatnonzero(tracks.usable(chrom, VAL)) // _PIECE) * _PIECE
        pieces += [(chrom, int(a)) for a in first]
    chosen = sorted(pieces[i] for i in rng.permutation(len(pieces))[: max(1, _MOST // _PIECE)])
    y, predicted = [], []
    for chrom in dict.fromkeys(c for c, _ in chosen):
        usable, truth, predict = tracks.usable(chrom, VAL), observed(chrom), predictor(chrom)
        for first in (a for c, a in chosen if c == chrom):
            part = slice(first, min(first + _PIECE, usable.size))
            y.append(truth[:, part][:, usable[part]])
            predicted.append(predict(part)[:, usable[part]])
    if not y:
        return {}
    both = np.concatenate(y, axis=1), np.concatenate(predicted, axis=1)
    said = {t: _verdict(a[np.isfinite(a)], b[np.isfinite(a)], classes) for t, a, b in zip(targets, *both, strict=True)}
    lost = [f"{t} ({x[SCORE[classes]]:.2f})" for t, x in said.items() if x["predictable"] is False]
    if lost:
        what = "average precision" if classes else "r"
        logger.warning(
            "By the validation bins these cannot be had from this signal (%s): %s. The model's card says so.",
            what, ", ".join(lost),
        )  # fmt: skip
    if untold := [t for t, x in said.items() if x["predictable"] is None]:
        why = [f"{t} ({'all are alike' if said[t]['bins'] else 'none is known'})" for t in untold]
        logger.warning(
            "Validation bins do not tell whether these can be had from this signal: %s. The model's card says None.",
            ", ".join(why),
        )  # fmt: skip
    return said


SCORE = {False: "pearson", True: "average_precision"}


def _verdict(y: np.ndarray, predicted: np.ndarray, classes: bool) -> dict[str, Any]:
    said: dict[str, Any] = {"bins": int(y.size)}
    if classes:
        said["prevalence"] = round(float(y.mean()), 4) if y.size else None
    if y.size < 2 or y.min() == y.max():
        return {**said, SCORE[classes]: None, "predictable": None}
    flat = predicted.std() == 0
    if classes:
        share = float(y.mean())
        value = share if flat else float(average_precision(y > 0, predicted))
        good = (value - share) / (1 - share) >= _LEAST_GAIN
    else:
        value = 0.0 if flat else float(np.corrcoef(y, predicted)[0, 1])
        good = value >= _LEAST_R
    return {**said, SCORE[classes]: round(value, 4), "predictable": bool(good)}
