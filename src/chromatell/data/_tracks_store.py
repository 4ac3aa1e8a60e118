"""Tracks in a Zarr store: numbers as arrays, everything else one JSON text; a stranger's is checked before it is read.

``values/{chromosome}`` float32 (tracks, bins), ``layers/{layer}/{chromosome}`` the same for the tracks that the
manifest lists, ``masks/{chromosome}`` uint8 and ``splits/{chromosome}`` int8 (bins,), ``models/{key}`` as in `.uns`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar
from urllib.parse import quote

import numpy as np
import pandas as pd

from chromatell._compat import either_zarr
from chromatell._errors import as_one_error
from chromatell._keys import MODELS, SPLITS, UNS
from chromatell._progress import progress
from chromatell._validate import ChromatellError, store_key
from chromatell.data._tracks_info import NO_SPLIT
from chromatell.data._tracks_rows import Row
from chromatell.data._tracks_table import NAME, check_sizes, check_values, track_table
from chromatell.data._tracks_uns import pack_tables, unpack_tables
from chromatell.data._tracks_values import TracksValues
from chromatell.io._child import known, open_in_child
from chromatell.io._file import read_group_zarr
from chromatell.io._limits import REFUSED, Budget
from chromatell.io._record import MAX_JSON, NEEDS, parse_json, upgrade
from chromatell.io._replace import TRACKS_KIND as _KIND
from chromatell.io._replace import check_suffix, check_target
from chromatell.io._write import sibling
from chromatell.io._zarr_guard import check_store, is_zarr, step_into

Tracks = TypeVar("Tracks", bound=TracksValues)
_MANIFEST = "manifest"
_SCHEMA = 1
_FIRST_RELEASE = "0.2.0"  # that reads it
_CHUNK = 1 << 18  # bins: 1 MB
_MAX_BYTES = 1 << 42
_MAX_ROOT = 64 * 1024**2
_FIELDS = ("bin_size", "chrom_sizes", "table", "layers", "uns")


class _TracksBudget(Budget):
    """Limits of a model's arrays, but no bound on the ratio: peaks on a genome are zeros, which compress well.

    Chunks are at most 64 MB each and are read when they are used, so that nothing large is inflated unasked.
    """

    def finish(self) -> None:
        """Let any ratio pass."""


class TracksWriter(AbstractContextManager["TracksWriter"]):
    """A Zarr store of tracks that fills chromosome by chromosome; it takes its name when all is written.

    Parameters
    ----------
    path
        The folder to make.
    table, chrom_sizes, bin_size, uns
        As in :class:`chromatell.data.BinnedTracks`.
    layers
        Layer to the names of the tracks that it holds.
    overwrite
        Replace tracks that are there; any other folder stays, and is an error.

    Raises
    ------
    ChromatellError
        The folder exists, or a name cannot be stored.
    """

    def __init__(
        self,
        path: Path,
        table: pd.DataFrame,
        *,
        chrom_sizes: Mapping[str, int],
        bin_size: int,
        uns: Mapping[str, Any] | None = None,
        layers: Mapping[str, Sequence[str]] | None = None,
        overwrite: bool = False,
    ) -> None:
        self.path = Path(path)
        self.overwrite = overwrite
        check_target(check_suffix(self.path, "tracks", ""), "tracks", overwrite=overwrite)
        self.chrom_sizes, self.bin_size = dict(chrom_sizes), bin_size
        self.layers = {store_key(k): list(v) for k, v in (layers or {}).items()}
        self.n_tracks = len(table)
        plain, self._models = _without_models(uns or {})
        self._text = _manifest(table, self.chrom_sizes, bin_size, self.layers, plain)

    def __enter__(self) -> TracksWriter:
        import zarr

        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._beside = sibling(self.path, overwrite=self.overwrite)
        temporary = self._beside.__enter__()
        self._root = zarr.open_group(str(temporary), mode="w", zarr_format=3)
        self._root.attrs.update({"encoding-type": _KIND, _MANIFEST: self._text})
        self._arrays: dict[str, Any] = {}
        if self._models:
            from anndata.io import write_elem

            with either_zarr():
                write_elem(self._root, MODELS, self._models)
        return self

    def write(self, chrom: str, values: np.ndarray, *, first: int = 0, layer: str | None = None) -> None:
        """Write rows `first`, `first` + 1, ... of a chromosome: float32 (rows, bins)."""
        where = f"values/{_folder(chrom)}" if layer is None else f"layers/{layer}/{_folder(chrom)}"
        n = self.n_tracks if layer is None else len(self.layers[layer])
        if where not in self._arrays:
            self._arrays[where] = self._array(where, (n, values.shape[1]), "float32")
        self._arrays[where][first : first + len(values)] = values

    def write_bins(self, chrom: str, values: np.ndarray, kind: Literal["masks", "splits"]) -> None:
        """Write one number a bin."""
        self._array(f"{kind}/{_folder(chrom)}", values.shape, str(values.dtype))[:] = values

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        self._beside.__exit__(kind, error, trace)
        if error is None:
            known(self.path)
        return False

    def _array(self, where: str, shape: tuple[int, ...], dtype: str) -> Any:
        import zarr

        return self._root.create_array(
            where,
            shape=shape,
            chunks=(*([1] * (len(shape) - 1)), min(_CHUNK, shape[-1])),
            dtype=dtype,
            fill_value=0,
            compressors=zarr.codecs.BloscCodec(cname="zstd", clevel=1, shuffle="shuffle"),
        )


def write_store(tracks: TracksValues, path: Path, overwrite: bool) -> None:
    """Write tracks with their layers, masks and split."""
    layers = tracks.layers
    writer = TracksWriter(
        path,
        tracks.table,
        chrom_sizes=tracks.chrom_sizes,
        bin_size=tracks.bin_size,
        uns=tracks.uns,
        layers=layers,
        overwrite=overwrite,
    )
    with writer, progress("Writing tracks", total=len(tracks.chroms), unit="chromosomes") as advance:
        for chrom in tracks.chroms:
            for layer, names in ((None, tracks.names), *layers.items()):
                for i, name in enumerate(names):
                    writer.write(chrom, tracks.values(chrom, [name], layer=layer), first=i, layer=layer)
            if chrom in tracks.masks:
                writer.write_bins(chrom, tracks.masks[chrom], "masks")
            if chrom in tracks.splits:
                writer.write_bins(chrom, tracks.splits[chrom], "splits")
            advance(1)


def open_store(cls: type[Tracks], path: Path) -> Tracks:
    """Return the tracks of a store, their values left on disk; whatever is not as `write_store` has it is refused."""
    import zarr

    if not is_zarr(path):
        raise ChromatellError(f"{str(path)!r} is not a Zarr store. Write tracks with tracks.save('tracks.zarr').")
    if not _is_ours(path / "zarr.json"):
        raise ChromatellError(
            f"{str(path)!r} is a Zarr store, but not of tracks. Read a MuData or an AnnData with "
            f"ctl.io.read({str(path)!r}); tracks are written by tracks.save."
        )
    check_store(path, _TracksBudget(str(path), model=True, max_bytes=_MAX_BYTES))
    if step_into(path, MODELS) is not None:  # these are read at once
        check_store(path / MODELS, Budget(f"The models in {path}", model=True))
    open_in_child(path)
    no_store = f"{str(path)!r} is no store of tracks that can be read"
    with as_one_error(
        Exception, lambda e: ChromatellError(f"{no_store} ({type(e).__name__}: {str(e)[:200]}). {REFUSED}")
    ):
        root = zarr.open_group(str(path), mode="r", use_consolidated=False)
        said = _read_manifest(root.attrs.asdict(), path)
        return _tracks(cls, root, said, path)


def is_tracks_store(path: Path) -> bool:
    """Return whether a path is a store of tracks, going by the metadata of its root alone."""
    return is_zarr(path) and _is_ours(path / "zarr.json")


def _is_ours(root: Path) -> bool:
    """Return whether the metadata of a store's root, looked at as bytes, name our kind."""
    return (
        root.is_file()
        and not root.is_symlink()
        and root.stat().st_size <= _MAX_ROOT
        and f'"{_KIND}"'.encode() in root.read_bytes()
    )


