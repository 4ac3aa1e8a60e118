"""The commands, called in process: exit codes, files, the same numbers and errors as the Python calls."""

from __future__ import annotations

import subprocess
import sys

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import chromatell as ctl
from chromatell.cli import _demo, main
from chromatell.cli._tables import gains, leaderboard

FAST = ["--max-epochs", "2"]
XCHROM = ["train", "IN", "-o", "OUT", "--family", "xchrom", "--seed", "3", "--max-epochs", "1"]


def one_line(text: str) -> str:
    """Without the line breaks that the width of a terminal makes."""
    return " ".join(text.split())


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


def predicted(mdata, layer=None):
    pred = mdata.mod["atac_pred"]
    return pred.X if layer is None else pred.layers[layer]


@pytest.fixture(scope="module")
def simulated():
    return ctl.datasets.simulate_multiome(160, 25, 60, n_types=2, seed=0)


@pytest.fixture
def cells(simulated, tmp_path):
    """A file of paired cells without a split, alone in its folder."""
    path = tmp_path / "cells.h5mu"
    simulated.write_h5mu(path)
    return path


@pytest.fixture(scope="module")
def shared(simulated, tmp_path_factory):
    """A trained file, as the command writes it."""
    folder = tmp_path_factory.mktemp("shared")
    simulated.write_h5mu(folder / "cells.h5mu")
    assert main(["train", str(folder / "cells.h5mu"), "-o", str(folder / "shared.h5mu"), "--seed", "3", *FAST]) == 0
    return folder / "shared.h5mu"


@pytest.fixture(scope="module")
def by_api(simulated):
    """The same in Python."""
    mdata = simulated.copy()
    ctl.pp.split_cells(mdata, seed=3)
    ctl.tl.dense(mdata, seed=3, train_kwargs={"max_epochs": 2})
    return mdata


@pytest.fixture
def query(simulated, tmp_path):
    path = tmp_path / "query.h5ad"
    rna = simulated.mod["rna"][:30].copy()
    rna[:, rna.var_names[::-1]].copy().write_h5ad(path)
    return path


# ---- train


def test_train_writes_the_same_prediction_and_model_as_the_api(shared, by_api, simulated):
    written = ctl.io.read(shared)
    np.testing.assert_array_equal(predicted(written), predicted(by_api))
    assert list(written.obs["ctl_split"].astype(str)) == list(by_api.obs["ctl_split"].astype(str))
    assert (written.mod["rna"].X != simulated.mod["rna"].X).nnz == 0
    assert names(shared.parent) == {"cells.h5mu", "shared.h5mu"}
    loaded, own = ctl.models.load(shared), ctl.models.load(by_api)
    for name, values in own.to_record().arrays.items():
        np.testing.assert_array_equal(loaded.to_record().arrays[name], values, err_msg=name)


def test_train_says_that_it_makes_a_split_and_what_to_do_next(cells, capsys):
    out = cells.with_name("out.h5mu")
    assert main(["train", str(cells), "-o", str(out), "--seed", "5", "--key", "mine", *FAST]) == 0
    said = capsys.readouterr()
    assert "it has no obs['ctl_split'], so cells are split at random, seed 5" in one_line(said.err)
    assert "Cells: 112 train, 16 val, 32 test" in one_line(said.err)
    assert f"chromatell evaluate {out}" in said.out
    assert ctl.io.model_keys(ctl.io.read(out)) == ["mine"]


def test_train_keeps_the_split_and_the_features_that_are_there(simulated, tmp_path, capsys):
    mdata = simulated.copy()
    ctl.pp.split_cells(mdata, fractions=(0.5, 0.2, 0.3), seed=9)
    ctl.pp.select_features(mdata, n_regions=17)
    mdata.write_h5mu(tmp_path / "in.h5mu")
    assert main(["train", str(tmp_path / "in.h5mu"), "-o", str(tmp_path / "out.h5mu"), *FAST]) == 0
    written = ctl.io.read(tmp_path / "out.h5mu")
    assert list(written.obs["ctl_split"]) == list(mdata.obs["ctl_split"])
    assert written.mod["atac_pred"].n_vars == 17
    assert "is used" in capsys.readouterr().err


