"""Verbs take what they wrote before from a file, cells whose matrices lie in one, and views, as they take a copy."""

from __future__ import annotations

import inspect
from typing import Any

import anndata as ad
import matplotlib.pyplot as plt
import mudata as md
import numpy as np
import pytest
from tests.test_side_effects_verbs import CALLS, QUICK, annotation, leaves, orthologs, variant
from tests.test_side_effects_verbs import cells as cells  # fixtures
from tests.test_side_effects_verbs import sequenced as sequenced

import chromatell as ctl
from chromatell._compat import layer_names

pytestmark = pytest.mark.filterwarnings("ignore::chromatell.ChromatellWarning")
SMALL: dict[str, Any] = {"n_hidden": 4, "n_members": 1, **QUICK}
OF_CELLS = {name: call for name, (of, call, _) in CALLS.items() if of in ("cells", "sequenced")}
WRITING = [n for n in OF_CELLS if "copy" in inspect.signature(eval(f"ctl.{n}")).parameters and n != "pp.map_orthologs"]
WRITES_TABLES = {  # of modalities
    *("pp.add_sequence", "pp.annotate_regions", "pp.embed_sequence", "pp.select_features", "pp.split_regions"),
    *("tl.atacformer", "tl.evaluate", "tl.motif_activity", "tl.tf_activity", "tl.uncertainty", "tl.xchrom", "io.write"),
}
READERS = {
    "all links": lambda d: ctl.tl.dense(d["m"], key_added="links", linked_genes=True, **SMALL),
    "shared": lambda d: ctl.tl.dense(d["m"], key_added="shared", encoder="shared", n_members=1, **QUICK),
    "proximity": lambda d: ctl.pp.select_features(d["m"], method="proximity", n_genes=5),
    "one gene": lambda d: ctl.tl.link_regions(d["m"], genes=["gene_1"], n_cells=20),
    **{name: call for name, call in OF_CELLS.items() if name.startswith("pl.") or name == "io.report"},
    "effects": lambda d: ctl.pl.logo(d["m"], group="type_1", key="attribution"),
}
SEQUENCED = {"effects", *(name for name, (of, _, _) in CALLS.items() if of == "sequenced")}


@pytest.fixture(scope="module")
def stored(cells, sequenced, tmp_path_factory):
    """Return both sets of cells with all that verbs write into `uns`, and the files of them."""
    folder, made = tmp_path_factory.mktemp("stored"), {}
    ctl.pp.split_regions(cells["m"])
    ctl.pp.annotate_regions(cells["m"], annotation())
    ctl.tl.attribute(sequenced["m"], sequenced["region"], n_shuffles=2)
    ctl.tl.variant_effect(sequenced["m"], variant(sequenced["m"]), fasta=sequenced["fasta"], n_null=5)
    ctl.pp.embed_sequence(sequenced["m"], sequenced["fasta"], k=2, n_components=4)
    for name, given in (("cells", cells), ("sequenced", sequenced)):
        for end in ("h5mu", "zarr"):
            ctl.io.write(given["m"], folder / f"{name}.{end}")
        made[name] = {**given, "h5mu": folder / f"{name}.h5mu", "zarr": folder / f"{name}.zarr"}
    return made


def of(stored, name):
    return stored["sequenced" if name in SEQUENCED else "cells"]


def test_all_entries_are_there(stored):
    there = {key for given in stored.values() for key in given["m"].uns["ctl"]}
    every = """models links evaluation gains curves fisher split region_split region_classes rank_regions uncertainty
        region_links perturbation ism attribution variant_effect neighbor_score tf_activity motif_activity X_dna
        sequence"""
    assert there >= set(every.split())


@pytest.mark.parametrize("reader", [ctl.io.read, md.read_zarr, "h5mu"], ids=["zarr", "mudata", "h5mu"])
@pytest.mark.parametrize("name", READERS)
def test_entries_of_files_are_read(name, reader, stored, tmp_path, monkeypatch):
    given = of(stored, name)
    data = ctl.io.read(given["h5mu"]) if reader == "h5mu" else reader(given["zarr"])
    monkeypatch.chdir(tmp_path)
    READERS[name]({**given, "m": data})
    plt.close("all")


def test_links_and_perturbations_of_a_store_are_those_in_memory(stored):
    given = stored["cells"]
    own, kept = given["m"].copy(), md.read_zarr(given["zarr"])
    for data in (own, kept):
        READERS["all links"]({"m": data})
        READERS["one gene"]({"m": data})
    assert kept.uns["ctl"]["links"]["gene"].dtype != object  # else this tests nothing
    np.testing.assert_array_equal(*(ctl.get.prediction(d, key="links").X for d in (own, kept)))
    columns = ["gene", "region", "distance", "effect"]
    tables = [d.uns["ctl"]["region_links"]["table"][columns].astype({"gene": str, "region": str}) for d in (own, kept)]
    assert tables[0].reset_index(drop=True).equals(tables[1].reset_index(drop=True))
    labels = [[t.get_text() for t in ctl.pl.perturb(d).get_yticklabels()] for d in (own, kept)]
    plt.close("all")
    assert labels[0] == labels[1]
    assert set(labels[0]) <= set(own.mod["atac"].var_names)


