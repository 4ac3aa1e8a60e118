"""What any region has: GC, CpG, the distance to the nearest start site of a gene, how often motifs occur in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from chromatell._keys import CHROM, END, START
from chromatell._validate import ChromatellError, examples
from chromatell.genome.annotation import read_genes
from chromatell.genome.motifs import scan, score_threshold
from chromatell.genome.regions import normalise_chrom
from chromatell.genome.sequence import check_tokens

GC, CPG, LOG_TSS = "gc", "cpg", "log_tss_distance"
_ROWS = 1_024  # windows taken at a time


@dataclass(frozen=True)
class StartSites:
    """Where genes start, as arrays that a model can keep.

    Attributes
    ----------
    chromosomes
        Names, sorted, all with one spelling: ``1`` is ``chr1``.
    first
        int64 (chromosomes + 1,): the sites of chromosome i are ``positions[first[i] : first[i + 1]]``.
    positions
        int64 (n,), 0-based, ascending within each chromosome; each site once.

    Examples
    --------
    >>> import pandas as pd
    >>> from chromatell.genome.region_covariates import StartSites
    >>> genes = pd.DataFrame({"chrom": ["1", "chr1"], "name": ["A", "B"], "tss": [1000, 5000], "strand": ["+", "-"]})
    >>> sites = StartSites.read(genes)
    >>> places = pd.DataFrame({"chrom": ["chr1", "chr1", "chr2"], "start": [900, 3900, 0], "end": [1100, 4100, 10]})
    >>> sites.distance(places).tolist()
    [0.0, 1000.0, nan]
    """

    chromosomes: tuple[str, ...]
    first: np.ndarray
    positions: np.ndarray

    @classmethod
    def read(cls, annotation: str | Path | pd.DataFrame) -> StartSites:
        """Return the sites of what :func:`chromatell.genome.annotation.read_genes` reads: GTF, BED or a table.

        Raises
        ------
        ChromatellError
            The annotation is absent, does not parse, or holds no start site.
        """
        genes = read_genes(annotation)
        sites = pd.DataFrame({CHROM: normalise_chrom(genes[CHROM]), "tss": genes["tss"].astype(np.int64)})
        sites = sites.drop_duplicates().sort_values([CHROM, "tss"])
        names, n = np.unique(sites[CHROM].to_numpy(dtype=str), return_counts=True)
        return cls(tuple(map(str, names)), np.append(0, np.cumsum(n)).astype(np.int64), sites["tss"].to_numpy())

    def distance(self, places: pd.DataFrame) -> np.ndarray:
        """Return the distance in bp from the middle of each region to the nearest site, on either strand.

        Parameters
        ----------
        places
            `chrom`, `start`, `end` (0-based, half-open), n rows; a start below 0 is unknown.

        Returns
        -------
        numpy.ndarray
            float64 (n,); NaN where the place is unknown or its chromosome has no site.
        """
        codes = pd.Index(self.chromosomes).get_indexer(pd.Index(normalise_chrom(places[CHROM])))
        start = places[START].to_numpy(dtype=np.int64)
        middle = (start + places[END].to_numpy(dtype=np.int64)) // 2
        distances = np.full(len(places), np.nan)
        for code in np.unique(codes[codes >= 0]):
            rows = np.flatnonzero((codes == code) & (start >= 0))
            own = self.positions[self.first[code] : self.first[code + 1]]
            right = np.searchsorted(own, middle[rows])
            ahead = np.abs(own[np.minimum(right, own.size - 1)] - middle[rows])
            distances[rows] = np.minimum(ahead, np.abs(middle[rows] - own[np.maximum(right - 1, 0)]))
        return distances


def gc_and_cpg(tokens: np.ndarray) -> np.ndarray:
    """Return the share of G and C among known bases, and CpG observed over expected.

    Parameters
    ----------
    tokens
        int8 (n, width): A C G T N = 0 1 2 3 4.

    Returns
    -------
    numpy.ndarray, float64 (n, 2)
        NaN where no base is known. CpG is ``n(CG) / (n(C) n(G) / n)``, 0 without C or G.

    Notes
    -----
    Gardiner-Garden & Frommer, J. Mol. Biol. 196 (1987).

    Examples
    --------
    >>> import numpy as np
    >>> from chromatell.genome.region_covariates import gc_and_cpg
    >>> gc_and_cpg(np.array([[1, 2, 0, 3], [0, 3, 4, 4]], dtype=np.int8)).tolist()
    [[0.5, 4.0], [0.0, 0.0]]
    """
    result = np.empty((len(tokens), 2))
    for a in range(0, len(tokens), _ROWS):
        t = np.asarray(tokens[a : a + _ROWS])
        c, g, known = ((part).sum(axis=1).astype(np.float64) for part in (t == 1, t == 2, (t >= 0) & (t < 4)))
        cpg = ((t[:, :-1] == 1) & (t[:, 1:] == 2)).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            result[a : a + _ROWS, 0] = np.where(known > 0, (c + g) / known, np.nan)
            result[a : a + _ROWS, 1] = np.where(known > 0, np.nan_to_num(cpg * known / (c * g), posinf=0.0), np.nan)
    return result


def log_tss_distance(places: pd.DataFrame, sites: StartSites) -> np.ndarray:
    """Return ``log10(1 + d)`` of each region, d the distance in bp from its middle to the nearest start site.

    Parameters
    ----------
    places
        `chrom`, `start`, `end` (0-based, half-open), n rows.
    sites
        Start sites, of the build of the regions.

    Returns
    -------
    numpy.ndarray, float64 (n,)
        0 at a start site, 4 at 10 kb; NaN where the region's chromosome has no site.

    Examples
    --------
    >>> import pandas as pd
    >>> from chromatell.genome.region_covariates import StartSites, log_tss_distance
    >>> genes = pd.DataFrame({"chrom": ["chr1"], "name": ["A"], "tss": [1000], "strand": ["+"]})
    >>> places = pd.DataFrame({"chrom": ["chr1"], "start": [10989], "end": [11009]})
    >>> log_tss_distance(places, StartSites.read(genes)).tolist()
    [4.0]
    """
    return np.log10(1 + sites.distance(places))


def tss_proximity(places: pd.DataFrame, sites: StartSites) -> np.ndarray:
    """Return ``1 / (1 + d / 1000)`` of each region, d as in `log_tss_distance`, which has the same parameters.

    Returns
    -------
    numpy.ndarray, float64 (n,)
        1 at a start site, 0.5 at 1 kb, and nearly flat beyond 20 kb, where the logarithm still falls; NaN where the
        region's chromosome has no site.

    Examples
    --------
    >>> import pandas as pd
    >>> from chromatell.genome.region_covariates import StartSites, tss_proximity
    >>> genes = pd.DataFrame({"chrom": ["chr1"], "name": ["A"], "tss": [1000], "strand": ["+"]})
    >>> places = pd.DataFrame({"chrom": ["chr1"], "start": [1900], "end": [2100]})
    >>> tss_proximity(places, StartSites.read(genes)).tolist()
    [0.5]
    """
    return 1 / (1 + sites.distance(places) / 1000)


def motif_counts(tokens: np.ndarray, motifs: Mapping[str, np.ndarray], *, pvalue: float = 1e-4) -> np.ndarray:
    """Return how often each motif occurs in each sequence, on either strand.

    Parameters
    ----------
    tokens
        int8 (n, width): A C G T N = 0 1 2 3 4.
    motifs
        As from :func:`chromatell.genome.motifs.read_motifs`.
    pvalue
        P-value of a hit at one place on one strand, see :func:`chromatell.genome.motifs.score_threshold`.

    Returns
    -------
    numpy.ndarray, float32 (n, motifs)
        Places at which either strand reaches the motif's threshold, so that a palindrome counts once; 0 throughout for
        a motif that is longer than the sequences or cannot be so rare.

    Notes
    -----
    About 30 ns for each base and motif on one core. Peak memory: 14 bytes a base, 1,024 sequences at a time.

    Examples
    --------
    >>> import numpy as np
    >>> from chromatell.genome.region_covariates import motif_counts
    >>> motifs = {"AC": np.array([[1.0, 0, 0, 0], [0, 1.0, 0, 0]])}
    >>> motif_counts(np.array([[0, 1, 2, 3, 0]], dtype=np.int8), motifs, pvalue=0.1).tolist()  # AC, and GT
    [[2.0]]
    """
    return motif_matches(tokens, motifs, pvalue=pvalue)[0]


def motif_matches(
    tokens: np.ndarray, motifs: Mapping[str, np.ndarray], *, pvalue: float = 1e-4
) -> tuple[np.ndarray, np.ndarray]:
    """Return how often each motif occurs in each sequence, and its best score there; parameters as `motif_counts`.

    Returns
    -------
    counts : numpy.ndarray, float32 (n, motifs)
        As from :func:`motif_counts`.
    best : numpy.ndarray, float32 (n, motifs)
        The highest log-odds of any place on either strand, in bits; NaN where the motif fits nowhere.

    Examples
    --------
    >>> import numpy as np
    >>> from chromatell.genome.region_covariates import motif_matches
    >>> motifs = {"AC": np.array([[1.0, 0, 0, 0], [0, 1.0, 0, 0]])}
    >>> motif_matches(np.array([[2, 0, 1, 4]], dtype=np.int8), motifs, pvalue=0.1)[1].tolist()
    [[4.0]]
    """
    tokens = check_tokens(tokens)
    least = {name: score_threshold(pwm, pvalue) for name, pwm in motifs.items()}
    counts = np.zeros((len(tokens), len(motifs)), dtype=np.float32)
    best = np.full(counts.shape, np.nan, dtype=np.float32)
    for a in range(0, len(tokens), _ROWS):
        part = np.ascontiguousarray(tokens[a : a + _ROWS])
        rows = slice(a, a + len(part))
        for i, (name, pwm) in enumerate(motifs.items()):
            if len(pwm) <= part.shape[1]:
                score = scan(part, pwm).max(axis=0)
                counts[rows, i] = (score >= least[name]).sum(axis=1)
                best[rows, i] = score.max(axis=1)
    return counts, np.where(np.isfinite(best), best, np.nan)


def region_covariates(
    tokens: np.ndarray,
    places: pd.DataFrame | None = None,
    *,
    sites: StartSites | None = None,
    motifs: Mapping[str, np.ndarray] | None = None,
    pvalue: float = 1e-4,
) -> pd.DataFrame:
    """Return one table of what any region has, whether or not a cell was measured for it.

    Parameters
    ----------
    tokens
        int8 (n, width), the sequence around the middle of each region; all of it is read.
    places
        `chrom`, `start`, `end` (0-based, half-open), n rows; needed for `sites`.
    sites
        Start sites of genes, of the build of the regions; None leaves the distance out.
    motifs
        Motifs to count; None counts none.
    pvalue
        P-value of a hit.

    Returns
    -------
    pandas.DataFrame
        float64, n rows, with the index of `places`: `gc`, `cpg` (observed over expected), `log_tss_distance` where
        there are sites, and ``motif:NAME`` for each motif (hits). NaN where it is unknown.

    Raises
    ------
    ChromatellError
        `sites` without `places`, or as many rows of one as not of the other.

    Examples
    --------
    >>> import numpy as np
    >>> from chromatell.genome.region_covariates import region_covariates
    >>> region_covariates(np.array([[1, 2, 0, 3]], dtype=np.int8)).to_dict("list")
    {'gc': [0.5], 'cpg': [4.0]}
    """
    if sites is not None and places is None:
        raise ChromatellError("The distance to a start site needs the places of the regions: chrom, start, end.")
    if places is not None and len(places) != len(tokens):
        raise ChromatellError(f"There are {len(tokens)} sequences and {len(places)} places; one a region is needed.")
    content = gc_and_cpg(tokens)
    table = {GC: content[:, 0], CPG: content[:, 1]}
    if sites is not None and places is not None:
        table[LOG_TSS] = log_tss_distance(places, sites)
    if motifs:
        counts = motif_counts(tokens, motifs, pvalue=pvalue).astype(np.float64)
        table |= {f"motif:{name}": counts[:, i] for i, name in enumerate(motifs)}
    return pd.DataFrame(table, index=None if places is None else places.index)


def check_sites(sites: StartSites, places: pd.DataFrame, cure: str) -> None:
    """Raise where no region lies on a chromosome that has a start site: another species, or other names.

    `cure` is the last sentence of the error.
    """
    known = places[places[START] >= 0]
    if len(known) and not normalise_chrom(known[CHROM]).isin(sites.chromosomes).any():
        raise ChromatellError(
            f"The annotation has no start site on any chromosome of the regions ({examples(known[CHROM].unique())}); "
            f"its own are {examples(sites.chromosomes)}. {cure}"
        )
