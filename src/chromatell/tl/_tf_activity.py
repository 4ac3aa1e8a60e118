"""``ctl.tl.tf_activity``: how much each cell opens chromatin where a factor's motif is put."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from chromatell._docs import documented, example
from chromatell._keys import ATAC, RNA, TF_ACTIVITY, TRAIN, UNS
from chromatell._progress import progress
from chromatell._settings import logger, settings
from chromatell._validate import (
    ChromatellError,
    check_tables,
    examples,
    free_entry,
    in_range,
    modality,
    one_of,
    region_split_of,
    result_key,
)
from chromatell.data.named import Modalities, modalities
from chromatell.genome.motifs import Motifs, consensus, read_motifs, sample_sites, vertebrate_motifs
from chromatell.genome.sequence import UNKNOWN
from chromatell.genome.shuffle import dinucleotide_shuffle
from chromatell.tl._sequences import group_vectors, no_sequence, sequence_model, stored_tokens, token_key

SITES = ("sampled", "consensus")


@modalities
@documented("result")
@example("sequence model")
def tf_activity(
    mdata: MuData,
    motifs: Motifs | None = None,
    *,
    key: str = "xchrom",
    model: Any = None,
    n_backgrounds: int = 64,
    site: str = "sampled",
    standardise: bool = False,
    groupby: str | None = None,
    release: str | None = None,
    seed: int | None = None,
    key_added: str = TF_ACTIVITY,
    copy: bool = False,
    **more: Unpack[Modalities],
) -> MuData | None:
    r"""Activity of transcription factors in every cell, from a model of sequence alone.

    Each motif is planted in the middle of background sequences, and the change that the model predicts is read in every
    cell:

    .. math:: a_{cf} = \frac{1}{B} \sum_{b=1}^{B} \left( w(s_b \oplus f) - w(s_b) \right) \cdot v_c

    with :math:`w` the vector of a sequence, :math:`v_c` that of a cell, :math:`s_b` a background and
    :math:`s_b \oplus f` the same with a site of factor f. Sequences are read once, whatever the number of cells.

    Parameters
    ----------
    mdata
        Modality `rna`; `atac` with ``varm['dna_code']``, from whose training regions backgrounds are made.
    motifs
        What `chromatell.genome.motifs.read_motifs` takes: names or ids of JASPAR, a MEME file, a dict of name ->
        (length, 4) array. None takes JASPAR's vertebrate motifs of the factors that are genes of `rna`.
    model
        A trained model, or the path of one, in its place.
    n_backgrounds
        Training regions, drawn at random, whose sequence is shuffled keeping the counts of dinucleotides.
    site
        'sampled' draws a site from the motif for each background; 'consensus' plants the most probable one.
    standardise
        Subtract each factor's mean over the cells and divide by its standard deviation, as in scBasset.
    groupby
        Column of `obs`: also write the mean of each group, with its standard error over the backgrounds.
    release
        Release of JASPAR where motifs are named, such as '2024'; None takes the latest that the installed pyjaspar
        brings along. A log line says which was read.
    seed
        Seed of the backgrounds and sites; None follows ``ctl.settings.seed``.

    Returns
    -------
    None, or a new MuData with ``copy=True``. Written:

    ``mdata.mod['rna'].obsm[key_added]`` : pandas.DataFrame
        float32 (n_obs, factors): change of the log-odds of being open, at the training mean of depth; above 0 opens.
        With ``standardise=True`` in standard deviations over the cells.
    ``mdata.uns['ctl'][key_added]`` : dict
        `settings`, a DataFrame of one row: `model`, `site`, `n_backgrounds`, `standardised`, `seed`. With `groupby`:
        `groupby`, text; `mean` and `standard_error`, DataFrames (groups, factors), of the change of the log-odds,
        never standardised.

    Raises
    ------
    ChromatellError
        No such model, no sequences, motifs that cannot be read or are longer than the model's window, none of JASPAR's
        factors among the genes.

    Notes
    -----
    A motif says what a family of factors reads: those of one family have nearly the same activity. The sign is that of
    the site, not of the factor. Peak memory: the vectors of one motif's sequences (n_backgrounds, K) and the result.

    References
    ----------
    Yuan and Kelley, scBasset, Nature Methods 2022.

    Examples
    --------
    >>> ctl.tl.tf_activity(mdata, ["SPI1", "EBF1"], n_backgrounds=4)
    >>> mdata.mod["rna"].obsm["tf_activity"].shape
    (100, 2)
    """
    check_tables(mdata)
    one_of(site, SITES, "site")
    n_backgrounds = in_range(n_backgrounds, 1, 100_000, "n_backgrounds")
    model = sequence_model(mdata, key, model)
    expression = modality(mdata, RNA)
    _check_key(mdata, expression, key_added)
    pwms = _motifs(motifs, expression, model.sequence_length, release)
    seed = settings.resolve_seed(seed)
    backgrounds = _backgrounds(mdata, model, n_backgrounds, np.random.default_rng(seed))

    shifts = _shifts(model, pwms, backgrounds, site, seed)  # (factors, backgrounds, K)
    mean = shifts.mean(axis=1)
    names = list(pwms)
    activity = model.cell_vectors(mdata, depth="fixed") @ mean.T  # (cells, factors)
    if standardise:
        activity = _standardised(activity, names)
    about = pd.DataFrame(
        {
            "model": [key],
            "site": [site],
            "n_backgrounds": [int(n_backgrounds)],
            "standardised": [bool(standardise)],
            "seed": [seed],
        },
        index=["0"],
    )
    written: dict[str, Any] = {"settings": about}
    if groupby is not None:
        groups, vectors = group_vectors(mdata, model, groupby, None)
        by_group = np.einsum("fbk,gk->gfb", shifts, vectors)
        error = by_group.std(axis=2, ddof=1) / np.sqrt(n_backgrounds) if n_backgrounds > 1 else 0 * by_group[..., 0]
        written["groupby"] = groupby
        written["mean"] = pd.DataFrame(by_group.mean(axis=2), index=groups, columns=names)
        written["standard_error"] = pd.DataFrame(error, index=groups, columns=names)
    target = mdata.copy() if copy else mdata
    target.mod[RNA].obsm[key_added] = pd.DataFrame(
        activity.astype(np.float32), index=expression.obs_names, columns=names
    )
    target.uns[UNS] = {**target.uns.get(UNS, {}), key_added: written}
    return target if copy else None


def _check_key(mdata: MuData, rna: AnnData, key: str) -> None:
    result_key(key)
    free_entry(key, rna.obsm, "mdata.mod['rna'].obsm", mine=key in mdata.uns.get(UNS, {}))


def _motifs(motifs: Motifs | None, rna: AnnData, length: int, release: str | None) -> dict[str, np.ndarray]:
    if motifs is None:
        pwms = vertebrate_motifs(rna.var_names, release=release)
        if not pwms:
            raise ChromatellError(
                f"None of the {rna.n_vars} genes of mdata.mod['rna'] (such as {examples(rna.var_names)}) is a factor "
                "with a motif in JASPAR. Name motifs: motifs=['CTCF', 'SPI1'], or rename the genes to symbols."
            )
        logger.info("%d factors of JASPAR are among the genes.", len(pwms))
    else:
        pwms = read_motifs(motifs, release=release)
    too_long = [name for name, pwm in pwms.items() if len(pwm) > length]
    if too_long:
        raise ChromatellError(
            f"The motifs {examples(too_long)} are longer than the {length} bases that the model reads. Leave them out."
        )
    return pwms


def _backgrounds(mdata: MuData, model: Any, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return shuffled sequences of training regions, int8 (n, length); regions repeat where they are fewer."""
    atac, key = mdata.mod.get(ATAC), token_key(model)
    if atac is None or key not in atac.varm:
        raise no_sequence(key)
    tokens = stored_tokens(atac.varm[key], model.sequence_length)
    unknown = (tokens == UNKNOWN).mean(axis=1)
    rows = np.flatnonzero((region_split_of(atac) == TRAIN) & (unknown <= 0.05))
    if not rows.size:
        raise ChromatellError(
            "No training region has a sequence with under 5% N, from which backgrounds could be made. Check that the "
            "FASTA is of the regions' build: ctl.pp.add_sequence(mdata, 'genome.fa')."
        )
    drawn = rng.permutation(rows)[:n] if rows.size >= n else rng.choice(rows, n)
    return np.stack([dinucleotide_shuffle(tokens[i], rng) for i in drawn])


