"""Models whose content was altered and hashed again, as whoever makes a file can do."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.fuzz import mutate
from benchmarks.fuzz.kinds import DOCUMENTED, SAME, SILENT, Kind, equal, small_mdata, trained


class Rehashed(Kind):
    """A family's record: what loads must predict finite numbers of the right shape (a hash does not say who wrote)."""

    def make(self) -> None:
        from chromatell.io import save_record

        save_record(self.train(), self.seed)

    def train(self) -> Any: ...

    def query(self) -> Any:
        return small_mdata().mod["rna"]

    def start(self) -> None:
        from chromatell.io import load_record

        self.source, self.cells = load_record(self.seed), self.query()
        self.record = self.source
        self.original = self.read()

    def alter(self, rng: np.random.Generator) -> None:
        from chromatell.io import Record

        source = self.source
        config, arrays, names = source.config, dict(source.arrays), source.var_names
        kind = int(rng.integers(5))
        if kind <= 2 and arrays:
            name = str(rng.choice(sorted(arrays)))
            arrays[name] = (mutate.boundary if kind else mutate.reshaped)(arrays[name], rng)
        elif kind == 3:
            config = mutate.mutate_json(config, rng)
        else:
            names = mutate.mutate_json(names, rng)
        self.record = None
        self.record = Record(source.family, source.schema, config, arrays, names, source.card)

    def read(self) -> Any:
        from chromatell.models import family_class

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = family_class(self.record.family).from_record(self.record)
            return self.predict(model)

    def predict(self, model: Any) -> Any:
        return np.asarray(model.predict(self.cells))

    def judge(self, answer: Any) -> str:
        if equal(answer, self.original):
            return SAME
        return DOCUMENTED if np.isfinite(np.asarray(answer, dtype=float)).all() else SILENT


class Dense(Rehashed):
    name, file = "rehashed dense", "dense.safetensors"

    def train(self) -> Any:
        from chromatell.io import read_record

        return read_record(trained())


class AtacFormer(Rehashed):
    name, file = "rehashed atacformer", "atacformer.safetensors"

    def train(self) -> Any:
        import chromatell as ctl

        mdata = self.bins()
        ctl.tl.atacformer(mdata, labels="cell_type", train_kwargs={"max_epochs": 1}, seed=0)
        return ctl.io.read_record(mdata)

    @staticmethod
    def bins() -> Any:
        adata = small_mdata().mod["atac"].copy()
        mdata = small_mdata()
        for name in ("ctl_split", "cell_type"):
            adata.obs[name] = mdata.obs[name].to_numpy()
        return adata

    def query(self) -> Any:
        return self.bins()


class Nascent(Rehashed):
    architecture = "xgboost"
    name, file = "rehashed nascent xgboost", "nascent_xgboost.safetensors"

    def train(self) -> Any:
        import chromatell as ctl

        tracks = self.tracks()
        ctl.tl.nascent(tracks, architecture=self.architecture, window=5, train_kwargs={"max_epochs": 2}, seed=0)
        return ctl.io.read_record(tracks)

    @staticmethod
    def tracks() -> Any:
        import chromatell as ctl

        signal = np.random.default_rng(0).poisson(0.4, 400)
        tracks = ctl.data.BinnedTracks({"chr1": [signal, signal > 1]}, ["plus", "mark"], chrom_sizes={"chr1": 20_000})
        tracks.table.loc["plus", "role"] = "input"
        return tracks

    def query(self) -> Any:
        return self.tracks().select(["plus"])

    def predict(self, model: Any) -> Any:
        import chromatell as ctl

        found = ctl.tl.predict(self.cells, model=model)
        return np.concatenate([found.values(c, found.names_of(role="prediction")).ravel() for c in found.chroms])


class NascentDense(Nascent):
    architecture = "dense"
    name, file = "rehashed nascent dense", "nascent_dense.safetensors"


class NascentCnn(Nascent):
    architecture = "cnn"
    name, file = "rehashed nascent cnn", "nascent_cnn.safetensors"


class NascentTransfer(Nascent):
    """Trees, blend, widths, a CNN: so many bins that a CNN is fitted, and a target that it may serve."""

    architecture = "transfer"
    name, file = "rehashed nascent transfer", "nascent_transfer.safetensors"

    def query(self) -> Any:
        return Nascent.tracks().select(["plus"])

    @staticmethod
    def tracks() -> Any:
        import chromatell as ctl

        rng = np.random.default_rng(0)
        high = np.repeat(rng.random(2_000) < 0.1, 16).astype(np.float32)
        signal = rng.poisson(0.2 + 2 * high).astype(np.float32)
        tracks = ctl.data.BinnedTracks({"chr1": [signal, high]}, ["plus", "mark"], chrom_sizes={"chr1": 1_600_000})
        tracks.table.loc["plus", "role"] = "input"
        ctl.pp.split_regions(tracks, by="blocks", fractions=(0.8, 0.1, 0.1), block=100_000, width=250, seed=0)
        return tracks


class XChrom(Rehashed):
    name, file = "rehashed xchrom", "xchrom.safetensors"

    def train(self) -> Any:
        import chromatell as ctl

        mdata = self.sequenced(self.seed.parent)
        ctl.tl.xchrom(mdata, train_kwargs={"max_epochs": 1}, seed=0)
        return ctl.io.read_record(mdata)

    @staticmethod
    def sequenced(folder: Path) -> Any:
        import chromatell as ctl

        fasta = folder / "xchrom.fa"
        mdata = ctl.datasets.simulate_sequence_multiome(n_cells=40, n_regions=30, fasta_out=fasta, seed=0)
        ctl.pp.split_cells(mdata, seed=0)
        ctl.pp.add_sequence(mdata, fasta)
        return mdata

    def make(self) -> None:
        super().make()
        cells = self.sequenced(self.seed.parent).mod["rna"]
        cells.write_h5ad(self.seed.parent / "xchrom_query.h5ad")

    def query(self) -> Any:
        import anndata

        return anndata.read_h5ad(self.seed.parent / "xchrom_query.h5ad")


KINDS = (Dense, AtacFormer, Nascent, NascentDense, NascentCnn, NascentTransfer, XChrom)