def test_train_replaces_a_split_only_when_told_to(simulated, tmp_path, capsys):
    mdata = simulated.copy()
    ctl.pp.split_cells(mdata, seed=9)
    mdata.write_h5mu(tmp_path / "in.h5mu")
    call = ["train", str(tmp_path / "in.h5mu"), "-o", str(tmp_path / "out.h5mu"), *FAST]
    assert main([*call, "--split-by", "donor", "--fractions", "0.5", "0.25", "0.25"]) == 0
    written = ctl.io.read(tmp_path / "out.h5mu")
    assert written.obs.groupby("donor", observed=True)["ctl_split"].nunique().eq(1).all()
    assert "its split is replaced by 'donor'" in one_line(capsys.readouterr().err)


def test_train_selects_features_and_passes_options_on(cells, simulated, capsys):
    out = cells.with_name("out.zarr")
    options = ["--n-genes", "12", "--n-regions", "20", "--min-open", "0.01", "--loss", "focal", "--batch-key", "donor"]
    call = ["train", str(cells), "-o", str(out), "--seed", "3", "--depth", "fixed", *options, *FAST]
    assert main(call) == 0
    mdata = simulated.copy()
    ctl.pp.split_cells(mdata, seed=3)
    ctl.pp.select_features(mdata, n_genes=12, n_regions=20, min_open=0.01, seed=3)
    ctl.tl.dense(mdata, seed=3, loss="focal", batch_key="donor", depth="fixed", train_kwargs={"max_epochs": 2})
    written = ctl.io.read(out)
    np.testing.assert_array_equal(predicted(written), predicted(mdata))
    assert list(written.mod["atac_pred"].var["region"]) == list(mdata.mod["atac_pred"].var["region"])
    assert names(cells.parent) == {"cells.h5mu", "out.zarr"}


def test_train_writes_predictions_into_a_store_beside_the_output(cells, by_api):
    out, store = cells.with_name("out.h5mu"), cells.with_name("values.zarr")
    assert main(["train", str(cells), "-o", str(out), "--seed", "3", "--predictions", str(store), *FAST]) == 0
    assert "atac_pred" not in ctl.io.read(out).mod
    opened = ctl.io.open_prediction(out)
    np.testing.assert_allclose(np.asarray(opened.X), predicted(by_api), atol=1e-6)


def test_train_keeps_its_state_where_told_to(cells):
    state = cells.with_name("state")
    call = ["train", str(cells), "-o", str(cells.with_name("out.h5mu")), "--checkpoint-dir", str(state), "--seed", "3"]
    assert main([*call, "--max-epochs", "1"]) == 0
    assert (state / "last.ckpt").is_file()


# ---- train and predict with a model that reads DNA


@pytest.fixture(scope="module")
def with_sequence():
    """Cells and regions of a made-up genome."""
    pytest.importorskip("pyjaspar")
    return ctl.datasets.simulate_sequence_multiome(n_cells=120, n_regions=90, n_genes=30, n_types=2, width=640, seed=0)


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    """The same genome as a FASTA."""
    pytest.importorskip("pyfaidx")
    path = tmp_path_factory.mktemp("genome") / "made_up.fa"
    ctl.datasets.simulate_sequence_multiome(
        n_cells=2, n_regions=90, n_genes=30, n_types=2, width=640, seed=0, fasta_out=path
    )
    return path


@pytest.fixture
def paired(with_sequence, tmp_path):
    """A file of cells without sequences."""
    mdata = with_sequence.copy()
    del mdata.mod["atac"].varm["dna_code"]
    mdata.write_h5mu(tmp_path / "paired.h5mu")
    return tmp_path / "paired.h5mu"


def call(words, given, out):
    return [{"IN": str(given), "OUT": str(out)}.get(word, str(word)) for word in words]


