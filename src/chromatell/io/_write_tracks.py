"""``ctl.io.write_tracks``: what groups of cells open, as bigWigs for a genome browser."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pandas as pd
import scipy.sparse as sp
from mudata import MuData

from chromatell._keys import ATAC, CHROM, END, RNA, START
from chromatell._progress import progress
from chromatell._settings import logger
from chromatell._validate import ChromatellError, examples, one_of
from chromatell.data.named import Modalities, modalities
from chromatell.genome.builds import build_name, chromosome_sizes, identify
from chromatell.genome.regions import normalise_chrom
from chromatell.io._bigwig_file import check_lengths
from chromatell.io._bigwig_intervals import write_intervals
from chromatell.io._browser_files import hub_files
from chromatell.io._replace import check_target
from chromatell.io._write import check_writable, siblings
from chromatell.io.bigwig import import_pybigtools

PREDICTED, OBSERVED = "predicted", "observed"


@modalities
def write_tracks(
    mdata: MuData,
    groupby: str,
    path: str | os.PathLike[str],
    *,
    genome: str | os.PathLike[str] | Mapping[str, int] | None = None,
    what: str | Sequence[str] = (PREDICTED, OBSERVED),
    key: str | None = None,
    hub: bool = False,
    email: str = "not.given@example.org",
    overwrite: bool = False,
    **more: Unpack[Modalities],
) -> dict[str, Path]:
    """Write the accessibility of each group of cells as a bigWig, and a hub that shows them together.

    Parameters
    ----------
    mdata
        With `atac_pred`; `atac` where it was measured.
    groupby
        Column of `obs`.
    path
        A folder; made where there is none.
    genome
        Name of a build ('hg38', 'mm10', ...), a mapping of chromosome to length, or the path of a ``chrom.sizes`` file.
        None takes what ``uns['genome']`` of a modality says.
    what
        'predicted', 'observed', or both. Where nothing was measured 'observed' is left out.
    key
        Which prediction; None takes the latest.
    hub
        Also write a UCSC track hub (`hub.txt`, `genomes.txt`, `trackDb.txt`) and a session for igv.js
        (`igv_session.json`), which refer to the bigWigs beside them. Put the folder where a browser can fetch it.
    email
        Whom users of the hub can write to; UCSC wants one.
    overwrite
        Replace files that are there. All files take their names together, at the end.

    Returns
    -------
    dict of str to pathlib.Path
        Name of each file to its path: ``'<group>_predicted.bw'``, ``'<group>_observed.bw'``, and those of the hub.
        Values over a region: mean predicted probability of being open, or share of cells in which it was open, both
        from 0 to 1; nothing between regions. Where regions overlap, their mean.

    Raises
    ------
    ChromatellError
        No such prediction, column or build; regions without coordinates or off the end of their chromosome; files that
        are there; pybigtools is not installed. Nothing was written.

    Notes
    -----
    Regions on chromosomes that the genome does not list are left out, which is logged. Groups that have no cells are
    too.

    Examples
    --------
    >>> import chromatell as ctl
    >>> mdata = ctl.datasets.simulate_multiome(100, 20, 30, seed=0)
    >>> files = ctl.io.write_tracks(mdata, "cell_type", "tracks", genome="hg38", what="observed", hub=True)
    >>> sorted(name for name in files if not name.endswith(".bw"))
    ['genomes.txt', 'hub.txt', 'igv_session.json', 'trackDb.txt']
    """
    from chromatell.data.chosen import accessibility, cell_labels, coordinates

    pybigtools = import_pybigtools()
    kinds = [what] if isinstance(what, str) else list(dict.fromkeys(what))
    for kind in kinds:
        one_of(kind, (PREDICTED, OBSERVED), "what")
    codes, groups = cell_labels(mdata, groupby)
    sources = {}
    if PREDICTED in kinds:
        sources[PREDICTED] = accessibility(mdata, key)
    if OBSERVED in kinds and (ATAC in mdata.mod or kinds == [OBSERVED]):
        sources[OBSERVED] = accessibility(mdata, ATAC)
    if not sources:
        raise ChromatellError("what= names nothing to write. Name 'predicted', 'observed', or both.")
    sizes, build = _genome(mdata, genome)
    check_lengths(sizes)
    if hub and not build:
        raise ChromatellError(
            "hub=True needs a genome that UCSC knows by name, such as genome='hg38'; the lengths given are of none of "
            "the builds that this package knows. Leave hub= out, or name the build."
        )
    layouts = {kind: _Layout(coordinates(mdata, source.regions), sizes, kind) for kind, source in sources.items()}
    folder, names = Path(path), _names(groups)
    files = {f"{name}_{kind}.bw": folder / f"{name}_{kind}.bw" for name in names for kind in sources}
    texts: dict[str, str] = {}
    if hub:
        entries = [
            (f"{name}_{kind}", f"{group}, {kind}", kind)
            for name, group in zip(names, groups, strict=True)
            for kind in sources
        ]
        first = next(iter(layouts.values())).locus()
        texts = hub_files(entries, build, groupby, first, email)
        files |= {name: folder / name for name in texts}
    _check_files(folder, files, overwrite=overwrite)

    total = len(names) * len(sources)
    with (
        siblings(list(files.values()), ".bw", overwrite=overwrite) as places,  # pybigtools goes by the suffix
        progress("Writing tracks", total, "tracks") as advance,
    ):
        for kind, source in sources.items():
            means = source.group_means(codes, len(groups))
            for name, values in zip(names, means, strict=True):
                _write(pybigtools, places[files[f"{name}_{kind}.bw"]], layouts[kind], values, folder)
                advance(1)
        for name, text in texts.items():
            places[files[name]].write_text(text, encoding="utf-8")
    return files


class _Layout:
    """Where regions lie: intervals that do not overlap, in a bigWig's order, and which regions make up each."""

    def __init__(self, regions: pd.DataFrame, sizes: dict[str, int], kind: str) -> None:
        own = dict(zip(normalise_chrom(sizes), sizes, strict=True))
        chrom = normalise_chrom(regions[CHROM]).map(own)
        known = chrom.notna().to_numpy()
        if not known.any():
            raise ChromatellError(
                f"No region lies on a chromosome of the genome: regions are on {examples(regions[CHROM].unique())}, "
                f"the genome has {examples(sizes)}. Name their build: genome='hg38'."
            )
        if not known.all():
            where = regions[CHROM][~known].unique()
            logger.info("%d %s regions on %s are left out.", int((~known).sum()), kind, examples(where))
        lengths = chrom[known].map(sizes).to_numpy()
        off = regions[END].to_numpy()[known] > lengths
        if off.any():
            raise ChromatellError(
                f"{int(off.sum())} regions end beyond their chromosome (such as "
                f"{examples(regions.index[known][off])}). Are they of another build than genome=?"
            )
        self.sizes = {name: sizes[name] for name in sorted(sizes)}
        self.starts: dict[str, np.ndarray] = {}
        self.ends: dict[str, np.ndarray] = {}
        parts = []
        start, end, names = regions[START].to_numpy(), regions[END].to_numpy(), chrom.to_numpy()
        for name in self.sizes:
            here = np.flatnonzero(names == name)
            if not here.size:
                continue
            edges = np.unique(np.concatenate([start[here], end[here]]))
            first, last = np.searchsorted(edges, start[here]), np.searchsorted(edges, end[here])
            n = last - first
            piece = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n) + np.repeat(first, n)
            shape = (edges.size - 1, len(regions))
            part = sp.csr_matrix((np.ones(piece.size), (piece, np.repeat(here, n))), shape=shape)
            covered = np.flatnonzero(np.diff(part.indptr) > 0)
            self.starts[name] = edges[:-1][covered]
            self.ends[name] = edges[1:][covered]
            parts.append(part[covered])
        mean = sp.vstack(parts, format="csr")
        self.n_bases = int(sum((self.ends[name] - self.starts[name]).sum() for name in self.starts))
        self.mean = sp.diags(1 / np.diff(mean.indptr)) @ mean

    def values(self, of: np.ndarray) -> dict[str, np.ndarray]:
        """Return chromosome -> value of each of its intervals; `of` is the value of each region."""
        edges = np.cumsum([len(starts) for starts in self.starts.values()])[:-1]
        return dict(zip(self.starts, np.split(self.mean @ of, edges), strict=True))

    def locus(self) -> str:
        """Return a place to show first: around the first region."""
        chrom, starts = next(iter(self.starts.items()))
        start = int(starts[0])
        return f"{chrom}:{max(1, start - 20_000)}-{min(start + 80_000, self.sizes[chrom])}"


