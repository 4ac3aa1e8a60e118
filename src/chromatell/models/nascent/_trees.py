"""Boosted trees as plain arrays: read out of XGBoost once, checked, and evaluated without it.

XGBoost's own loaders crash on altered files, so that no Booster is ever stored.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch

from chromatell._validate import ChromatellError

MAX_DEPTH = 64
MAX_NODES = 50_000_000


@dataclass(frozen=True)
class Trees:
    """Trees of several targets. Nodes of a tree are in breadth-first order, so that siblings lie side by side.

    Parameters
    ----------
    start
        int64 (trees + 1,): first node of each tree.
    target
        int32 (trees,): which target a tree adds to.
    feature
        int32 (nodes,): the feature that a node looks at; -1 is a leaf.
    threshold
        float32 (nodes,): a row goes left where its feature is below.
    left
        int32 (nodes,): the left child, counted from the tree's first node; the right one is next to it. -1 is none.
    leaf
        float32 (nodes,): what a leaf adds.
    base
        float64 (targets,): what each target starts from.
    """

    start: np.ndarray
    target: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    leaf: np.ndarray
    base: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the fields by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def check(self, n_features: int, n_targets: int) -> None:
        """Raise where the arrays are no trees over so many features and targets."""
        for name, dtype in (
            ("start", "int64"),
            ("target", "int32"),
            ("feature", "int32"),
            ("threshold", "float32"),
            ("left", "int32"),
            ("leaf", "float32"),
            ("base", "float64"),
        ):
            array = getattr(self, name)
            if array.ndim != 1 or array.dtype != dtype:
                _refuse(f"{name} is {array.dtype} {array.shape}")
        n = self.feature.size
        if n > MAX_NODES or any(getattr(self, k).size != n for k in ("threshold", "left", "leaf")):
            _refuse("the arrays of nodes differ in length")
        if self.start.size != self.target.size + 1 or self.start[0] != 0 or self.start[-1] != n:
            _refuse("the trees do not cover the nodes")
        if np.any(self.start[1:] <= self.start[:-1]):
            _refuse("a tree has no node")
        if self.base.size != n_targets or np.any((self.target < 0) | (self.target >= n_targets)):
            _refuse(f"{self.base.size} targets where there are {n_targets}")
        if np.any((self.feature < -1) | (self.feature >= n_features)):
            _refuse(f"a feature is not among the {n_features}")
        if not all(np.isfinite(x).all() for x in (self.threshold, self.leaf, self.base)):
            _refuse("a number is not finite")
        for first, behind in zip(self.start[:-1].tolist(), self.start[1:].tolist(), strict=True):
            _check_tree(self.feature[first:behind] >= 0, self.left[first:behind])

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return predictions, float32 (targets, rows), of features, float32 (features, rows).

        Rows are handed down each tree in parts, so that a node touches only those that reach it.
        """
        predicted = np.tile(self.base[:, np.newaxis], (1, x.shape[1]))
        every = np.arange(x.shape[1])
        for i, target in enumerate(self.target.tolist()):
            first = int(self.start[i])
            todo = [(first, every)]
            while todo:
                node, rows = todo.pop()
                feature = int(self.feature[node])
                if feature < 0:
                    predicted[target, rows] += self.leaf[node]
                    continue
                below = x[feature].take(rows) < self.threshold[node]
                left = first + int(self.left[node])
                for child, part in ((left, rows[below]), (left + 1, rows[~below])):
                    if part.size:
                        todo.append((child, part))
        return predicted.astype(np.float32)


class TreeModule(torch.nn.Module):
    """Holds trees where the other architectures hold a network."""

    def __init__(self, trees: Trees) -> None:
        super().__init__()
        self.trees = trees


def read_booster(booster: Any, rounds: int, base: float) -> Trees:
    """Return the first `rounds` trees of one target's booster, trained in this process, as arrays."""
    model = json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]["model"]
    trees = [_breadth_first(tree) for tree in model["trees"][:rounds]]
    joined = {name: np.concatenate([tree[name] for tree in trees]) for name in trees[0]}
    start = np.cumsum([0, *(tree["leaf"].size for tree in trees)], dtype=np.int64)
    return Trees(start=start, target=np.zeros(len(trees), dtype=np.int32), base=np.array([base]), **joined)


def joined_trees(parts: list[Trees]) -> Trees:
    """Return the trees of several targets, given those of each."""
    sizes = np.concatenate([np.diff(part.start) for part in parts])
    nodes = {
        k: np.concatenate([getattr(p, k) for p in parts]) for k in ("feature", "threshold", "left", "leaf", "base")
    }
    target = np.repeat(np.arange(len(parts), dtype=np.int32), [part.target.size for part in parts])
    return Trees(start=np.cumsum([0, *sizes], dtype=np.int64), target=target, **nodes)


def _breadth_first(tree: dict[str, Any]) -> dict[str, np.ndarray]:
    left, right = tree["left_children"], tree["right_children"]
    order = [0]
    for node in order:  # grows as it is walked
        if left[node] >= 0:
            order += [left[node], right[node]]
    at = np.array(order)
    inner = np.array(left)[at] >= 0
    numbers = np.array(tree["split_conditions"], dtype=np.float32)[at]  # XGBoost keeps a leaf's value there too
    children = np.full(at.size, -1, dtype=np.int32)
    children[inner] = 1 + 2 * np.arange(inner.sum())
    return {
        "feature": np.where(inner, np.array(tree["split_indices"])[at], -1).astype(np.int32),
        "threshold": np.where(inner, numbers, 0).astype(np.float32),
        "left": children,
        "leaf": np.where(inner, 0, numbers).astype(np.float32),
    }


def _check_tree(inner: np.ndarray, left: np.ndarray) -> None:
    n_inner = int(inner.sum())
    children = 1 + 2 * np.arange(n_inner)  # what breadth-first order makes of them
    at = np.flatnonzero(inner)
    if inner.size != 2 * n_inner + 1 or np.any(left[inner] != children) or np.any(left[~inner] != -1):
        _refuse("children are not those of a tree in breadth-first order")
    if np.any(children <= at):
        _refuse("a node is its own child")
    first, behind, depth = 0, 1, 0
    while first < behind:  # nodes of a level lie together
        first, behind = behind, behind + 2 * int(inner[first:behind].sum())
        depth += 1
        if depth > MAX_DEPTH + 1:
            _refuse(f"a tree is deeper than {MAX_DEPTH}")


def _refuse(what: str) -> None:
    raise ChromatellError(f"The stored trees cannot be used: {what}. Ask for the file again, or train anew.")