def _tracks(cls: type[Tracks], root: Any, said: dict[str, Any], path: Path) -> Tracks:
    table = track_table(pd.DataFrame(said["table"]["columns"], index=pd.Index(said["table"][NAME], dtype=object)))
    sizes = check_sizes(dict.fromkeys(c for c, _ in said["chrom_sizes"]), dict(said["chrom_sizes"]))
    values = {c: _array_of(root, f"values/{_folder(c)}", path) for c in sizes}
    tracks = cls(values, table, bin_size=said["bin_size"], chrom_sizes=sizes)
    bins = {c: tracks.n_bins_of(c) for c in sizes}
    for layer, names in said["layers"].items():
        names = tracks.check_names(names)
        arrays = {c: _array_of(root, f"layers/{store_key(layer)}/{_folder(c)}", path) for c in sizes}
        arrays = check_values(arrays, names, bins)
        tracks._layers[layer] = {n: {c: Row(arrays[c], i) for c in sizes} for i, n in enumerate(names)}
    for kind, dtype, into in (("masks", "uint8", tracks.masks), ("splits", "int8", tracks.splits)):
        if kind in root:
            for chrom, n in bins.items():
                array = _array_of(root, f"{kind}/{_folder(chrom)}", path)
                if array.shape != (n,) or array.dtype != dtype:
                    raise ChromatellError(f"{kind}/{chrom} of {str(path)!r} is not {dtype} ({n},). {REFUSED}")
                into[chrom] = array[:]
    if any(s.size and (s.min() < NO_SPLIT or s.max() >= len(SPLITS)) for s in tracks.splits.values()):
        raise ChromatellError(f"The split in {str(path)!r} holds other codes than -1, 0, 1, 2. {REFUSED}")
    tracks.uns = unpack_tables(said["uns"])
    if MODELS in root:  # their hashes are verified when a model is loaded
        tracks.uns[UNS] = {**tracks.uns.get(UNS, {}), MODELS: read_group_zarr(path / MODELS)}
    return tracks