@pytest.mark.parametrize("end", ["h5mu", "zarr"])
def test_what_came_from_a_store_is_written_again(end, stored, tmp_path):
    path = ctl.io.write(md.read_zarr(stored["cells"]["zarr"]), tmp_path / f"again.{end}")
    links, own = (data.uns["ctl"]["links"] for data in (ctl.io.read(path), stored["cells"]["m"]))
    assert all(links[part].tolist() == own[part].tolist() for part in ("gene", "region"))


def test_effects_of_a_store_as_a_table(stored):
    from chromatell.cli._ism import long_table

    given = stored["sequenced"]
    own, kept = (long_table(d.uns["ctl"]["ism"]) for d in (given["m"], md.read_zarr(given["zarr"])))
    assert own.equals(kept)


def test_the_command_line_reads_links_of_a_store(stored, tmp_path, monkeypatch):
    from chromatell.cli import main

    monkeypatch.chdir(tmp_path)
    assert not main(["train", str(stored["cells"]["zarr"]), "--linked-genes", "--max-epochs", "1", "-o", "made.h5mu"])


@pytest.mark.parametrize("kind", ["backed", "view"])
@pytest.mark.parametrize("name", WRITING)
def test_verbs_write_into_cells_in_a_file_and_into_views(name, kind, stored):
    given = of(stored, name)
    plain = {**given, "m": given["m"].copy()}
    OF_CELLS[name](plain)
    before, untouched = given["h5mu"].read_bytes(), dict(leaves(given["m"]))
    data = md.read_h5mu(given["h5mu"], backed="r") if kind == "backed" else given["m"][given["m"].obs_names]
    try:
        OF_CELLS[name]({**given, "m": data})
        assert dict(leaves(data)).keys() >= {place for place in dict(leaves(plain["m"])) if ":" not in place}
        assert data.n_vars == sum(adata.n_vars for adata in data.mod.values())
        if "atac_pred" in data.mod:
            assert ctl.get.prediction(data).shape == ctl.get.prediction(plain["m"]).shape
    finally:
        if kind == "backed":
            data.file.close()
    assert given["h5mu"].read_bytes() == before
    assert dict(leaves(given["m"])) == untouched


@pytest.mark.parametrize("mode", ["r", "r+"])
def test_a_second_model_of_cells_in_a_file(mode, stored, tmp_path):
    given = stored["cells"]
    path = tmp_path / "cells.h5mu"
    path.write_bytes(given["h5mu"].read_bytes())
    before = path.read_bytes()
    own = given["m"].copy()
    backed = md.read_h5mu(path, backed=mode)
    first = np.asarray(own.mod["atac_pred"].X)
    try:
        for data in (own, backed):
            ctl.tl.dense(data, key_added="second", stack=False, **SMALL)
            ctl.tl.baseline(data, "region_mean")
        assert backed.mod["rna"].isbacked
        np.testing.assert_array_equal(ctl.get.prediction(backed, key="dense").X, first)
        for key in ("second", "region_mean"):
            np.testing.assert_allclose(*(ctl.get.prediction(d, key=key).X for d in (own, backed)), atol=1e-5)
        assert not np.array_equal(ctl.get.prediction(backed, key="second").X, first)
        kept = ctl.io.read(ctl.io.write(backed, tmp_path / "other.zarr"))
        assert ctl.io.model_keys(kept) == ["dense", "second"]
        np.testing.assert_array_equal(ctl.get.prediction(kept, key="dense").X, first)
    finally:
        backed.file.close()
    assert path.read_bytes() == before


@pytest.mark.parametrize("named", [{"layer": "counts"}, {"rna": "gex", "atac": "peaks"}])
def test_a_second_model_of_cells_in_a_file_under_other_names(named, stored, tmp_path):
    own = stored["cells"]["m"].copy()
    for name in ("rna", "atac"):
        own.mod[name].layers["counts"] = own.mod[name].X.copy()
    if "rna" in named:
        mods = {{"rna": "gex", "atac": "peaks"}.get(name, name): adata for name, adata in own.mod.items()}
        own, whole = md.MuData(mods), own
        own.uns.update(whole.uns)
        own.obs["ctl_split"] = whole.obs["ctl_split"]
    first = np.asarray(own.mod["atac_pred"].X)
    backed = md.read_h5mu(ctl.io.write(own, tmp_path / "named.h5mu"), backed="r")
    try:
        for data in (own, backed):
            ctl.tl.dense(data, key_added="second", stack=False, **named, **SMALL)
            np.testing.assert_array_equal(ctl.get.prediction(data, key="dense").X, first)
        second, there = (ctl.get.prediction(d, key="second").X for d in (own, backed))
        np.testing.assert_allclose(there, second, atol=1e-5)
        assert not np.array_equal(there, first)
    finally:
        backed.file.close()


