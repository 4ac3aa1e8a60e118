"""Genes of a query that go by other names than a model's: what they are, and the call that renames them."""

from __future__ import annotations

import pandas as pd
from anndata import AnnData

from chromatell._validate import are_regions

_VERSION = r"\.\d+$"  # an Ensembl id may end in it


def cure_of_names(rna: AnnData, genes: pd.Index, floor: float) -> str:
    """Return what to do where under a share `floor` of a model's `genes` are among the names of a query.

    A column of ``rna.var`` that holds enough of them is named, as are versions of Ensembl ids, names that differ in
    case alone, and the names of regions.

    Examples
    --------
    >>> import anndata, pandas as pd
    >>> from chromatell.data.gene_names import cure_of_names
    >>> rna = anndata.AnnData(var=pd.DataFrame({"symbol": ["CD4", "LYZ"]}, index=["ENSG1", "ENSG2"]))
    >>> cure_of_names(rna, pd.Index(["LYZ", "CD4"]), 0.5)
    "They stand in rna.var['symbol']: rna.var_names = rna.var['symbol'].astype(str); rna.var_names_make_unique()."
    """
    unique = "rna.var_names_make_unique()"

    def enough(names: pd.Index) -> bool:
        return bool(genes.isin(names).mean() >= floor)

    for name in rna.var.select_dtypes(exclude=["number", "bool"]):
        if enough(pd.Index(rna.var[name].astype(str))):
            column = f"rna.var[{name!r}]"
            return f"They stand in {column}: rna.var_names = {column}.astype(str); {unique}."
    own = rna.var_names.astype(str)
    if enough(own.str.replace(_VERSION, "", regex=True)):
        return (
            "The query's carry the version of each id: rna.var_names = "
            f"rna.var_names.str.replace({_VERSION!r}, '', regex=True); {unique}."
        )
    if are_regions(own):
        return "These are regions: give the cells' expression, such as mdata.mod['rna'], and not their ATAC."
    if genes.str.casefold().isin(own.str.casefold()).mean() >= floor:
        return (
            "They differ in case alone, as those of two species do: where the query is of another species, call "
            "ctl.pp.map_orthologs(rna, 'orthologs.tsv') first."
        )
    if own.isin(genes).mean() > 0.5:  # the names are right, and the genes few
        return "The names are alike and the genes too few: give a query with more genes, or train on those that it has."
    return f"Set rna.var_names to the same kind of name, then {unique}."