def test_train_xchrom_and_predict_new_regions_equal_the_api(with_sequence, paired, genome, tmp_path, capsys):
    out = tmp_path / "shared.h5mu"
    words = [*XCHROM, "--fasta", genome, "--width", "640", "--split-regions", "chromosome", "--embedding", "none"]
    assert main(call([*words, "--no-region-effect", "--cells-per-batch", "40"], paired, out)) == 0
    said = capsys.readouterr()
    assert "Regions: " in one_line(said.err)
    assert "[--regions NEW.bed --fasta GENOME.fa]" in said.out
    assert ctl.io.model_keys(ctl.io.read(out)) == ["xchrom"]

    mdata = with_sequence.copy()
    ctl.pp.split_cells(mdata, seed=3)
    ctl.pp.split_regions(mdata, seed=3)
    options = {"embedding": None, "region_effect": False, "cells_per_batch": 40}
    ctl.tl.xchrom(mdata, seed=3, train_kwargs={"max_epochs": 1}, **options)
    written = ctl.io.read(out)
    np.testing.assert_array_equal(predicted(written), predicted(mdata))
    assert list(written.mod["atac"].var["ctl_split"]) == list(mdata.mod["atac"].var["ctl_split"])
    np.testing.assert_array_equal(written.mod["atac"].varm["dna_code"], mdata.mod["atac"].varm["dna_code"])

    query, bed, answer = tmp_path / "query.h5ad", tmp_path / "new.bed", tmp_path / "answer.h5mu"
    mdata.mod["rna"][:20].copy().write_h5ad(query)
    bed.write_text("chr1\t2000\t2500\nchr2\t3001\t3400\n")
    asked = ["predict", query, "--model", out, "-o", answer, "--regions", bed, "--fasta", genome]
    assert main([str(word) for word in asked]) == 0
    expected = ctl.tl.predict(query, model=out, regions=bed, fasta=genome)
    assert list(expected.mod["atac_pred"].var["region"]) == ["chr1:2000-2500", "chr2:3001-3400"]
    np.testing.assert_array_equal(predicted(ctl.io.read(answer)), predicted(expected))
    capsys.readouterr()
    missing = refused(["predict", query, "--model", out, "-o", answer, "--regions", bed], capsys, 1)
    assert "Name the genome for their sequence" in missing
    bed.write_text("chr9\t2000\t2500\n")
    assert "chr9" in refused(asked, capsys, 1)
    bed.write_text("chr1 2000 2500\n")
    assert "does not read as BED" in refused(asked, capsys, 1)


def test_train_xchrom_uses_the_sequences_and_splits_that_are_there(with_sequence, genome, tmp_path, capsys):
    mdata = with_sequence.copy()
    ctl.pp.split_cells(mdata, seed=1)
    ctl.pp.split_regions(mdata, by="random", seed=1)
    given, out = tmp_path / "in.h5mu", tmp_path / "out.h5mu"
    mdata.write_h5mu(given)
    assert main(call([*XCHROM, "--key", "mine"], given, out)) == 0
    said = one_line(capsys.readouterr().err)
    assert "The sequences in varm['dna_code']" in said
    assert "The split of regions in var['ctl_split']" in said
    assert list(ctl.io.read(out).mod["atac"].var["ctl_split"]) == list(mdata.mod["atac"].var["ctl_split"])
    assert ctl.io.model_keys(ctl.io.read(out)) == ["mine"]

    words = [*XCHROM, "--fasta", genome, "--width", "640", "--test-chromosomes", "chr2,chr5"]
    assert main(call(words, given, out)) == 0
    said = one_line(capsys.readouterr().err)
    assert "its sequences are replaced" in said
    assert "its split of regions is replaced" in said
    regions = ctl.io.read(out).mod["atac"].var
    assert set(regions["chrom"][regions["ctl_split"] == "test"]) == {"chr2", "chr5"}


def test_train_xchrom_says_that_no_region_is_held_out(with_sequence, tmp_path, capsys):
    given, out = tmp_path / "in.h5mu", tmp_path / "out.h5mu"
    with_sequence.write_h5mu(given)
    assert main(call(XCHROM, given, out)) == 0
    assert "No region is held out; --split-regions chromosome would do so" in one_line(capsys.readouterr().err)
    assert "ctl_split" not in ctl.io.read(out).mod["atac"].var


