"""Errors about sequence, regions and cells x bins: the printed line is run, and the error is gone."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from tests.cures.harness import Cure
from tests.cures.inputs import changed, putting, without

import chromatell as ctl

XCHROM = "ctl.tl.xchrom(mdata, train_kwargs={'max_epochs': 1}, seed=0)"
FORMER = "ctl.tl.atacformer(adata, train_kwargs={'max_epochs': 1}, seed=0)"
GENOME = {"'genome.fa'": "fasta"}


@cache
def _sequenced():
    import tempfile

    fasta = tempfile.mkdtemp() + "/genome.fa"
    mdata = ctl.datasets.simulate_sequence_multiome(n_cells=60, n_regions=40, fasta_out=fasta, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    ctl.pp.add_sequence(mdata, fasta, width=608)
    return mdata, fasta


def sequence(change=None):
    def make(folder):
        mdata, fasta = _sequenced()
        found = changed(change, lambda: mdata)(folder)
        genes = mdata.mod["rna"].var_names
        return {"fasta": fasta, **found, "genes": genes, "tokens": "ACGT"}

    return make


def bins(change=None):
    def make(folder):
        mdata, fasta = _sequenced()
        adata = mdata.mod["atac"].copy()
        adata.obs["ctl_split"] = mdata.obs["ctl_split"].to_numpy()
        if change is not None:
            change(adata)
        return {"adata": adata, "data": adata, "mdata": mdata, "fasta": fasta}

    return make


CURES = [
    Cure("no sequence", XCHROM, "Did not find .*dna_code", sequence(without("mod/atac/varm/dna_code")), fill=GENOME),
    Cure(
        "no sequence for a baseline",
        "ctl.tl.baseline(mdata, 'gc_cpg')",
        "dna_code|needs|known",
        sequence(without("mod/atac/varm/dna_code")),
        fill=GENOME,
    ),
    Cure(
        "sequence of no kind",
        "ctl.tl.baseline(mdata, 'gc_cpg')",
        "dtype|baseline",
        sequence(putting("mod/atac/varm/dna_code", np.full((40, 8), 9.5))),
        fill=GENOME,
    ),
    Cure(
        "tokens that are not there",
        "ctl.pp.add_sequence(mdata)",
        "have no tokens",
        sequence(without("mod/atac/varm/dna_code")),
        fill=GENOME,
    ),
    Cure("tokens of another width", "ctl.pp.add_sequence(mdata, width=300)", "was wanted", sequence(), fill=GENOME),
    Cure(
        "nothing to embed",
        "ctl.pp.embed_sequence(data)",
        "Did not find varm",
        bins(lambda a: a.varm.pop("dna_code")),
        fill=GENOME,
        take=(0,),
    ),
    Cure(
        "text for tokens",
        "ctl.genome.decode(tokens)",
        "int8 tokens",
        sequence(),
        fill={"(sequences)": "('ACGT')"},
        into="tokens",
    ),
    Cure(
        "no XChrom",
        "ctl.tl.ism(mdata, [mdata.mod['atac'].var_names[0]], window=20)",
        "There is no model",
        sequence(),
        take=(0,),
        fill={"xchrom(mdata)": "xchrom(mdata, train_kwargs={'max_epochs': 1})"},
    ),
    Cure(
        "no xchrom activity",
        "ctl.pl.tf_activity(mdata)",
        "Did not find a table of activities",
        sequence(),
        fill={
            "tf_activity(mdata)": "tf_activity(mdata, {'M': np.eye(4)}, n_backgrounds=4)",
            "xchrom(mdata)": "xchrom(mdata, train_kwargs={'max_epochs': 1})",
        },
    ),
    Cure("bins without a split", FORMER, "Did not find .*ctl_split", bins(lambda a: a.obs.pop("ctl_split")), take=(0,)),
    Cure(
        "no DNA embedding",
        FORMER.replace("seed=0", "seed=0, dna_key='X_dna'"),
        "dna_key: did not find",
        bins(),
        fill=GENOME,
    ),
    Cure(
        "a model of bins is not there",
        "ctl.tl.evaluate(adata, n_bootstrap=0)",
        "Did not find a model",
        bins(),
        take=(0,),
        fill={"atacformer(adata)": "atacformer(adata, train_kwargs={'max_epochs': 1})"},
    ),
    Cure(
        "barcodes named twice",
        "ctl.pp.bin_genome('f.tsv', chrom_sizes={'chr1': 90_000}, barcodes=barcodes)",
        "more than once",
        lambda folder: fragments(folder),
        into="barcodes",
    ),
    Cure(
        "too few fragments",
        "ctl.pp.bin_genome('f.tsv', chrom_sizes={'chr1': 90_000})",
        "barcodes has 1,000 fragments",
        lambda folder: fragments(folder),
        take=("barcodes",),
    ),
    Cure("mapped already", "ctl.pp.map_orthologs(adata, table)", "mapped already", lambda _: orthologs()),
]


def fragments(folder):
    import pandas as pd

    (folder / "f.tsv").write_text("".join(f"chr1\t{s}\t{s + 100}\t{'AB'[s % 2]}-1\t1\n" for s in range(0, 80_000, 801)))
    rna = ctl.datasets.simulate_multiome(2, 3, 4).mod["rna"]
    rna.obs_names = ["A-1", "B-1"]
    return {"barcodes": pd.Index(["A-1", "B-1", "A-1"]), "rna": rna}


def orthologs():
    import pandas as pd

    adata = ctl.datasets.simulate_multiome(5, 3, 4).mod["rna"]
    table = pd.DataFrame({"from": adata.var_names, "to": ["A", "B", "C"]})
    ctl.pp.map_orthologs(adata, table, from_column="from", to_column="to")
    return {"adata": adata, "table": table}


@pytest.mark.filterwarnings("ignore::chromatell.ChromatellWarning")
@pytest.mark.parametrize("case", CURES, ids=lambda c: c.name)
def test_the_line_that_is_printed_cures(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    case.run(tmp_path)
