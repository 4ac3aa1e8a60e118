"""Gradient boosting, one model a target, by XGBoost; what comes back are plain arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from chromatell._progress import progress
from chromatell._settings import settings
from chromatell._validate import ChromatellError
from chromatell.models._plan import TrainConfig
from chromatell.models.nascent._module import NascentConfig
from chromatell.models.nascent._trees import Trees, read_booster

Bins = tuple[np.ndarray, np.ndarray]  # features (features, bins) and targets (targets, bins), NaN where unknown


def import_xgboost() -> Any:
    """Return XGBoost, or say how to get it."""
    try:
        import xgboost
    except ImportError as error:
        raise ChromatellError(
            "architecture='xgboost' needs XGBoost to train (a trained model does not): pip install "
            "'chromatell[tracks]'."
        ) from error
    return xgboost


def tree_options(options: NascentConfig) -> dict[str, Any]:
    """Return XGBoost's names of the options."""
    return {
        "max_depth": options.max_depth,
        "min_child_weight": options.min_child_weight,
        "subsample": options.subsample,
        "colsample_bytree": options.colsample,
    }


def boost(
    train: Bins, val: Bins | None, config: TrainConfig, options: dict[str, Any], *, seed: int, device: str
) -> tuple[Trees, dict[str, list[float]]]:
    """Return trees of every target, and the mean RMSE over targets after each round that all of them had."""
    xgb = import_xgboost()
    parameters = {
        "objective": "reg:squarederror",
        "tree_method": "hist",
        "eta": config.lr,
        "seed": seed % 2**31,
        "nthread": settings.n_jobs,
        "device": device,
        "verbosity": 0,
        **options,
    }
    boosters, rounds, bases = [], [], []
    losses: dict[str, list[list[float]]] = {"train": [], "val": []}
    with progress("Training", total=len(train[1]), unit="targets") as advance:
        for i in range(len(train[1])):
            parts = {k: _matrix(xgb, part, i) for k, part in (("train", train), ("val", val)) if part is not None}
            base = float(np.nanmean(train[1][i]))
            log: dict[str, dict[str, list[float]]] = {}
            stop = val is not None and config.early_stopping
            booster = xgb.train(
                {**parameters, "base_score": base},
                parts["train"],
                config.max_epochs,
                evals=[(part, k) for k, part in parts.items()],  # the last one decides when to stop
                evals_result=log,
                early_stopping_rounds=config.patience if stop else None,
                verbose_eval=False,
            )
            boosters.append(booster)
            rounds.append(booster.best_iteration + 1 if stop else config.max_epochs)
            bases.append(float(np.float32(base)))
            for k in parts:
                losses[k].append(log[k]["rmse"])
            advance(1)
    history = {name: _mean(losses[k]) for k, name in (("train", "train_loss"), ("val", "validation_loss")) if losses[k]}
    return read_booster(boosters, rounds, bases), history


def _matrix(xgb: Any, part: Bins, i: int) -> Any:
    known = np.isfinite(part[1][i])
    x = part[0] if known.all() else part[0][:, known]
    return xgb.DMatrix(x.T, label=part[1][i][known])


def _mean(lists: list[list[float]]) -> list[float]:
    shortest = min(len(x) for x in lists)
    return np.mean([x[:shortest] for x in lists], axis=0).tolist()
