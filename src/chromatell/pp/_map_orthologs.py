"""Genes under the names of their one-to-one orthologs in another species."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from chromatell._keys import ORTHOLOG, ORTHOLOG_OF, ORTHOLOGS, RNA, UNS
from chromatell._settings import logger
from chromatell._validate import ChromatellError, check_tables, column, examples, modality, unique_names, warn
from chromatell.data.named import Modalities, modalities
from chromatell.genome.annotation import strip_version
from chromatell.pp._region_data import check_uns

PREFIX = "no_ortholog:"
_ID_COLUMNS = ("gene_ids", "gene_id")
_ONE2ONE = "ortholog_one2one"
_FEW = 0.2  # share of the genes
_MAX_FIELD = 512  # characters
_MAX_BYTES = 4_000_000_000
_CURE = "Needed: a TSV or CSV with a header, such as an export of Ensembl BioMart, or a DataFrame."


@modalities
def map_orthologs(
    adata: AnnData | MuData,
    table: str | Path | pd.DataFrame,
    *,
    from_column: str | None = None,
    to_column: str | None = None,
    copy: bool = False,
    **more: Unpack[Modalities],
) -> AnnData | MuData | None:
    """Genes under the names of another species, so that a model trained on it can read these cells.

    A gene is renamed where the table pairs it with one gene of the other species, and that one with no other. All genes
    stay, in their order: those without such a partner get ``no_ortholog:`` before their name, so that no model takes
    them for a gene of the other species that has the same symbol. Leave them out with
    ``adata[:, adata.var['ctl_ortholog']]``.

    Parameters
    ----------
    adata
        Genes, or a MuData with `rna`. They are found by their names or by ``var['gene_ids']`` or ``var['gene_id']``
        (Ensembl versions aside), whichever finds more.
    table
        One row a pair of genes: a DataFrame, or the path of a TSV or CSV with a header (plain text or gzip). Rows
        that say the same twice count once; rows without both genes, and those of another homology type than
        ``ortholog_one2one`` where a column tells it, are left out.
    from_column
        Column with the genes of `adata`. None takes the one that holds most of them.
    to_column
        Column with the names to give, the kind of name that the model was trained on. None is for tables with one
        other column of genes.

    Returns
    -------
    None, or with ``copy=True`` a new object. Written, in `rna` where a MuData was given:

    ``var_names``
        New names; in a MuData those of its own `var` too.
    ``var['ctl_ortholog']`` : bool
        Whether the gene was renamed.
    ``var['ortholog_of']`` : str
        The name before.

    And into `uns` of what was given:

    ``uns['ctl']['orthologs']`` : dict
        `from_column`, `to_column`, `n_pairs` (one-to-one pairs in the table), `n_mapped` (genes renamed).

    Raises
    ------
    ChromatellError
        The table cannot be read, lacks the columns, or pairs none of the genes one to one; genes that were mapped
        already.

    Notes
    -----
    Values, layers, embeddings and `raw` stay as they are; links and models that were stored under the old names no
    longer fit. Models read counts relative to their own genes, so the unmapped ones change nothing. Peak memory: that
    of the table.

    References
    ----------
    Ortholog types as Ensembl Compara defines them (Herrero et al., Database, 2016).

    Examples
    --------
    >>> import chromatell as ctl
    >>> import pandas as pd
    >>> rna = ctl.datasets.simulate_multiome(50, 4, 20, seed=0).mod["rna"]
    >>> rna.var_names = ["ACTB", "GAPDH", "H19", "SOX2"]
    >>> table = pd.DataFrame({"human": ["ACTB", "GAPDH", "SOX2", "SOX2"], "mouse": ["Actb", "Gapdh", "Sox2", "Sox2b"]})
    >>> ctl.pp.map_orthologs(rna, table)
    >>> rna.var_names.tolist()
    ['Actb', 'Gapdh', 'no_ortholog:H19', 'no_ortholog:SOX2']
    """
    check_tables(adata)
    rna = modality(adata, RNA) if isinstance(adata, MuData) else adata
    if not isinstance(rna, AnnData):
        raise ChromatellError(f"Expected an AnnData or a MuData with 'rna', got {type(adata).__name__}.")
    unique_names(rna, RNA)
    check_uns(adata)
    if ORTHOLOG in rna.var:
        whole = isinstance(adata, MuData)
        own, all_ = ("rna = mdata.mod['rna']; ", "; mdata.update()") if whole else ("rna = adata; ", "")
        raise ChromatellError(
            f"The genes were mapped already (var[{ORTHOLOG!r}]). Give them their own names back first: {own}"
            f"rna.var_names = rna.var.pop({ORTHOLOG_OF!r}); del rna.var[{ORTHOLOG!r}]{all_}."
        )
    rows = _read(table)
    source, keys = _source(rna, rows, from_column)
    target_column = _target(rows, source, to_column)
    pairs, n_left_out = _one_to_one(rows, source, target_column)
    # a gene id that two variables share says nothing about either
    new = keys.where(~keys.duplicated(keep=False), "").map(pairs)
    mapped = new.notna().to_numpy()
    if not mapped.any():
        raise ChromatellError(
            f"None of the {rna.n_vars} genes (such as {examples(rna.var_names)}) is among the {len(pairs)} one-to-one "
            f"pairs of {source!r} (such as {examples(pairs.index)}). Name the column that holds them: from_column=..., "
            f"one of {examples(rows.columns, 12)}."
        )
    result = adata.copy() if copy else adata
    old = rna.var_names.astype(str).to_numpy(dtype=object)
    names = np.where(mapped, new.to_numpy(dtype=object), PREFIX + old)
    _write(result, names, old, mapped)
    how = {"from_column": source, "to_column": target_column, "n_pairs": len(pairs), "n_mapped": int(mapped.sum())}
    result.uns[UNS] = {**result.uns.get(UNS, {}), ORTHOLOGS: how}
    logger.info(
        "Orthologs: %d of %d genes renamed from %r to %r (%d pairs one to one; %d pairs that are not were left out).",
        mapped.sum(), rna.n_vars, source, target_column, len(pairs), n_left_out,
    )  # fmt: skip
    if mapped.mean() < _FEW:
        warn(
            f"Only {int(mapped.sum())} of {rna.n_vars} genes have a one-to-one ortholog in the table; the others (such "
            f"as {examples(old[~mapped])}) are no input to a model of the other species. Is the table whole?"
        )
    return result if copy else None


def _write(data: AnnData | MuData, names: np.ndarray, old: np.ndarray, mapped: np.ndarray) -> None:
    rna = data.mod[RNA] if isinstance(data, MuData) else data
    if isinstance(data, MuData):
        # its var has a row for each variable of each modality; renamed there too, columns stay with their rows
        position = np.asarray(data.varmap[RNA]).ravel().astype(np.int64)  # 1-based, 0 where not in rna
        every = data.var_names.to_numpy(dtype=object).copy()
        every[position > 0] = names[position[position > 0] - 1]
        index = pd.Index(every, dtype=object, name=data.var_names.name)
        if index.has_duplicates and not data.var_names.has_duplicates:
            raise ChromatellError(
                f"Renamed genes would be called as other variables of the MuData are "
                f"({examples(index[index.duplicated()])}). Names must be unique: rename those first."
            )
        data.var.index = index
    rna.var_names = pd.Index(names, dtype=object, name=rna.var_names.name)
    rna.var[ORTHOLOG] = mapped
    rna.var[ORTHOLOG_OF] = old


def _read(table: Any) -> pd.DataFrame:
    """Return the table as text, ``''`` where a value is missing."""
    if isinstance(table, pd.DataFrame):
        rows = table.astype(object).where(table.notna(), "").astype(str)
        rows.columns = rows.columns.astype(str)
    else:
        path = Path(table).expanduser()
        if not path.is_file():
            raise ChromatellError(f"No table of orthologs at {str(path)!r}. {_CURE}")
        if path.stat().st_size > _MAX_BYTES:
            raise ChromatellError(f"{str(path)!r} has over {_MAX_BYTES} bytes. Export the two columns of genes alone.")
        with path.open("rb") as handle:
            packed = "gzip" if handle.read(2) == b"\x1f\x8b" else None
        try:
            head = pd.read_csv(path, sep="\x01", nrows=1, header=None, dtype=str, compression=packed, quoting=3)
            sep = "\t" if "\t" in str(head.iloc[0, 0]) else ","
            rows = pd.read_csv(path, sep=sep, dtype=str, keep_default_na=False, compression=packed)
        except (ValueError, OSError, EOFError, zlib.error) as error:  # pandas' own are ValueErrors
            raise ChromatellError(
                f"{str(path)!r} cannot be read as a table ({type(error).__name__}: {str(error)[:200]}). {_CURE}"
            ) from error
    rows = rows.fillna("").apply(lambda values: values.str.strip())
    if rows.shape[1] < 2 or rows.columns.has_duplicates or rows.empty:
        raise ChromatellError(
            f"The table of orthologs has {len(rows)} rows and the columns {examples(rows.columns, 12)}; two columns of "
            f"genes with names of their own are needed. {_CURE}"
        )
    longest = max(int(rows[name].str.len().max()) for name in rows.columns)
    if longest > _MAX_FIELD:
        raise ChromatellError(
            f"The table of orthologs holds a value of {longest} characters; no gene is called so. {_CURE}"
        )
    return rows


def _source(rna: AnnData, rows: pd.DataFrame, from_column: str | None) -> tuple[str, pd.Series]:
    """Return the column that holds the genes of `rna`, and their names as that column has them."""
    columns = list(rows.columns) if from_column is None else [from_column]
    if from_column is not None:
        column(rows, from_column, "table")
    own = {"": rna.var_names, **{c: rna.var[c] for c in _ID_COLUMNS if c in rna.var}}
    kinds = [strip_version(pd.Series(np.asarray(values, dtype=object)).astype(str)) for values in own.values()]
    candidates = [
        (int(kind.isin(set(strip_version(rows[name]))).sum()), name, kind) for name in columns for kind in kinds
    ]
    best = max(candidates, key=lambda entry: entry[0])
    return best[1], best[2]


def _target(rows: pd.DataFrame, source: str, to_column: str | None) -> str:
    if to_column is not None:
        column(rows, to_column, "table")
        if to_column == source:
            raise ChromatellError(
                f"from_column and to_column are both {source!r}. Name the column with the other species' genes: "
                f"to_column=..., one of {examples([c for c in rows if c != source], 12)}."
            )
        return to_column
    others = [name for name in rows if name != source and name != _type_column(rows)]
    if len(others) != 1:
        raise ChromatellError(
            f"The genes are in {source!r}; which column has the names to give? Name it: to_column=..., one of "
            f"{examples(others, 12)}."
        )
    return others[0]


def _type_column(rows: pd.DataFrame) -> str | None:
    """Return the column with Ensembl's homology types."""
    return next((c for c in rows if rows[c].str.startswith("ortholog_").any()), None)


def _one_to_one(rows: pd.DataFrame, source: str, target: str) -> tuple[pd.Series, int]:
    """Return the target by source, of pairs whose genes have no other partner, and how many pairs have one."""
    kind = _type_column(rows)
    pairs = pd.DataFrame({"from": strip_version(rows[source]), "to": rows[target]})
    pairs = pairs[(pairs["from"] != "") & (pairs["to"] != "")]
    distinct = pairs.drop_duplicates()
    alone = ~distinct["from"].duplicated(keep=False) & ~distinct["to"].duplicated(keep=False)
    if kind is not None:
        typed = rows.loc[distinct.index, kind].isin([_ONE2ONE, ""])
        alone &= typed
    return distinct[alone].set_index("from")["to"], int((~alone).sum())