def _write(pybigtools: Any, path: Path, layout: _Layout, values: np.ndarray, folder: Path) -> None:
    try:
        write_intervals(path, layout.sizes, layout.starts, layout.ends, layout.values(values))
        with pybigtools.open(str(path)) as file:
            covered = file.info()["summary"]["basesCovered"]
    except pybigtools.BBIReadError as error:
        raise ChromatellError(f"{str(folder)!r} could not be written ({error}). Is there room?") from error
    if covered != layout.n_bases:
        raise ChromatellError(f"{str(folder)!r}: a bigWig was not written to its end. Is there room?")


def _genome(mdata: MuData, genome: Any) -> tuple[dict[str, int], str]:
    """Return chromosome lengths, and UCSC's name of the build, '' where it is not known."""
    if genome is None:
        named = [mdata, *(mdata.mod[m] for m in (ATAC, RNA) if m in mdata.mod)]
        genome = next((str(one.uns["genome"]) for one in named if isinstance(one.uns.get("genome"), str)), None)
        if genome is None or not build_name(genome):
            raise ChromatellError(
                f"Which genome the regions lie on is not known{'' if genome is None else f' ({genome!r})'}. Name it: "
                "genome='hg38', a dict of chromosome to length, or the path of a chrom.sizes file."
            )
    sizes = chromosome_sizes(genome)
    named_build = build_name(genome) if isinstance(genome, str) else ""
    return sizes, named_build or identify(sizes)


