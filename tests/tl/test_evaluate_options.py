"""Each option of ``ctl.tl.evaluate`` on each kind of data: taken or refused, as the table of its docstring says."""

from __future__ import annotations

import inspect
import re

import pandas as pd
import pytest
from mudata import MuData
from tests.tl.made_bins import made, some_bins
from tests.tl.made_tracks import NO_VAL, make

import chromatell as ctl
from chromatell.evaluation.tasks import TASKS

KINDS = ("cells", "cells x bins", "tracks")
SHARED = {"split": "val", "n_bootstrap": 3, "seed": 1, "key_added": "mine", "copy": True, "client": None}
# a value of each option that is not its default, which every kind that has the option takes unless ONE says otherwise
VALUES = {
    **SHARED,
    "labels": "kind",
    "depth_key": "reads",
    "top": 5,
    "max_regions": 7,
    "layer": "same",
    "motifs": {"half": [[2, 2, 0, 0], [0, 0, 0, 8]]},
    "removed": 0.4,
    "targets": ["H3K4me3"],
    "resolutions": [50, 100],
    "threshold": 1.0,
    "within": ["chr1:0-400000", "chr2:0-200000"],
    "block": 100_000,
}
ONE = {
    "cells": {"models": "true", "baselines": "knn", "views": "overall", "pairs": "cross-cell"},
    "cells x bins": {"models": [], "baselines": "svd", "views": "overall", "pairs": "completion"},
    "tracks": {"models": "good", "baselines": "mean", "views": "raw", "pairs": "cross-cell"},
}


def options_by_kind():
    """Return what the table says: (option, kind) -> 'yes', 'no', or what the option is there."""
    text = inspect.getdoc(ctl.tl.evaluate)
    rows = re.search(r"^=+ +=+ .*?\n.*?\n=+ .*?\n(.*?)\n=+ ", text, flags=re.M | re.S)[1].split("\n")
    said = {}
    for row in rows:
        names, *cells = re.split(r"\s{2,}", row.strip())
        assert len(cells) == len(KINDS), row
        for name in names.split(", "):
            said |= {(name, kind): cell for kind, cell in zip(KINDS, cells, strict=True)}
    return said


TABLE = options_by_kind()


def test_the_table_has_every_option():
    keywords = {*list(inspect.signature(ctl.tl.evaluate).parameters)[1:], *(o for t in TASKS for o in t.own_options)}
    assert {name for name, _ in TABLE} - {"models as a dict of models"} == keywords - {"options"}
    of = {task.called: task for task in TASKS}
    for task in of.values():
        assert {name for name in task.no_options if TABLE[name, task.called] != "no"} == set()
        assert {name for name in task.own_options if TABLE[name, task.called] == "no"} == set()


def with_genes(bins):
    """Return a MuData of cells x bins, with three of the bins as its genes."""
    genes = bins[:, :3].copy()
    genes.var_names = ["A", "B", "C"]
    mdata = MuData({"rna": genes, "atac": bins})
    mdata.obs["ctl_split"] = bins.obs["ctl_split"]
    return mdata


@pytest.fixture(scope="module")
def data():
    mdata = ctl.datasets.simulate_multiome(200, 20, 60, n_types=2, depth=12.0, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    ctl.tl.add_prediction(mdata, mdata["atac"].layers["truth"].clip(0, 1).astype("f4"), key="true")
    found = {"cells": mdata, "cells x bins": some_bins(), "tracks": make()}
    for cells in (mdata["rna"], mdata["atac"], found["cells x bins"]):
        cells.layers["same"] = cells.X.copy()
    for cells in (mdata["atac"], found["cells x bins"]):
        cells.obs["reads"] = 3.0
    for cells in (mdata, found["cells x bins"]):
        cells.obs["kind"] = cells.obs["cell_type"]
    return found


def asked(option, kind, data):
    """Return the data and the keywords of a call that gives one option."""
    if option == "models as a dict of models":
        return data, {"models": {"m": made(data) if kind == "cells x bins" else None}}
    if option == "regions":
        names = {"cells": lambda: list(data["atac"].var_names[:9]), "cells x bins": lambda: list(data.var_names[:9])}
        return data, {"regions": names.get(kind, lambda: "chr1")()}
    if option in ("rna", "atac") and kind != "tracks":
        whole = data if isinstance(data, MuData) else with_genes(data)
        renamed = MuData({"own" if name == option else name: whole[name] for name in whole.mod})
        renamed.obs["ctl_split"], renamed.uns = whole.obs["ctl_split"], dict(whole.uns)
        return renamed, {option: "own"}
    if option in ("rna", "atac"):
        return data, {option: "own"}
    return data, {option: VALUES.get(option, ONE[kind].get(option))}


@pytest.mark.filterwarnings(NO_VAL, "ignore:There is no validation")
@pytest.mark.parametrize(("option", "kind"), TABLE)
def test_an_option_is_taken_or_refused_as_the_table_says(option, kind, data):
    given, named = asked(option, kind, data[kind].copy())
    plain = {} if kind == "tracks" else {"views": "overall"}
    if kind == "cells x bins":
        plain |= {"pairs": "completion", "models": []}
    call = {"baselines": ONE[kind]["baselines"], "n_bootstrap": 0, **plain, **named}
    before = set(given.uns.get("ctl", {}))
    if TABLE[option, kind] == "no":
        name = option.split(" ", maxsplit=1)[0]
        with pytest.raises(ctl.ChromatellError, match=rf"\['{name}'\] are no options for {kind}|{name}="):
            ctl.tl.evaluate(given, **call)
        assert set(given.uns.get("ctl", {})) == before
        return
    done = ctl.tl.evaluate(given, **call) or given
    table = done.uns["ctl"]["mine" if option == "key_added" else "evaluation"]
    assert isinstance(table, pd.DataFrame)
    assert len(table)


@pytest.mark.parametrize("labels", [None, "cell_type"])
def test_what_asks_for_nothing_is_no_option(labels, data):
    """None leaves labels out, which tracks do anyhow, and the default cannot be told from an option left out."""
    tracks = data["tracks"].copy()
    ctl.tl.evaluate(tracks, baselines=None, n_bootstrap=0, labels=labels)
    assert set(tracks.uns["ctl"]["evaluation"]["model"]) == {"good"}
