"""``ctl.tl.nascent``: train on tracks, store the model, predict every bin."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal

from chromatell._arguments import arguments
from chromatell._docs import example
from chromatell._keys import PREDICTIONS, UNS
from chromatell._settings import logger
from chromatell._validate import ChromatellError, store_key
from chromatell.data._tracks_table import PREDICTION, ROLE
from chromatell.data._tracks_together import tracks_together
from chromatell.data.tracks import BinnedTracks
from chromatell.genome.genome import Genome
from chromatell.io._replace import check_new
from chromatell.io._uns_store import write_record
from chromatell.models import family_class
from chromatell.models._support import on_first_rank
from chromatell.models.baselines.tracks import TRACK_BASELINES
from chromatell.tl._targets import model_key
from chromatell.tl._train import provenance, training, while_predicting


@arguments
@example("tracks")
def nascent(
    tracks: BinnedTracks,
    *,
    architecture: Literal["transfer", "xgboost", "dense", "cnn"] = "transfer",
    preset: str = "default",
    inputs: str | Sequence[str] | None = None,
    targets: str | Sequence[str] | None = None,
    fasta: str | os.PathLike[str] | Genome | None = None,
    out: str | os.PathLike[str] | None = None,
    key_added: str = "nascent",
    seed: int | None = None,
    train_kwargs: dict[str, Any] | None = None,
    copy: bool = False,
    **model_kwargs: Any,
) -> BinnedTracks | None:
    """Train a `Nascent` model from run-on signal to marks, keep it in `tracks`, and predict every bin.

    Parameters
    ----------
    tracks
        Tracks of role 'input' and 'target', after ``ctl.pp.split_regions``; without a split all bins train. Masked bins
        (``ctl.pp.mask_bins``) do not. Targets are learned as they are: smooth them first, ``ctl.pp.smooth_tracks``.
    architecture, preset
        'transfer', 'xgboost', 'dense' or 'cnn'; for networks also ``preset='stanford2019'``: see
        `chromatell.models.Nascent`.
    inputs, targets
        Names of the tracks to read and to predict; None takes those of the role.
    fasta
        With ``context='sequence'``: the FASTA of the genome, or a `chromatell.genome.Genome`.
    out
        Path of a Zarr store for the predictions, which are written there chromosome by chromosome and read from there
        when they are used. With inputs and targets in a store too, a genome's predictions take no memory.
    key_added
        Name of the model; predictions are named ``'<target>_<key_added>'``.
    seed
        The same seed gives the same model on the same machine with the same number of threads; None follows
        ``ctl.settings.seed``.
    train_kwargs
        Passed to `Nascent.train`: `max_epochs` (of trees: rounds of boosting), `lr`, `patience`, ...
    copy
        Return new tracks; those that were given stay as they are.
    model_kwargs
        Passed to `Nascent`: `window`, `task`, `loss`, `context`, `max_bins`, ...; ``cnn=True``: trees and a CNN.

    Returns
    -------
    None, or new tracks with ``copy=True``. Written:

    tracks of role 'prediction' : float32
        One a target, in every bin; those of an earlier call with the same key are replaced.
    ``uns['ctl']['models'][key_added]`` : dict
        The model: it travels with ``tracks.save(path)``.
    ``uns['ctl']['predictions'][key_added]`` : dict
        The names of the predictions, and where they come from.

    Raises
    ------
    ChromatellError
        The tracks cannot be used; nothing was changed.

    Notes
    -----
    With bins marked 'val' training stops when their loss does not fall any more. Peak memory of trees: 4 bytes a
    feature ('transfer' 57, 'xgboost' 94 for two strands) and bin, 150 MB for 400,000 training bins at most, twice that
    while XGBoost works or the CNN of 'transfer' is fitted, and about 100 bytes a bin of one chromosome; there is no
    external memory: more bins are drawn at random, `max_bins`. The CNN of ``architecture='cnn'`` holds inputs and
    targets of the chromosomes that train, 4 bytes a number, and about 100 MB for a batch.

    References
    ----------
    Chen and Guestrin, XGBoost (KDD, 2016); Yu and Koltun, Multi-scale context aggregation by dilated convolutions
    (ICLR, 2016).

    Examples
    --------
    >>> ctl.tl.nascent(tracks, window=21, train_kwargs={"max_epochs": 20}, seed=0)
    >>> tracks.names_of(role="prediction")
    ['mark_nascent']
    """
    model_key(key_added, TRACK_BASELINES)
    if not isinstance(tracks, BinnedTracks):
        raise ChromatellError(
            f"Expected ctl.data.BinnedTracks, got {type(tracks).__name__}. Make them with ctl.pp.bin_tracks(files); an "
            "AnnData of an interval becomes tracks by ctl.data.BinnedTracks.from_anndata(adata)."
        )
    if out is not None:
        check_new(out)
    if not tracks.splits:
        logger.warning("The tracks are not split: all bins train, none is left to score. See ctl.pp.split_regions.")
    how = training(seed, train_kwargs)
    family: Any = family_class("nascent")
    chosen = {"architecture": architecture, "preset": preset, "inputs": inputs, "targets": targets, "fasta": fasta}
    model = family(tracks, **chosen, **model_kwargs)
    _check_free(tracks, [f"{name}_{key_added}" for name in model.targets])
    target = tracks.copy() if copy else tracks
    try:
        model.train(**how)
        record = model.to_record()
        with while_predicting(how), tracks_together(target):
            with_prediction(target, model, key_added, depth="fixed", out=out)
            write_record(target, key_added, record)
    finally:
        model.clear()
    return target if copy else None


def with_prediction(
    tracks: BinnedTracks, model: Any, key: str, *, chroms: Any = None, depth: str, fasta: Any = None, out: Any = None
) -> BinnedTracks:
    """Add what a model predicts to tracks, in place, and return them; with `out` its values lie in a store."""
    store_key(key)
    _check_free(tracks, [f"{name}_{key}" for name in model.var_names["target"]])

    def write() -> BinnedTracks:
        return model.predict(tracks, chroms=chroms, depth=depth, suffix=key, fasta=fasta, out=out)

    predicted = write() if out is None else on_first_rank(model, write, lambda: BinnedTracks.open(out))
    said = {"tracks": predicted.names, **provenance(model, depth)}
    with tracks_together(tracks):
        tracks.add(predicted.arrays(), predicted.table, overwrite=True)
        own = tracks.uns.get(UNS, {})
        tracks.uns = {**tracks.uns, UNS: {**own, PREDICTIONS: {**own.get(PREDICTIONS, {}), key: said}}}
    return tracks


def _check_free(tracks: BinnedTracks, names: list[str]) -> None:
    """Raise where predictions would take the place of what is no prediction."""
    taken = [n for n in names if n in tracks.names and tracks.table.loc[n, ROLE] != PREDICTION]
    if taken:
        raise ChromatellError(f"Tracks {taken} are there and are no predictions. Name the model: key_added='other'.")