def test_nothing_is_written_of_a_second_model_that_fails(stored, monkeypatch):
    import chromatell.tl._train as train

    def fails(*args: Any) -> None:
        raise ValueError("full")

    backed = md.read_h5mu(stored["cells"]["h5mu"], backed="r")
    there = backed.mod["atac_pred"]
    monkeypatch.setattr(train, "write_out_of_range", fails)
    try:
        with pytest.raises(ValueError, match="full"):
            ctl.tl.dense(backed, key_added="second", **SMALL)
        assert backed.mod["atac_pred"] is there
        assert there.isbacked
        assert not layer_names(there)
        assert ctl.io.model_keys(backed) == ["dense"]
        np.testing.assert_array_equal(ctl.get.prediction(backed).X, ctl.get.prediction(stored["cells"]["m"]).X)
    finally:
        backed.file.close()


@pytest.mark.parametrize("name", [*WRITING, "io.write", "io.write_record", "io.import_model"])
def test_a_view_of_cells_in_a_file_is_refused_and_cured(name, stored, tmp_path, monkeypatch):
    given = of(stored, name)
    monkeypatch.chdir(tmp_path)
    backed = md.read_h5mu(given["h5mu"], backed="r")
    mdata = backed[backed.obs_names]
    try:
        with pytest.raises(ctl.ChromatellError, match=r"^mdata is a view of cells .*copy\(filename='part.h5mu'\)\.$"):
            OF_CELLS[name]({**given, "m": mdata})
        mdata = mdata.copy(filename="part.h5mu")  # the printed line
        OF_CELLS[name]({**given, "m": mdata})
        mdata.file.close()
    finally:
        backed.file.close()


@pytest.mark.parametrize("name", [*WRITING, "io.write"])
def test_modalities_that_are_views_of_files_are_taken_or_refused_before_work(name, stored, tmp_path, monkeypatch):
    given = of(stored, name)
    monkeypatch.chdir(tmp_path)
    own = given["m"].copy()
    for one, adata in own.mod.items():
        adata.write_h5ad(f"{one}.h5ad")
    held = {one: ad.read_h5ad(f"{one}.h5ad", backed="r") for one in own.mod}
    mdata = md.MuData({one: adata[own.obs_names] for one, adata in held.items()})
    for column in own.obs:
        mdata.obs[column] = own.obs[column]
    mdata.uns.update(own.uns)
    if name in WRITES_TABLES:
        with pytest.raises(ctl.ChromatellError, match=r"is a view of cells .* in a file \(rna.h5ad\)") as caught:
            OF_CELLS[name]({**given, "m": mdata})
        exec(str(caught.value).partition("first: ")[2].rstrip("."), {"mdata": mdata})  # the printed line
    OF_CELLS[name]({**given, "m": mdata})
    for adata in held.values():
        adata.file.close()


def test_an_anndata_that_is_a_view_of_a_file(stored, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stored["cells"]["m"].mod["rna"].write_h5ad("rna.h5ad")
    whole = ad.read_h5ad("rna.h5ad", backed="r")
    adata = whole[whole.obs_names[:20]]
    for call in (
        lambda d: ctl.pp.map_orthologs(d, orthologs()),
        lambda d: ctl.io.write(d, "part.h5ad", overwrite=True),
    ):
        with pytest.raises(ctl.ChromatellError, match=r"^adata is a view of .*\(rna.h5ad\).*adata\.to_memory\(\)\.$"):
            call(adata)
        call(adata.to_memory())
    whole.file.close()


def test_the_first_modality_added_to_a_part_of_the_cells(stored):
    """A view of some of the cells takes what a copy of them takes; what it was made of stays."""
    whole = stored["cells"]["m"].copy()
    del whole.mod["atac_pred"], whole.mod["gene_activity"]
    whole.update()
    names = whole.obs_names[5:50]
    for call, at in (
        (lambda d: ctl.tl.gene_activity(d, key="atac"), "gene_activity"),
        (lambda d: ctl.tl.baseline(d, "knn", seed=0), "atac_pred"),
        (lambda d: ctl.tl.add_prediction(d, np.full((45, 30), 0.2), key="mine"), "atac_pred"),
    ):
        view, own = whole[names], whole[names].copy()
        call(view)
        call(own)
        np.testing.assert_array_equal(view.mod[at].X, own.mod[at].X)
        assert list(view.mod) == list(own.mod)
        assert view.shape == own.shape
        assert not view.is_view
        assert view.obs.equals(own.obs)
        assert view.var.equals(own.var)
        assert list(whole.mod) == ["rna", "atac"]
        assert whole.n_vars == 42
