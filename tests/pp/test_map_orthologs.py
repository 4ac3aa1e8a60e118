import gzip

import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import chromatell as ctl
from chromatell import ChromatellError
from chromatell._validate import ChromatellWarning
from chromatell.data.expression import Expression

# as Ensembl BioMart exports them: a row a transcript, one gene to many, many to one, none
BIOMART = """\
Gene stable ID\tGene name\tMouse gene stable ID\tMouse gene name\tMouse homology type
ENSG01\tACTB\tENSMUSG01\tActb\tortholog_one2one
ENSG01\tACTB\tENSMUSG01\tActb\tortholog_one2one
ENSG02\tSOX2\tENSMUSG02\tSox2\tortholog_one2one
ENSG03\tHBA1\tENSMUSG03\tHba-a1\tortholog_one2many
ENSG03\tHBA1\tENSMUSG04\tHba-a2\tortholog_one2many
ENSG05\tAMY1A\tENSMUSG06\tAmy1\tortholog_one2many
ENSG06\tAMY1B\tENSMUSG06\tAmy1\tortholog_one2many
ENSG07\tXIST\t\t\t
ENSG08\tODD\tENSMUSG08\tOdd\tortholog_many2many
ENSG09\t\tENSMUSG09\tGm9\tortholog_one2one
"""
GENES = ["SOX2", "ACTB", "HBA1", "AMY1A", "XIST", "Gm9", "ODD"]
MAPPED = ["Sox2", "Actb", *(f"no_ortholog:{g}" for g in GENES[2:])]
NAMES = {"from_column": "Gene name", "to_column": "Mouse gene name"}


@pytest.fixture
def rna():
    return AnnData(
        np.arange(21, dtype=np.float32).reshape(3, 7),
        var=pd.DataFrame({"kept": range(7)}, index=pd.Index(GENES, name="symbol")),
        layers={"counts": np.ones((3, 7))},
    )


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "orthologs.tsv"
    path.write_text(BIOMART)
    return path


def test_one_to_one_pairs_alone(rna, table, log):
    x = rna.X.copy()
    assert ctl.pp.map_orthologs(rna, table, **NAMES) is None
    assert rna.var_names.tolist() == MAPPED
    assert rna.var["ctl_ortholog"].tolist() == [True, True] + [False] * 5
    assert rna.var["ortholog_of"].tolist() == GENES
    assert rna.var["kept"].tolist() == list(range(7))
    assert rna.var_names.name == "symbol"
    np.testing.assert_array_equal(rna.X, x)
    assert rna.uns["ctl"]["orthologs"] == {
        "from_column": "Gene name",
        "to_column": "Mouse gene name",
        "n_pairs": 2,
        "n_mapped": 2,
    }
    assert "2 of 7 genes renamed from 'Gene name' to 'Mouse gene name' (2 pairs one to one; 5 pairs" in " ".join(log)


def test_the_column_of_the_genes_is_found(rna, table):
    ctl.pp.map_orthologs(rna, table, to_column="Mouse gene stable ID")
    assert rna.var_names.tolist()[:2] == ["ENSMUSG02", "ENSMUSG01"]
    assert rna.uns["ctl"]["orthologs"]["from_column"] == "Gene name"


@pytest.mark.parametrize("where", ["names", "gene_ids", "gene_id"])
def test_genes_by_their_ids(rna, table, where):
    ids = ["ENSG02.7", "ENSG01.1", "ENSG03", "ENSG05", "ENSG07", "ENSG09.3", "ENSG08"]
    if where == "names":
        rna.var_names = ids
    else:
        rna.var[where] = ids
    ctl.pp.map_orthologs(rna, table, to_column="Mouse gene name")
    assert rna.var_names.tolist()[:2] == ["Sox2", "Actb"]
    assert rna.var_names.tolist()[5] == "Gm9"  # has an id, no name
    assert rna.var["ctl_ortholog"].sum() == 3


def test_an_id_that_two_genes_share_maps_neither(rna, table):
    rna.var["gene_ids"] = ["ENSG02", "ENSG01", "ENSG01", "ENSG05", "ENSG07", "ENSG06", "ENSG08"]
    with pytest.warns(ChromatellWarning, match="Only 1 of 7"):
        ctl.pp.map_orthologs(rna, table, from_column="Gene stable ID", to_column="Mouse gene name")


