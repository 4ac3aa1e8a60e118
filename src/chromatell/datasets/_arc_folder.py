"""Simulated cells on disk in the layout of Cell Ranger ARC 2."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from mudata import MuData

from chromatell._keys import ATAC, CHROM, END, RNA, START
from chromatell.io._tabix import write_bgzf, write_index

GENOME = "simulated"
_BARCODE = 16  # letters
_BACKGROUND = 0.15  # share of fragments outside peaks
_LENGTHS = ((0.6, 90, 25), (0.3, 200, 30), (0.1, 380, 40))  # share, mean, sd: within, about one and two nucleosomes


def write_arc(mdata: MuData, folder: Path, rng: np.random.Generator) -> None:
    """Write counts, fragments with their index, peaks and the true types of the cells into `folder`, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    barcodes = _barcodes(mdata.n_obs, rng)
    _write_matrix(folder / "filtered_feature_bc_matrix.h5", mdata, barcodes)
    atac = mdata.mod[ATAC]
    with (folder / "atac_peaks.bed").open("w", encoding="utf-8") as file:
        file.write(f"# id=tutorial\n# primary_contig={','.join(pd.unique(atac.var[CHROM]))}\n")
        atac.var[[CHROM, START, END]].to_csv(file, sep="\t", header=False, index=False)
    _write_fragments(folder / "atac_fragments.tsv.gz", mdata, barcodes, rng)
    truth = pd.DataFrame({"barcode": barcodes, "cell_type": mdata.obs["cell_type"].astype(str).to_numpy()})
    truth.to_csv(folder / "true_cell_types.csv", index=False)


def _barcodes(n: int, rng: np.random.Generator) -> np.ndarray:
    letters = np.array(list("ACGT"))
    seen: dict[str, None] = {}
    while len(seen) < n:
        seen["".join(letters[rng.integers(4, size=_BARCODE)]) + "-1"] = None
    return np.array(list(seen), dtype=object)


def _write_matrix(path: Path, mdata: MuData, barcodes: np.ndarray) -> None:
    """Write features x cells, CSC: of cells x features that is CSR."""
    rna, atac = mdata.mod[RNA], mdata.mod[ATAC]
    counts = sp.hstack([rna.X, atac.X], format="csr").astype(np.int32)
    counts.sort_indices()
    genes = rna.var
    interval = [f"{c}:{t}-{t + 1}" for c, t in zip(genes[CHROM], genes["tss"], strict=True)]
    columns = {
        "id": [*genes["gene_id"], *atac.var_names],
        "name": [*rna.var_names, *atac.var_names],
        "feature_type": ["Gene Expression"] * rna.n_vars + ["Peaks"] * atac.n_vars,
        "genome": [GENOME] * (rna.n_vars + atac.n_vars),
        "interval": [*interval, *atac.var_names],
    }
    with h5py.File(path, "w") as file:
        file.attrs.update({"filetype": "matrix", "chemistry_desc": "Single Cell Multiome ATAC + Gene Expression v1"})
        file.attrs["software_version"] = f"chromatell {version('chromatell')}, simulated"
        group = file.create_group("matrix")
        parts: dict[str, Any] = {
            "barcodes": _texts(barcodes),
            "data": counts.data,
            "indices": counts.indices.astype(np.int64),
            "indptr": counts.indptr.astype(np.int64),
            "shape": np.array(counts.shape[::-1], dtype=np.int32),
        }
        for name, value in parts.items():
            group.create_dataset(name, data=value, compression="gzip")
        features = group.create_group("features")
        features.create_dataset("_all_tag_keys", data=_texts(["genome", "interval"]))
        for name, texts in columns.items():
            features.create_dataset(name, data=_texts(texts), compression="gzip")


def _texts(values: Any) -> np.ndarray:
    return np.array([str(v).encode("ascii") for v in values])


def _write_fragments(path: Path, mdata: MuData, barcodes: np.ndarray, rng: np.random.Generator) -> None:
    """Write a fragment for each count of a peak, and some outside them, sorted, as Cell Ranger does."""
    atac = mdata.mod[ATAC]
    counts = sp.coo_matrix(atac.X)
    times = counts.data.astype(np.int64)
    cell, peak = np.repeat(counts.row, times), np.repeat(counts.col, times)
    chroms = list(pd.unique(atac.var[CHROM]))
    number = pd.Index(chroms).get_indexer(atac.var[CHROM])
    begin, finish = (atac.var[name].to_numpy(np.int64) for name in (START, END))
    middle = rng.integers(begin[peak], finish[peak])
    n_more = int(_BACKGROUND / (1 - _BACKGROUND) * cell.size)
    lengths = np.array([finish[number == c].max() for c in range(len(chroms))])
    chrom = np.concatenate([number[peak], rng.choice(len(chroms), n_more, p=lengths / lengths.sum())])
    cell = np.concatenate([cell, rng.choice(cell, n_more)])
    middle = np.concatenate([middle, rng.integers(0, lengths[chrom[-n_more:]])]) if n_more else middle
    kind = rng.choice(len(_LENGTHS), middle.size, p=[share for share, _, _ in _LENGTHS])
    mean, sd = (np.array([row[i] for row in _LENGTHS])[kind] for i in (1, 2))
    length = np.maximum(25, np.rint(rng.normal(mean, sd))).astype(np.int64)
    start = np.maximum(0, middle - length // 2)
    order = np.lexsort((cell, start + length, start, chrom))
    chrom, start, end, cell = chrom[order], start[order], (start + length)[order], cell[order]
    support = rng.geometric(0.6, chrom.size)
    head = b"# id=tutorial\n# pipeline_name=cellranger-arc\n# reference=simulated\n"
    texts = [
        f"{chroms[c]}\t{s}\t{e}\t{b}\t{n}\n".encode()
        for c, s, e, b, n in zip(
            chrom.tolist(), start.tolist(), end.tolist(), barcodes[cell], support.tolist(), strict=True
        )
    ]
    lines = len(head) + np.concatenate([[0], np.cumsum([len(t) for t in texts])]).astype(np.int64)
    blocks = write_bgzf(path, head + b"".join(texts))
    write_index(path.with_name(path.name + ".tbi"), blocks, lines, chroms, chrom, start, end)