def test_train_xchrom_without_a_usable_genome_is_one_line(paired, tmp_path, capsys):
    out, before = tmp_path / "out.h5mu", names(tmp_path)
    assert "Name the genome of their build: --fasta GENOME.fa" in refused(call(XCHROM, paired, out), capsys, 1)
    absent = [*XCHROM, "--fasta", tmp_path / "absent.fa"]
    assert "is not there" in refused(call(absent, paired, out), capsys, 1)
    assert "is a folder" in refused(call([*XCHROM, "--fasta", tmp_path], paired, out), capsys, 1)
    assert names(tmp_path) == before
    other = tmp_path / "other.fa"
    other.write_text(">chrZ\n" + "ACGT" * 500 + "\n")
    assert "has none of the regions' chromosomes" in refused(call([*XCHROM, "--fasta", other], paired, out), capsys, 1)
    assert not out.exists()


def test_predict_regions_with_a_model_that_reads_no_sequence(shared, query, tmp_path, capsys):
    bed = tmp_path / "new.bed"
    bed.write_text("chr1\t2000\t2500\n")
    words = ["predict", query, "--model", shared, "-o", tmp_path / "out.h5mu", "--regions", bed]
    assert "need a model that reads sequence: XChrom" in refused(words, capsys, 1)
    words[-1] = tmp_path / "absent.bed"
    assert "absent.bed' is not there" in refused(words, capsys, 1)


# ---- predict


def test_predict_equals_the_api(shared, query, capsys):
    out = query.with_name("predicted.h5mu")
    assert main(["predict", str(query), "--model", str(shared), "-o", str(out)]) == 0
    expected = ctl.tl.predict(query, model=shared)
    np.testing.assert_array_equal(predicted(ctl.io.read(out)), predicted(expected))
    np.testing.assert_allclose(predicted(expected), predicted(ctl.io.read(shared))[:30], atol=1e-6)
    assert f"Wrote the predictions for 30 cells to {out}." in capsys.readouterr().out


def test_predict_into_a_store_and_at_another_depth(shared, query):
    out, store = query.with_name("predicted.h5mu"), query.with_name("values.zarr")
    call = ["predict", str(query), "--model", str(shared), "-o", str(out), "--key", "dense", "--depth", "fixed"]
    assert main([*call, "--out-store", str(store)]) == 0
    expected = ctl.tl.predict(query, model=shared, depth="fixed")
    np.testing.assert_allclose(np.asarray(ctl.io.open_prediction(out).X), predicted(expected), atol=1e-6)


def test_predict_may_replace_the_query_only_when_told_to(shared, simulated, tmp_path):
    path = tmp_path / "query.h5mu"
    md.MuData({"rna": simulated.mod["rna"][:10].copy()}).write_h5mu(path)
    call = ["predict", str(path), "--model", str(shared), "-o", str(path)]
    assert main(call) == 2
    assert set(ctl.io.read(path).mod) == {"rna"}
    assert main([*call, "--overwrite"]) == 0
    assert set(ctl.io.read(path).mod) == {"rna", "atac_pred"}


def test_predict_never_replaces_the_model_unasked(shared, query, capsys):
    before = shared.read_bytes()
    assert main(["predict", str(query), "--model", str(shared), "-o", str(shared)]) == 2
    assert "is an input too" in capsys.readouterr().err
    assert shared.read_bytes() == before


# ---- evaluate


def test_evaluate_prints_and_writes_the_same_table_as_the_api(shared, tmp_path, capsys):
    out, csv = tmp_path / "scored.h5mu", tmp_path / "scores.csv"
    options = ["--baselines", "region_mean,knn", "--n-bootstrap", "20", "--views", "overall,per_cell", "--seed", "1"]
    before = shared.read_bytes()
    assert main(["evaluate", str(shared), "-o", str(out), "--csv", str(csv), *options]) == 0
    mdata = ctl.io.read(shared)
    ctl.tl.evaluate(mdata, baselines=["region_mean", "knn"], n_bootstrap=20, views=["overall", "per_cell"], seed=1)
    expected = mdata.uns["ctl"]["evaluation"]
    assert_frame_equal(pd.read_csv(csv), expected.reset_index(drop=True), check_dtype=False, atol=1e-12)
    written = ctl.io.read(out).uns["ctl"]["evaluation"]
    np.testing.assert_allclose(written["value"], expected["value"])
    assert shared.read_bytes() == before
    assert names(tmp_path) == {"scored.h5mu", "scores.csv"}
    said = capsys.readouterr().out
    ap = expected.set_index(["model", "view", "metric"]).loc[("dense", "overall", "ap")]
    assert f"{ap['value']:.3f}" in said
    assert f"{ap['ci_low']:.3f}–{ap['ci_high']:.3f}" in said
    assert "Gain over the best baseline" in said


