"""Small objects that errors are about, made once and copied for each test."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import mudata as md
import numpy as np
import pandas as pd

import chromatell as ctl

QUICK = {"max_epochs": 1}


@cache
def _cells() -> md.MuData:
    mdata = ctl.datasets.simulate_multiome(80, 12, 30, n_types=2, depth=8, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    return mdata


@cache
def _dense() -> md.MuData:
    mdata = _cells().copy()
    ctl.tl.dense(mdata, train_kwargs=QUICK, seed=0, n_hidden=4, dropout=0, n_members=1)
    return mdata


def annotation() -> pd.DataFrame:
    """Where the simulated genes lie, as a table that verbs take for a GTF."""
    var = _cells().mod["rna"].var
    return pd.DataFrame({"chrom": var["chrom"], "tss": var["tss"], "strand": var["strand"], "name": var.index})


def names_of(mdata: md.MuData) -> dict[str, Any]:
    mods = {name: mdata.mod[name] for name in ("rna", "atac") if name in mdata.mod}
    return {"mdata": mdata, **mods, "annotation": annotation()}


def changed(change: Callable[[md.MuData], Any] | None = None, start: Callable[[], md.MuData] = _cells) -> Any:
    """Return a maker of names: a copy of cells with a fault; what `change` returns is added to the names."""

    def make(folder: Any) -> dict[str, Any]:
        mdata = start().copy()
        more = change(mdata) if change is not None else None
        return {**names_of(mdata), **(more if isinstance(more, dict) else {})}

    return make


def trained(change: Callable[[md.MuData], Any] | None = None) -> Any:
    """As `changed`, of cells with a trained `dense` and its prediction."""
    return changed(change, _dense)


def without(*places: str) -> Callable[[md.MuData], None]:
    """Return a change that deletes places such as ``obs/ctl_split`` or ``mod/atac/var/ctl_split``."""

    def change(mdata: md.MuData) -> None:
        for place in places:
            *path, last = place.split("/")
            node: Any = mdata
            for step in path:
                node = getattr(node, step) if hasattr(node, step) and not isinstance(node, dict) else node[step]
            del node[last]

    return change


def putting(place: str, value: Any) -> Callable[[md.MuData], None]:
    """Return a change that sets a place to a value."""

    def change(mdata: md.MuData) -> None:
        *path, last = place.split("/")
        node: Any = mdata
        for step in path:
            node = getattr(node, step) if hasattr(node, step) and not isinstance(node, dict) else node[step]
        node[last] = value

    return change


@cache
def _tracks() -> Any:
    rng = np.random.default_rng(0)
    signal = rng.poisson(0.6, 4000)
    values = {"chr1": [signal, (signal > 1) * 1.0]}
    tracks = ctl.data.BinnedTracks(values, ["plus", "mark"], chrom_sizes={"chr1": 200_000})
    tracks.table.loc["plus", "role"] = "input"
    tracks.table.loc["mark", "role"] = "target"
    return tracks


@cache
def _split_tracks() -> Any:
    tracks = _tracks().copy()
    ctl.pp.split_regions(tracks, by="blocks", block=20_000, width=5 * 50)
    return tracks


@cache
def _nascent() -> Any:
    tracks = _split_tracks().copy()
    ctl.tl.nascent(tracks, window=5, train_kwargs={"max_epochs": 2}, seed=0)
    return tracks


def tracks(change: Callable[[Any], Any] | None = None, start: str = "split") -> Any:
    """Return a maker of tracks with a fault: 'plain', 'split' or 'trained'."""

    def make(folder: Any) -> dict[str, Any]:
        found = {"plain": _tracks, "split": _split_tracks, "trained": _nascent}[start]().copy()
        more = change(found) if change is not None else None
        return {"tracks": found, **(more if isinstance(more, dict) else {})}

    return make
