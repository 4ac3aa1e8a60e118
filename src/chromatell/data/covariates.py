"""Batches and continuous covariates as numbers; a level that training never saw takes the mean effect."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from chromatell._keys import RNA
from chromatell._nearest import names_there
from chromatell._validate import ChromatellError, examples, warn

_WHOLE = re.compile(r"(\d+)(?:\.0)?")


def find_obs(data: MuData, key: str | None) -> str | None:
    """Return the modality whose `obs` holds a column, None for ``mdata.obs`` (or no key)."""
    if key is None or key in data.obs:
        return None
    for name, adata in data.mod.items():
        if key in adata.obs:
            return name
    raise ChromatellError(
        f"Did not find a column {key!r} in mdata.obs or in a modality's obs; columns there: "
        f"{names_there(dict.fromkeys(c for one in (data, *data.mod.values()) for c in one.obs), key)}."
    )


@dataclass(frozen=True)
class Covariates:
    """One-hot batch levels, then z-scored continuous covariates.

    Attributes
    ----------
    levels
        Batch levels of the training cells.
    frequency
        float64 (levels,): their shares, which stand for an unknown level.
    """

    batch_key: str | None
    levels: list[str]
    frequency: np.ndarray
    keys: list[str]
    mean: np.ndarray
    sd: np.ndarray

    @classmethod
    def fit(cls, data: MuData, rows: np.ndarray, batch_key: str | None, keys: list[str]) -> Covariates:
        """Fit on training rows."""
        levels, frequency = [], np.zeros(0)
        if batch_key is not None:
            counts = _required(data, batch_key).iloc[rows].astype(str).value_counts().sort_index()
            levels, frequency = list(counts.index), (counts / counts.sum()).to_numpy(dtype=np.float64)
        numbers = [_numbers(data, key)[rows] for key in keys]
        mean = np.array([v.mean() for v in numbers], dtype=np.float64)
        sd = np.array([v.std() or 1.0 for v in numbers], dtype=np.float64)
        return cls(batch_key, levels, frequency, list(keys), mean, sd)

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.levels) + len(self.keys)

    def transform(self, data: MuData | AnnData, rows: np.ndarray) -> np.ndarray:
        """Return float32 (rows, width). A batch that is absent or unseen takes the mean effect, with a warning."""
        out = np.zeros((len(rows), self.width), dtype=np.float32)
        if self.batch_key is not None:
            out[:, : len(self.levels)] = self._one_hot(data, rows)
        for j, key in enumerate(self.keys):
            out[:, len(self.levels) + j] = (_numbers(data, key)[rows] - self.mean[j]) / self.sd[j]
        return out

    def _one_hot(self, data: MuData | AnnData, rows: np.ndarray) -> np.ndarray:
        column = _column(data, self.batch_key or "")
        if column is None:
            warn(f"The query has no column {self.batch_key!r}: the mean effect of the training batches is used.")
            return np.tile(self.frequency, (len(rows), 1))
        labels = column.iloc[rows].astype(object)
        labels = labels.where(labels.isna(), labels.astype(str))
        code = _places(labels.to_numpy(dtype=object), self.levels)
        if unlabelled := int(labels.isna().sum()):
            warn(f"{unlabelled} of {len(labels)} cells have no {self.batch_key!r}: the mean effect is used.")
        unseen = sorted(set(labels[code < 0].dropna()))
        if unseen:
            warn(
                f"{len(unseen)} levels of {self.batch_key!r} were not in training (such as {examples(unseen)}): the "
                "mean effect is used."
            )
        return np.where((code < 0)[:, None], self.frequency, np.eye(len(self.levels))[np.maximum(code, 0)])

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the numbers, for a record."""
        names = ("scaling.batch_frequency", "scaling.covariate_mean", "scaling.covariate_sd")
        values = (self.frequency, self.mean, self.sd)
        return {name: value for name, value in zip(names, values, strict=True) if value.size}

    def plain(self) -> dict[str, Any]:
        """Return the names, for a record."""
        return {"batch_key": self.batch_key, "levels": self.levels, "keys": self.keys}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Covariates:
        """Take both back from a record, whose names and numbers must fit each other."""
        none = np.zeros(0)
        frequency, mean, sd = (
            arrays.get(f"scaling.{name}", none) for name in ("batch_frequency", "covariate_mean", "covariate_sd")
        )
        batch_key, levels, keys = plain["batch_key"], plain["levels"], plain["keys"]
        texts = all(isinstance(names, list) and all(isinstance(v, str) for v in names) for names in (levels, keys))
        lengths = texts and frequency.shape == (len(levels),) and mean.shape == sd.shape == (len(keys),)
        if not (lengths and (isinstance(batch_key, str) if levels else batch_key is None)):
            raise ChromatellError(
                f"The model's batches and covariates do not fit each other: {str(plain)[:200]}. Ask for the file again."
            )
        return cls(batch_key, levels, frequency, keys, mean, sd)


def _places(names: np.ndarray, levels: list[str]) -> np.ndarray:
    """Return the place of each name among the levels, -1 for none.

    Whole numbers are one level whether written '1' or '1.0': one missing value makes pandas read integers as floats.
    """
    code = pd.Index(levels).get_indexer(names)
    whole = {number[1]: i for i, level in enumerate(levels) if (number := _WHOLE.fullmatch(level))}
    for name in {name for name in names[code < 0] if isinstance(name, str)}:
        if number := _WHOLE.fullmatch(name):
            code[names == name] = whole.get(number[1], -1)
    return code


def _column(data: MuData | AnnData, key: str) -> pd.Series | None:
    """Return a column by the barcodes of the expression: the rows of a MuData may stand in another order."""
    if not isinstance(data, MuData):
        return data.obs.get(key)
    column = next((t[key] for t in (data.obs, *(a.obs for a in data.mod.values())) if key in t), None)
    return column if column is None else column.reindex(data.mod.get(RNA, data).obs_names)


def _required(data: MuData | AnnData, key: str) -> pd.Series:
    column = _column(data, key)
    if column is None:
        names = names_there(data.obs.columns, key, 8)
        raise ChromatellError(f"Did not find the covariate {key!r} in obs; columns there: {names}.")
    return column


def _numbers(data: MuData | AnnData, key: str) -> np.ndarray:
    column = _required(data, key)
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    if np.isnan(values).all() and column.notna().any():
        raise ChromatellError(
            f"The covariate {key!r} holds labels, such as {examples(column.dropna(), 2)}, where numbers are needed. "
            f"Name it as the batch instead, batch_key={key!r}, or leave it out."
        )
    if not np.isfinite(values).all():
        raise ChromatellError(
            f"The covariate {key!r} holds {int((~np.isfinite(values)).sum())} of {len(values)} values that are not "
            f"finite numbers. Leave these cells out, or give them a value, such as the mean."
        )
    return values