def test_evaluate_without_output_writes_nothing(shared, capsys):
    before = names(shared.parent), shared.read_bytes()
    assert main(["evaluate", str(shared), "--baselines", "none", "--labels", "none", "--n-bootstrap", "0"]) == 0
    assert (names(shared.parent), shared.read_bytes()) == before
    said = capsys.readouterr().out
    assert "Gain" not in said
    assert "dense" in said


def test_the_leaderboard_orders_and_marks_its_rows(by_api, capsys):
    mdata = by_api.copy()
    kinds = ["region_mean", "knn", "region_mean_true_depth"]
    ctl.tl.evaluate(mdata, baselines=kinds, n_bootstrap=20, seed=0)
    table = leaderboard(mdata, "title", "note")
    rows = [str(cell).split("\n")[0] for cell in table.columns[0].cells]
    scores = mdata.uns["ctl"]["evaluation"]
    ap = scores[(scores["view"] == "overall") & (scores["metric"] == "ap")].set_index("model")["value"]
    assert rows == ["dense", *ap[["region_mean", "knn"]].sort_values(ascending=False).index, "region_mean_true_depth"]
    assert "reads the cells' ATAC" in str(list(table.columns[0].cells)[-1])
    shown = gains(mdata)
    # of 32 test cells no two types have the 20 that a profile needs
    assert [str(cell) for cell in shown.columns[1].cells] == [
        "AP, all pairs",
        "AUROC, per cell",
        "AUROC, depth-matched",
    ]
    gain = mdata.uns["ctl"]["gains"].set_index(["view", "metric"]).loc[("overall", "ap")]
    assert next(iter(shown.columns[2].cells)) == gain["baseline"]
    assert str(next(iter(shown.columns[3].cells))) == f"{gain['gain']:+.4f}"
    assert ap["dense"] - ap[gain["baseline"]] == pytest.approx(gain["gain"])


# ---- demo


@pytest.fixture
def small_example(monkeypatch):
    """In place of the packaged cells, so that the test takes seconds."""
    make = lambda: ctl.datasets.simulate_multiome(240, 20, 620, n_types=2, seed=1)  # noqa: E731
    monkeypatch.setattr(ctl.datasets, "pbmc_example", make)
    return make


def test_demo_does_what_it_prints(small_example, tmp_path, monkeypatch, capsys):
    assert main(["demo", "--out", str(tmp_path / "new")]) == 0
    said = capsys.readouterr()
    figures = [f"demo_{name}.png" for name in ("leaderboard", "pr_curve", "per_cell_per_region", "calibration")]
    assert names(tmp_path / "new") == {"demo.h5mu", *figures}
    assert all((tmp_path / "new" / name).read_bytes().startswith(b"\x89PNG") for name in figures)
    assert said.err == ""  # quiet where nobody watches
    assert one_line(_demo.NOTE) in one_line(said.out)
    assert "smoothed the expression over neighbouring cells" in _demo.NOTE
    assert "51 genes" in _demo.NOTE
    assert "From expression only, with the model in" in said.out
    assert one_line(_demo.SAME) in one_line(said.out)

    monkeypatch.chdir(tmp_path)
    space: dict = {}
    exec(_demo.SAME, space)
    demo, same = ctl.io.read(tmp_path / "new" / "demo.h5mu"), space["mdata"]
    np.testing.assert_array_equal(predicted(demo), predicted(same))
    np.testing.assert_array_equal(predicted(space["query"]), predicted(same))
    for name in ("evaluation", "gains", "fisher"):
        a, b = demo.uns["ctl"][name], same.uns["ctl"][name]
        assert_frame_equal(a.reset_index(drop=True), b.reset_index(drop=True), check_dtype=False)