def _shifts(model: Any, motifs: Mapping[str, np.ndarray], backgrounds: np.ndarray, site: str, seed: int) -> np.ndarray:
    """Return what each motif adds to the vector of each background, float32 (factors, backgrounds, K)."""
    n, length = backgrounds.shape
    without = model.region_vectors(backgrounds)
    out = np.empty((len(motifs), *without.shape), dtype=np.float32)
    with progress("Planting motifs", len(motifs), "motifs") as advance:
        for i, (name, pwm) in enumerate(motifs.items()):
            # sites of a motif do not depend on what other motifs are asked for
            rng = np.random.default_rng(np.random.SeedSequence([seed, *name.encode()]))
            first = length // 2 - len(pwm) // 2
            planted = backgrounds.copy()
            planted[:, first : first + len(pwm)] = sample_sites(pwm, n, rng) if site == "sampled" else consensus(pwm)
            out[i] = model.region_vectors(planted) - without
            advance(1)
    return out


def _standardised(activity: np.ndarray, names: list[str]) -> np.ndarray:
    spread = activity.std(axis=0)
    flat = spread <= 1e-6 * np.maximum(np.abs(activity).max(axis=0), 1e-12)
    if flat.any():
        logger.info("The same in all cells, set to 0: %s.", examples(np.array(names)[flat], 5))
    return np.where(flat, 0.0, (activity - activity.mean(axis=0)) / np.where(flat, 1.0, spread))
