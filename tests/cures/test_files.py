"""Errors about files, tracks and stores: the printed line is run, and the error is gone."""

from __future__ import annotations

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from tests.cures.harness import Cure
from tests.cures.inputs import changed, tracks, trained

import chromatell as ctl
from chromatell.cli._files import read_multiome
from chromatell.datasets._simulate_sequence_multiome import true_log_rate

NASCENT = "ctl.tl.nascent(tracks, window=5, train_kwargs={'max_epochs': 2}, seed=0)"
TRACK_SCORE = "ctl.tl.evaluate(tracks, baselines=['log_signal'], n_bootstrap=0)"
SPLIT = {"by='blocks'": "by='blocks', block=20_000, width=250"}


def of_bins(size, names=("plus", "mark"), n=8000):
    rng = np.random.default_rng(1)
    values = {"chr1": rng.poisson(1.0, (len(names), n)).astype("float32")}
    found = ctl.data.BinnedTracks(values, list(names), chrom_sizes={"chr1": n * size}, bin_size=size)
    found.table["role"] = ["input", "target"][: len(names)]
    return found


def bigwigs(found):
    for name in found.names[:2]:
        ctl.io.bigwig.write(found, ".", names=name)
    return {name: f"{name}.bw" for name in found.names[:2]}


def finer(found):
    """Tracks in bins of 25 bp, whose bigWigs can be binned again."""
    other = of_bins(25)
    return {"parts": other, "files": bigwigs(other), "other": found}


def of_a_model(found):
    other = of_bins(25)
    return {"tracks": other, "files": bigwigs(other), "model": ctl.models.load(found, key="nascent")}


def stored(found):
    found.save("one.zarr")
    return {"parts": ["one.zarr"]}


def no_train(found):
    found.splits["chr1"][:] = 2


def one_unknown(found):
    """A second target, unknown in all training bins."""
    values = found.values("chr1", "mark").copy()
    values[:, found.usable("chr1", "train")] = np.nan
    found.add({"chr1": values}, pd.DataFrame({"name": ["other"], "assay": ["other"], "role": ["target"]}))


def backed(mdata):
    ctl.io.write(mdata, "cells.h5mu")
    return {"mdata": ctl.io.open_cells("cells.h5mu"), "path": "cells.h5mu"}


def without_proteins(mdata):
    prot = ad.AnnData(np.random.default_rng(0).poisson(5.0, (80, 4)).astype("float32"))
    prot.obs_names, prot.var_names = mdata.obs_names, [f"p{i}" for i in range(4)]
    whole = mdata.copy()
    whole.mod["prot"] = prot
    whole.update()
    few = {"train_kwargs": {"max_epochs": 1}, "n_hidden": 4, "n_members": 1}
    ctl.tl.dense(whole, inputs=("rna", "prot"), **few)
    return {"model": whole, "prot": prot, "mdata": mdata}


def one_modality(mdata):
    with h5py.File("paired.h5mu", "w"):
        pass
    mdata.mod["rna"].write_h5ad("paired.h5mu")
    return {"read_multiome": read_multiome}


def one_array(mdata):
    with h5py.File("x.h5mu", "w") as file:
        file["x"] = np.arange(3)
    return {"path": "x.h5mu"}


CURES = [
    Cure(
        "one modality in a file",
        "read_multiome('paired.h5mu')",
        "holds one AnnData; paired cells",
        changed(one_modality),
    ),
    Cure(
        "an array in a file",
        "ctl.io.read(path)",
        "is no MuData or AnnData that can be read",
        changed(one_array),
        instead=True,
    ),
    Cure("no number", "ctl.settings.seed = -1", "a whole number from 0 or None", lambda _: {}, take=(1,), instead=True),
    Cure("stores for tracks", "ctl.data.concat_tracks(parts)", "must be a list of", tracks(stored)),
    Cure(
        "bins of two sizes",
        "ctl.data.concat_tracks([parts, other])",
        "The parts have bins of",
        tracks(lambda t: {**finer(t), "other": of_bins(50, ["a", "b"], 4000)}),
        fill={"bin_size=25": "bin_size=50"},
        into="parts",
    ),
    Cure(
        "a store of cells",
        "ctl.data.BinnedTracks.open('cells.zarr')",
        "is a Zarr store, but not of tracks",
        changed(lambda m: ctl.io.write(m, "cells.zarr")),
        instead=True,
    ),
    Cure(
        "a chromosome of no length",
        "ctl.data.BinnedTracks({'chr21': np.zeros((1, 934_200))}, ['a'], chrom_sizes=chrom_sizes)",
        "chrom_sizes lacks 'chr21'",
        lambda _: {"chrom_sizes": {"chr1": 5000}},
        into="chrom_sizes",
    ),
    Cure(
        "a modality that the model reads",
        "ctl.tl.predict(mdata, model)",
        "reads 'prot' beside 'rna'",
        changed(without_proteins),
        fill={"'prot': ...": "'prot': prot"},
        take=(0,),
    ),
    Cure(
        "a copy of cells in a file",
        "ctl.pp.split_cells(mdata, copy=True)",
        "copy=True was asked of cells whose matrices lie in a file",
        changed(backed),
    ),
    Cure(
        "no truth",
        "true_log_rate(mdata, np.zeros((2, 1344), 'int8'))",
        "the truth is known of simulated data alone",
        changed(lambda m: {"true_log_rate": true_log_rate}),
        fill={"multiome()": "multiome(n_cells=20, n_regions=20)"},
        into="mdata",
    ),
    Cure(
        "no store to refer to",
        "ctl.io.prediction_reference('p.zarr')",
        "is not a store that",
        trained(),
        fill={"..., out=path": "rna, model=mdata, out='p.zarr'"},
    ),
    Cure(
        "no training bin",
        NASCENT,
        "No usable bin is marked 'train'",
        tracks(no_train),
        fill=SPLIT,
    ),
    Cure(
        "no training bin to transfer",
        NASCENT.replace("window=5", "window=5, architecture='transfer'"),
        "No usable bin is marked 'train'",
        tracks(no_train),
        fill=SPLIT,
    ),
    Cure(
        "a target that no training bin knows",
        NASCENT,
        "The targets 'other' are unknown in the training bins",
        tracks(one_unknown),
        take=("targets",),
    ),
    Cure(
        "a target that no training bin knows, for a baseline",
        TRACK_SCORE,
        "no usable training bin in which 'other' are known",
        tracks(one_unknown, start="trained"),
        take=("targets",),
    ),
    Cure(
        "no training bin for a baseline",
        TRACK_SCORE,
        "no usable training bin in which|No usable bin is 'val' or 'train'",
        tracks(no_train),
        fill=SPLIT,
    ),
    Cure(
        "cells for a model of tracks",
        "ctl.models.Nascent.setup_mudata(mdata)",
        "needs no set-up",
        lambda folder: {**changed()(folder), "files": bigwigs(of_bins(50))},
        instead=True,
    ),
    Cure(
        "bins of another size than the model's",
        "ctl.tl.predict(tracks, model)",
        "The tracks have bins of 25 bp, the model reads 50 bp",
        tracks(of_a_model, start="trained"),
        into="tracks",
    ),
]


@pytest.mark.filterwarnings("ignore::chromatell.ChromatellWarning")
@pytest.mark.parametrize("case", CURES, ids=lambda c: c.name)
def test_the_line_that_is_printed_cures(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ctl.settings, "seed", ctl.settings.seed)
    case.run(tmp_path)