def test_demo_leaves_no_figure_open(small_example, tmp_path):
    import matplotlib.pyplot as plt

    plt.close("all")
    mdata = small_example()
    ctl.pp.split_cells(mdata, seed=0)
    ctl.tl.baseline(mdata, "svd_ridge")
    ctl.tl.evaluate(mdata, baselines=["region_mean"], n_bootstrap=0)
    assert len(_demo._save_figures(mdata, tmp_path)) == 4
    assert plt.get_fignums() == []


# ---- errors


def refused(argv, capsys, code) -> str:
    """Run a command that must fail; return what it wrote to stderr."""
    assert main([str(word) for word in argv]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    return said.err


def test_an_absent_file_is_one_line_and_exit_code_1(tmp_path, capsys):
    absent = tmp_path / "absent.h5mu"
    for argv in (
        ["train", absent, "-o", tmp_path / "out.h5mu"],
        ["evaluate", absent],
        ["predict", absent, "--model", absent, "-o", tmp_path / "out.h5mu"],
    ):
        error = refused(argv, capsys, 1)
        assert error.startswith("Error: ")
        assert "absent.h5mu" in error
    assert names(tmp_path) == set()


def test_the_error_is_that_of_the_api(simulated, tmp_path, capsys):
    lame = md.MuData({"rna": simulated.mod["rna"].copy(), "atac": simulated.mod["atac"][::-1].copy()})
    lame.write_h5mu(tmp_path / "in.h5mu")
    error = refused(["train", tmp_path / "in.h5mu", "-o", tmp_path / "out.h5mu"], capsys, 1)
    with pytest.raises(ctl.ChromatellError) as raised:
        ctl.pp.split_cells(ctl.io.read(tmp_path / "in.h5mu"))
    assert str(raised.value) in error
    assert names(tmp_path) == {"in.h5mu"}


def test_train_needs_paired_cells(query, capsys):
    error = refused(["train", query, "-o", query.with_name("out.h5mu")], capsys, 1)
    assert "one AnnData; paired cells" in error
    assert names(query.parent) == {"query.h5ad"}


def test_a_truncated_file_a_wrong_key_and_too_few_genes(shared, query, tmp_path, capsys):
    cut = tmp_path / "cut.h5mu"
    cut.write_bytes(shared.read_bytes()[:4000])
    out = tmp_path / "out.h5mu"
    assert "cut" in refused(["evaluate", cut, "-o", out], capsys, 1)
    assert "'dense'" in refused(["predict", query, "--model", shared, "--key", "other", "-o", out], capsys, 1)
    few = ad.read_h5ad(query)[:, :5].copy()
    few.write_h5ad(query)
    assert "genes" in refused(["predict", query, "--model", shared, "-o", out], capsys, 1)
    assert "atac_pred" in refused(["evaluate", shared.with_name("cells.h5mu"), "-o", out], capsys, 1)
    assert names(tmp_path) == {"cut.h5mu", "query.h5ad"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "IN", "-o", "IN"], "is an input too"),
        (["train", "IN", "-o", "out.txt"], "must end in .h5mu or .zarr"),
        (["train", "IN", "-o", "nowhere/out.h5mu"], "does not exist"),
        (["train", "IN", "-o", "out.h5mu", "--predictions", "values.h5"], "must end in .zarr"),
        (["train", "IN", "-o", "out.h5mu", "--predictions", "deep/values.zarr"], "in the folder of the output"),
        (["train", "IN", "-o", "out.h5mu", "--predictions", "there.zarr"], "is there already"),
        (["train", "IN", "-o", "folder.h5mu"], "is a folder"),
        (["train", "IN", "-o", "out.h5mu", "--fasta", "genome.fa"], "--fasta is for --family xchrom"),
        (["train", "IN", "-o", "out.h5mu", "--region-effect"], "--region-effect is for --family xchrom"),
        (["train", "IN", "-o", "out.h5mu", "--family", "xchrom", "--loss", "bce"], "--loss is for --family dense"),
        (["train", "IN", "-o", "out.h5mu", "--family", "xchrom", "--width", "640"], "Name it: --fasta GENOME.fa"),
        (
            ["train", "IN", "-o", "out.h5mu", "--family", "xchrom", "--split-regions", "random"]
            + ["--test-chromosomes", "chr1"],
            "leave out --split-regions random",
        ),
        (["predict", "IN", "--model", "IN", "-o", "out.h5mu", "--fasta", "genome.fa"], "Name them: --regions"),
        (["evaluate", "IN", "-o", "IN"], "is an input too"),
        (["evaluate", "IN", "--csv", "scores.tsv"], "must end in .csv"),
    ],
)
def test_a_mistake_in_the_call_is_exit_code_2(words, message, cells, capsys, monkeypatch):
    monkeypatch.chdir(cells.parent)
    (cells.parent / "folder.h5mu").mkdir()
    (cells.parent / "there.zarr").mkdir()
    before = names(cells.parent), cells.read_bytes()
    error = refused([str(cells) if word == "IN" else word for word in words], capsys, 2)
    assert message in error
    assert f"chromatell {words[0]} --help" in error
    assert (names(cells.parent), cells.read_bytes()) == before


