"""``ctl.tl.variant_effect``: what variants do to the accessibility of the sequence about them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pandas as pd
from mudata import MuData

from chromatell._docs import documented, example
from chromatell._keys import ATAC, CHROM, VARIANT_EFFECT
from chromatell._progress import progress
from chromatell._settings import settings
from chromatell._validate import in_range, result_key
from chromatell.data.named import Modalities, modalities
from chromatell.genome.variants import read_variants
from chromatell.tl._sequences import (
    group_vectors,
    no_sequence,
    open_genome,
    sequence_model,
    token_key,
    write_result,
)
from chromatell.tl._variant_windows import GenomeWindows, RegionWindows, VariantWindows

_ROWS = 1024  # variants read at a time
_ROUNDING = 1e-5  # share of the largest random effect: effects that are this close are equal


@modalities
@documented("sequence")
@example("sequence model")
def variant_effect(
    mdata: MuData,
    variants: str | Path | pd.DataFrame | Sequence[str],
    *,
    fasta: str | Path | Any = None,
    key: str = "xchrom",
    model: Any = None,
    per: str | None = "cell_type",
    cells: Any = None,
    n_null: int = 1000,
    seed: int | None = None,
    key_added: str = VARIANT_EFFECT,
    copy: bool = False,
    **more: Unpack[Modalities],
) -> MuData | None:
    r"""Write how variants change the log-odds that the sequence about them is open, for each group of cells.

    For the vectors :math:`w` of the sequence with either allele and the mean vector :math:`\bar v_g` of a group's
    cells, the effect is :math:`(w_{alt} - w_{ref}) \cdot \bar v_g`, at the training mean of depth. It is set beside the
    effects of random variants: the same alleles, at random places of training regions with the same base and
    neighbours.

    Parameters
    ----------
    mdata
        Modality `rna` and a model that reads DNA.
    variants
        A VCF, plain or gzip, or a table (path or DataFrame) with `chrom`, `pos` (1-based, as in VCF) or `start`
        (0-based), `ref`, `alt`, and `id` if there; or names, one or a list: ``'chr1:2250:C>G'`` or ``'chr1-2250-C-G'``
        (1-based). Several alternative alleles become a row each.
    fasta
        Path of the genome, or a `chromatell.genome.Genome`: the window is centred on the variant, for an insertion or
        deletion on the middle of each allele. None: substitutions only, in the window (``atac.varm['dna_code']``) of
        the nearest region, where others are left out.
    per
        Column of `obs` with groups; cells without a label are left out. None: the mean of all cells is one group,
        'all'.
    n_null
        Random variants; 0 leaves `p` and `q` out (NaN).
    seed
        Seed of the random variants; None follows ``ctl.settings.seed``.

    Returns
    -------
    None, or a new MuData with ``copy=True``. Written:

    ``mdata.uns['ctl'][key_added]`` : pandas.DataFrame
        A row for each variant and group: `chrom`, `pos` (1-based), `id`, `ref`, `alt`; `region`, the region of
        ``mdata.mod['atac']`` that holds it (``''`` where none), without `fasta` the one whose window was read;
        `group`; `effect`, change in log-odds (natural) from REF to ALT; `logit_ref`, log-odds with REF; `p`, the share
        of random variants with an effect as large, in either direction, (1 + as large) / (1 + n_null); `q`, of
        Benjamini and Hochberg over the variants of a group.

    Raises
    ------
    ChromatellError
        No such model, one that reads no DNA, no sequence, no such column, a file that is not what it should be, or a
        REF that is not what the sequence holds (another build?). Nothing was changed.

    Warns
    -----
    ChromatellWarning
        Variants are left out: symbolic or long alleles, chromosomes that the FASTA does not have, places that no
        region's window holds.

    Notes
    -----
    An effect says what the model learned, not that the variant acts; `p` says how unusual it is among variants placed
    at random in open chromatin. Cost: two sequences a variant, both strands. Peak memory: 2,048 sequences, and the
    table.

    References
    ----------
    Zhou and Troyanskaya, Nature Methods 2015; Avsec et al., Nature Methods 2021 (alternative minus reference);
    Phipson and Smyth, Stat. Appl. Genet. Mol. Biol. 2010 (the 1 in p).

    Examples
    --------
    >>> import pandas as pd
    >>> atac = mdata.mod["atac"]
    >>> middle = atac.varm["dna_code"].shape[1] // 2
    >>> base = "ACGTN"[atac.varm["dna_code"][0, middle]]
    >>> place = (atac.var["start"].iloc[0] + atac.var["end"].iloc[0]) // 2
    >>> snv = pd.DataFrame({"chrom": atac.var["chrom"].iloc[:1], "start": place, "ref": base, "alt": "T"})
    >>> ctl.tl.variant_effect(mdata, snv, per=None, n_null=20)
    >>> len(mdata.uns["ctl"]["variant_effect"])
    1
    """
    result_key(key_added)
    n_null = in_range(n_null, 0, 10_000_000, "n_null")  # 0 for no p-values
    loaded = sequence_model(mdata, key, model)
    groups, vectors = group_vectors(mdata, loaded, per, cells, option="per")
    source = _source(mdata, loaded, fasta)
    table = read_variants(variants)
    table = source.place(table.assign(at=table["pos"] - 1))
    null = None
    if n_null:
        null = source.shuffled(table, n_null, np.random.default_rng(settings.resolve_seed(seed)))
    effect, logit = _effects(loaded, source, table, vectors)
    p = np.full(effect.shape, np.nan)
    if null is not None:
        p = empirical_p(effect, _effects(loaded, source, null, vectors)[0])
    return write_result(mdata, key_added, _table(table, groups, effect, logit, p), copy=copy)


def _source(mdata: MuData, model: Any, fasta: Any) -> VariantWindows:
    atac, stored = mdata.mod.get(ATAC), token_key(model)
    if fasta is not None:
        return GenomeWindows(open_genome(fasta), atac, model.sequence_length)
    if atac is None or stored not in atac.varm:
        raise no_sequence(stored)
    return RegionWindows(atac, atac.varm[stored], model.sequence_length)


def _effects(
    model: Any, source: VariantWindows, table: pd.DataFrame, vectors: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return ALT minus REF and REF, log-odds, both float32 (variants, groups)."""
    effect, logit = (np.empty((len(table), len(vectors)), dtype=np.float32) for _ in range(2))
    with progress("Reading", len(table), "variants") as advance:
        for i in range(0, len(table), _ROWS):
            ref, alt = (model.region_vectors(s) for s in source.pairs(table.iloc[i : i + _ROWS]))
            effect[i : i + _ROWS] = (alt - ref) @ vectors.T
            logit[i : i + _ROWS] = ref @ vectors.T
            advance(len(ref))
    return effect, logit


def empirical_p(effect: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Return the share of null effects at least as large in size, the variant's own counted: float64, as `effect`."""
    p = np.empty(effect.shape)
    for g in range(effect.shape[1]):
        ordered = np.sort(np.abs(null[:, g]))
        least = np.abs(effect[:, g]) - _ROUNDING * ordered[-1]
        as_large = len(ordered) - np.searchsorted(ordered, least, side="left")
        p[:, g] = (1 + as_large) / (1 + len(ordered))
    return p


def _table(variants: pd.DataFrame, groups: list[str], effect: np.ndarray, logit: np.ndarray, p: np.ndarray) -> Any:
    from scipy.stats import false_discovery_control

    q = p if np.isnan(p).any() else false_discovery_control(p, axis=0)
    rows = np.repeat(np.arange(len(variants)), len(groups))
    table = variants[[CHROM, "pos", "id", "ref", "alt", "region"]].iloc[rows].reset_index(drop=True)
    table["group"] = np.tile(np.array(groups, dtype=object), len(variants))
    for name, values in (("effect", effect), ("logit_ref", logit), ("p", p), ("q", q)):
        table[name] = values.ravel()
    return table
