"""Public verbs leave all but what they document as it was: the data, key by key, and the process around it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import anndata as ad
import matplotlib.pyplot as plt
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.cures.inputs import annotation, tracks
from tests.test_side_effects import equal, snapshot

import chromatell as ctl

QUICK: dict[str, Any] = {"train_kwargs": {"max_epochs": 1}, "seed": 0}
FREE = {"io.PredictionWriter", "io.Record", "io.bigwig"}  # classes and a module, with tests of their own


def digest(value: Any) -> str:
    """A short text that differs where a value does."""
    if isinstance(value, pd.DataFrame | pd.Series):
        frame = value.to_frame() if isinstance(value, pd.Series) else value
        return digest([list(frame.columns), list(frame.index), *(digest(frame[c].to_numpy()) for c in frame)]) + str(
            list(frame.dtypes)
        )
    if sp.issparse(value):
        return digest([value.shape, value.data, value.indices, value.indptr])
    if isinstance(value, Mapping):
        return digest([(k, digest(v)) for k, v in sorted(value.items())])
    if isinstance(value, list | tuple):
        return hashlib.sha256("".join(map(digest, value)).encode()).hexdigest()[:12]
    if isinstance(value, np.ndarray) and value.dtype != object:
        return hashlib.sha256(f"{value.dtype}{value.shape}".encode() + value.tobytes()).hexdigest()[:12]
    return repr(value.tolist() if isinstance(value, np.ndarray) else value)


def leaves(data: Any, at: str = "") -> Iterator[tuple[str, str]]:
    """Yield (place, digest) of all that an object of the user holds."""
    if isinstance(data, ctl.data.BinnedTracks):
        yield from ((f"values/{c}/{n}", digest(data.values(c, [n]))) for c in data.chroms for n in data.names)
        yield from ((f"table/{c}", digest(data.table[c])) for c in data.table)
        yield from ((f"layers/{name}", "") for name in data.layers)
        yield from ((f"splits/{c}", digest(v)) for c, v in data.splits.items())
        yield from ((f"masks/{c}", digest(v)) for c, v in data.masks.items())
    elif isinstance(data, md.MuData):
        for name, adata in data.mod.items():
            yield from leaves(adata, f"mod/{name}/")
    if isinstance(data, ad.AnnData):
        yield f"{at}X", digest(data.X)
    for place in ("obs", "var", "obsm", "varm", "layers", "uns"):
        held = (
            getattr(data, place, None) if not (isinstance(data, ctl.data.BinnedTracks) and place == "layers") else None
        )
        for key in held if held is not None else ():
            if place == "uns" and key == "ctl":
                yield from ((f"{at}uns/ctl/{k}", digest(v)) for k, v in held[key].items())
            elif not (isinstance(data, md.MuData) and (":" in key or place in ("obsm", "varm", "var"))):  # pulled
                yield f"{at}{place}/{key}", digest(held[key])


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    mdata = ctl.datasets.simulate_multiome(60, 12, 30, n_types=2, depth=8, seed=0)
    ctl.pp.split_cells(mdata, fractions=(0.5, 0.1, 0.4), seed=0)
    ctl.pp.link_genes(mdata, annotation())
    ctl.tl.dense(mdata, n_hidden=4, dropout=0.2, n_members=1, **QUICK)
    ctl.tl.evaluate(mdata, baselines=["region_mean"], n_bootstrap=5)
    ctl.tl.fisher(mdata, n_bootstrap=2, baselines=[])
    ctl.tl.gene_activity(mdata)
    ctl.tl.rank_regions(mdata, "cell_type", n_bootstrap=5)
    ctl.tl.uncertainty(mdata, "cell_type", n_draws=2)
    ctl.tl.perturb(mdata, "gene_1", n_cells=5)
    ctl.tl.link_regions(mdata, n_cells=20)
    folder = tmp_path_factory.mktemp("cells")
    ctl.io.write(mdata, folder / "shared.h5mu")
    ctl.io.export_model(mdata, "dense", folder / "model")
    ctl.tl.predict(mdata, model=mdata, out=folder / "p.zarr")
    return {"m": mdata, "folder": folder, "region": mdata.mod["atac"].var_names[0]}


@pytest.fixture(scope="module")
def binned(tmp_path_factory):
    found = tracks(None, "trained")(None)["tracks"]
    ctl.pp.smooth_tracks(found, sigma=1)
    ctl.tl.evaluate(found, baselines=["log_signal"], n_bootstrap=0, resolutions=(50,), block=10_000)
    folder = tmp_path_factory.mktemp("tracks")
    ctl.io.bigwig.write(found, folder / "plus.bw", names=["plus"])
    return {"m": found, "bw": folder / "plus.bw", "folder": folder}


@pytest.fixture(scope="module")
def fragments(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fragments")
    (folder / "f.tsv").write_text("".join(f"chr1\t{s}\t{s + 100}\tA-1\t1\n" for s in range(0, 5000, 100)))
    rna = ctl.datasets.simulate_multiome(5, 3, 4).mod["rna"]
    return {"m": rna, "f": folder / "f.tsv", "folder": folder}


@pytest.fixture(scope="module")
def sequenced(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sequenced")
    fasta = folder / "genome.fa"
    m = ctl.datasets.simulate_sequence_multiome(n_cells=60, n_regions=160, n_genes=12, fasta_out=fasta, seed=0)
    ctl.pp.split_cells(m, seed=0)
    ctl.pp.add_sequence(m, fasta, width=608)
    ctl.pp.split_regions(m, seed=0)
    ctl.tl.xchrom(m, **SMALL_XCHROM, **QUICK)
    ctl.tl.ism(m, m.mod["atac"].var_names[:1], window=4)
    ctl.tl.motif_activity(m, MOTIFS, n_backgrounds=5)
    ctl.tl.tf_activity(m, MOTIFS, n_backgrounds=4)
    ctl.tl.neighbor_score(m, n_neighbors=(5,))
    return {"m": m, "fasta": fasta, "folder": folder, "region": m.mod["atac"].var_names[0]}


def variant(m: md.MuData) -> pd.DataFrame:
    """A change of the base in the middle of a region."""
    of = m.mod["atac"]
    chrom, span = of.var_names[0].split(":")
    start, end = map(int, span.split("-"))
    token = int(of.varm["dna_code"][0, of.varm["dna_code"].shape[1] // 2])
    return pd.DataFrame({"chrom": [chrom], "pos": [(start + end) // 2 + 1], "ref": "ACGT"[token], "alt": "CGTA"[token]})


SMALL_XCHROM: dict[str, Any] = {"stem_filters": 4}
MOTIFS = {
    name: np.eye(4)[[*order, *order]] * 0.96 + 0.01 for name, order in {"F": [0, 1, 2, 3], "G": [3, 3, 0, 1]}.items()
}
Call = tuple[str, Callable[[dict[str, Any]], Any], tuple[str, ...]]
PRED, UNS = "mod/atac_pred/", "uns/ctl/"
ACTIVITY = ("mod/rna/obsm/two", UNS + "two")
# verb -> fixture, call, what it documents that it writes: the beginnings of places, or names of files
CALLS: dict[str, Call] = {
    "pp.annotate_regions": ("cells", lambda d: ctl.pp.annotate_regions(d["m"], annotation()), ("mod/atac/", UNS)),
    "pp.bin_genome": ("cells", lambda d: ctl.pp.bin_genome(d["m"], chrom_sizes="hg38"), ()),
    "pp.bin_tracks": ("binned", lambda d: ctl.pp.bin_tracks({"plus": d["bw"]}), ()),
    "pp.count_regions": ("fragments", lambda d: ctl.pp.count_regions(d["f"], ["chr1:0-5000"], barcodes=["A-1"]), ()),
    "pp.link_genes": ("cells", lambda d: ctl.pp.link_genes(d["m"], annotation()), (UNS + "links",)),
    "pp.map_orthologs": ("cells", lambda d: ctl.pp.map_orthologs(d["m"].mod["rna"], orthologs(), copy=True), ()),
    "pp.mask_bins": ("binned", lambda d: ctl.pp.mask_bins(d["m"], all_zero=100_000), ("masks", "uns")),
    "pp.match_regions": ("cells", lambda d: ctl.pp.match_regions(d["m"], d["m"]), ()),
    "pp.select_features": (
        "cells",
        lambda d: ctl.pp.select_features(d["m"], n_regions=5),
        ("mod/rna/var/ctl_", "mod/atac/var/ctl_"),
    ),
    "pp.simulate_assay": ("binned", lambda d: ctl.pp.simulate_assay(d["m"], share=0.5, seed=0), ()),
    "pp.smooth_tracks": ("binned", lambda d: ctl.pp.smooth_tracks(d["m"], sigma=1, copy=True), ()),
    "pp.split_cells": ("cells", lambda d: ctl.pp.split_cells(d["m"], seed=1), ("obs/ctl_split", UNS + "split")),
    "pp.split_regions": (
        "cells",
        lambda d: ctl.pp.split_regions(d["m"]),
        ("mod/atac/var/ctl_split", UNS + "region_split"),
    ),
    "tl.add_prediction": (
        "cells",
        lambda d: ctl.tl.add_prediction(d["m"], np.full((60, 30), 0.1), key="mine"),
        (PRED,),
    ),
    "tl.baseline": ("cells", lambda d: ctl.tl.baseline(d["m"], "region_mean"), (PRED,)),
    "tl.call_regions": ("binned", lambda d: ctl.tl.call_regions(d["m"], "mark_nascent", threshold=0.5), ()),
    "tl.dense": (
        "cells",
        lambda d: ctl.tl.dense(d["m"], key_added="two", n_hidden=4, n_members=1, **QUICK),
        (PRED, UNS + "models"),
    ),
    "tl.evaluate": (
        "cells",
        lambda d: ctl.tl.evaluate(d["m"], baselines=["region_mean"], n_bootstrap=2),
        (UNS, PRED, "mod/atac/var/ctl_predictable"),
    ),
    "tl.fisher": ("cells", lambda d: ctl.tl.fisher(d["m"], n_bootstrap=2, baselines=[]), (UNS + "fisher",)),
    "tl.gene_activity": ("cells", lambda d: ctl.tl.gene_activity(d["m"]), ("mod/gene_activity",)),
    "tl.link_regions": ("cells", lambda d: ctl.tl.link_regions(d["m"], n_cells=20), (UNS + "region_links",)),
    "tl.nascent": (
        "binned",
        lambda d: ctl.tl.nascent(d["m"], window=5, key_added="two", train_kwargs={"max_epochs": 2}, seed=0),
        ("values/chr1/mark_two", "table", "uns"),
    ),
    "tl.perturb": ("cells", lambda d: ctl.tl.perturb(d["m"], "gene_1", n_cells=5), (UNS + "perturbation",)),
    "tl.predict": ("cells", lambda d: ctl.tl.predict(d["m"], model=d["m"]), ()),
    "tl.rank_regions": (
        "cells",
        lambda d: ctl.tl.rank_regions(d["m"], "cell_type", n_bootstrap=5),
        (UNS + "rank_regions",),
    ),
    "tl.uncertainty": ("cells", lambda d: ctl.tl.uncertainty(d["m"], "cell_type", n_draws=2), (UNS + "uncertainty",)),
    "pp.add_sequence": (
        "sequenced",
        lambda d: ctl.pp.add_sequence(d["m"], d["fasta"], width=300, key_added="two"),
        ("mod/atac/varm/two", "mod/atac/var/ctl_unknown", "mod/atac/var/ctl_has_sequence", UNS + "two"),
    ),
    "pp.embed_sequence": (
        "sequenced",
        lambda d: ctl.pp.embed_sequence(d["m"], d["fasta"], k=2, n_components=4),
        ("mod/atac/varm/X_dna", UNS + "X_dna"),
    ),
    "tl.atacformer": (
        "cells",
        lambda d: ctl.tl.atacformer(d["m"], labels="cell_type", d=8, n_hidden=8, n_layers=1, n_heads=2, **QUICK),
        (
            "mod/atac/obsm/X_atacformer",
            "mod/atac/obs/cell_type_",
            "mod/atac/obsm/cell_type_",
            UNS + "models",
        ),
    ),
    "tl.xchrom": (
        "sequenced",
        lambda d: ctl.tl.xchrom(d["m"], key_added="two", **SMALL_XCHROM, **QUICK),
        (PRED, UNS + "models", "mod/atac/varm/X_two", "mod/rna/obsm/X_two"),
    ),
    "tl.attribute": (
        "sequenced",
        lambda d: ctl.tl.attribute(d["m"], d["region"], n_shuffles=2),
        (UNS + "attribution",),
    ),
    "tl.ism": ("sequenced", lambda d: ctl.tl.ism(d["m"], d["region"], window=4), (UNS + "ism",)),
    "tl.motif_activity": (
        "sequenced",
        lambda d: ctl.tl.motif_activity(d["m"], MOTIFS, n_backgrounds=5, key_added="two"),
        ACTIVITY,
    ),
    "tl.neighbor_score": (
        "sequenced",
        lambda d: ctl.tl.neighbor_score(d["m"], n_neighbors=(5,)),
        (UNS + "neighbor_score",),
    ),
    "tl.tf_activity": (
        "sequenced",
        lambda d: ctl.tl.tf_activity(d["m"], MOTIFS, n_backgrounds=4, key_added="two"),
        ACTIVITY,
    ),
    "tl.variant_effect": (
        "sequenced",
        lambda d: ctl.tl.variant_effect(d["m"], variant(d["m"]), fasta=d["fasta"], n_null=5),
        (UNS + "variant_effect",),
    ),
    "pl.embedding_scores": ("sequenced", lambda d: ctl.pl.embedding_scores(d["m"]), ()),
    "pl.ism_heatmap": ("sequenced", lambda d: ctl.pl.ism_heatmap(d["m"], group="type_1"), ()),
    "pl.logo": ("sequenced", lambda d: ctl.pl.logo(d["m"], group="type_1"), ()),
    "pl.motif_activity": ("sequenced", lambda d: ctl.pl.motif_activity(d["m"]), ()),
    "pl.tf_activity": ("sequenced", lambda d: ctl.pl.tf_activity(d["m"]), ()),
    "pl.uncertainty": ("cells", lambda d: ctl.pl.uncertainty(d["m"]), ()),
    "pl.browser": ("cells", lambda d: ctl.pl.browser(d["m"], d["region"]), ()),
    "pl.calibration": ("cells", lambda d: ctl.pl.calibration(d["m"]), ()),
    "pl.confusion": ("cells", lambda d: ctl.pl.confusion(d["m"]), ()),
    "pl.gene_activity": ("cells", lambda d: ctl.pl.gene_activity(d["m"]), ()),
    "pl.history": ("cells", lambda d: ctl.pl.history(d["m"]), ()),
    "pl.leaderboard": ("cells", lambda d: ctl.pl.leaderboard(d["m"]), ()),
    "pl.link_regions": ("cells", lambda d: ctl.pl.link_regions(d["m"]), ()),
    "pl.metric_by_chromosome": ("binned", lambda d: ctl.pl.metric_by_chromosome(d["m"]), ()),
    "pl.per_cell_per_region": ("cells", lambda d: ctl.pl.per_cell_per_region(d["m"]), ()),
    "pl.perturb": ("cells", lambda d: ctl.pl.perturb(d["m"]), ()),
    "pl.pr_curve": ("cells", lambda d: ctl.pl.pr_curve(d["m"]), ()),
    "pl.rank_regions": ("cells", lambda d: ctl.pl.rank_regions(d["m"]), ()),
    "pl.region": ("cells", lambda d: ctl.pl.region(d["m"], d["region"]), ()),
    "pl.track_scatter": ("binned", lambda d: ctl.pl.track_scatter(d["m"], "mark", "nascent", view="raw"), ()),
    "pl.tracks": ("binned", lambda d: ctl.pl.tracks(d["m"], "chr1:0-5,000"), ()),
    "get.measured": ("cells", lambda d: ctl.get.measured(d["m"]), ()),
    "get.merge_results": ("cells", lambda d: ctl.get.merge_results(d["m"], ctl.get.measured(d["m"])), ()),
    "get.prediction": ("cells", lambda d: ctl.get.prediction(d["m"], groupby="cell_type"), ()),
    "io.check_file": ("cells", lambda d: ctl.io.check_file(d["folder"] / "shared.h5mu"), ()),
    "io.content_hash": ("cells", lambda d: ctl.io.content_hash(ctl.io.read_record(d["m"])), ()),
    "io.export_model": ("cells", lambda d: ctl.io.export_model(d["m"], "dense", "made"), ("made",)),
    "io.import_model": (
        "cells",
        lambda d: ctl.io.import_model(d["folder"] / "model", d["m"], key="two"),
        (UNS + "models",),
    ),
    "io.load_record": ("cells", lambda d: ctl.io.load_record(d["folder"] / "model"), ()),
    "io.model_keys": ("cells", lambda d: ctl.io.model_keys(d["m"]), ()),
    "io.open_cells": ("cells", lambda d: ctl.io.open_cells(d["folder"] / "shared.h5mu"), ()),
    "io.open_prediction": ("cells", lambda d: ctl.io.open_prediction(d["folder"] / "p.zarr"), ()),
    "io.prediction_reference": ("cells", lambda d: ctl.io.prediction_reference(d["folder"] / "p.zarr"), ()),
    "io.read": ("cells", lambda d: ctl.io.read(d["folder"] / "shared.h5mu"), ()),
    "io.read_record": ("cells", lambda d: ctl.io.read_record(d["m"]), ()),
    "io.read_record_file": ("cells", lambda d: ctl.io.read_record_file(d["folder"] / "model"), ()),
    "io.report": ("cells", lambda d: ctl.io.report(d["m"], "made.html"), ("made.html",)),
    "io.resolve_sibling": ("cells", lambda d: ctl.io.resolve_sibling(d["folder"] / "shared.h5mu", "p.zarr"), ()),
    "io.save_record": ("cells", lambda d: ctl.io.save_record(ctl.io.read_record(d["m"]), "made"), ("made",)),
    "io.write": ("cells", lambda d: ctl.io.write(d["m"], "made.h5mu"), ("made.h5mu",)),
    "io.write_record": (
        "cells",
        lambda d: ctl.io.write_record(d["m"], "two", ctl.io.read_record(d["m"])),
        (UNS + "models",),
    ),
    "io.write_shuffled": ("cells", lambda d: ctl.io.write_shuffled(d["m"], "made.zarr"), ("made.zarr",)),
    "io.write_tracks": ("cells", lambda d: ctl.io.write_tracks(d["m"], "cell_type", "made", genome="hg38"), ("made",)),
}


def orthologs() -> pd.DataFrame:
    return pd.DataFrame({"from": [f"gene_{i}" for i in range(1, 13)], "to": list("ABCDEFGHIJKL")})


def test_every_public_verb_is_here():
    of = {f"{ns}.{name}" for ns in ("pp", "tl", "pl", "get", "io") for name in getattr(ctl, ns).__all__}
    assert CALLS.keys() == of - FREE


@pytest.mark.filterwarnings("ignore::chromatell.ChromatellWarning")
@pytest.mark.parametrize("name", CALLS)
def test_it_changes_what_it_documents_alone(name, request, tmp_path, monkeypatch):
    fixture, call, written = CALLS[name]
    made = request.getfixturevalue(fixture)
    given = {**made, "m": made["m"].copy()}
    monkeypatch.chdir(tmp_path)
    call({**given, "m": made["m"].copy()})  # what libraries do where they are loaded, and figures, are not the call's
    plt.close("all")
    for path in sorted(tmp_path.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folders = [made["folder"]] if "folder" in made else []
    data, around = dict(leaves(given["m"])), snapshot(tmp_path, *folders)
    call(given)
    after, later = dict(leaves(given["m"])), snapshot(tmp_path, *folders)
    plt.close("all")
    changed = {place for place in data.keys() | after.keys() if data.get(place) != after.get(place)}
    assert {place for place in changed if not place.startswith(written)} == set()
    files = {path for path in later["files"] if not str(path).startswith(tuple(str(tmp_path / w) for w in written))}
    assert files == around["files"].keys()
    assert {what for what in around if what != "files" and not equal(around[what], later[what])} == set()
