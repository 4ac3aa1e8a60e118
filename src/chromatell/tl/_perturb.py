"""``ctl.tl.perturb``: a gene, a region or a motif taken out, and what the model then says of cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from chromatell._docs import documented, example
from chromatell._keys import ATAC, PERTURBATION, RNA, UNS
from chromatell._progress import progress
from chromatell._settings import settings
from chromatell._unread import refuse_unread, usual
from chromatell._validate import ChromatellError, examples, in_range, modality, result_key
from chromatell.data.chosen import cell_labels
from chromatell.data.named import Modalities, modalities
from chromatell.genome.motifs import Motifs
from chromatell.tl._knockout import MotifsOut, cells_of, log_odds_of, without
from chromatell.tl._link_regions import any_model

_MOST = 1000  # perturbations of one call


@modalities
@documented("result")
@example("predicted cells")
def perturb(
    mdata: MuData,
    targets: str | Sequence[str] | Mapping[str, Sequence[str]],
    *,
    key: str = "dense",
    model: Any = None,
    motifs: Motifs | None = None,
    fasta: str | Path | Any = None,
    pvalue: float = 1e-4,
    n_shuffles: int = 4,
    groupby: str = "cell_type",
    n_cells: int = 200,
    seed: int | None = None,
    key_added: str = PERTURBATION,
    copy: bool = False,
    **more: Unpack[Modalities],
) -> MuData | None:
    r"""Take genes, regions or motifs out, in silico, and write what a model then says of each group of cells.

    The effect of a perturbation k on region r in group g is

    .. math:: e_{kgr} = \frac{1}{n_g} \sum_{c \in g} \mathrm{logit}\, p_r(x_c^{\,k = 0}) - \mathrm{logit}\, p_r(x_c)

    below 0 where the region closes without what was taken out. A model that reads expression (`Dense`, `XChrom`,
    `AtacFormer` with a context that it computes from expression) is asked about **genes**, whose counts are set to 0;
    one that reads a cell's own open bins (`AtacFormer`) about **regions**, which are taken out of its sentences; one
    that reads DNA (`XChrom`), with `motifs`, about **transcription factors**: the bases of each match of the factor's
    motif, on either strand of what the model reads of a region, are shuffled until none matches any more.

    Parameters
    ----------
    mdata
        With `rna` or `atac`, whichever the model reads, and the model.
    targets
        Names of genes, regions or factors, each taken out by itself; or a dict of a name to several that are taken out
        together.
    model
        A trained model, or the path of one, in its place.
    motifs
        Where targets are factors: 'JASPAR', or what `chromatell.genome.motifs.read_motifs` takes (a MEME file, a
        mapping of names to matrices), in which they are looked up. None takes targets for genes or regions.
    fasta
        Genome of the regions, for motifs, where ``atac.varm`` does not hold their sequences.
    pvalue
        P-value of a match, for one place on one strand.
    n_shuffles
        Times that each match is shuffled; the effect is their mean.
    n_cells
        Cells of each group, drawn at random; all where there are fewer.

    Returns
    -------
    None, or a new MuData with ``copy=True``. Written, ``mdata.uns['ctl'][key_added]``, a dict:

    `effect` : numpy.ndarray
        float32 (targets, groups, regions), in log-odds; NaN where nothing was there to take out in a group, 0 for
        regions without a match of the motif.
    `targets`, `groups`, `regions` : numpy.ndarray
        Their names.
    `table` : pandas.DataFrame
        A row a target and group: `target`, `group`, `n_cells` drawn, `n_changed` that had something to take out, `size`
        (root mean square effect over regions), `embedding` (distance that the mean of the group moves in the model's
        embedding, in units of the group's own spread; NaN for a model without one), `toward`, the other group whose
        log-odds, as means over its cells, lie most in the direction of the effect, and `cosine` of the two directions.
        For motifs also `n_regions` that had a match; `embedding` is 0, as no cell changes.
    `settings` : pandas.DataFrame
        One row: `model`, `family`, `n_cells`, `seed`.

    Raises
    ------
    ChromatellError
        No such model, gene, region or column, or what was named is in none of the cells drawn. Nothing was written.

    Notes
    -----
    It asks the model, not the cell: a gene may stand for others that it goes with, and a gene of which a model has
    learned nothing has no effect; factors of a family share a motif, so that one stands for all. Depth is predicted
    anew from what is left. Cost: one prediction of the drawn cells a target, or for a motif `n_shuffles` + 1 passes of
    the regions with a match through the sequence tower. Peak memory: three matrices of the drawn cells x regions,
    float32, and the result.

    References
    ----------
    In-silico deletion of tokens: Theodoris et al., Nature 2023 (Geneformer). Shuffled motifs: Avsec et al., Nature
    Genetics 2021 (BPNet).

    Examples
    --------
    >>> ctl.tl.perturb(mdata, ["gene_1", "gene_2"], n_cells=20)
    >>> mdata.uns["ctl"]["perturbation"]["effect"].shape
    (2, 4, 60)
    """
    result_key(key_added)
    of_motifs = (("fasta", "pvalue", "n_shuffles"), motifs is not None, "transcription factors, motifs='JASPAR'")
    refuse_unread({"fasta": fasta, "pvalue": pvalue, "n_shuffles": n_shuffles}, usual(perturb), [of_motifs])
    n_shuffles, pvalue = in_range(n_shuffles, 1, 1000, "n_shuffles"), in_range(pvalue, 0, 1, "pvalue", whole=False)
    n_cells = in_range(n_cells, 2, 1_000_000, "n_cells")
    seed = settings.resolve_seed(seed)
    codes, groups = cell_labels(mdata, groupby)
    sets = _sets(targets)
    if motifs is None:
        model = _model(mdata, key, model)
    read = ATAC if motifs is None and model.reads_atac else RNA
    present = mdata.obs_names.isin(modality(mdata, read).obs_names)  # a MuData may hold cells without expression
    if not (present & (codes >= 0)).any():
        raise ChromatellError(
            f"No cell of mdata.mod[{read!r}] has a label in mdata.obs[{groupby!r}]. Name another column, groupby=..."
        )
    rows = _draw(np.where(present, codes, -1), len(groups), n_cells, seed)
    if motifs is None:
        data = _cells(mdata, model, read, rows, sets)
    else:
        names = [m for s in sets.values() for m in s]
        out = MotifsOut(mdata, key, model, fasta, motifs, names, pvalue, n_shuffles, seed)
        model, data = out.model, cells_of(mdata, RNA, rows)
    of = codes[rows]
    if set(groups) - {groups[c] for c in np.unique(of)}:
        groups = [g for i, g in enumerate(groups) if (of == i).any()]
        of = np.unique(of, return_inverse=True)[1]
    ask, embed = _asked(model, read, {name: modality(mdata, name) for name in model.reads_beside})
    base, home = ask(data), embed(data)
    if motifs is None:
        take_out = _members(data, ask, embed, base, n_cells)
    else:
        take_out = _motifs(out, model.cell_vectors(data), home, base)
    means = _means(base, of, len(groups))
    effect = np.full((len(sets), len(groups), base.shape[1]), np.nan, dtype=np.float32)
    table = []
    with progress("Perturbing", len(sets), "targets") as advance:
        for k, (name, members) in enumerate(sets.items()):
            change = take_out(name, members)
            for g, group in enumerate(groups):
                here = of == g
                n = int((change.had & here).sum())
                if n:
                    effect[k, g] = change.moved[here].mean(axis=0)
                said: dict[str, Any] = {"target": name, "group": group, "n_cells": int(here.sum()), "n_changed": n}
                said["embedding"] = _shift(home, change.away, here)
                table.append({**said, **_summary(effect[k, g], means, g, groups), **change.extra})
            advance(1)
    about = {"model": key, "family": model.family, "n_cells": n_cells, "seed": seed}
    columns = ["target", "group", "n_cells", "n_changed", "size", "embedding", "toward", "cosine"]
    written = {
        "effect": effect,
        "targets": np.array(list(sets), dtype=object),
        "groups": np.array(groups, dtype=object),
        "regions": np.asarray(model.region_names(None), dtype=object).astype(str).astype(object),
        "table": pd.DataFrame(table)[columns if motifs is None else [*columns, "n_regions"]],
        "settings": pd.DataFrame([about], index=["0"]),
    }
    target = mdata.copy() if copy else mdata
    target.uns[UNS] = {**target.uns.get(UNS, {}), key_added: written}
    return target if copy else None


@dataclass(frozen=True)
class _TakenOut:
    """What one perturbation does to the drawn cells.

    Attributes
    ----------
    moved
        Change of the log-odds, float32 (cells, regions).
    away
        Embedding of the changed cells; None of a model without one.
    had
        Which cells had something to take out, bool (cells,).
    extra
        Further columns of the table.
    """

    moved: np.ndarray
    away: np.ndarray | None
    had: np.ndarray
    extra: dict[str, Any] = field(default_factory=dict)


_TakeOut = Callable[[str, Sequence[str]], _TakenOut]


def _members(data: Any, ask: Any, embed: Any, base: np.ndarray, n_cells: int) -> _TakeOut:
    """Return what takes genes or regions out of the cells, and raises where no cell has them."""

    def take_out(name: str, members: Sequence[str]) -> _TakenOut:
        changed, had = without(data, members)
        if not had.any():
            raise ChromatellError(
                f"{name!r} is in none of the {len(base)} cells drawn, so nothing can be taken out. Draw more, "
                f"n_cells={4 * n_cells}, or leave it out."
            )
        return _TakenOut(ask(changed) - base, embed(changed), had)

    return take_out


def _motifs(out: MotifsOut, vectors: np.ndarray, home: np.ndarray | None, base: np.ndarray) -> _TakeOut:
    """Return what shuffles motifs in the regions, and raises where no region has a match."""

    def take_out(name: str, members: Sequence[str]) -> _TakenOut:
        held, change = out(members)
        if not held.size:
            raise ChromatellError(
                f"The motif {name!r} matches no region at pvalue={out.pvalue:g}. Try a higher one, such as 1e-3, or "
                "leave it out."
            )
        moved = np.zeros_like(base)
        moved[:, held] = vectors @ change.T
        return _TakenOut(moved, home, np.ones(len(base), dtype=bool), {"n_regions": held.size})

    return take_out


def _model(mdata: MuData, key: str, model: Any) -> Any:
    model = any_model(mdata, key, model)
    if model.declared.tracks:
        raise ChromatellError(
            "A Nascent model reads tracks, which have no cells. Train one of cells, ctl.tl.dense(mdata), and ask for "
            "it: key='dense', model=None."
        )
    return model


def _sets(targets: Any) -> dict[str, list[str]]:
    """Return each perturbation by its name, with what is taken out in it."""
    if isinstance(targets, Mapping):
        sets = {str(n): [str(m) for m in ([v] if isinstance(v, str) else v)] for n, v in targets.items()}
    else:
        sets = {str(t): [str(t)] for t in ([targets] if isinstance(targets, str) else targets)}
    if not sets or not all(sets.values()) or len(sets) > _MOST:
        raise ChromatellError(
            f"targets= names {len(sets)} perturbations; 1 to {_MOST}, none of them empty, are needed. Name genes, "
            "such as targets=['GATA1'], or regions."
        )
    return sets


def _draw(codes: np.ndarray, n_groups: int, n_cells: int, seed: int) -> np.ndarray:
    """Return the places of at most `n_cells` cells of each group, in the order of the data."""
    rng = np.random.default_rng(seed)
    parts = [rng.permutation(np.flatnonzero(codes == g))[:n_cells] for g in range(n_groups)]
    return np.sort(np.concatenate(parts))


def _cells(mdata: MuData, model: Any, read: str, rows: np.ndarray, sets: Mapping[str, Sequence[str]]) -> AnnData:
    """Return the drawn cells of what the model reads; raise where a name is not read."""
    expression = None if read == ATAC else model.read_expression
    if read == RNA and expression is None:
        raise ChromatellError(
            "This model reads an embedding of the user's own, from which no gene can be taken out. Train one that "
            "reads genes, ctl.tl.xchrom(mdata, embedding=None) or ctl.tl.dense(mdata), and ask for it: key='dense', "
            "model=None."
        )
    known = pd.Index(model.trained_regions if expression is None else expression.genes).astype(str)
    adata = modality(mdata, read)
    named = pd.Index([m for members in sets.values() for m in members])
    missing = named[~named.isin(known) | ~named.isin(adata.var_names)].unique()
    if len(missing):
        what = "regions" if read == ATAC else "genes"
        raise ChromatellError(
            f"The model reads no {what} {examples(missing)}, or the data do not hold them; it reads "
            f"{examples(known)}. Name some of its {len(known):,} {what}."
        )
    return cells_of(mdata, read, rows)


def _asked(
    model: Any, read: str, others: Mapping[str, AnnData]
) -> tuple[Callable[[AnnData], np.ndarray], Callable[[AnnData], np.ndarray | None]]:
    """Return what gives log-odds (cells, regions), and the embedding (cells, d) where the model has one.

    `others` are read as they are.
    """

    def ask(data: AnnData) -> np.ndarray:
        query = data if not others else MuData({read: data, **{k: a[data.obs_names].copy() for k, a in others.items()}})
        return log_odds_of(model, query)

    def embed(data: AnnData) -> np.ndarray | None:
        if model.family == "atacformer":
            return model.embed(data, sentence=read == ATAC)
        return model.cell_vectors(data) if model.family == "xchrom" else None

    return ask, embed


def _means(values: np.ndarray, of: np.ndarray, n: int) -> np.ndarray:
    return np.stack([values[of == g].mean(axis=0) for g in range(n)])


def _summary(effect: np.ndarray, means: np.ndarray, g: int, groups: Sequence[str]) -> dict[str, Any]:
    """Return the size of an effect, and the group toward which it points."""
    none = {"size": np.nan, "toward": "", "cosine": np.nan}
    if not np.isfinite(effect).all():
        return none
    size = float(np.sqrt(np.mean(np.square(effect, dtype=np.float64))))
    ways = means - means[g]
    norms = np.linalg.norm(ways, axis=1) * np.linalg.norm(effect)
    cosine = np.divide(ways @ effect, norms, out=np.full(len(groups), -np.inf), where=norms > 0)
    best = int(np.argmax(cosine))
    if not np.isfinite(cosine[best]):
        return {**none, "size": size}
    return {"size": size, "toward": groups[best], "cosine": float(cosine[best])}


def _shift(home: np.ndarray | None, away: np.ndarray | None, here: np.ndarray) -> float:
    """Return how far the mean of some cells moves, in units of their root mean square distance from their mean."""
    if home is None or away is None:
        return float("nan")
    if away is home:
        return 0.0
    own = home[here].astype(np.float64)
    spread = np.sqrt(np.mean(np.sum((own - own.mean(axis=0)) ** 2, axis=1)))
    moved = np.linalg.norm(away[here].mean(axis=0) - own.mean(axis=0))
    return float(moved / spread) if spread > 0 else float("nan")
