"""Errors about figures and what models are asked for: the printed line is run, and the error is gone."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from tests.cures.harness import Cure
from tests.cures.inputs import changed, names_of, putting, tracks, trained
from tests.cures.test_sequence import sequence

import chromatell as ctl

DENSE = {"dense(mdata)": "dense(mdata, n_hidden=4, n_members=1, train_kwargs={'max_epochs': 1})"}
XCHROM = {
    "xchrom(mdata)": "xchrom(mdata, train_kwargs={'max_epochs': 1})",
    "xchrom(mdata, embedding=None)": "xchrom(mdata, train_kwargs={'max_epochs': 1}, embedding=None)",
}
LINKS = "ctl.tl.link_regions(mdata, n_cells=10)"
MOTIFS = "mdata, {'M': np.eye(4)}, key='atac', pvalue=0.01, n_backgrounds=5"


def linked(mdata):
    ctl.pp.link_genes(mdata, names_of(mdata)["annotation"], max_distance=1_000_000)


def few_links(mdata):
    """The only gene that is asked for lies far from any region."""
    table = names_of(mdata)["annotation"]
    far = mdata.mod["rna"].var_names[0]
    ctl.pp.link_genes(mdata, table, max_distance=5_000_000)
    links = mdata.uns["ctl"]["links"]
    links["distance"] = links["distance"].tolil()
    links["distance"][0] = 0
    links["distance"] = links["distance"].tocsr()
    return {"annotation": table, "gene": far}


def of_another(mdata):
    ctl.pp.link_genes(mdata, names_of(mdata)["annotation"], max_distance=1_000_000)
    mdata.uns["ctl"]["mine"] = {"table": 3}


def of_bulk_tracks(mdata):
    linked(mdata)
    return {"model": ctl.models.load(tracks(start="trained")(None)["tracks"], key="nascent")}


def regions_of(mdata):
    names = ctl.get.prediction(mdata).var_names
    matches = pd.DataFrame({"M": np.arange(len(names)) % 2 == 0}, index=[f"r{i}" for i in range(len(names))])
    return {"matches": matches}


def with_dense(mdata):
    ctl.tl.dense(mdata, n_hidden=4, n_members=1, train_kwargs={"max_epochs": 1})


@cache
def _xchrom():
    mdata = sequence()(None)["mdata"]
    ctl.tl.xchrom(mdata, train_kwargs={"max_epochs": 1}, seed=0)
    return mdata


def all_unknown(mdata):
    mdata.mod["atac"].varm["dna_code"] = np.full_like(mdata.mod["atac"].varm["dna_code"], 4)


def of_tracks(call, says, line):
    """A model that reads tracks, where one of cells is needed."""
    return Cure(f"{says}, of tracks", call, says, trained(of_bulk_tracks), fill=DENSE, take=(line, "key", "model"))


CURES = [
    Cure(
        "links that another wrote",
        "ctl.pl.link_regions(mdata, key='mine')",
        "was not written by ctl.tl.link_regions",
        trained(of_another),
        fill={"link_regions(mdata": "link_regions(mdata, n_cells=10"},
    ),
    Cure(
        "perturbations that another wrote",
        "ctl.pl.perturb(mdata, key='mine')",
        "was not written by ctl.tl.perturb",
        trained(of_another),
        fill={"perturb(mdata, targets": "perturb(mdata, ['gene_1'], n_cells=10"},
    ),
    Cure(
        "links of another name",
        "ctl.pl.link_regions(mdata, key='links_2')",
        "Did not find mdata.uns",
        trained(linked),
        fill={"link_regions(mdata": "link_regions(mdata, n_cells=10"},
    ),
    Cure(
        "no activities of motifs",
        "ctl.pl.motif_activity(mdata)",
        "Did not find a table of activities",
        sequence(),
        fill={"mdata, motifs": MOTIFS},
    ),
    Cure(
        "no activities of motifs of a name",
        "ctl.pl.motif_activity(mdata, key='mine')",
        "Did not find a table of activities",
        sequence(),
        fill={"mdata, motifs": MOTIFS},
    ),
    Cure(
        "few cells in each group",
        "ctl.pl.uncertainty(mdata)",
        "has no coverage",
        trained(putting("uns/ctl/uncertainty", {"group": "x"})),
        fill={"groupby='cell_type'": "groupby='cell_type', n_draws=2"},
    ),
    of_tracks(LINKS.replace("n_cells=10", "model=model, n_cells=10"), "reads no expression", 1),
    of_tracks("ctl.tl.perturb(mdata, ['gene_1'], model=model, n_cells=10)", "A Nascent model reads tracks", 0),
    Cure(
        "a gene that is not linked",
        "ctl.tl.link_regions(mdata, genes=[gene], n_cells=10)",
        "is linked to a region of the model",
        trained(few_links),
    ),
    Cure(
        "matches of other names",
        "ctl.tl.motif_activity(mdata, matches=matches)",
        "matches has no row of its own",
        trained(regions_of),
    ),
    Cure(
        "no embedding to score",
        "ctl.tl.neighbor_score(mdata)",
        "Did not find mdata.mod..rna...obsm",
        sequence(),
        fill=XCHROM,
    ),
    Cure(
        "sequence of a model without",
        "ctl.tl.ism(mdata, [mdata.mod['atac'].var_names[0]], key='dense', window=20)",
        "reads no DNA sequence",
        sequence(with_dense),
        fill=XCHROM,
        take=(0, "key", "model"),
    ),
    Cure(
        "no sequence for backgrounds",
        "ctl.tl.tf_activity(mdata, {'M': np.eye(4)}, n_backgrounds=4)",
        "No training region has a sequence",
        lambda folder: {**sequence()(folder), **changed(all_unknown, _xchrom)(folder)},
        fill={"'genome.fa'": "fasta"},
    ),
    Cure(
        "regions that a Dense never saw",
        "ctl.tl.predict(mdata, mdata, regions=['chr1:1000-1500'])",
        "A Dense model knows the regions",
        sequence(with_dense),
        fill={**XCHROM, "'genome.fa'": "fasta"},
        take=(1, "key"),
    ),
]


@pytest.mark.filterwarnings("ignore::chromatell.ChromatellWarning")
@pytest.mark.parametrize("case", CURES, ids=lambda c: c.name)
def test_the_line_that_is_printed_cures(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    case.run(tmp_path)