@pytest.mark.parametrize("form", ["frame", "categorical", "csv", "tsv.gz", "swapped"])
def test_forms_of_the_table(rna, tmp_path, form):
    frame = pd.DataFrame({"human": ["ACTB", "SOX2", "HBA1", "HBA1", None], "mouse": ["Actb", "Sox2", "a", "b", "c"]})
    if form == "categorical":
        frame = frame.astype("category")
    elif form == "swapped":
        frame = frame[["mouse", "human"]]
    elif form != "frame":
        text = frame.to_csv(index=False, sep="," if form == "csv" else "\t")
        path = tmp_path / f"x.{form}"
        path.write_bytes(gzip.compress(text.encode()) if form.endswith("gz") else text.encode())
        frame = path
    ctl.pp.map_orthologs(rna, frame)
    assert rna.var_names.tolist() == MAPPED


def test_a_gene_of_the_same_symbol_without_a_pair_is_not_read(rna):
    """An unmapped rat gene may bear the very symbol of a mouse gene; the model must not take it for that."""
    rna.var_names = ["Sox2", "Actb", "Xist", "A", "B", "C", "D"]
    table = pd.DataFrame({"rat": ["Sox2", "Actb"], "mouse": ["Sox2", "Actb"]})
    ctl.pp.map_orthologs(rna, table, from_column="rat")
    assert rna.var_names.tolist()[:3] == ["Sox2", "Actb", "no_ortholog:Xist"]


def test_names_that_are_exchanged(rna):
    rna.var_names = ["a", "b", "c", "d", "e", "f", "g"]
    table = pd.DataFrame({"from": ["a", "b", "c"], "to": ["b", "a", "c"]})
    ctl.pp.map_orthologs(rna, table, from_column="from")
    assert rna.var_names.tolist()[:3] == ["b", "a", "c"]


def test_mudata(mdata, fields, tmp_path):
    genes = mdata.mod["rna"].var_names.tolist()
    table = pd.DataFrame({"human": genes[:20], "mouse": [f"m{g}" for g in genes[:20]]})
    mdata.var["number"] = np.arange(110)
    mdata.varm["place"] = np.arange(110)[:, None].astype(float)
    before = fields(mdata)
    new = ctl.pp.map_orthologs(mdata, table, copy=True)
    assert fields(mdata) == before
    assert ctl.pp.map_orthologs(mdata, table) is None
    wanted = [f"m{g}" for g in genes[:20]] + [f"no_ortholog:{g}" for g in genes[20:]]
    for data in (mdata, new):
        assert data.mod["rna"].var_names.tolist() == wanted
        assert data.var_names.tolist() == wanted + data.mod["atac"].var_names.tolist()
        assert data.var["number"].tolist() == list(range(110))
        assert data.var["number"].dtype == np.int64
        assert data.varm["place"].ravel().tolist() == list(range(110))
        assert data["rna"].var["ortholog_of"].tolist() == genes
    after = fields(mdata)
    moved = {"var#index", "rna:var#index"}
    assert {k: after[k] for k in before if k not in moved} == {k: v for k, v in before.items() if k not in moved}
    mdata.update()
    assert mdata.var_names.tolist()[:30] == wanted
    mdata.write(tmp_path / "x.h5mu")
    mdata.write_zarr(tmp_path / "x.zarr")
    for back in (mudata.read_h5mu(tmp_path / "x.h5mu"), mudata.read_zarr(tmp_path / "x.zarr")):
        assert back.mod["rna"].var_names.tolist() == wanted
        assert back.mod["rna"].var["ortholog_of"].tolist() == genes
        assert back.mod["rna"].var["ctl_ortholog"].tolist() == [True] * 20 + [False] * 10
        assert int(back.uns["ctl"]["orthologs"]["n_mapped"]) == 20


