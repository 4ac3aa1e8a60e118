"""Paired counts as Cell Ranger ARC writes them."""

from __future__ import annotations

import gzip
import re
import tarfile
import tempfile
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from anndata.utils import make_index_unique
from mudata import MuData

from chromatell._arguments import arguments
from chromatell._compat import no_pull
from chromatell._keys import ATAC, CHROM, END, RNA, START
from chromatell._settings import logger
from chromatell._sparse import check_sparse
from chromatell._validate import ChromatellError, examples
from chromatell.datasets._fetch import fetch
from chromatell.genome.regions import parse_regions
from chromatell.io._guard import check_file

_GENES, _PEAKS = "Gene Expression", "Peaks"
_FILES = ("matrix.mtx", "features.tsv", "barcodes.tsv")
_FOLDER = "filtered_feature_bc_matrix"
_MAX_UNPACKED = 64 * 1024**3  # bytes of an archive
_MAX_TEXT = 2_000_000_000  # characters of the barcodes or the features
_NEEDED = (
    "Needed: filtered_feature_bc_matrix.h5 or the folder filtered_feature_bc_matrix/ (matrix.mtx.gz, features.tsv.gz, "
    "barcodes.tsv.gz; also as .tar.gz) of Cell Ranger ARC."
)


@arguments
def multiome_10x(path_or_url: str | Path, *, sha256: str | None = None, cache: str | Path | None = None) -> MuData:
    """Paired counts from the output of Cell Ranger ARC.

    Parameters
    ----------
    path_or_url
        ``filtered_feature_bc_matrix.h5``, the folder ``filtered_feature_bc_matrix/`` (or the one above it), or a
        `.tar.gz` of that folder: a path, or an https address of a file, which is downloaded once and kept.
    sha256
        Hexadecimal SHA-256 of the file. A download without one, or over plain http, warns.
    cache
        Folder for downloads. None takes the user's cache folder.

    Returns
    -------
    mudata.MuData
        - ``mod['rna'].X``: counts, float32 CSR; `var`: `gene_ids`, `feature_types`, `genome`, `interval`
          (``chrom:start-end`` of the gene's start sites; ``''`` where none). Gene names that repeat get a suffix.
        - ``mod['atac'].X``: counts, float32 CSR; `var`: `feature_types`, `genome`, `chrom`, `start`, `end` (0-based,
          half-open). Features of other types are left out.

    Raises
    ------
    ChromatellError
        Nothing there, a failed download, another hash, a file that is cut short or of another format, no `Peaks`.

    Examples
    --------
    >>> import chromatell as ctl
    >>> mdata = ctl.datasets.multiome_10x("outs/filtered_feature_bc_matrix.h5")  # doctest: +SKIP
    """
    text = str(path_or_url)
    scheme = urlsplit(text).scheme.lower()
    if scheme in ("http", "https"):
        path = fetch(text, sha256=sha256, cache=cache)
    elif re.match(r"^[a-z][a-z0-9+.-]+://", text, flags=re.IGNORECASE):
        raise ChromatellError(
            f"{text!r}: addresses must begin with https:// (or http://). Download it first, give the path."
        )
    else:
        path = Path(path_or_url).expanduser()
        if not path.exists():
            raise ChromatellError(f"Nothing at {str(path)!r}. {_NEEDED}")
        _check_hash(path, sha256)
    try:
        x, features, barcodes = _read(path)
    except (OSError, EOFError, KeyError, ValueError, MemoryError, zlib.error, tarfile.TarError) as error:
        if isinstance(error, ChromatellError):
            raise
        raise ChromatellError(f"{str(path)!r} cannot be read ({type(error).__name__}: {error}). {_NEEDED}") from error
    return _assemble(x, features, barcodes, str(path))


def _check_hash(path: Path, sha256: str | None) -> None:
    if sha256 is None:
        return
    import pooch

    if path.is_dir():
        raise ChromatellError(f"sha256 is of a file; {str(path)!r} is a folder. Leave sha256 out.")
    digest = pooch.file_hash(str(path))
    if digest != sha256.lower():
        raise ChromatellError(f"{str(path)!r} has sha256 {digest}, not {sha256}. Get the file again.")


def _read(path: Path) -> tuple[sp.csr_matrix, pd.DataFrame, np.ndarray]:
    if path.is_dir():
        inner = next((p for p in (path, path / _FOLDER) if _find(p, "matrix.mtx") is not None), None)
        h5 = path / f"{_FOLDER}.h5"
        if inner is None and h5.is_file():
            return _read_h5(h5)
        if inner is None:
            raise ChromatellError(f"{str(path)!r} holds no matrix.mtx(.gz). {_NEEDED}")
        return _read_folder(inner)
    if h5py.is_hdf5(path):
        return _read_h5(path)
    if tarfile.is_tarfile(path):
        with tempfile.TemporaryDirectory(prefix="chromatell_") as folder:
            return _read_folder(_unpack(path, Path(folder)))
    raise ChromatellError(f"{str(path)!r} is neither an HDF5 file nor a tar archive. {_NEEDED}")


def _unpack(path: Path, folder: Path) -> Path:
    """Unpack the three files, and nothing else, of an archive that may be a stranger's."""
    with tarfile.open(path) as archive:
        members: dict[str, tarfile.TarInfo] = {}
        for member in archive:
            name = Path(member.name).name
            if member.isfile() and name.removesuffix(".gz") in _FILES:
                members.setdefault(name, member)
        if sum(m.size for m in members.values()) > _MAX_UNPACKED:
            raise ChromatellError(f"{str(path)!r} unpacks to over {_MAX_UNPACKED / 1e9:.0f} GB. Unpack it yourself.")
        for name, member in members.items():
            member.name = name
            archive.extract(member, folder, filter="data")
    return folder


