"""Paired RNA and ATAC counts whose accessibility follows from DNA sequence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from chromatell._arguments import arguments
from chromatell._compat import no_pull
from chromatell._docs import documented
from chromatell._keys import ATAC, CHROM, DNA, RNA, SIMULATION, UNS
from chromatell._settings import settings
from chromatell._validate import ChromatellError
from chromatell.datasets._simulate_multiome import _check, _draw, _truth
from chromatell.datasets._simulated_windows import (
    SLOPE,
    MadeUpGenome,
    Motif,
    Windows,
    centre,
    choose_windows,
    make_genome,
    occupancy,
    with_threshold,
)
from chromatell.genome.genome import Genome
from chromatell.genome.motifs import Motifs, find_hits, read_motifs

OCCUPANCY = "motif_occupancy"
_DEFAULT = ("SPI1", "CEBPA", "EBF1", "CTCF", "POU2F2", "NFE2", "MEF2C", "STAT1")
_EFFECT = 2.5  # log-rate that a bound site of a fully active factor adds
_COMPOSITION = {"gc": 0.25, "cpg": 0.35}  # log-rate for each standard deviation over the regions
_CLIP = 3.0  # standard deviations


@arguments
@documented("simulated")
def simulate_sequence_multiome(
    fasta: str | Path | None = None,
    motifs: Motifs | None = None,
    n_cells: int = 3000,
    *,
    n_regions: int = 4000,
    n_genes: int = 200,
    n_types: int = 6,
    n_tfs: int | None = None,
    n_donors: int = 4,
    width: int = 1344,
    region_width: int = 500,
    reach: int | None = None,
    depth: float | None = None,
    truth: bool = True,
    fasta_out: str | Path | None = None,
    seed: int | None = None,
) -> MuData:
    r"""Paired counts whose accessibility follows from motifs in DNA and the activity of factors in each cell type.

    Region r of a cell c of type t is open with

    .. math:: \log \lambda_{tr} = b_t + \sum_f a_{tf} o_{rf} + g_r, \qquad
              P(\text{open}) = 1 - e^{-d_c \lambda_{tr}},

    where :math:`o_{rf}`, between 0 and 1, is the probability that a site of factor f is bound in the `reach` bases
    about the region's middle: a site of log-odds score s (bits) is bound with probability
    :math:`1 / (1 + e^{-2 (s - m_f)})`, on either strand, independently. :math:`m_f` is one bit below the score that a
    random place reaches with p = 1e-5. :math:`a_{tf}` is the activity of f in type t, 0 to 2.5; :math:`g_r` a term in
    GC and CpG content (0.25 and 0.35 for each standard deviation over the regions, cut at 3); :math:`d_c` the cell's
    depth; :math:`b_t` makes the rates of a type add up to 1. Nothing else varies between regions: all is in the
    sequence, and what lies further from the middle than half of `reach` has no effect.

    Parameters
    ----------
    fasta
        FASTA, plain or bgzip. None makes up a genome of 6 chromosomes with tracts of different composition, rare CpG
        and sites drawn from the motifs.
    motifs
        What `chromatell.genome.motifs.read_motifs` takes: names or ids of JASPAR, a MEME file, a dict. None takes
        strong ones: SPI1, CEBPA, EBF1, CTCF, POU2F2, NFE2, MEF2C, STAT1.
    n_cells, n_regions, n_genes
        Size of the data.
    n_tfs
        Use the first so many motifs. None takes 6 of the defaults, and all of `motifs`.
    width
        Bases of the window around the middle of each region.
    region_width
        Bases of each region.
    reach
        Bases about the middle of a region whose sites, GC and CpG act on it, wherever among them a site lies, at most
        `width`: more than `region_width` plants distal motifs. None takes `region_width`, so that a region's own bases
        say all.
    truth
        Keep the true probabilities, a dense float32 layer of n_cells x n_regions.
    fasta_out
        Write the made-up genome to this path, as plain FASTA.

    Returns
    -------
    mudata.MuData
        - ``mod['rna'].X``: counts, float32 CSR; the first genes are the factors and bear their names, their expression
          follows the activity; `var`: `gene_id`, `chrom`, `tss` (0-based), `strand`.
        - ``mod['atac'].X``: fragment counts, float32 CSR; `var`: `chrom`, `start`, `end` (0-based, half-open).
        - ``mod['atac'].varm['dna_code']``: int8 (n_regions, width), A C G T = 0 1 2 3: the window
          ``[mid - width // 2, mid - width // 2 + width)`` of the + strand, ``mid = (start + end) // 2``.
        - ``mod['atac'].varm['motif_occupancy']``: DataFrame (n_regions, factors), float32, :math:`o_{rf}`.
        - ``mod['atac'].layers['truth']``: P(open) given type and depth, float32 (n_cells, n_regions).
        - ``mod['atac'].obs['expected_fragments']``: the depth :math:`d_c`, float64.
        - ``obs`` (also of both modalities): `cell_type`, `donor` (categorical).
        - ``uns['ctl']['simulation']``: `activity` (DataFrame, types x factors, :math:`a_{tf}`), `hits` (DataFrame:
          `region`, `motif`, `start`, `end` (0-based, half-open, from the window's first base), `strand`, `score`
          (bits); sites that are bound with probability of at least 1/2), `motifs` (name -> (length, 4) probabilities)
          and the other parameters of the formula.

    Raises
    ------
    ChromatellError
        A size that is not a positive whole number, too few windows without N in the FASTA, motifs that cannot be read,
        pyjaspar or pyfaidx not installed where needed.

    Notes
    -----
    Windows are real sequence, but chosen: they do not overlap, hold no N, and those with a site of each motif are taken
    until it has one in about 12% of the regions, then windows without any. Windows where a motif is half bound (0.1 to
    0.9) are avoided while there are others. Memory: the bases of a made-up genome, the windows, the truth. A FASTA is
    read through `chromatell.genome.Genome`, which keeps its tokens in a file.

    References
    ----------
    The binding model is the thermodynamic one of Segal and Widom, Nature Reviews Genetics 2009, without interactions.

    Examples
    --------
    >>> import chromatell as ctl
    >>> mdata = ctl.datasets.simulate_sequence_multiome(n_cells=100, n_regions=60, n_genes=30, seed=0)
    >>> mdata.mod["atac"].varm["dna_code"].shape
    (60, 1344)
    >>> mdata.uns["ctl"]["simulation"]["activity"].shape
    (6, 6)
    """
    depth = 0.04 * n_regions if depth is None else float(depth)
    sizes = {"n_cells": n_cells, "n_genes": n_genes, "n_regions": n_regions, "n_types": n_types, "n_donors": n_donors}
    reach = region_width if reach is None else reach
    _check({**sizes, "width": width, "region_width": region_width, "reach": reach}, depth, truth)
    tfs = {name: with_threshold(pwm) for name, pwm in _pick(motifs, n_tfs).items()}
    _check_widths(tfs, width, region_width, reach, n_genes)
    if fasta_out is not None and fasta is not None:
        raise ChromatellError("fasta_out= writes the made-up genome; with fasta= there is none. Leave one of them out.")
    out = None if fasta_out is None else Path(fasta_out).expanduser()
    if out is not None and not out.parent.is_dir():
        raise ChromatellError(f"fasta_out: there is no folder {str(out.parent)!r}. Make it first.")
    seeds = np.random.SeedSequence(settings.resolve_seed(seed)).spawn(7)
    rng = [np.random.default_rng(s) for s in seeds]
    genome = make_genome(rng[0], n_regions, width, reach, tfs) if fasta is None else Genome(fasta)
    windows = choose_windows(rng[1], genome, n_regions, width, region_width, reach, tfs)
    if out is not None and isinstance(genome, MadeUpGenome):
        genome.write(out)

    activity = _activity(rng[2], n_types, list(tfs))
    simulation = _parameters(windows, tfs, activity, region_width, reach)
    rate, bound = _rates(windows.tokens, simulation)
    simulation["intercept"] = -np.log(rate.sum(axis=0))
    regions = (rate / rate.sum(axis=0)).T  # (types, regions), rows sum to 1
    obs, type_of, library, fragments = _cells(rng[3], n_cells, n_types, n_donors, n_genes, depth)
    genes, gene_programmes = _genes(rng[4], n_genes, activity, genome.chromosomes)

    rna = AnnData(_draw(seeds[5], type_of * library[:, None], gene_programmes), obs=obs.copy(), var=genes)
    atac = AnnData(_draw(seeds[6], type_of * fragments[:, None], regions), obs=obs.copy(), var=windows.table)
    atac.varm[DNA] = windows.tokens
    atac.varm[OCCUPANCY] = pd.DataFrame(bound.astype(np.float32), index=atac.var_names, columns=list(tfs))
    atac.obs["expected_fragments"] = fragments
    if truth:
        atac.layers["truth"] = _truth(type_of * fragments[:, None], regions)
    with no_pull():
        mdata = MuData({RNA: rna, ATAC: atac})
    for name in obs:
        mdata.obs[name] = obs[name]
    mdata.uns[UNS] = {SIMULATION: simulation}
    return mdata


def true_log_rate(mdata: MuData, tokens: np.ndarray) -> np.ndarray:
    """Return the true log-rate of any sequences in each cell type.

    Parameters
    ----------
    mdata
        From `simulate_sequence_multiome`.
    tokens
        Integers (n, width), A C G T N = 0 1 2 3 4; the central `reach` bases are read.

    Returns
    -------
    numpy.ndarray
        float64 (n, types), in the order of ``mdata.uns['ctl']['simulation']['activity']``. In a cell of that type and
        of depth d the region is open with probability ``1 - exp(-d exp(log-rate))``.

    Raises
    ------
    ChromatellError
        `mdata` is not simulated, or the sequences are shorter than `reach`.
    """
    simulation = mdata.uns.get(UNS, {}).get(SIMULATION)
    if simulation is None:
        raise ChromatellError(
            "Did not find mdata.uns['ctl']['simulation']: the truth is known of simulated data alone, from "
            "ctl.datasets.simulate_sequence_multiome()."
        )
    width = _reach(simulation)
    tokens = np.asarray(tokens)
    if tokens.ndim != 2 or tokens.shape[1] < width:
        raise ChromatellError(f"Sequences of shape (n, at least {width}) are needed; found {tokens.shape}.")
    return np.log(_rates(tokens, simulation)[0]) + np.asarray(simulation["intercept"])


def _reach(simulation: Mapping[str, Any]) -> int:
    return int(simulation.get("reach", simulation["region_width"])[0])  # older simulations have one of the two


def _rates(tokens: np.ndarray, simulation: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return (n, types) rates without the types' intercepts, and occupancies (n, factors)."""
    region = centre(tokens, _reach(simulation))
    activity: pd.DataFrame = simulation["activity"]
    tfs = {
        str(name): Motif(np.asarray(simulation["motifs"][name]), np.inf, float(m))
        for name, m in zip(activity.columns, simulation["midpoint"], strict=True)
    }
    bound = occupancy(region, tfs)
    mean, sd, effect = np.asarray(simulation["composition"])
    z = np.clip((_contents(region) - mean) / sd, -_CLIP, _CLIP)
    return np.exp(bound @ activity.to_numpy().T + (z @ effect)[:, None]), bound


def _contents(region: np.ndarray) -> np.ndarray:
    """Return the shares of G or C and of CG, float64 (n, 2)."""
    gc = ((region == 1) | (region == 2)).mean(axis=1)
    cpg = ((region[:, :-1] == 1) & (region[:, 1:] == 2)).sum(axis=1) / region.shape[1]
    return np.column_stack([gc, cpg])


def _parameters(
    windows: Windows, tfs: Mapping[str, Motif], activity: pd.DataFrame, region_width: int, reach: int
) -> dict[str, Any]:
    region = centre(windows.tokens, reach)
    contents = _contents(region)
    motifs = {name: tf.pwm for name, tf in tfs.items()}
    hits = find_hits(region, motifs, thresholds={name: tf.midpoint for name, tf in tfs.items()})
    offset = windows.tokens.shape[1] // 2 - reach // 2
    hits[["start", "end"]] += offset
    hits.insert(0, "region", windows.table.index.to_numpy(dtype=object)[hits.pop("sequence")])
    hits.index = hits.index.astype(str)
    return {
        "activity": activity,
        "hits": hits,
        "motifs": motifs,
        "midpoint": np.array([tf.midpoint for tf in tfs.values()]),
        "slope": np.array([SLOPE]),
        "region_width": np.array([region_width]),
        "reach": np.array([reach]),
        # rows: mean, standard deviation, effect; columns: GC, CpG
        "composition": np.array(
            [contents.mean(axis=0), np.maximum(contents.std(axis=0), 1e-6), list(_COMPOSITION.values())]
        ),
    }


def _pick(motifs: Motifs | None, n_tfs: int | None) -> dict[str, np.ndarray]:
    matrices = read_motifs(_DEFAULT if motifs is None else motifs)
    if n_tfs is None:
        n_tfs = 6 if motifs is None else len(matrices)
    if isinstance(n_tfs, bool) or not isinstance(n_tfs, int | np.integer) or not 1 <= n_tfs <= len(matrices):
        raise ChromatellError(
            f"n_tfs={n_tfs!r} must be a whole number from 1 to {len(matrices)}, the motifs there are."
        )
    return {name: matrices[name] for name in list(matrices)[:n_tfs]}


def _check_widths(tfs: Mapping[str, Motif], width: int, region_width: int, reach: int, n_genes: int) -> None:
    longest = max(len(tf.pwm) for tf in tfs.values())
    for name, value in (("region_width", region_width), ("reach", reach)):
        if not longest <= value <= width:
            raise ChromatellError(
                f"{name}={value} must lie between the longest motif ({longest} bases) and width={width}."
            )
    if n_genes < len(tfs):
        raise ChromatellError(f"n_genes={n_genes} is below the {len(tfs)} factors, each of which is a gene.")


def _activity(rng: np.random.Generator, n_types: int, tfs: list[str]) -> pd.DataFrame:
    """Return types x factors: each factor is fully active in one type, partly in another, hardly elsewhere."""
    level = rng.uniform(0.0, 0.1, size=(n_types, len(tfs)))
    for j in range(len(tfs)):
        own = j % n_types
        level[own, j] = 1.0
        if n_types > 2:
            other = (own + int(rng.integers(1, n_types))) % n_types
            level[other, j] = rng.uniform(0.4, 0.8)
    return pd.DataFrame(_EFFECT * level, index=_type_names(n_types), columns=tfs)


def _type_names(n: int) -> list[str]:
    return [f"type_{i + 1}" for i in range(n)]


def _cells(
    rng: np.random.Generator, n: int, n_types: int, n_donors: int, n_genes: int, depth: float
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray]:
    """Return obs, cells x types (one 1 a row), expected RNA counts, expected fragments."""
    donor = rng.integers(n_donors, size=n)
    shares = rng.dirichlet(np.full(n_types, 8.0), size=n_donors)
    kind = (rng.random(n)[:, None] > np.cumsum(shares, axis=1)[donor][:, :-1]).sum(axis=1)
    common, own = rng.standard_normal((2, n))
    log_library, log_depth = 0.4 * common, 0.5 * (0.5 * common + np.sqrt(0.75) * own)
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical.from_codes(kind, _type_names(n_types)),
            "donor": pd.Categorical.from_codes(donor, [f"donor_{i + 1}" for i in range(n_donors)]),
        },
        index=pd.Index([f"cell_{i}" for i in range(n)]),
    )
    library = float(np.clip(2 * n_genes, 100, 8000)) * np.exp(log_library - 0.4**2 / 2)
    return obs, np.eye(n_types)[kind], library, depth * np.exp(log_depth - 0.5**2 / 2)