def test_a_model_of_one_species_reads_cells_of_another():
    mouse = ctl.datasets.simulate_multiome(150, 20, 40, seed=0).mod["rna"]
    model = Expression.fit(mouse.X, mouse.var_names)  # what a model knows of its genes
    order = np.random.default_rng(0).permutation(20)
    human = mouse[:, order].copy()
    human.var_names = [f"H{g.upper()}" for g in human.var_names]
    table = pd.DataFrame({"human": human.var_names, "mouse": mouse.var_names[order]})
    with pytest.raises(ChromatellError, match="holds 0 of the model's 20 genes"):
        model.align(human)
    ctl.pp.map_orthologs(human, table)
    x, present = model.align(human)
    assert present.all()
    np.testing.assert_array_equal(x.toarray(), mouse.X.toarray())


@pytest.mark.parametrize(
    ("content", "arguments", "match"),
    [
        (
            None,
            {},
            "which column has the names to give\\? Name it: to_column=..., one of 'Gene stable ID', 'Mouse gene",
        ),
        (
            None,
            {"to_column": "Rat gene name"},
            "Did not find table\\['Rat gene name'\\]; columns there: 'Gene stable ID'",
        ),
        (None, {"from_column": "Symbol"}, "Did not find table\\['Symbol'\\]"),
        (None, {"from_column": "Gene name", "to_column": "Gene name"}, "are both 'Gene name'. Name the column"),
        (
            None,
            {"from_column": "Mouse gene name", "to_column": "Gene name"},
            "None of the 7 genes .*from_column=..., one",
        ),
        ("a\tb\n", {}, "has 0 rows"),
        ("", {}, "cannot be read as a table \\(EmptyDataError"),
        ("one\nACTB\n", {}, "two columns of genes with names of their own are needed"),
        ("a,b\nACTB,Actb,more,still\nx,y\n", {}, "None of the 7 genes|cannot be read as a table"),
        (b"\xff\xfe\x00\x01" * 50, {}, "cannot be read as a table|are needed"),
        ("a\tb\nACTB\t" + "x" * 600 + "\n", {}, "holds a value of 600 characters; no gene is called so"),
        (b"\x1f\x8b" + b"x" * 50, {}, "cannot be read as a table"),
    ],
)
def test_wrong_tables_change_nothing(rna, table, fields, content, arguments, match):
    if content is not None:
        table.write_bytes(content if isinstance(content, bytes) else content.encode())
    before = fields(rna)
    with pytest.raises(ChromatellError, match=match):
        ctl.pp.map_orthologs(rna, table, **arguments)
    assert fields(rna) == before


def test_other_wrong_input(rna, table, mdata):
    with pytest.raises(ChromatellError, match="No table of orthologs at 'none.tsv'. Needed: a TSV or CSV"):
        ctl.pp.map_orthologs(rna, "none.tsv")
    with pytest.raises(ChromatellError, match="Expected an AnnData or a MuData with 'rna', got DataFrame"):
        ctl.pp.map_orthologs(rna.var, table)
    ctl.pp.map_orthologs(rna, table, **NAMES)
    with pytest.raises(ChromatellError, match="mapped already .*rna = adata; rna.var_names = rna.var.pop"):
        ctl.pp.map_orthologs(rna, table, **NAMES)
    rna.var_names = rna.var.pop("ortholog_of")  # as the error says
    del rna.var["ctl_ortholog"]
    ctl.pp.map_orthologs(rna, table, **NAMES)
    assert rna.var_names.tolist() == MAPPED
    repeated = rna[:, [0, 0, 1]].copy()
    with pytest.raises(ChromatellError, match="repeated names of variables"):
        ctl.pp.map_orthologs(repeated, table, **NAMES)
    region = mdata.mod["atac"].var_names[0]
    one = pd.DataFrame({"a": mdata.mod["rna"].var_names[:2], "b": ["x", region]})
    with pytest.raises(ChromatellError, match=f"called as other variables of the MuData are .'{region}'"):
        ctl.pp.map_orthologs(mdata, one)
    assert "ctl_ortholog" not in mdata.mod["rna"].var
    mdata.uns["ctl"] = "text"
    with pytest.raises(ChromatellError, match="is not a dict"):
        ctl.pp.map_orthologs(mdata, one)


def test_few_orthologs_are_warned_of(rna):
    with pytest.warns(
        ChromatellWarning, match=r"Only 1 of 7 genes .*such as 'SOX2', 'HBA1', 'AMY1A', ...\) are no input"
    ):
        ctl.pp.map_orthologs(rna, pd.DataFrame({"human": ["ACTB"], "mouse": ["Actb"]}))