def _names(groups: Sequence[str]) -> list[str]:
    """Return names of files, one a group: letters, digits and '_'.

    Where groups differ only in what names of files cannot hold, such as case, their files are numbered, which is said.
    """
    plain = [_file_name(group) for group in groups]
    low = [name.lower() for name in plain]  # file systems may not tell case
    turn = [low[: i + 1].count(name) for i, name in enumerate(low)]
    names = [name if n == 1 else f"{name}_{n}" for name, n in zip(plain, turn, strict=True)]
    if len({name.lower() for name in names}) < len(names):
        names = [f"{name}_{i + 1}" for i, name in enumerate(plain)]
    told = [
        f"{name}: {group!r}"
        for name, group, one in zip(names, groups, low, strict=True)
        if low.count(one) > 1 or one == "group"
    ]
    if told:
        logger.warning("Names of groups are alike as names of files, which hold: %s.", "; ".join(told))
    return names


def _file_name(group: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", group).strip("_") or "group"


def _check_files(folder: Path, files: Mapping[str, Path], *, overwrite: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise ChromatellError(f"{str(folder)!r} is a file; a folder is needed. Choose another path.")
    check_writable(folder / "x")
    present = [name for name, file in files.items() if file.exists()]
    if present and not overwrite:
        raise ChromatellError(
            f"{str(folder)!r} holds {examples(present)} already. Choose another folder, or overwrite=True."
        )
    for file in files.values():
        check_target(file, "bigwig" if file.suffix == ".bw" else "text", overwrite=True)
