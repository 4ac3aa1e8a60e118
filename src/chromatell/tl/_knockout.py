"""What is taken out in silico: variables of cells, and matches of motifs in the sequences of regions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from chromatell._keys import RNA
from chromatell._nearest import names_there
from chromatell._validate import ChromatellError, examples
from chromatell._values import log_odds
from chromatell.genome.motifs import Motifs, find_hits, read_motifs, safe_name
from chromatell.tl._sequences import N, region_windows, sequence_model

JASPAR = "JASPAR"
_FEWEST = 10  # cells that express a gene
_ROUNDS = 20  # a site that still matches is shuffled again so often
_ROWS = 4096  # sequences scanned at a time


def log_odds_of(model: Any, data: Any, **options: Any) -> np.ndarray:
    """Return what a model predicts, float32 (cells, regions), as log-odds."""
    return log_odds(np.asarray(model.predict(data, **options), dtype=np.float32))


def cells_of(mdata: MuData, name: str, rows: np.ndarray) -> AnnData:
    """Return some cells of a modality, copied, with the columns of ``mdata.obs``: batches that a model reads."""
    held = mdata.mod[name]
    if held.isbacked and held.is_view:  # of which anndata gives no part
        held = held.to_memory()
    part = held[mdata.obs_names[rows]]
    cells = part.to_memory() if part.isbacked else part.copy()
    for column in mdata.obs:
        cells.obs[column] = mdata.obs[column].iloc[rows]
    return cells


def without(data: AnnData, members: Sequence[str]) -> tuple[AnnData, np.ndarray]:
    """Return the cells without some variables, and which of them had any of these; matrices are new.

    A cell that would have nothing left stays as it is, and counts as one that had none: there is nothing to predict it
    from.
    """
    at = data.var_names.get_indexer(pd.Index(members))
    x: Any = data.X.tocsr(copy=True) if sp.issparse(data.X) else np.array(data.X)
    taken, whole = (np.asarray((part > 0).sum(axis=1)).ravel() for part in (x[:, at], x))
    had = (taken > 0) & (taken < whole)
    if sp.issparse(x):
        x.data[np.isin(x.indices, at) & np.repeat(had, np.diff(x.indptr))] = 0
        x.eliminate_zeros()
    else:
        x[np.ix_(had, at)] = 0
    changed = data.copy()
    changed.X = x
    return changed, had


class PredictedEffects:
    """Mean effect of each gene over the cells that express it, by predicting them without it, at the mean depth.

    As `GeneEffects` of a `Dense`, for a model of any family that reads expression: a prediction a gene.
    """

    def __init__(self, model: Any, mdata: MuData, rows: np.ndarray) -> None:
        self.model, self.cells = model, cells_of(mdata, RNA, rows)
        self.genes = model.read_expression.genes
        self.base = log_odds_of(model, self.cells, depth="fixed")

    def of(self, genes: np.ndarray, method: str) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield (gene, cells used, float32 (1, regions)) one by one; no cells, no effect: NaN."""
        for gene in genes:
            name, n = str(self.genes[gene]), 0
            effect = np.full((1, self.base.shape[1]), np.nan, dtype=np.float32)
            if name in self.cells.var_names:
                rows = np.flatnonzero(np.asarray((self.cells[:, name].X > 0).sum(axis=1)).ravel())
                if rows.size >= _FEWEST:
                    changed, had = without(self.cells[rows], [name])
                    n = int(had.sum())
                    effects = self.base[rows] - log_odds_of(self.model, changed, depth="fixed")
                    effect[0] = effects[had].mean(axis=0) if n else np.nan
            yield np.array([gene]), np.array([n]), effect


class MotifsOut:
    """What the vectors of regions lose where the matches of motifs in their sequences are shuffled away.

    Parameters
    ----------
    mdata, key, model, fasta
        A model that reads DNA, and where the sequences of its regions are.
    source
        'JASPAR', or what `read_motifs` takes.
    names
        Motifs that will be asked for.
    pvalue
        P-value of a match, for one place on one strand.
    n_shuffles
        Times that each match is shuffled.
    """

    def __init__(
        self, mdata: MuData, key: str, model: Any, fasta: Any, source: Motifs, names: Sequence[str], pvalue: float,
        n_shuffles: int, seed: int,
    ) -> None:  # fmt: skip
        self.model = sequence_model(mdata, key, model)
        pwms = read_motifs(list(dict.fromkeys(names)) if source == JASPAR else source)
        missing = [n for n in names if safe_name(n) not in pwms]
        if missing:
            raise ChromatellError(
                f"There is no motif {examples(missing)} in motifs=; there: {names_there(pwms, missing[0], 8)}. Name "
                "some of those."
            )
        length = self.model.sequence_length
        self.motifs = {name: pwms[safe_name(name)] for name in names}
        if long := [name for name, pwm in self.motifs.items() if len(pwm) > length]:
            raise ChromatellError(f"The motifs {examples(long)} are longer than the {length} bases that are read.")
        self.tokens = region_windows(mdata, self.model.regions, self.model, fasta).tokens
        self.pvalue, self.n_shuffles, self.seed = pvalue, n_shuffles, seed

    def __call__(self, members: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return which regions hold any of the motifs, and the change of their vectors, float32 (those, K)."""
        motifs = {name: self.motifs[name] for name in members}
        held = np.unique(np.concatenate([h["sequence"].to_numpy() for h in self._hits(self.tokens, motifs)]))
        own = self.tokens[held]
        if not held.size:
            return held, np.zeros((0, self.model.network.n_vector), dtype=np.float32)
        change = -self.model.region_vectors(own)
        seeds = np.random.SeedSequence([self.seed, *"".join(members).encode()]).spawn(self.n_shuffles)
        for one in seeds:
            other = self._shuffled(own, motifs, np.random.default_rng(one))
            change += self.model.region_vectors(other) / self.n_shuffles
        return held, change

    def _hits(self, tokens: np.ndarray, motifs: Mapping[str, np.ndarray]) -> Iterator[pd.DataFrame]:
        for start in range(0, len(tokens), _ROWS):
            hits = find_hits(np.ascontiguousarray(tokens[start : start + _ROWS]), motifs, pvalue=self.pvalue)
            yield hits.assign(sequence=hits["sequence"] + start)

    def _shuffled(self, tokens: np.ndarray, motifs: Mapping[str, np.ndarray], rng: np.random.Generator) -> np.ndarray:
        """Return sequences in which the bases of each match are in another order, until none matches any more.

        What no order hides, such as a run of one base, becomes unknown.
        """
        out, rest = tokens.copy(), np.arange(len(tokens))
        for turn in range(_ROUNDS + 1):
            hits = pd.concat(self._hits(out[rest], motifs))
            rows = rest[hits["sequence"].to_numpy()]
            for row, start, end in zip(rows, hits["start"], hits["end"], strict=True):
                out[row, start:end] = N if turn == _ROUNDS else rng.permutation(out[row, start:end])
            rest = np.unique(rows)
            if not rest.size:
                break
        return out
