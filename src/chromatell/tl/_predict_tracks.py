"""`tl.predict` with a model that reads tracks: from bigWig to bigWig, if that is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chromatell._validate import ChromatellError
from chromatell.data._tracks_table import INPUT, ROLE, STAT, TARGET
from chromatell.data.tracks import BinnedTracks, as_tracks
from chromatell.io.bigwig import bigwig_files, import_pybigtools, write
from chromatell.tl._nascent import with_prediction


def predict_tracks(
    data: Any,
    model: Any,
    key: str,
    *,
    chroms: Any = None,
    bigwig: str | Path | None = None,
    overwrite: bool = False,
    **options: Any,
) -> BinnedTracks:
    """Return tracks with predictions; parameters as in :func:`chromatell.tl.predict`."""
    names = [f"{target}_{key}" for target in model.var_names[TARGET]]
    if bigwig is not None:  # before any work
        import_pybigtools()
        bigwig_files(bigwig, names, overwrite=overwrite)
    tracks = with_prediction(_tracks(data, model, chroms), model, key, chroms=chroms, **options)
    if bigwig is not None:
        write(tracks, bigwig, names=names, overwrite=overwrite)
    return tracks


def _tracks(data: Any, model: Any, chroms: Any) -> BinnedTracks:
    """Return the tracks of a query: a store is opened, bigWigs are binned as those of training were."""
    if isinstance(data, str | Path):
        path = Path(data)
        if not path.is_dir():
            raise ChromatellError(
                f"{str(path)!r} is no store of tracks. Name one that tracks.save('tracks.zarr') wrote, or bigWigs: "
                "{'plus': 'plus.bw', 'minus': 'minus.bw'}."
            )
        return BinnedTracks.open(path)
    if not isinstance(data, Mapping):
        return as_tracks(data).select()
    from chromatell.pp import bin_tracks
    from chromatell.pp._track_files import file_table

    table = file_table(data)
    table.loc[[name for name in table.index if name in model.var_names[INPUT]], ROLE] = INPUT
    if not (table[ROLE] == INPUT).any():
        table[ROLE] = INPUT
    stat: Any = model.config["input_tracks"][0].get(STAT) or "mean"
    return bin_tracks(table.reset_index(), bin_size=model.options.bin_size, chroms=chroms, stat=stat)
