"""What is altered and read: for each kind a sound file, ways to alter it, and what may come of reading it.

The answer of an altered file is the same as before; or it differs in a way that the documentation states (data carry no
hash, so that an altered value is another value; a card is outside of the hash; an odd row is left out); or there is one
`ChromatellError`. Anything else is a fault.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.fuzz import mutate, plain

SAME, DOCUMENTED, SILENT = "same", "documented", "silent"


class Kind:
    """One kind of file. `make` writes a sound one into a folder; `alter` changes it; `read` gives the answer."""

    name = ""
    file = ""

    def __init__(self, seeds: Path, work: Path):
        self.seed, self.path = seeds / self.file, work / self.file
        self.raw = b""

    def start(self) -> None:
        """Make ready in a new process."""
        if self.seed.is_dir():
            shutil.rmtree(self.path, ignore_errors=True)
            shutil.copytree(self.seed, self.path)
        else:
            self.raw = self.seed.read_bytes()
            self.path.write_bytes(self.raw)
        self.original = self.read()

    def make(self) -> None:
        """Write a sound file."""

    def alter(self, rng: np.random.Generator) -> None:
        self.path.write_bytes(mutate.mutate_bytes(self.raw, rng))

    def read(self) -> Any:
        """Return what the package reads, comparable by `equal`."""

    def restore(self) -> None:
        """Undo `alter`, where the file is not written anew each time."""

    def judge(self, answer: Any) -> str:
        return SAME if equal(answer, self.original) else SILENT


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        a, b = np.asarray(a), np.asarray(b)
        return a.shape == b.shape and a.dtype == b.dtype and bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))
    return bool(a == b)


def of_record(record: Any) -> dict[str, Any]:
    return {
        "family": record.family,
        "config": json.dumps(record.config),
        "names": json.dumps(record.var_names),
        "arrays": dict(record.arrays),
        "card": json.dumps(record.card),
    }


class ModelKind(Kind):
    """A stored model; only its card is outside of its hash."""

    def read(self) -> Any:
        from chromatell.io import read_record_file

        return of_record(read_record_file(self.path))

    def judge(self, answer: Any) -> str:
        if equal(answer, self.original):
            return SAME
        without = [{k: v for k, v in said.items() if k != "card"} for said in (answer, self.original)]
        return DOCUMENTED if equal(*without) else SILENT


def small_mdata() -> Any:
    import chromatell as ctl

    mdata = ctl.datasets.simulate_multiome(40, 8, 12, n_types=2, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    return mdata


def trained() -> Any:
    import chromatell as ctl

    mdata = small_mdata()
    ctl.tl.dense(mdata, train_kwargs={"max_epochs": 1}, seed=0, n_hidden=4)
    return mdata


class ModelH5(ModelKind):
    name, file = "model.h5mu", "model.h5mu"

    def make(self) -> None:
        trained().write_h5mu(self.seed)

    def alter(self, rng: np.random.Generator) -> None:
        if rng.random() < 0.5:
            super().alter(rng)
            return
        self.path.write_bytes(self.raw)
        mutate.mutate_hdf5(self.path, rng)


class ModelSafetensors(ModelKind):
    name, file = "model.safetensors", "model.safetensors"

    def make(self) -> None:
        from chromatell.io import read_record, save_record

        save_record(read_record(trained()), self.seed)

    def alter(self, rng: np.random.Generator) -> None:
        if rng.random() < 0.5:
            super().alter(rng)
            return
        length = int.from_bytes(self.raw[:8], "little")
        header = json.dumps(mutate.mutate_json(json.loads(self.raw[8 : 8 + length]), rng)).encode()
        self.path.write_bytes(len(header).to_bytes(8, "little") + header + self.raw[8 + length :])


class ZarrKind(Kind):
    def alter(self, rng: np.random.Generator) -> None:
        self._before: list[tuple[Path, bytes]] = []
        self._before = mutate.mutate_zarr(self.path, rng)

    def restore(self) -> None:
        for path, raw in self._before:
            path.write_bytes(raw)


class ModelZarr(ZarrKind, ModelKind):
    name, file = "model.zarr", "model.zarr"

    def make(self) -> None:
        import anndata

        from chromatell.io import read_record, write_record

        mdata = trained()
        small = anndata.AnnData(np.ones((2, 2), "float32"))
        write_record(small, "dense", read_record(mdata))
        small.write_zarr(self.seed)


class DataKind(Kind):
    """Cells: what is read must be what a plain look at the arrays gives; values carry no hash."""

    def read(self) -> Any:
        from mudata import MuData

        from chromatell.io import read

        data = read(self.path)
        mods = data.mod if isinstance(data, MuData) else {"": data}
        return {name: self.of(adata) for name, adata in mods.items()}

    @staticmethod
    def of(adata: Any) -> dict[str, Any]:
        import scipy.sparse as sp

        def dense(x: Any) -> np.ndarray:
            if sp.issparse(x):
                x.check_format(full_check=True)  # SciPy's own view of what was let through
                return np.asarray(x.todense())
            return np.asarray(x)

        found = {"X": None if adata.X is None else dense(adata.X)}
        found |= {f"layers/{k}": dense(v) for k, v in adata.layers.items() if k is not None}
        found |= {
            f"{axis}.{c}": np.asarray(t[c].astype(object).astype(str))
            for axis, t in (("obs", adata.obs), ("var", adata.var))
            for c in t
        }
        found |= {"cells": np.asarray(adata.obs_names, str), "names": np.asarray(adata.var_names, str)}
        return found

    def judge(self, answer: Any) -> str:
        return SAME if equal(answer, self.original) else DOCUMENTED


def cells() -> Any:
    """Return few cells with one of each thing that a file can hold, since the time to read it is that of its parts."""
    import pandas as pd
    import scipy.sparse as sp
    from anndata import AnnData
    from mudata import MuData

    rng, names = np.random.default_rng(0), [f"c{i}" for i in range(12)]
    obs = pd.DataFrame({"cell_type": pd.Categorical(["a", "b", "b"] * 4), "depth": rng.random(12)}, index=names)
    mods = {}
    for name, variables in (("rna", [f"g{i}" for i in range(6)]), ("atac", [f"chr1:{i}00-{i}50" for i in range(1, 9)])):
        x = sp.csr_matrix(rng.poisson(1.0, (12, len(variables))).astype("float32"))
        mods[name] = AnnData(x, obs=pd.DataFrame(index=names), var=pd.DataFrame(index=variables))
    mods["rna"].layers["columns"] = sp.csc_matrix(mods["rna"].X)
    mods["rna"].obsm["X_pca"] = rng.random((12, 2))
    mods["rna"].obs, mods["rna"].uns["note"] = obs, {"text": "x", "number": 1}
    return MuData(mods)


class DataH5ad(DataKind):
    name, file = "data.h5ad", "data.h5ad"

    def make(self) -> None:
        cells().mod["rna"].write_h5ad(self.seed)

    def alter(self, rng: np.random.Generator) -> None:
        if rng.random() < 0.4:
            super().alter(rng)
            return
        self.path.write_bytes(self.raw)
        mutate.mutate_hdf5(self.path, rng)


class DataH5mu(DataH5ad):
    name, file = "data.h5mu", "data.h5mu"

    def make(self) -> None:
        cells().write_h5mu(self.seed)


class DataZarr(ZarrKind, DataKind):
    name, file = "data.zarr", "data.zarr"

    def make(self) -> None:
        cells().mod["rna"].write_zarr(self.seed)


class Tracks(ZarrKind):
    """A store of tracks: values carry no hash."""

    name, file = "tracks.zarr", "tracks.zarr"

    def make(self) -> None:
        import chromatell as ctl

        rng = np.random.default_rng(0)
        values = {c: rng.poisson(1.0, (2, 40)) for c in ("chr1", "chr2")}
        ctl.data.BinnedTracks(values, ["a", "b"], chrom_sizes={"chr1": 2000, "chr2": 1990}).save(self.seed)

    def read(self) -> Any:
        import chromatell as ctl

        tracks = ctl.data.BinnedTracks.open(self.path)
        values = {f"{c}/{n}": tracks.values(c, [n])[0] for c in tracks.chroms for n in tracks.names}
        return {"sizes": dict(tracks.chrom_sizes), "table": tracks.table.to_dict("list"), **values}

    def judge(self, answer: Any) -> str:
        return SAME if equal(answer, self.original) else DOCUMENTED


class Predictions(ZarrKind):
    """A store of predictions, whose every file has a hash."""

    name, file = "predictions.zarr", "predictions.zarr"

    def make(self) -> None:
        import pandas as pd

        from chromatell.io import PredictionWriter

        var = pd.DataFrame({"region": [f"chr1:{i}-{i + 1}" for i in range(9)]}, index=[f"r{i}" for i in range(9)])
        with PredictionWriter(self.seed, [f"c{i}" for i in range(7)], var, chunks=(3, 4)) as writer:
            writer.write(slice(0, 7), slice(0, 9), np.random.default_rng(0).random((7, 9)))

    def start(self) -> None:
        from chromatell.io import prediction_reference

        self.hash = prediction_reference(self.seed)["hash"]
        super().start()

    def read(self) -> Any:
        import anndata

        from chromatell.io import open_prediction

        holder = anndata.AnnData(np.ones((1, 1), "float32"))
        holder.uns["ctl"] = {"predictions": {"p": {"path": self.path.name, "hash": self.hash}}}
        found = open_prediction(holder, folder=self.path.parent, verify=True)
        return {"X": np.asarray(found.to_memory().X), "cells": list(found.obs_names), "regions": list(found.var_names)}


class Signal(Kind):
    """A bigWig: values carry no hash."""

    name, file = "signal.bw", "signal.bw"

    def make(self) -> None:
        import chromatell as ctl

        values = {"chr1": np.random.default_rng(0).poisson(1.0, (1, 400)), "chr2": np.arange(40)[None]}
        tracks = ctl.data.BinnedTracks(values, ["a"], chrom_sizes={"chr1": 20_000, "chr2": 1990})
        ctl.io.bigwig.write(tracks, self.seed)

    def read(self) -> Any:
        import chromatell as ctl

        return ctl.io.bigwig.read(self.path)

    def judge(self, answer: Any) -> str:
        return SAME if equal(answer, self.original) else DOCUMENTED


class Text(Kind):
    """A table of text, against a second, plain parser: the rows that are valid, or an error where one is not."""

    text = ""
    parser: Callable[[str], plain.Rows] | None = None
    separator = "\t"

    def make(self) -> None:
        self.seed.write_text(self.text)

    def alter(self, rng: np.random.Generator) -> None:
        if rng.random() < 0.3:
            self.altered = mutate.mutate_bytes(self.raw, rng)
        else:
            self.altered = mutate.mutate_rows(self.raw.decode(), rng, self.separator).encode()
        self.path.write_bytes(self.altered)

    def judge(self, answer: Any) -> str:
        if equal(answer, self.original):
            return SAME
        parser = type(self).parser
        if parser is None:
            return DOCUMENTED
        lines = self.altered.splitlines(keepends=True)
        try:  # bytes that are no text in a comment say nothing
            rows, odd = parser(
                b"".join(b"#\n" if x.startswith(b"#") and not _is_text(x) else x for x in lines).decode()
            )
        except UnicodeDecodeError:
            return SILENT  # no text, and read without a word
        if answer != rows:
            return SILENT
        return DOCUMENTED if odd or rows != self.original else SAME


def _is_text(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