@pytest.mark.parametrize(
    "words", [["train"], ["train", "a.h5mu"], ["nonsense"], ["train", "a.h5mu", "-o", "b.h5mu", "--fractions", "1"]]
)
def test_argparse_refuses_with_exit_code_2(words, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    assert "usage: chromatell" in capsys.readouterr().err


def test_no_command_prints_the_help(capsys):
    assert main([]) == 2
    assert "chromatell demo" in capsys.readouterr().out


@pytest.mark.parametrize("command", [[], ["demo"], ["train"], ["predict"], ["evaluate"]])
def test_help_shows_what_the_exit_codes_mean(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--help"])
    assert stopped.value.code == 0
    assert "1  the input cannot be used" in capsys.readouterr().out


def test_version(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out.strip() == f"chromatell {ctl.__version__}"


def test_a_write_that_fails_leaves_the_old_file(cells, shared, query, monkeypatch, capsys):
    out = cells.with_name("out.h5mu")
    out.write_bytes(b"old")

    def full(path, mdata):
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(md, "write_h5mu", full)
    error = refused(["predict", query, "--model", shared, "-o", out], capsys, 1)
    assert "No space left on device" in error
    assert out.read_bytes() == b"old"
    assert names(cells.parent) == {"cells.h5mu", "query.h5ad", "out.h5mu"}


def test_stopping_it_is_not_a_traceback(cells, monkeypatch, capsys):
    def stopped(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(ctl.tl, "dense", stopped)
    assert "Stopped" in refused(["train", cells, "-o", cells.with_name("out.h5mu")], capsys, 130)
    assert names(cells.parent) == {"cells.h5mu"}


def test_what_libraries_print_is_kept_from_the_results(cells, monkeypatch, capsys):
    def loud(*args, **kwargs):
        print("Monitored metric did not improve")
        raise ctl.ChromatellError("stop here")

    monkeypatch.setattr(ctl.tl, "dense", loud)
    call = ["train", cells, "-o", cells.with_name("out.h5mu")]
    assert "Monitored metric" in refused(call, capsys, 1)  # which has seen that stdout is empty
    assert refused([*call, "-q"], capsys, 1) == "Error: stop here\n"


def test_own_warnings_are_one_line_and_quiet_is_quiet(simulated, shared, tmp_path, capsys):
    query, out = tmp_path / "query.h5mu", tmp_path / "out.h5mu"
    simulated[:20].copy().write_h5mu(query)
    call = ["predict", str(query), "--model", str(shared), "-o", str(out), "--depth", "observed"]
    before = ctl.settings.verbosity
    assert main(call) == 0
    assert capsys.readouterr().err.count("Warning: ") == 1
    assert main([*call, "-qq"]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")
    assert ctl.settings.verbosity == before


def test_help_loads_neither_torch_nor_scvi():
    code = (
        "import sys\nfrom chromatell.cli import main\n"
        "try:\n    main(['train', '--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'scvi', 'lightning', 'scanpy', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "--n-regions" in run.stdout
