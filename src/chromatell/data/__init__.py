"""Data as the models read it; for users: tracks, ``ctl.data.BinnedTracks``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chromatell._lazy import lazy

if TYPE_CHECKING:
    from chromatell.data._tracks_concat import concat_tracks
    from chromatell.data.tracks import BinnedTracks

# name -> file that defines it
_WHERE = {"BinnedTracks": "tracks", "concat_tracks": "_tracks_concat"}

__all__ = ["BinnedTracks", "concat_tracks"]
__getattr__, __dir__ = lazy(__name__, _WHERE)
