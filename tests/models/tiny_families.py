"""A tiny model of each family, for tests of what all have in common; also run as a script, in several processes."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import traceback
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from lightning.pytorch import Callback
from lightning.pytorch.utilities import rank_zero_only

import chromatell as ctl

EPOCHS = 3


@functools.cache
def cells():
    mdata = ctl.datasets.simulate_multiome(260, 30, 40, n_types=2, seed=0)
    ctl.pp.split_cells(mdata, fractions=(0.6, 0.25, 0.15), seed=0)
    kind = mdata.obs["cell_type"].astype(object)
    kind[np.arange(len(kind)) % 23 > 0] = np.nan  # most batches of part of the cells hold no label
    mdata["atac"].obs["kind"] = kind
    return mdata


FOLDER = Path()  # where the cells on disk are, see `write_cells`


def write_cells(folder):
    """Write the cells as they are read from disk, and, in other.h5mu, with one count more."""
    global FOLDER
    FOLDER, mdata = folder, cells().copy()
    mdata.write(folder / "cells.h5mu")
    mdata.write_zarr(folder / "cells.zarr")
    x = mdata["atac"].X.tolil()
    x[7, 3] += 1
    mdata["atac"].X = x.tocsr()
    mdata.write(folder / "other.h5mu")


def dense_on_disk(name):
    mdata = ctl.io.open_cells(FOLDER / name)
    ctl.models.Dense.setup_mudata(mdata)
    return ctl.models.Dense(mdata, n_hidden=16, n_latent=8, dropout=0.0, dropout_in=0.0, depth_mix=0.0)


@functools.cache
def sequences():
    mdata = ctl.datasets.simulate_sequence_multiome(n_cells=90, n_regions=80, seed=0)
    ctl.pp.split_cells(mdata, fractions=(0.6, 0.25, 0.15), seed=0)
    return mdata


@functools.cache
def tracks():
    rng = np.random.default_rng(0)
    values = {}
    for chrom in ("chr1", "chr2"):
        rate = np.repeat(rng.gamma(0.3, 2.0, 100), 20)
        values[chrom] = np.stack([rng.poisson(rate), rng.poisson(rate), np.log1p(rate), rate > 2]).astype(np.float32)
    table = pd.DataFrame({"name": ["plus", "minus", "mark", "rare"], "strand": ["+", "-", ".", "."]})
    table["assay"] = ["PRO", "PRO", "H3K4me3", "H3K27ac"]
    table["role"] = ["input", "input", "target", "target"]
    found = ctl.data.BinnedTracks(values, table, chrom_sizes=dict.fromkeys(values, 100_000))
    ctl.pp.split_regions(found, by="blocks", fractions=(0.6, 0.2, 0.2), block=5000, width=1050, seed=0)
    return found


def dense(**options):
    mdata = cells().copy()
    ctl.models.Dense.setup_mudata(mdata)
    return ctl.models.Dense(mdata, **{"n_hidden": 16, "n_latent": 8, **options})


def xchrom(**options):
    mdata = sequences().copy()
    ctl.models.XChrom.setup_mudata(mdata)
    tower = {"stem_filters": 8, "n_embed": 4, "n_pcs": 4, "warm_epochs": 2}
    if options.get("preset") != "xchrom":
        tower["hidden_filters"] = 8
    return ctl.models.XChrom(mdata, **{**tower, **options})


def atacformer(**options):
    mdata = cells().copy()
    ctl.models.AtacFormer.setup_mudata(mdata, labels="kind")
    sizes = {"d": 16, "k": 8, "n_hidden": 16, "n_layers": 1, "n_heads": 2}
    return ctl.models.AtacFormer(mdata, **{**sizes, **options})


def nascent(**options):
    return ctl.models.Nascent(tracks(), **options)


CNN = {"architecture": "cnn", "window": 21, "n_filters": 4, "stretch": 100, "depth_jitter": 0.0, "strand_flip": False}
MODELS = {
    "dense": lambda: dense(preset="default", n_pcs=8, dropout=0.0, dropout_in=0.0, depth_mix=0.0),
    "dense-dice": lambda: dense(loss="focal_dice", norm="batch", dropout=0.0, dropout_in=0.0),
    "xchrom": lambda: xchrom(dropout=0.0, max_shift=0),
    "xchrom-basset": lambda: xchrom(
        preset="xchrom",
        sequence_length=96,
        stem_filters=4,
        filters=(4,),
        last_filters=4,
        max_shift=0,
        noise=0.0,
        reverse_complement=False,
        dropout=0.0,
    ),  # fmt: skip
    "atacformer": lambda: atacformer(dropout=0.0),
    "atacformer-contrastive": lambda: atacformer(dropout=0.0, contrastive=True),
    "nascent-dense": lambda: nascent(architecture="dense", window=11, n_hidden=8, n_layers=2, dropout=0.0),
    "nascent-cnn": lambda: nascent(**CNN, dropout=0.0),
    "nascent-xgboost": lambda: nascent(architecture="xgboost", window=11, min_child_weight=1),
}
ON_DISK = {f"dense-{end}": functools.partial(dense_on_disk, f"cells.{end}") for end in ("h5mu", "zarr")}
TRAIN = {"precision": "32-true", "accelerator": "cpu", "seed": 1, "max_epochs": EPOCHS}


def train(name, **options):
    """Return a trained tiny model."""
    model = (MODELS | ON_DISK)[name]()
    model.train(**{**TRAIN, **options})
    return model


def arrays(model):
    """Return what a model holds, with its losses."""
    return model.to_record().arrays


# what is trained in two processes too, and how
IN_TWO: dict[str, dict] = {name: {} for name in MODELS | ON_DISK if name != "nascent-xgboost"}
IN_TWO["dense"] = {"patience": 1}
RESUMED = {"xchrom": (1, 2), "dense": (1,), "atacformer": (1, 2), "nascent-dense": (1, 2), "nascent-cnn": (1, 2)}


def predicted(model):
    """Return predictions as one array."""
    found = model.predict()
    return found.values("chr1") if hasattr(found, "values") else found


class StopIn(Callback):
    """Ctrl-C in the middle of an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_train_batch_start(self, trainer, *args):
        if trainer.current_epoch == self.epoch:
            raise KeyboardInterrupt


