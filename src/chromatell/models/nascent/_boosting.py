"""Gradient boosting, one model a target, by XGBoost; what comes back are plain arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from chromatell._progress import progress
from chromatell._settings import settings
from chromatell._validate import ChromatellError
from chromatell.models._plan import TrainConfig
from chromatell.models.nascent._config import NascentConfig
from chromatell.models.nascent._trees import Trees, read_booster

_OBJECTIVES = {  # loss -> XGBoost's name, what stops training, and whether that should be small
    "mse": ("reg:squarederror", "rmse", False),
    "logistic": ("binary:logistic", "aucpr", True),
    "hinge": ("binary:hinge", "error", False),
}
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
    train: Bins, val: Bins | None, config: TrainConfig, options: dict[str, Any], *, loss: str, seed: int, device: str
) -> tuple[Trees, dict[str, list[float]]]:
    """Return trees of every target, and a loss after each round that all of them had, the mean over targets.

    It is the RMSE, with 'logistic' 1 - average precision, with 'hinge' the share of wrong calls.
    """
    xgb = import_xgboost()
    objective, metric, high_is_good = _OBJECTIVES[loss]
    parameters = {
        "objective": objective,
        "eval_metric": metric,
        "tree_method": "hist",
        "eta": config.lr,
        "seed": seed % 2**31,
        "nthread": settings.n_jobs,
        "device": device,
        "verbosity": 0,
        **options,
    }
    boosters, rounds, bases = [], [], []
    losses: dict[str, list[np.ndarray]] = {"train": [], "val": []}
    with progress("Training", total=len(train[1]), unit="targets") as advance:
        for i in range(len(train[1])):
            parts = {k: _matrix(xgb, part, i) for k, part in (("train", train), ("val", val)) if part is not None}
            base = 0.0 if loss == "hinge" else float(parts["train"].get_label().mean())
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
            bases.append(_margin(loss, float(np.float32(base))))
            for k in parts:
                values = np.array(log[k][metric])
                losses[k].append(1 - values if high_is_good else values)
            advance(1)
    history = {name: _mean(losses[k]) for k, name in (("train", "train_loss"), ("val", "validation_loss")) if losses[k]}
    return read_booster(boosters, rounds, bases), history


def _matrix(xgb: Any, part: Bins, i: int) -> Any:
    known = np.isfinite(part[1][i])
    x = part[0] if known.all() else part[0][:, known]
    return xgb.DMatrix(x.T, label=part[1][i][known])


def _mean(lists: list[np.ndarray]) -> list[float]:
    shortest = min(len(x) for x in lists)
    return np.mean([x[:shortest] for x in lists], axis=0).tolist()


def _margin(loss: str, base: float) -> float:
    """Return what the trees add to: of a share its log odds."""
    return float(np.log(base / (1 - base))) if loss == "logistic" else base
