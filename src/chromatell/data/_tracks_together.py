"""What a verb writes into tracks is written together or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chromatell.data.tracks import BinnedTracks


@contextmanager
def tracks_together(tracks: BinnedTracks) -> Iterator[None]:
    """Keep all tracks, descriptions and records that are written inside, or, where an error comes in between, none."""
    table, rows = tracks.table, dict(tracks._rows)
    layers, uns = {name: dict(own) for name, own in tracks._layers.items()}, _dicts(tracks.uns)
    try:
        yield
    except BaseException:
        tracks.table, tracks._rows, tracks._layers, tracks.uns = table, rows, layers, uns
        raise


def _dicts(value: Any) -> dict[str, Any]:
    """Return a dict with its dicts made anew, all the way down; what they hold is shared."""
    return {k: _dicts(v) if isinstance(v, dict) else v for k, v in value.items()}
