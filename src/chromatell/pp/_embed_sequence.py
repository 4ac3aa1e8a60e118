"""A short vector of each region's DNA, which a model reads beside the region's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from chromatell._keys import ATAC, CHROM, DNA, TRAIN, UNS, X_DNA
from chromatell._settings import logger, settings
from chromatell._validate import (
    ChromatellError,
    check_tables,
    examples,
    free_entry,
    in_range,
    one_of,
    region_split_of,
    result_key,
)
from chromatell.data.named import Modalities, modalities
from chromatell.genome.genome import Genome
from chromatell.genome.regions import has_coordinates, region_table, same_names
from chromatell.genome.same_build import check_ends
from chromatell.genome.sequence import check_tokens
from chromatell.pp._region_data import declared_build, regions_of

METHODS = ("kmer", "xchrom", "nucleotide_transformer")
_WIDEST = 1_000_000  # bp of a region


@modalities
def embed_sequence(
    data: MuData | AnnData,
    fasta: str | Path | Genome | None = None,
    *,
    method: str = "kmer",
    model: Any = None,
    n_components: int = 64,
    k: int = 5,
    max_unknown: float = 0.5,
    device: str | None = None,
    seed: int | None = None,
    key_added: str = X_DNA,
    copy: bool = False,
    **more: Unpack[Modalities],
) -> MuData | AnnData | None:
    r"""A short vector of each region's DNA, for ``dna_key=`` of :class:`chromatell.models.AtacFormer`.

    The features of the method are standardised and, where they are more than `n_components`, projected on their
    principal components, both as the training regions say (``var['ctl_split']``; without it, all are).

    Parameters
    ----------
    data
        With modality `atac`, or an AnnData of regions, with coordinates.
    fasta
        Plain or bgzip FASTA, or a :class:`chromatell.genome.Genome`: each region's own bases are read, in blocks. None
        takes the tokens of ``ctl.pp.add_sequence``, ``varm['dna_code']``.
    method
        - 'kmer': the share of each `k`-mer on either strand; nothing is needed but the sequence.
        - 'xchrom': the vector that an XChrom gives to the region, from its tower and the covariates beside it, in
          windows side by side where a region is longer than what that reads. Where the model was given an annotation,
          the regions must be of that build.
        - 'nucleotide_transformer': the mean of the last hidden states of a Nucleotide Transformer (extra
          `dna-models`). No code that comes with a model is run, and only safetensors are read.
    model
        For 'xchrom' a trained model, its record, or the path of a file that holds one; for 'nucleotide_transformer' a
        folder, or a name on the Hugging Face Hub such as 'InstaDeepAI/nucleotide-transformer-500m-human-ref'.
    n_components
        Longest that a vector may be; 32 features of an XChrom stay 32.
    k
        Bases of a word, 1 to 8, for 'kmer'.
    max_unknown
        Share of N, from 0 to 1, up to which a region has a sequence.
    device
        For networks: 'cpu', 'cuda', ...; None takes a GPU where there is one.
    seed
        Seed of the draw of 20,000 training regions, where there are more; None takes ``ctl.settings.seed``, else 0.
    key_added
        In `varm`.

    Returns
    -------
    None, or with ``copy=True`` a new object. Written into ``mdata.mod['atac']``, or the AnnData:

    ``varm[key_added]`` : numpy.ndarray (n_regions, n), float32
        0, which is the mean of the training regions, where a region has no sequence.

    And into `uns` of what was given:

    ``uns['ctl'][key_added]`` : dict
        `method`, `embedder`, `fasta`, `build`, `n_regions` (with a sequence), `explained` (share of the features'
        variance that the components keep).

    Raises
    ------
    ChromatellError
        Regions without coordinates or over 1 Mb, a FASTA without their chromosomes or of another build, no tokens and
        no FASTA, no region with a sequence, a model that is missing or cannot be used.

    Notes
    -----
    Time on one core: 'kmer' about 25 ns a base (600,000 bins of 5 kb in 2 to 3 minutes); 'xchrom' and
    'nucleotide_transformer' want a GPU for as many. Peak memory: the table, the features of 20,000 regions, and a block
    of 4 million bases; the FASTA is mapped, not read.

    References
    ----------
    Dalla-Torre et al., Nucleotide Transformer (Nature Methods, 2024); Yuan and Kelley, scBasset (Nature Methods, 2022).

    Examples
    --------
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import chromatell as ctl
    >>> bases = "".join(np.random.default_rng(0).choice(list("ACGT"), 50_000))
    >>> _ = Path("small.fa").write_text(">chr1\n" + bases + "\n")
    >>> atac = ctl.datasets.simulate_multiome(20, 5, 40, seed=0).mod["atac"]
    >>> atac.var = atac.var[[]]
    >>> atac.var_names = [f"chr1:{i}-{i + 1000}" for i in range(0, 40_000, 1000)]
    >>> ctl.pp.embed_sequence(atac, "small.fa", n_components=8)
    >>> atac.varm["X_dna"].shape, atac.uns["ctl"]["X_dna"]["embedder"]
    ((40, 8), '5-mers')
    """
    check_tables(data)
    _check_key(data, key_added)
    one_of(method, METHODS, "method")
    n_components = in_range(n_components, 1, 4096, "n_components")
    max_unknown = in_range(max_unknown, 0, 1, "max_unknown", whole=False)
    if model is None and method != "kmer":
        what = (
            "a trained XChrom or its file, such as model='xchrom.h5mu'" if method == "xchrom" else "see its description"
        )
        raise ChromatellError(f"method={method!r} needs model=: {what}.")
    opened = regions_of(data)
    train = region_split_of(opened) == TRAIN
    source, table, how = _sequences(data, opened, fasta)
    from chromatell.nn.dna_embedding import embed_regions  # heavy: not when the package is imported

    embedder = _embedder(method, model, k, device)
    vectors, has, projection = embed_regions(
        source,
        table,
        embedder,
        n_components=n_components,
        train=train,
        max_unknown=max_unknown,
        seed=settings.resolve_seed(seed),
    )

    target = data.copy() if copy else data
    written = target.mod[ATAC] if isinstance(target, MuData) else target
    written.varm[key_added] = vectors
    how |= {"method": method, "embedder": embedder.name, "n_regions": int(has.sum()), "explained": projection.explained}
    target.uns[UNS] = {**target.uns.get(UNS, {}), key_added: how}
    logger.info("%s of %d regions in %d numbers.", embedder.name, int(has.sum()), vectors.shape[1])
    if not has.all():
        logger.warning(
            "%d of %d regions (such as %s) have no sequence, over %.0f%% N; their vector is 0.",
            int((~has).sum()), has.size, examples(opened.var_names[~has]), 100 * max_unknown,
        )  # fmt: skip
    return target if copy else None


def _check_key(data: MuData | AnnData, key: str) -> None:
    result_key(key)
    if key != X_DNA:
        free_entry(key, regions_of(data).varm, "varm", mine=key in data.uns.get(UNS, {}))


def _sequences(
    data: MuData | AnnData, atac: AnnData, fasta: Any
) -> tuple[Genome | np.ndarray, pd.DataFrame | None, dict[str, Any]]:
    """Return where the sequences come from, the regions to read there, and what `uns` says of it."""
    if fasta is None:
        if DNA not in atac.varm:
            raise ChromatellError(
                f"Did not find varm[{DNA!r}]. Give the genome to read from, ctl.pp.embed_sequence(data, 'genome.fa'), "
                "or run ctl.pp.add_sequence(data, 'genome.fa') first."
            )
        tokens = check_tokens(atac.varm[DNA], f"varm[{DNA!r}]")
        if tokens.ndim != 2 or not tokens.shape[1]:
            raise ChromatellError(f"varm[{DNA!r}] is of shape {tokens.shape}; regions x bases are needed.")
        table = region_table(atac) if has_coordinates(atac).all() else None
        return tokens.astype(np.int8, copy=False), table, {"fasta": "", "build": ""}
    table = region_table(atac)
    wide = table["end"] - table["start"]
    if wide.max() > _WIDEST:
        raise ChromatellError(f"Region {wide.idxmax()!r} has {int(wide.max())} bp; up to {_WIDEST} are read.")
    genome = fasta if isinstance(fasta, Genome) else Genome(fasta)
    if (genome.find(table[CHROM]) < 0).all():
        raise ChromatellError(
            f"{genome.path.name} has none of the regions' chromosomes ({examples(table[CHROM].unique(), 6)}); it has "
            f"{examples(genome.chromosomes, 6)}. Give the FASTA of the regions' build."
        )
    same_names(genome.chromosomes, table[CHROM].unique(), genome.path.name)  # says so
    declared = declared_build(data, atac)
    if declared and genome.build and declared != genome.build:
        raise ChromatellError(f"{genome.path.name} is {genome.build}; the regions are {declared}. Give that FASTA.")
    cure = f"{genome.path.name} is of another build: give the FASTA of theirs."
    check_ends(table, genome.chromosomes, cure, where=genome.path.name, done="there is no sequence there")
    return genome, table, {"fasta": genome.path.name, "build": genome.build}


def _embedder(method: str, model: Any, k: int, device: str | None) -> Any:
    if method == "kmer":
        from chromatell.nn.dna_embedding import KmerEmbedder

        return KmerEmbedder(k)
    from chromatell.nn.dna_models import TransformerEmbedder, XChromEmbedder

    return (XChromEmbedder if method == "xchrom" else TransformerEmbedder)(model, device=device)
