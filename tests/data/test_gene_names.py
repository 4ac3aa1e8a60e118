"""A query whose genes go by other names: the error says what they are, and its own line mends it."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from chromatell import ChromatellError
from chromatell._values import query_expression
from chromatell.data.expression import Expression

GENES = pd.Index([f"ENSG{i:011d}" for i in range(12)])
SYMBOLS = pd.Index([f"Gene{i}" for i in range(12)])


@pytest.fixture
def counts(rng):
    return rng.poisson(rng.gamma(1, 2, size=12), size=(60, 12)).astype(np.float32) + 1


@pytest.mark.parametrize("dtype", [object, "string", "category"])
@pytest.mark.parametrize("repeats", [False, True])
def test_a_column_that_holds_the_names_is_named(counts, dtype, repeats):
    expression = Expression.fit(counts, GENES)
    ids = pd.Series(GENES, index=SYMBOLS).astype(dtype)
    var = pd.DataFrame({"n": range(12), "other": ["x"] * 12, "gene_ids": ids})
    if repeats:  # one id twice: the second of them gets another name, and the gene is taken from the first
        var["gene_ids"] = pd.Series([*GENES[:11], GENES[0]], index=SYMBOLS).astype(dtype)
    rna = ad.AnnData(counts, var=var)
    with pytest.raises(ChromatellError, match=r"0 of the model's 12 genes .*stand in rna.var\['gene_ids'\]") as error:
        expression.align(rna)
    exec(str(error.value).partition("stand in rna.var['gene_ids']: ")[2].rstrip("."), {"rna": rna})
    x, present = expression.align(rna, quiet=True)
    np.testing.assert_array_equal(x, counts[:, :11] if repeats else counts)
    assert present.sum() == (11 if repeats else 12)


def test_versions_of_ids_are_taken_off(counts):
    expression = Expression.fit(counts, GENES)
    rna = ad.AnnData(counts, var=pd.DataFrame(index=GENES + ".7"))
    with pytest.raises(ChromatellError, match="carry the version of each id") as error:
        expression.align(rna)
    exec(str(error.value).partition("version of each id: ")[2].rstrip("."), {"rna": rna})
    assert expression.align(rna)[1].all()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (SYMBOLS.str.upper(), r"differ in case alone, .* ctl\.pp\.map_orthologs\("),
        (pd.Index([f"chr1:{i}00-{i}50" for i in range(1, 13)]), r"These are regions: .*mdata\.mod\['rna'\]"),
        (SYMBOLS[:4].append(pd.Index(["a", "b"])), "The names are alike and the genes too few"),
        (pd.Index([f"x{i}" for i in range(12)]), "Set rna.var_names to the same kind of name"),
    ],
)
def test_what_no_call_can_rename_is_said(counts, names, message):
    expression = Expression.fit(counts, SYMBOLS)
    with pytest.raises(ChromatellError, match=message):
        expression.align(ad.AnnData(counts[:, : len(names)], var=pd.DataFrame(index=names)))


def test_regions_in_place_of_genes_are_told_before_cells_without_expression():
    x = np.zeros((3, 2))
    x[0] = 1
    atac = ad.AnnData(x, var=pd.DataFrame(index=["chr1:100-200", "chr1:300-400"]))
    with pytest.raises(ChromatellError, match=r"The variables are regions \(such as 'chr1:100-200', ...\) where genes"):
        query_expression(atac)