def _find(folder: Path, name: str) -> Path | None:
    return next((p for p in (folder / f"{name}.gz", folder / name) if p.is_file()), None)


def _read_folder(folder: Path) -> tuple[sp.csr_matrix, pd.DataFrame, np.ndarray]:
    from scipy.io import mmread

    paths = {name: path for name in _FILES if (path := _find(folder, name)) is not None}
    absent = [name for name in _FILES if name not in paths]
    if absent:
        raise ChromatellError(f"{str(folder)!r} holds no {', '.join(f'{a}(.gz)' for a in absent)}. {_NEEDED}")
    rows = [line.split("\t") for line in _text(paths["features.tsv"])]
    if any(len(r) < 3 for r in rows):
        raise ChromatellError(
            f"{str(paths['features.tsv'])!r} has lines of fewer than 3 columns (id, name, type). {_NEEDED}"
        )
    interval = [f"{r[3]}:{r[4]}-{r[5]}" if len(r) >= 6 and r[3] and r[4].isdigit() else "" for r in rows]
    features = pd.DataFrame([r[:3] for r in rows], columns=["id", "name", "feature_types"]).assign(
        genome="", interval=interval
    )
    barcodes = np.array(_text(paths["barcodes.tsv"]), dtype=object)
    x = sp.csr_matrix(mmread(str(paths["matrix.mtx"]), spmatrix=False).T, dtype=np.float32)  # stored features x cells
    return x, features, barcodes


def _text(path: Path) -> list[str]:
    opener: Any = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as handle:
        text = handle.read(_MAX_TEXT + 1)
    if len(text) > _MAX_TEXT:
        raise ChromatellError(f"{str(path)!r} unpacks to over {_MAX_TEXT} characters. {_NEEDED}")
    return [line for line in text.splitlines() if line.strip()]


def _read_h5(path: Path) -> tuple[sp.csr_matrix, pd.DataFrame, np.ndarray]:
    check_file(path)
    with h5py.File(path, "r") as handle:
        if "matrix" not in handle or "features" not in handle["matrix"]:
            raise ChromatellError(f"{str(path)!r} has no 'matrix/features'; it has {sorted(handle)}. {_NEEDED}")
        group = handle["matrix"]
        n_features, n_cells = (int(n) for n in group["shape"][:])
        parts = (group["data"][:].astype(np.float32), group["indices"][:], group["indptr"][:])
        table = {key: _strings(group["features"][key]) for key in ("id", "name", "feature_type")}
        for key in ("genome", "interval"):
            present = key in group["features"]
            table[key] = _strings(group["features"][key]) if present else np.full(n_features, "", dtype=object)
        barcodes = _strings(group["barcodes"])
    x = sp.csr_matrix(parts, shape=(n_cells, n_features))  # CSC of features x cells is CSR of cells x features
    check_sparse(x, f"The matrix in {str(path)!r}")
    features = pd.DataFrame(table).rename(columns={"feature_type": "feature_types"})
    features["interval"] = features["interval"].where(features["interval"].str.contains(":"), "")
    return x, features, barcodes


def _strings(dataset: h5py.Dataset) -> np.ndarray:
    return np.array([v.decode("utf-8") if isinstance(v, bytes) else str(v) for v in dataset[:]], dtype=object)


def _assemble(x: sp.csr_matrix, features: pd.DataFrame, barcodes: np.ndarray, where: str) -> MuData:
    if x.shape != (len(barcodes), len(features)):
        raise ChromatellError(
            f"{where}: the matrix is {x.shape[0]} cells x {x.shape[1]} features, with {len(barcodes)} barcodes and "
            f"{len(features)} features beside it. The files are not of one run; get them again."
        )
    kinds = features["feature_types"].value_counts()
    for kind, cure in ((_PEAKS, "is it RNA alone? Read it with scanpy.read_10x_h5."), (_GENES, "is it ATAC alone?")):
        if kind not in kinds:
            raise ChromatellError(f"{where} holds no {kind!r} features, only {kinds.to_dict()}; {cure} {_NEEDED}")
    others = {k: int(n) for k, n in kinds.items() if k not in (_PEAKS, _GENES)}
    if others:
        logger.info("Left out: features of other types, %s.", others)
    obs = pd.DataFrame(index=pd.Index(barcodes))
    genes, peaks = ((features["feature_types"] == k).to_numpy() for k in (_GENES, _PEAKS))
    var = features[genes].set_index("name").rename(columns={"id": "gene_ids"})
    repeated = var.index[var.index.duplicated()]
    if len(repeated):
        logger.info("%d gene names repeat (such as %s) and get a suffix.", len(repeated), examples(repeated))
    var.index = make_index_unique(pd.Index(var.index, name=None))
    rna = AnnData(_columns(x, genes), obs=obs.copy(), var=var)
    names = pd.Index(features.loc[peaks, "id"].to_numpy())
    places = parse_regions(names)
    if (places[START] < 0).any():
        bad = names[(places[START] < 0).to_numpy()]
        raise ChromatellError(
            f"{where}: {len(bad)} peaks have no coordinates in their names (such as {examples(bad)}). {_NEEDED}"
        )
    table = features.loc[peaks, ["feature_types", "genome"]].set_axis(names).join(places[[CHROM, START, END]])
    atac = AnnData(_columns(x, peaks), obs=obs, var=table)
    with no_pull():
        mdata = MuData({RNA: rna, ATAC: atac})
    logger.info("%d cells x %d genes and %d regions.", x.shape[0], rna.n_vars, atac.n_vars)
    return mdata


def _columns(x: sp.csr_matrix, mask: np.ndarray) -> sp.csr_matrix:
    kept = sp.csr_matrix(x[:, np.flatnonzero(mask)])
    kept.sort_indices()
    return kept
