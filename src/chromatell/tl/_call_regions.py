"""``ctl.tl.call_regions``: intervals where a track stands out, as a table and as BED."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from chromatell._arguments import arguments
from chromatell._keys import BASELINE, CHROM, END, MODELS, PREDICTIONS, START, UNS
from chromatell._settings import logger, settings
from chromatell._unread import Readers, refuse_unread, usual
from chromatell._validate import ChromatellError, examples, in_range, warn
from chromatell.data._tracks_smooth import smooth
from chromatell.data.tracks import BinnedTracks, as_tracks
from chromatell.io._replace import PACKED, UNPACKABLE, check_target
from chromatell.io._tabix import write_bgzf
from chromatell.io._write import sibling
from chromatell.models import load
from chromatell.models._base import ChromatinModel
from chromatell.tl._known_sites import Beside, calibrated, intervals
from chromatell.tl._shuffled_tracks import shuffled_inputs

Predict = Callable[[BinnedTracks], dict[str, np.ndarray]]

# bp of shuffled signal: on validation blocks of two sets, more precise than 50, far more sensitive than 1,000
# (benchmarks/results/call_regions_null_*.md)
_PIECE = 200


@arguments
def call_regions(
    tracks: BinnedTracks | AnnData,
    name: str,
    *,
    fdr: float = 0.05,
    threshold: float | None = None,
    calibrate: Any = None,
    calibrate_on: BinnedTracks | Sequence[BinnedTracks] | None = None,
    sigma: float = 3,
    min_length: int = 200,
    gap: int = 200,
    regions: str | Sequence[str] | None = None,
    model: Any = None,
    fasta: Any = None,
    shuffle: int | None = None,
    n_shuffles: int = 1,
    path: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    seed: int | None = None,
) -> pd.DataFrame:
    """Return the regions in which a track is high, such as predicted peaks.

    Parameters
    ----------
    tracks
        Tracks, or an AnnData of an interval of them.
    name
        Name of the track: one that a model predicted or, with `threshold`, any.
    fdr
        Share of the called bins that may be as high by the signal's values alone, see Notes; with `calibrate`, of the
        called regions that may hold no known site.
    threshold
        Call what is at least this high in place of `fdr`, such as the threshold with the best F1 on validation bins
        that ``ctl.tl.evaluate`` writes.
    calibrate
        Known sites, such as peaks of an assay or start sites of transcription, of some chromosomes of the tracks or of
        all: a BED file, a table, or names. Among the thresholds at which at most `fdr` of the regions that are called
        there hold none (one more than there are is counted), and all together hold at most twice as many sites as there
        are of them, that is taken at which most hold one, of equal ones that with fewer regions, then with more sites.
        Where these chromosomes are split, the bins of 'val' alone are looked at (of one without, all but those of
        'train'), on which the model was not trained.
    calibrate_on
        Tracks with `name` on which `calibrate` finds the threshold; None is `tracks`. Where there are several, such as
        a sample and the same as another assay would see it, regions and sites count together; the interval takes them
        for independent.
    sigma
        Standard deviation, in bins, of the Gaussian that smooths the track first; 0 does not.
    min_length, gap
        In bp: regions at most `gap` apart become one, then shorter ones are left out.
    regions
        Names of chromosomes to call in; None is all.
    model
        The model that made the prediction, as in ``ctl.tl.predict``; None takes the one that the tracks carry.
    fasta
        Genome for a model that reads sequence, which is not shuffled.
    shuffle
        In bp: input signal is shuffled in pieces of this length; None takes 200, or one bin where bins are longer.
    n_shuffles
        How often; each costs a prediction.
    path
        Write a BED file with six columns: sorted by chromosome and start, scores from 0 to 1000. One that ends in
        ``.gz`` is packed as bgzip does, which gunzip, bedtools and tabix read; other compressions are refused.
    overwrite
        Replace what is at `path`.
    seed
        Seed of the shuffles; None follows ``ctl.settings.seed``.

    Returns
    -------
    pandas.DataFrame
        One row a region, along the chromosomes: `chrom`, `start`, `end` (0-based, half-open), `name`, `score` (the
        largest value of the smoothed track) and `mean`. ``attrs['threshold']`` is the threshold; with `calibrate`,
        ``attrs['calibration']`` is a dict of `sites`, `called` (both in the bins that were looked at), `precision`
        (share of these regions that hold a site) with its 95% interval by Clopper and Pearson, `precision_low` and
        `precision_high`, `chance` (the precision if regions of their lengths began at any of these bins) and `recall`
        (share of these sites that a region holds).

    Raises
    ------
    ChromatellError
        No such track; without `threshold` or `calibrate`, one that no model predicted, or whose model is not at hand;
        both of these two; no site in the bins to look at, or under 10 of them.

    Notes
    -----
    The threshold without `threshold`: pieces of the input tracks (`shuffle`), both strands together, change places
    among the usable bins of a chromosome; the model predicts from that, and the prediction is smoothed alike. The
    threshold is the lowest at which ``(1 + shuffled bins that reach it) / (bins that reach it)`` is at most `fdr`. So
    a region is called where the signal around it, not a piece of signal alone, makes the model say more than chance
    would: it is not the share of regions without the mark. How many have it, precision in ``ctl.tl.evaluate`` says. A
    mark that the model cannot predict has few calls, and wrong ones. Shorter pieces give a lower threshold and more
    calls.

    That error rate is no error rate of any kind of site. Where sites are known of some chromosome, `calibrate` finds
    the threshold that has the share of wrong calls that was asked for. Counting one wrong region more, as is done with
    decoys of peptides, makes up for the luck of the threshold that is taken, and asks for 1 / `fdr` regions at least.

    Masked bins are neither called nor shuffled. Peak memory: a prediction of the chromosomes called, and 20
    bytes a bin.

    References
    ----------
    Storey and Tibshirani, PNAS 100 (2003), for the false-discovery rate by permutation; Levitsky et al., J Proteome Res
    16 (2017), for the one more.

    Examples
    --------
    >>> import numpy as np
    >>> import chromatell as ctl
    >>> values = np.zeros((1, 200), dtype="float32")
    >>> values[0, 40:50] = 3
    >>> tracks = ctl.data.BinnedTracks({"chr1": values}, ["H3K4me3"], chrom_sizes={"chr1": 10_000})
    >>> ctl.tl.call_regions(tracks, "H3K4me3", threshold=1, sigma=0)[["chrom", "start", "end", "score"]].values.tolist()
    [['chr1', 2000, 2500, 3.0]]
    """
    held = as_tracks(tracks)
    (name,) = held.check_names([name])
    by_shuffling = {"fasta": fasta, "shuffle": shuffle, "n_shuffles": n_shuffles, "seed": seed, "model": model}
    readers: Readers = [
        (by_shuffling, calibrate is None and threshold is None, "the threshold that shuffled signal gives"),
        (["fdr"], threshold is None, "a threshold that is looked for, and threshold= gives it"),
    ]
    refuse_unread({**by_shuffling, "fdr": fdr}, usual(call_regions), readers)
    share = in_range(fdr, 0, 1, "fdr", whole=False)
    width = in_range(sigma, 0, 100_000, "sigma", whole=False)
    lengths = [in_range(v, 0, 1_000_000_000, k) for k, v in (("min_length", min_length), ("gap", gap))]
    shuffle = max(_PIECE, held.bin_size) if shuffle is None else shuffle
    piece = in_range(shuffle, held.bin_size, 1_000_000_000, "shuffle") // held.bin_size
    n_shuffles = in_range(n_shuffles, 1, 1000, "n_shuffles")
    chroms = held.select(chroms=regions).chroms
    if not chroms:
        raise ChromatellError(f"regions={regions!r} names no chromosome; there: {examples(held.chroms)}. Leave it out.")
    file = None if path is None else Path(path)
    if file is not None:
        if file.suffix.lower() in UNPACKABLE:
            raise ChromatellError(
                f"path={str(file)!r}: a BED is written as plain text or, where its name ends in .gz, packed; not as "
                f"{file.suffix}. Take path={str(file.with_suffix('.gz'))!r}."
            )
        check_target(file, "text", overwrite=overwrite)
    if calibrate is not None and threshold is not None:
        raise ChromatellError("calibrate= finds the threshold, and threshold= gives it. Leave one of the two out.")
    if calibrate_on is not None and calibrate is None:
        raise ChromatellError("calibrate_on= holds the track beside known sites. Give them too, calibrate=...")
    beside = [held] if calibrate_on is None else _listed(calibrate_on, held.bin_size)
    known = [] if calibrate is None else [Beside.read(t, name, calibrate, width) for t in beside]
    smoothed = {c: smooth(held.values(c, name)[0], held.usable(c), width) for c in chroms}
    calibration = None
    if known:
        least, calibration = calibrated(known, name, share, lengths)
    elif threshold is None:
        read = _predictor(held, name, model, fasta)
        streams = np.random.SeedSequence(settings.resolve_seed(seed)).spawn(n_shuffles)
        null = [x for stream in streams for x in _null(held.select(chroms=chroms), read, piece, stream, width)]
        least = _threshold(smoothed, null, share, n_shuffles)
    else:
        least = in_range(threshold, -1e300, 1e300, "threshold", whole=False)
    tables = [_regions(held, c, values, least, *lengths) for c, values in smoothed.items()]
    table = pd.concat(tables, ignore_index=True)
    if known and table.empty:
        top = max((float(np.nanmax(v, initial=-np.inf)) for v in smoothed.values()), default=-np.inf)
        warn(
            f"Nothing is called: the threshold by known sites is {least:.4g}, and {name!r} reaches {top:.4g}. Tracks "
            "of calibrate_on= must be on the scale of those in which regions are called."
        )
    table.insert(3, "name", [f"{name}_{i + 1}" for i in range(len(table))])
    table.attrs["threshold"] = least
    if calibration is not None:
        table.attrs["calibration"] = calibration
    logger.info("%s: %d regions where it is at least %.4g.", name, len(table), least)
    if file is not None:
        _write_bed(table, file, overwrite)
    return table


def _listed(calibrate_on: Any, bin_size: int) -> list[BinnedTracks]:
    """Return the tracks of `calibrate_on`, one or a list; raise where there is none, or of other bins."""
    several = calibrate_on if isinstance(calibrate_on, list | tuple) else [calibrate_on]
    if not several:
        raise ChromatellError(
            "calibrate_on= is an empty list. Give the tracks in which the sites are known, or leave calibrate_on= out."
        )
    tracks = [as_tracks(one) for one in several]
    if other := [one.bin_size for one in tracks if one.bin_size != bin_size]:
        raise ChromatellError(
            f"calibrate_on= has bins of {other[0]} bp, and regions are called in bins of {bin_size}: sigma= counts "
            "bins, so that their heights do not compare. Bin both alike, ctl.pp.bin_tracks(files, bin_size=...)."
        )
    return tracks


def _predictor(tracks: BinnedTracks, name: str, model: Any, fasta: Any) -> tuple[Any, Predict]:
    """Return the model that predicted a track, and what it predicts there from other inputs: chromosome to values."""
    own = tracks.uns.get(UNS, {})
    entries: dict[str, dict[str, Any]] = own.get(PREDICTIONS, {})
    key = next((k for k, p in entries.items() if name in p.get("tracks", [])), None)
    said = entries.get(key or "", {})
    if key is None or said.get("family") == BASELINE or (model is None and key not in own.get(MODELS, {})):
        raise ChromatellError(
            f"{name!r} was not predicted by a model that these tracks carry, and fdr= needs it to predict from "
            "shuffled signal. Give the model, model=tracks_that_were_trained_on, or a threshold, threshold=..."
        )
    loaded: Any = (
        model if isinstance(model, ChromatinModel) else load(tracks, key=key) if model is None else load(model)
    )

    if not loaded.declared.tracks:
        raise ChromatellError(
            f"The model is of family {loaded.family!r}, which reads cells, not tracks. Give the one that predicted "
            f"{name!r}, model=tracks_that_were_trained_on, or leave model= out."
        )

    target = name.removesuffix(f"_{key}")
    if loaded.card.get("validation", {}).get(target, {}).get("predictable") is False:
        warn(
            f"By the validation bins {target!r} cannot be had from this signal (the model's card says so): what is "
            "called stands out in the prediction, and says nothing of the mark. Call it by known sites, calibrate=..., "
            "or not at all."
        )

    def predict(inputs: BinnedTracks) -> dict[str, np.ndarray]:
        predicted = loaded.predict(inputs, depth=said.get("depth", "fixed"), suffix=key, fasta=fasta)
        if name not in predicted.names:
            raise ChromatellError(
                f"The model predicts {predicted.names}, not {name!r}. Give the one that made it: model=..."
            )
        return {c: predicted.values(c, name)[0] for c in predicted.chroms}

    return loaded, predict


def _null(
    tracks: BinnedTracks, read: tuple[Any, Predict], piece: int, seed: np.random.SeedSequence, width: float
) -> list[np.ndarray]:
    """Return what a model predicts from shuffled signal in the usable bins, smoothed, float32, by chromosome."""
    model, predict = read
    predicted = predict(shuffled_inputs(tracks, model, piece, seed))
    return [smooth(values, tracks.usable(c), width)[tracks.usable(c)] for c, values in predicted.items()]


def _threshold(smoothed: dict[str, np.ndarray], null: list[np.ndarray], fdr: float, n_shuffles: int) -> float:
    """Return the lowest value at which few enough shuffled bins are as high; above all values where there is none."""
    values = np.sort(np.concatenate([v[np.isfinite(v)] for v in smoothed.values()]))
    chance = np.sort(np.concatenate(null))
    if not values.size:
        raise ChromatellError("No usable bin has a value: nothing can be called. Check the mask, tracks.masks.")
    first = np.flatnonzero(np.diff(values, prepend=-np.inf) > 0)  # the start of each run of ties
    above = values.size - first
    by_chance = (1 + chance.size - np.searchsorted(chance, values[first], side="left")) / n_shuffles
    passed = np.flatnonzero(by_chance / above <= fdr)
    if passed.size:
        return float(values[first[passed[0]]])
    warn(
        f"At no height are at most {fdr:.0%} of the bins as high in shuffled signal: nothing is called. The mark may "
        "not be predictable; a larger fdr=, shorter pieces, shuffle=, or threshold= call more."
    )
    return float(np.nextafter(values[-1], np.inf))


def _regions(
    tracks: BinnedTracks, chrom: str, values: np.ndarray, threshold: float, min_length: int, gap: int
) -> pd.DataFrame:
    """Return the regions of one chromosome, without names."""
    size, end = tracks.bin_size, tracks.chrom_sizes[chrom]
    starts, ends = intervals(values, threshold, size, end, min_length, gap)
    inside = [values[a:b] for a, b in zip(starts, ends, strict=True)]
    return pd.DataFrame(
        {
            CHROM: pd.Series([chrom] * len(inside), dtype=object),
            START: starts.astype(np.int64) * size,
            END: np.minimum(ends * size, end).astype(np.int64),
            "score": np.array([np.nanmax(v) for v in inside], dtype=np.float64),
            "mean": np.array([np.nanmean(v) for v in inside], dtype=np.float64),
        }
    )


def _write_bed(table: pd.DataFrame, path: Path, overwrite: bool) -> None:
    top = max(float(table["score"].max()), 0.0) if len(table) else 0.0
    scores = np.zeros(len(table)) if top == 0 else 1000 * table["score"].clip(lower=0) / top
    bed = table[[CHROM, START, END, "name"]].assign(score=np.round(scores).astype(np.int64), strand=".")
    path.parent.mkdir(parents=True, exist_ok=True)
    text = bed.sort_values([CHROM, START]).to_csv(sep="\t", header=False, index=False, lineterminator="\n").encode()
    with sibling(path, overwrite=overwrite) as temporary:
        if path.suffix.lower() in PACKED:
            write_bgzf(temporary, text)
        else:
            temporary.write_bytes(text)
