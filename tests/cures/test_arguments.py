"""Errors about an argument of a call: the value that the message offers is taken, and the error is gone."""

from __future__ import annotations

from typing import Any

import pytest
from tests.cures.harness import Cure, offered
from tests.cures.inputs import changed, tracks, trained

import chromatell as ctl

BINNED = "ctl.pp.bin_genome(atac, chrom_sizes='hg38', {})"
TABLE = "pd.DataFrame({'a': list(rna.var_names), 'b': list('ABCDEFGHIJKL'), 'c': list('abcdefghijkl')})"
QUICK = "train_kwargs={'max_epochs': 1}"
FEW = "np.full((80, 30), {})"

# call, what its error says, and where the message does not begin with it, the option that the offered value is for;
# `=` before it: that option of several is taken
OF_CELLS: list[tuple[str, ...]] = [
    ("ctl.pp.split_cells(mdata, fractions=(0.5, 0.5))", "must be three numbers"),
    ("ctl.pp.split_cells(mdata, fractions=(0.5, 0.5, 0.5))", "they sum to 1.5"),
    ("ctl.pp.split_cells(mdata, fractions=(0, 0.5, 0.5))", "leaves no cell to train on"),
    ("ctl.pp.split_cells(mdata, holdout='type_1')", "needs the column of these labels", "=by"),
    ("ctl.pp.split_cells(mdata, by='cell_type', holdout='typ')", "no cell has 'cell_type' = 'typ'", "holdout"),
    ("ctl.pp.split_regions(mdata, by='blocks')", "is for tracks"),
    ("ctl.pp.split_regions(mdata, by='region')", "is not known"),
    ("ctl.pp.split_regions(mdata, holdout=['chr99'])", "no region lies on 'chr99'", "holdout"),
    ("ctl.pp.split_regions(mdata, fractions=(1, 1, 1))", "must not be negative and must sum to 1"),
    ("ctl.pp.select_features(mdata, n_regions=1000)", "is above the 29 of 30"),
    ("ctl.pp.select_features(mdata, n_genes=1000)", "is above the 12 of 12"),
    ("ctl.pp.select_features(mdata, min_open=5)", "must be a share of cells"),
    ("ctl.pp.select_features(mdata, method='variances')", "is not known"),
    ("ctl.pp.link_genes(mdata, annotation, max_distance=-5)", "must be from 0 to"),
    (BINNED.format("count='fragment'"), "is not known"),
    (BINNED.format("assign='middle'"), "is not known"),
    (f"ctl.pp.map_orthologs(rna, {TABLE})", "which column has the names to give", "to_column"),
    (f"ctl.pp.map_orthologs(rna, {TABLE}, from_column='a', to_column='a')", "are both 'a'", "to_column"),
]
OF_TRAINED: list[tuple[str, ...]] = [
    ("ctl.tl.dense(mdata, QUICK, preset='panels')", "is not known"),
    ("ctl.tl.dense(mdata, QUICK, depth='none')", "is not known"),
    ("ctl.tl.dense(mdata, QUICK, key_added='knn')", "is the name of a baseline", "key_added"),
    ("ctl.tl.dense(mdata, QUICK, likelihood='bernoulli', loss='poisson')", "goes with likelihood"),
    ("ctl.tl.dense(mdata, QUICK, likelihood='poisson', loss='bce')", "goes with likelihood='bernoulli'"),
    ("ctl.tl.dense(mdata, QUICK, encoder='mpl')", "is not known"),
    ("ctl.tl.dense(mdata, QUICK, loss='bec')", "is not known"),
    ("ctl.tl.dense(mdata, train_kwargs=3, n_hidden=4, n_members=1)", "is a int; a dict is needed"),
    ("ctl.tl.dense(mdata, QUICK, out='predicted')", "must end in .zarr"),
    ("ctl.tl.predict(rna, model=mdata, depth='observed')", "the query has none"),
    ("ctl.tl.predict(rna, model=mdata, depth='seen')", "is not known"),
    ("ctl.tl.predict(rna, model=mdata, dtype='float16')", "is that of a store"),
    ("ctl.tl.predict(rna, model=mdata, dtype='float64', out='p.zarr')", "is not known"),
    ("ctl.tl.predict(rna, model=mdata, out='predicted.h5ad')", "must end in .zarr"),
    ("ctl.tl.predict(rna, model=mdata, key='denser')", "There is no model 'denser'", "key"),
    ("ctl.tl.baseline(mdata, kind='region_means')", "is not known"),
    ("ctl.tl.evaluate(mdata, baselines=[], n_bootstrap=0, split='tests')", "is not known"),
    ("ctl.tl.evaluate(mdata, baselines=[], n_bootstrap=0, views='all')", "is not known"),
    ("ctl.tl.evaluate(mdata, baselines=[], n_bootstrap=0, pairs='cells')", "is not known"),
    ("ctl.tl.evaluate(mdata, baselines='region_means', n_bootstrap=0)", "is not known"),
    ("ctl.tl.fisher(mdata, threshold='f2', n_bootstrap=1)", "give 'f1' or a probability"),
    ("ctl.tl.fisher(mdata, split='tests', n_bootstrap=1)", "is not known"),
    ("ctl.tl.rank_regions(mdata, 'cell_type', test='donors', n_bootstrap=2)", "name their column"),
    ("ctl.tl.rank_regions(mdata, 'cell_type', test='cell', n_bootstrap=2)", "is not known"),
    ("ctl.tl.gene_activity(mdata, method='bodies')", "is not known"),
    ("ctl.tl.perturb(mdata, targets=['GATA1'])", "it reads 'gene_1'", "targets"),
    (f"ctl.tl.add_prediction(mdata, {FEW.format('2.0')}, key='mine')", "Say what they are"),
    (f"ctl.tl.add_prediction(mdata, {FEW.format('-2.0')}, key='mine', transform='poisson')", "expected counts are not"),
    (f"ctl.tl.add_prediction(mdata, {FEW.format('0.2')}, key='mine', transform='logit')", "is not known"),
    ("ctl.pl.history(mdata, save='figure.xyz')", "does not say a format"),
    ("ctl.pl.history(mdata, save='.')", "is a folder"),
    ("ctl.pl.history(mdata, save=3)", "is of type int"),
    ("ctl.pl.history(mdata, key='denser')", "No model 'denser'", "key"),
    ("ctl.io.write(mdata, path='x')", "does not fit a MuData"),
    ("ctl.io.export_model(mdata, 'dense', path='x.h5mu')", "must be a folder to make"),
    ("ctl.io.report(mdata, path='x.pdf')", "must end in .html"),
]
OF_TRACKS: list[tuple[str, ...]] = [
    ("ctl.pp.split_regions(tracks, by='chromosome', block=20_000, width=250)", "have 1 chromosomes to split"),
    ("ctl.tl.evaluate(tracks, baselines=['log_signals'], n_bootstrap=0)", "is not known|these tracks allow"),
    ("ctl.tl.nascent(tracks, window=4, QUICK)", "has no bin in its middle"),
    ("ctl.tl.nascent(tracks, window='130bp', QUICK)", "is no multiple of the bin size"),
    ("ctl.tl.nascent(tracks, window=5, architecture='tree', QUICK)", "is not known"),
    ("ctl.tl.nascent(tracks, window=5, task='classes', QUICK)", "is not known"),
    ("ctl.pl.tracks(tracks, region='chr1-500')", "does not parse"),
    ("ctl.pl.tracks(tracks, region='chr1:500-200')", "must begin before it ends"),
    ("ctl.pl.tracks(tracks, region='chr1:0-300,000')", "goes beyond the end"),
]