def _genes(
    rng: np.random.Generator, n: int, activity: pd.DataFrame, sizes: Mapping[str, int]
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the genes' table and each type's distribution over genes, (types, genes), rows sum to 1."""
    n_types, n_tfs = activity.shape
    base = rng.normal(0, 1.0, n)
    fold = np.where(rng.random((n_types, n)) < 0.2, rng.normal(1.8, 0.5, (n_types, n)), 0.0)
    weight = np.exp(base + fold)
    weight[:, :n_tfs] = 6.0 * (0.04 + activity.to_numpy() / _EFFECT)
    chrom = rng.choice(len(sizes), n, p=np.array(list(sizes.values())) / sum(sizes.values()))
    length = np.array(list(sizes.values()))[chrom]
    names = [*activity.columns, *(f"gene_{i + 1}" for i in range(n - n_tfs))]
    table = pd.DataFrame(
        {
            "gene_id": [f"SIMG{i + 1:08d}" for i in range(n)],
            CHROM: np.array(list(sizes), dtype=object)[chrom],
            "tss": (rng.random(n) * length).astype(np.int64),
            "strand": rng.choice(np.array(["+", "-"], dtype=object), n),
        },
        index=pd.Index(names),
    )
    return table, weight / weight.sum(axis=1, keepdims=True)
