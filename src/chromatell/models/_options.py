"""Options that a user names and a class does not know."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any

from chromatell._errors import UnknownOption
from chromatell._nearest import keyword_meant, nearest_keyword
from chromatell.models._train_config import TrainConfig


def refuse_unknown(owner: type | str, given: Mapping[str, Any], known: Collection[str]) -> None:
    """Raise where an option is none of `known`, nor a keyword of the class; one of the training is shown its place."""
    if not set(given) - set(known):
        return
    known = {*known, *(_keywords(owner.__init__) if isinstance(owner, type) else ())}  # type: ignore[misc]
    unknown = sorted(set(given) - known)
    training = ({f.name for f in fields(TrainConfig)} | _keywords(getattr(owner, "train", None))) - known
    name = owner.__name__ if isinstance(owner, type) else owner
    message = f"{name} knows no option {unknown}; it knows {sorted(known)}."
    every = known | training
    meant = {k: k if k in training else nearest_keyword(k, every) for k in unknown}
    said = "".join(keyword_meant(k, every) for k in unknown if k not in training)
    message += said
    of_training = {near: given[option] for option, near in meant.items() if near in training}
    if not isinstance(of_training.get("accelerator", ""), str):
        of_training["accelerator"] = "gpu"  # use_gpu=True
    if of_training:
        shown = ", ".join(f"{k}={v!r}" for k, v in of_training.items())
        message += f" {', '.join(of_training)} is of the training: ctl.tl takes train_kwargs=dict({shown}), a model "
        message += f"train({shown})."
    raise UnknownOption(message, None if of_training or said else unknown[0])


def _keywords(function: Any) -> set[str]:
    """Return what a function takes by keyword alone, `**more` left out."""
    parameters = () if function is None else inspect.signature(function).parameters.values()
    return {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
