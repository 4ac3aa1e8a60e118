"""What a model reads of a cell beside its expression: other modalities of the same cells, such as proteins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from chromatell._keys import ATAC, ATAC_PRED, RNA
from chromatell._rows import compact, matrix, pieces, read
from chromatell._sparse import check_sparse
from chromatell._validate import ChromatellError, called, examples, modality, one_of, same_names, warn
from chromatell._values import is_counts, kept_counts, values
from chromatell.data.accessibility import selected
from chromatell.data.stored import stored

COUNTS, CLR, GIVEN = "log1p of counts over the cell's total", "centred log ratio", "as given"
_COMPONENTS = 50
_CLIP = 10.0
_DENSE = 0.5  # share of counts above zero from which the geometric mean of a cell says something
_FIT_VALUES = 2**27  # components are fitted on so many values, 512 MB
_FLOOR = 0.5  # share of the variables that a query must hold


@dataclass(frozen=True)
class Input:
    """A modality as a few numbers a cell, by the statistics of the training cells.

    Values are normalised (`how`), z-scored and clipped; up to 50 principal components of them, of mean square 1, are
    read, and for counts the standardised log total.

    Attributes
    ----------
    names
        Names of the variables, length m.
    how
        `COUNTS`, `CLR` or `GIVEN`.
    mean, sd, share
        float32 (m,): of the normalised values; each variable's share of the training total.
    components
        float32 (m, k).
    numbers
        float64 (4,): median total; mean and sd of the log total; sd of the first component.
    """

    names: pd.Index
    how: str
    mean: np.ndarray
    sd: np.ndarray
    share: np.ndarray
    components: np.ndarray
    numbers: np.ndarray

    @classmethod
    def fit(cls, adata: AnnData, rows: np.ndarray, seed: int) -> Input:
        """Fit on the training `rows`; memory grows with a block of cells, and 512 MB."""
        from sklearn.utils.extmath import randomized_svd

        keep = selected(adata)
        x = compact(matrix(adata)[:, keep])[rows]
        m = x.shape[1]
        how = GIVEN
        if is_counts(x):
            positive = sum(int((values(block) > 0).sum()) for block in pieces(x))
            how = CLR if positive > _DENSE * x.shape[0] * m else COUNTS
        ones = np.ones(m, dtype=np.float32)
        numbers = np.array([1.0, 0.0, 1.0, 1.0])
        totals, of_variables = [], np.zeros(m)
        for block in pieces(x):
            dense = _dense(block)
            totals.append(dense.sum(axis=1, dtype=np.float64))
            of_variables += np.abs(dense).sum(axis=0, dtype=np.float64)
        total = np.concatenate(totals)
        if how != GIVEN:
            log = np.log1p(total)
            numbers[:3] = np.median(total[total > 0]) if total.any() else 1.0, log.mean(), log.std() or 1.0
        share = (of_variables / (of_variables.sum() or 1.0)).astype(np.float32)
        plain = cls(adata.var_names[keep], how, 0 * ones, ones, share, np.zeros((m, 0), dtype=np.float32), numbers)
        s1, s2 = np.zeros(m), np.zeros(m)
        for block in pieces(x):
            v = plain._normalised(_dense(block), None).astype(np.float64)
            s1, s2 = s1 + v.sum(axis=0), s2 + (v**2).sum(axis=0)
        mean = s1 / x.shape[0]
        sd = np.sqrt(np.maximum(s2 / x.shape[0] - mean**2, 0))
        sd = np.where(sd > 1e-6, sd, 1.0)
        scored = cls(plain.names, how, mean.astype(np.float32), sd.astype(np.float32), share, plain.components, numbers)
        most = max(1000, _FIT_VALUES // max(m, 1))
        some = np.sort(np.random.default_rng(seed).permutation(x.shape[0])[:most])
        z = scored._scored(_dense(read(x[some])), None)
        k = max(1, min(_COMPONENTS, m, len(some) - 1))
        _, size, vt = randomized_svd(z, k, n_iter=4, random_state=seed)
        rms = float(np.sqrt((size**2).sum() / z.shape[0] / k)) or 1.0
        numbers[3] = max(float(size[0] / np.sqrt(z.shape[0]) / rms), 1e-6)
        return cls(scored.names, how, scored.mean, scored.sd, share, (vt.T / rms).astype(np.float32), numbers)

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.components.shape[1] + (self.how != GIVEN)

    @property
    def units(self) -> np.ndarray:
        """By what each column is divided so that none has an sd above 1, float32 (width,)."""
        units = np.full(self.width, self.numbers[3], dtype=np.float32)
        units[self.components.shape[1] :] = 1.0
        return units

    def transform(self, adata: AnnData, rows: Any, name: str) -> np.ndarray:
        """Return float32 (cells, width). Variables that are not there are at their training mean, with a warning."""
        place = adata.var_names.get_indexer(self.names)
        present = place >= 0
        if present.mean() < _FLOOR:
            raise ChromatellError(
                f"mdata.mod[{name!r}] holds {int(present.sum())} of the {len(present)} variables that the model reads; "
                f"half are needed. The model's names look like {examples(self.names)}, the query's like "
                f"{examples(adata.var_names)}. Set mdata.mod[{name!r}].var_names to the same kind of name."
            )
        if not present.all():
            warn(
                f"{int((~present).sum())} of the {len(present)} variables that the model reads of {name!r} are not in "
                f"the query (such as {examples(self.names[~present])}); they are set to the training mean."
            )
        x = compact(matrix(adata)[:, place[present]])[rows]
        if is_counts(x) != (self.how != GIVEN):
            held, wanted = ("values that are no counts", "counts") if self.how != GIVEN else ("counts", "other values")
            raise ChromatellError(
                f"The model was trained on {wanted} of {name!r}; mdata.mod[{name!r}].X of the query holds {held}. "
                + (
                    f"Put the counts there: {kept_counts(adata, called(name)) or called(name) + '.X = ...'}."
                    if self.how != GIVEN
                    else "Normalise it as the training cells were."
                )
            )
        columns = []
        for block in pieces(x):
            dense = _dense(block)
            part = self._scored(dense, present) @ self.components
            if self.how != GIVEN:
                total = np.log1p(dense.sum(axis=1, dtype=np.float64) / max(float(self.share[present].sum()), 1e-6))
                part = np.column_stack([part, (total - self.numbers[1]) / self.numbers[2]])
            columns.append(part.astype(np.float32))
        return np.concatenate(columns) if columns else np.zeros((0, self.width), dtype=np.float32)

    def _normalised(self, block: np.ndarray, present: np.ndarray | None) -> np.ndarray:
        if self.how == GIVEN:
            return block
        if self.how == CLR:
            log = np.log1p(block)
            return log - log.mean(axis=1, keepdims=True)
        mass = 1.0 if present is None else float(self.share[present].sum())
        total = block.sum(axis=1, keepdims=True, dtype=np.float32)
        return np.log1p(block * np.float32(self.numbers[0] * mass) / np.maximum(total, 1.0))

    def _scored(self, block: np.ndarray, present: np.ndarray | None) -> np.ndarray:
        held: Any = slice(None) if present is None else np.flatnonzero(present)
        z = np.zeros((block.shape[0], len(self.names)), dtype=np.float32)
        z[:, held] = np.clip((self._normalised(block, present) - self.mean[held]) / self.sd[held], -_CLIP, _CLIP)
        return z


@dataclass(frozen=True)
class Inputs:
    """The modalities beside expression, by name, in the order asked for."""

    of: Mapping[str, Input]

    @classmethod
    def fit(cls, data: MuData, names: Sequence[str], rows: np.ndarray, seed: int) -> Inputs:
        """Fit each on the training `rows`; `names` as `beside_expression` gives them."""
        return cls({name: Input.fit(data.mod[name], rows, seed) for name in names})

    @property
    def width(self) -> int:
        """Number of columns of all of them."""
        return sum(self.widths.values())

    @property
    def widths(self) -> dict[str, int]:
        """Number of columns of each."""
        return {name: one.width for name, one in self.of.items()}

    @property
    def units(self) -> np.ndarray:
        """By what each column is divided so that none has an sd above 1, float32 (width,)."""
        return np.concatenate([np.zeros(0, dtype=np.float32), *(one.units for one in self.of.values())])

    def transform(self, data: MuData | AnnData, rows: np.ndarray) -> np.ndarray:
        """Return the columns of some cells of the modality `rna`, by position, float32 (rows, width)."""
        if not self.of:
            return np.zeros((len(rows), 0), dtype=np.float32)
        missing = [name for name in self.of if not isinstance(data, MuData) or name not in data.mod]
        if missing:
            held = sorted(data.mod) if isinstance(data, MuData) else "none, it is an AnnData"
            raise ChromatellError(
                f"The model reads {examples(missing)} beside 'rna', and the query does not have it (its modalities: "
                f"{held}). Add it: mdata = mudata.MuData({{'rna': rna, {missing[0]!r}: ...}}); or train a model "
                "without: ctl.tl.dense(mdata)."
            )
        assert isinstance(data, MuData)
        cells = data.mod[RNA].obs_names
        return np.hstack([one.transform(_same_cells(data, name, cells), rows, name) for name, one in self.of.items()])

    def described(self) -> dict[str, str]:
        """Return how each is read, for a model's card."""
        return {name: f"{len(one.names)} variables, {one.how}" for name, one in self.of.items()}

    # ---- the record

    def plain(self) -> list[dict[str, str]]:
        """Return names and normalisation, for a record; the variables are among its names."""
        return [{"name": name, "how": one.how} for name, one in self.of.items()]

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the statistics as plain arrays."""
        return {f"inputs.{i}.{k}": getattr(one, k) for i, one in enumerate(self.of.values()) for k in _ARRAYS}

    @classmethod
    def from_plain(
        cls, plain: Sequence[Mapping[str, str]], var_names: Mapping[str, pd.Index], arrays: Mapping[str, np.ndarray]
    ) -> Inputs:
        """Return them from a record; shapes and values are checked."""
        inputs = {}
        for i, said in enumerate(plain):
            names = var_names[said["name"]]
            m, k = len(names), arrays[f"inputs.{i}.components"].shape[-1]
            shapes = {"mean": (m,), "sd": (m,), "share": (m,), "components": (m, k), "numbers": (4,)}
            parts = {key: stored(arrays, f"inputs.{i}.{key}", shape) for key, shape in shapes.items()}
            if not ((parts["sd"] > 0).all() and (parts["numbers"][[0, 2, 3]] > 0).all()):
                raise ChromatellError(f"The stored statistics of {said['name']!r} are none. Ask for the file again.")
            inputs[said["name"]] = Input(names, one_of(said["how"], (COUNTS, CLR, GIVEN), "how"), **parts)
        return cls(inputs)


_ARRAYS = ("mean", "sd", "share", "components", "numbers")


def beside_expression(data: MuData, inputs: Sequence[str]) -> list[str]:
    """Return the inputs but for 'rna', checked: they are modalities of the same cells as `rna`, with finite numbers.

    Raises
    ------
    ChromatellError
        'rna' is not among them, one is not there, is what is predicted, or does not fit the cells.
    """
    names = list(dict.fromkeys([inputs] if isinstance(inputs, str) else inputs))
    if RNA not in names:
        raise ChromatellError(f"inputs={tuple(names)!r} leaves out 'rna', which is always read: inputs=('rna', ...).")
    names.remove(RNA)
    for name in names:
        if name in (ATAC, ATAC_PRED):
            raise ChromatellError(f"inputs= names {name!r}, which is what is predicted. Leave it out.")
        adata = modality(data, name)
        _same_cells(data, name, data.mod[RNA].obs_names, ordered=True)
        where = f"mdata.mod[{name!r}].X"
        check_sparse(adata.X, where)
        if not selected(adata).any():
            raise ChromatellError(f"mdata.mod[{name!r}].var['ctl_selected'] selects nothing. Remove the column.")
        n = sum(int((~np.isfinite(values(block))).sum()) for block in pieces(matrix(adata)))
        if n:
            held = f"{where}.data" if sp.issparse(adata.X) else where
            raise ChromatellError(
                f"{where} holds {n} NaN or infinite values; every value must be a finite number. Set them, e.g. "
                f"{held}[:] = np.nan_to_num({held}, posinf=0, neginf=0)."
            )
    return names


def _same_cells(data: MuData, name: str, cells: pd.Index, *, ordered: bool = False) -> AnnData:
    """Return a modality with the given cells in their order; `ordered` asks that it has them so."""
    adata = data.mod[name]
    if same_names(adata.obs_names, cells):
        return adata
    place = adata.obs_names.get_indexer(cells)
    if (place < 0).any() or ordered:
        lost = int((place < 0).sum())
        fault = f"{lost} of the {len(cells)} cells of 'rna' are not in it" if lost else "their order is another"
        raise ChromatellError(
            f"mdata.mod[{name!r}] must hold the cells of mdata.mod['rna'] in their order; {fault}. Keep the shared "
            f"cells: shared = mdata.mod['rna'].obs_names.intersection(mdata.mod[{name!r}].obs_names); mdata = "
            "mudata.MuData({k: a[shared].copy() for k, a in mdata.mod.items()})."
        )
    return adata[place]


def _dense(block: Any) -> np.ndarray:
    return np.asarray(block.todense() if sp.issparse(block) else block, dtype=np.float32)