def _array_of(root: Any, where: str, path: Path) -> Any:
    import zarr

    array = root.get(where)
    if not isinstance(array, zarr.Array):
        raise ChromatellError(f"{str(path)!r} lacks {where}; it is not whole. Copy it again, or save the tracks again.")
    if int(np.prod(array.chunks)) * array.dtype.itemsize > 64 * 1024**2:
        raise ChromatellError(f"{where} of {str(path)!r} has chunks over 64 MB. {REFUSED}")
    return array


def _manifest(
    table: pd.DataFrame,
    chrom_sizes: Mapping[str, int],
    bin_size: int,
    layers: Mapping[str, Sequence[str]],
    uns: Mapping[str, Any],
) -> str:
    said = {
        "schema": _SCHEMA,
        NEEDS: _FIRST_RELEASE,
        "bin_size": bin_size,
        "chrom_sizes": [[c, n] for c, n in chrom_sizes.items()],
        "table": {NAME: list(table.index), "columns": {str(c): table[c].tolist() for c in table}},
        "layers": {k: list(v) for k, v in layers.items()},
        "uns": pack_tables(uns),
    }
    try:
        text = json.dumps(said, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ChromatellError(
            f"The table or `uns` of the tracks cannot be stored ({error}): text, numbers, lists, dicts and tables can. "
            "Remove what else is there."
        ) from error
    if len(text) > MAX_JSON:
        raise ChromatellError("The table and `uns` of the tracks take over 16 MB as text. Remove what is large.")
    return text


def _without_models(uns: Mapping[str, Any]) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Return `uns` without the models, which are arrays, and the models."""
    own = uns.get(UNS, {})
    if not isinstance(own, Mapping) or MODELS not in own:
        return dict(uns), {}
    return {**uns, UNS: {k: v for k, v in own.items() if k != MODELS}}, own[MODELS]


def _read_manifest(attributes: Mapping[str, Any], path: Path) -> dict[str, Any]:
    if not isinstance(attributes.get(_MANIFEST), str):
        raise ChromatellError(f"{str(path)!r} has no manifest. {REFUSED}")
    said = parse_json(attributes[_MANIFEST], f"The manifest of {str(path)!r}", MAX_JSON)
    if not isinstance(said, dict) or any(name not in said for name in _FIELDS):
        raise ChromatellError(f"The manifest of {str(path)!r} lacks one of {list(_FIELDS)}. {REFUSED}")
    if said.get("schema") != _SCHEMA:
        raise ChromatellError(
            f"{str(path)!r} has schema {said.get('schema')!r}, this version reads {_SCHEMA}. {upgrade(said)}"
        )
    return said


def _folder(chrom: str) -> str:
    """Return the name of a chromosome as that of a folder: HLA-A*01 has a letter that file systems refuse."""
    text = quote(chrom, safe="")
    return text if text.strip(".") and text != "zarr.json" else text.replace(".", "%2E")
