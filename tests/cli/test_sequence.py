"""``chromatell variant`` and ``ism`` write what ``ctl.tl.variant_effect`` and ``ctl.tl.ism`` find."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.helpers import write_fasta

import chromatell as ctl
from chromatell.cli import main


@pytest.fixture(scope="module")
def trained():
    pytest.importorskip("pyjaspar")
    mdata = ctl.datasets.simulate_sequence_multiome(n_cells=100, n_regions=60, n_genes=20, n_types=2, width=640, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    ctl.tl.xchrom(mdata, train_kwargs={"max_epochs": 1}, seed=0)
    return mdata


@pytest.fixture
def file(trained, tmp_path):
    return ctl.io.write(trained, tmp_path / "shared.h5mu")


@pytest.fixture
def variants(trained, tmp_path):
    """A VCF of one change in the middle of each of three regions, with the base that is there."""
    atac = trained.mod["atac"]
    rows = ["##fileformat=VCFv4.2", "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"]
    for i in range(3):
        var, tokens = atac.var.iloc[i], atac.varm["dna_code"][i]
        middle = (int(var["start"]) + int(var["end"])) // 2
        ref = "ACGT"[tokens[tokens.size // 2]]
        rows.append(f"{var['chrom']}\t{middle + 1}\trs{i}\t{ref}\t{'A' if ref != 'A' else 'C'}\t.\t.\t.")
    path = tmp_path / "snps.vcf"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_variant_is_that_of_the_api(trained, file, variants, tmp_path, capsys):
    out, csv = tmp_path / "out.h5mu", tmp_path / "effects.csv"
    words = ["variant", str(file), "--variants", str(variants), "--n-null", "20", "--seed", "1"]
    assert main([*words, "--csv", str(csv), "-o", str(out)]) == 0
    assert "6 effects; largest: rs" in capsys.readouterr().out
    expected = ctl.tl.variant_effect(trained, variants, n_null=20, seed=1, copy=True).uns["ctl"]["variant_effect"]
    found = pd.read_csv(csv, keep_default_na=False)
    np.testing.assert_allclose(found["effect"], expected["effect"], rtol=1e-5, atol=1e-7)
    assert found["id"].tolist() == expected["id"].tolist()
    assert "variant_effect" in ctl.io.read(out).uns["ctl"]
    assert main([*words, "--csv", "-", "--groupby", "none"]) == 0
    assert capsys.readouterr().out.count("\n") == 4
    rows = [line.split("\t") for line in variants.read_text().splitlines()[2:]]
    names = ",".join(f"{chrom}-{pos}-{ref}-{alt}" for chrom, pos, _, ref, alt, *_ in rows)
    again = [names if word == str(variants) else word for word in words]
    assert main([*again, "--csv", str(csv), "--overwrite"]) == 0
    largest = expected.loc[expected["effect"].abs().idxmax()]
    shown = names.split(",")[int(largest["id"].removeprefix("rs"))]
    assert f"; largest: {shown} in {largest['group']}," in capsys.readouterr().out  # alleles once
    named = pd.read_csv(csv, keep_default_na=False)
    assert ",".join(named["id"].unique()) == names
    np.testing.assert_allclose(named["effect"], expected["effect"], rtol=1e-5, atol=1e-7)


def test_ism_is_that_of_the_api(trained, file, tmp_path, capsys):
    name = trained.mod["atac"].var_names[1]
    csv = tmp_path / "ism.csv"
    assert main(["ism", str(file), "--regions", str(name), "--window", "10", "--csv", str(csv)]) == 0
    assert "60 effects; largest: " in capsys.readouterr().out
    found = pd.read_csv(csv)
    expected = ctl.tl.ism(trained, [name], window=10, copy=True).uns["ctl"]["ism"]
    for row in found.sample(20, random_state=0).itertuples():
        i = row.pos - 1 - int(expected["start"][0])
        group = list(expected["groups"]).index(row.group)
        assert "ACGT"[expected["tokens"][0, i]] == row.ref
        assert row.effect == pytest.approx(expected["effect"][0, group, "ACGT".index(row.alt), i], rel=1e-5, abs=1e-7)
    assert (found["ref"] != found["alt"]).all()


def test_a_file_of_regions_is_told_by_being_there(file, tmp_path):
    """A pipe, and a list that somebody made, may have any name."""
    fasta = write_fasta(tmp_path / "g.fa", {"chr1": "".join(np.random.default_rng(0).choice(list("ACGT"), 3000))})
    tables = []
    for name in ("peaks.bed", "peaks"):
        (tmp_path / name).write_text("chr1\t1000\t1500\n")
        words = ["ism", str(file), "--regions", str(tmp_path / name), "--fasta", str(fasta), "--window", "10"]
        assert main([*words, "--csv", str(tmp_path / f"{name}.csv"), "--groupby", "none"]) == 0
        tables.append(pd.read_csv(tmp_path / f"{name}.csv"))
    assert tables[0]["region"].unique().tolist() == ["chr1:1000-1500"]
    pd.testing.assert_frame_equal(*tables)


def test_bad_calls(file, variants, tmp_path, refused):
    assert "Name an output" in refused(["variant", file, "--variants", variants], 2)
    csv = tmp_path / "e.csv"
    said = refused(["variant", file, "--variants", variants, "-o", tmp_path / "e.tsv"], 2)
    assert f"For the table alone: --csv {csv}" in " ".join(said.split())
    assert "variants" in refused(["variant", file, "--variants", tmp_path / "no.vcf", "--csv", csv], 1)
    assert "'other'" in refused(["ism", file, "--regions", "chr1:1-2", "--key", "other", "--csv", csv], 1)
    assert "must end in .csv" in refused(["ism", file, "--regions", "chr1:1-2", "--csv", tmp_path / "e.tsv"], 2)
    assert not csv.exists()
