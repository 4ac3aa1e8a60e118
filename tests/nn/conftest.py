"""Tokens of a few sequences, and statistics of batch norms."""

from __future__ import annotations

import numpy as np
import pytest
import torch


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 5, (9, 60)).astype(np.int8))
