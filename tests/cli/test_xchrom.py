"""``chromatell train --family xchrom`` and ``predict --regions``: the same as the Python calls, and clear errors."""

from __future__ import annotations

import numpy as np
import pytest
from tests.helpers import file_names, one_line, predicted

import chromatell as ctl
from chromatell.cli import main

FAST = ["--max-epochs", "2"]

XCHROM = ["train", "IN", "-o", "OUT", "--family", "xchrom", "--seed", "3", "--max-epochs", "1"]


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


def test_train_xchrom_and_predict_new_regions_equal_the_api(with_sequence, paired, genome, tmp_path, capsys, refused):
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
    missing = refused(["predict", query, "--model", out, "-o", answer, "--regions", bed, "--overwrite"], 1)
    assert "Name the genome for their sequence" in missing
    asked.append("--overwrite")
    bed.write_text("chr9\t2000\t2500\n")
    assert "chr9" in refused(asked, 1)
    bed.write_text("chr1 2000 2500\n")
    assert "has 1 columns, 'chr1 2000 2500'" in refused(asked, 1)


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

    words = [*XCHROM, "--fasta", genome, "--width", "640", "--test-chromosomes", "chr2,chr5", "--overwrite"]
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


def test_train_xchrom_without_a_usable_genome_is_one_line(paired, tmp_path, refused):
    out, before = tmp_path / "out.h5mu", file_names(tmp_path)
    assert "Name the genome of their build: --fasta GENOME.fa" in refused(call(XCHROM, paired, out), 1)
    absent = [*XCHROM, "--fasta", tmp_path / "absent.fa"]
    assert "is not there" in refused(call(absent, paired, out), 1)
    assert "is a folder" in refused(call([*XCHROM, "--fasta", tmp_path], paired, out), 1)
    assert file_names(tmp_path) == before
    other = tmp_path / "other.fa"
    other.write_text(">chrZ\n" + "ACGT" * 500 + "\n")
    assert "has none of the regions' chromosomes" in refused(call([*XCHROM, "--fasta", other], paired, out), 1)
    assert not out.exists()


def test_predict_regions_with_a_model_that_reads_no_sequence(shared, query, tmp_path, refused):
    bed = tmp_path / "new.bed"
    bed.write_text("chr1\t2000\t2500\n")
    words = ["predict", query, "--model", shared, "-o", tmp_path / "out.h5mu", "--regions", bed]
    assert "need a model that reads sequence: XChrom" in refused(words, 1)
    words[-1] = tmp_path / "absent.bed"
    assert "absent.bed' is not there" in refused(words, 1)