def cure_of(row: tuple[str, ...], make: Any) -> Cure:
    call, match, option = row if len(row) == 3 else (*row, "")
    quick = "n_hidden=4, n_members=1, train_kwargs={'max_epochs': 1}" if "tl.dense" in call else QUICK
    take = (option[1:],) if option.startswith("=") else ()
    return Cure(call, call.replace("QUICK", quick), match, make, take=take, option=option)


CURES = [
    *(cure_of(row, changed()) for row in OF_CELLS),
    *(cure_of(row, trained()) for row in OF_TRAINED),
    *(cure_of(row, tracks()) for row in OF_TRACKS),
]


@pytest.mark.filterwarnings("ignore::chromatell.ChromatellWarning")
@pytest.mark.parametrize("case", CURES, ids=lambda c: c.name.removeprefix("ctl."))
def test_what_is_offered_cures(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ctl.settings, "verbosity", 0)
    case.run(tmp_path)


def test_a_covariate_of_labels_is_named_as_a_batch(tmp_path):
    mdata = changed()(tmp_path)["mdata"]
    few = {"n_hidden": 4, "n_members": 1, "train_kwargs": {"max_epochs": 1}}
    with pytest.raises(ctl.ChromatellError, match="holds labels, such as 'type_1'.*batch_key='cell_type'"):
        ctl.tl.dense(mdata, continuous_covariate_keys=["cell_type"], **few)
    ctl.tl.dense(mdata, batch_key="cell_type", **few)
    assert ctl.models.load(mdata).fitted.covariates.levels == ["type_1", "type_2"]


@pytest.mark.parametrize(
    ("message", "value"),
    [
        ("width=3 must be whole, such as 1344.", "1344"),
        ("fractions=(1, 1): Try (0.7, 0.1, 0.2).", "(0.7, 0.1, 0.2)"),
        ("method='x' is not known; choose one of ['a', 'b'].", "'a'"),
        ("Name it: to_column=..., one of 'b', 'c'.", "'b'"),
        ("Nothing is offered.", ""),
    ],
)
def test_what_is_offered(message, value):
    assert offered(message) == value