def main(out: Path, rank: int) -> None:
    """Train as one of two processes, and write what this one has."""
    global FOLDER
    FOLDER = out
    several = {"devices": 2, "trainer_kwargs": {"strategy": "ddp"}}
    try:
        dense_on_disk(("cells.h5mu", "other.h5mu")[rank]).train(**{**TRAIN, **several})
    except ctl.ChromatellError as error:
        (out / f"differs.{rank}").write_text(str(error))

    def keep(name, model):
        np.savez(out / f"{name}.{rank}.npz", predicted=predicted(model), **arrays(model))

    for name, options in IN_TWO.items():
        keep(name, train(name, **several, **options))
    for name, epochs in RESUMED.items():
        options = {**IN_TWO[name], "checkpoint_dir": out / f"resumed-{name}"}
        for epoch in epochs:
            stop = {"devices": 2, "trainer_kwargs": {"strategy": "ddp", "callbacks": [StopIn(epoch)]}}
            with contextlib.suppress(KeyboardInterrupt):
                train(name, **stop, **options)
        keep(f"resumed-{name}", train(name, **several, **options))
    mdata = cells().copy()
    options = {**TRAIN, **several, "max_epochs": 1}
    del options["seed"]
    ctl.tl.dense(mdata, out=out / "store.zarr", seed=1, train_kwargs=options)
    stored = mdata.uns["ctl"]["predictions"]["dense"]
    values = ad.read_zarr(out / "store.zarr").X
    np.savez(out / f"store.{rank}.npz", values=values, hash=str(stored["hash"]))


if __name__ == "__main__":
    # one import for both: the second process is a copy of the first, made before anything is computed
    child = os.fork()
    os.environ["LOCAL_RANK"] = str(int(child == 0))
    rank_zero_only.rank = int(child == 0)
    failed = 1
    try:
        main(Path(sys.argv[1]), int(child == 0))
        failed = 0
    finally:
        if failed:
            traceback.print_exc()
        if child and not failed:
            failed = os.waitpid(child, 0)[1]
        elif child:
            os.kill(child, signal.SIGKILL)
        sys.stderr.flush()
        os._exit(int(failed != 0))
