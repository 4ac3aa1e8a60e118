"""Modules from the arrays of a record: what comes from a stranger is checked before it is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from chromatell._validate import ChromatellError

WEIGHTS = "weights."
_COUNTER = "num_batches_tracked"  # batch norm counts in it; predictions do not read it
_FILLED = (torch.rand, torch.randn, torch.eye)
_Module = TypeVar("_Module", bound=nn.Module)


class _NoDraws(TorchFunctionMode):
    """Draws and scales no numbers, of which tensors without memory have none: for that torch loads its compiler."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        scaled = func is torch.Tensor.mul and isinstance(args[1], int | float)
        if scaled or func.__name__ in ("normal_", "uniform_"):  # a tensor's method, or nn.init's function
            return args[0] if args else kwargs["tensor"]
        if func is torch.eye:
            args = (args[0], args[0])
        return (torch.empty if func in _FILLED else func)(*args, **(kwargs or {}))


def module_arrays(module: nn.Module) -> dict[str, np.ndarray]:
    """Return the weights of a module as a record holds them."""
    return {WEIGHTS + k: v.detach().cpu().numpy() for k, v in module.state_dict().items()}


def stored_module(make: Callable[[], _Module], arrays: Mapping[str, np.ndarray], *, without: str = "/") -> _Module:
    """Return the module that `make` makes, without memory, given the stored weights, whose names and shapes must fit.

    Parameters
    ----------
    make
        Makes the module; tensors that it makes have no memory, so that a wrong shape is refused, not allocated.
    arrays
        Arrays of a record: those named ``weights.*`` are taken.
    without
        Beginning of the names, behind ``weights.``, that this module does not have.

    Raises
    ------
    ChromatellError
        A weight is of another type, or not finite.
    RuntimeError
        A weight is missing, too many or of another shape; a reader of records says so in its own words.
    """
    state = {}
    for name, value in arrays.items():
        if name.startswith(WEIGHTS) and not (own := name.removeprefix(WEIGHTS)).startswith(without):
            state[own] = torch.from_numpy(value.copy())
    with torch.device("meta"), _NoDraws():
        module = make()
    for name, value in module.state_dict().items():
        if name.endswith(_COUNTER):
            state.setdefault(name, torch.zeros((), dtype=torch.int64))
        if name in state and (state[name].dtype != value.dtype or not bool(torch.isfinite(state[name]).all())):
            raise ChromatellError(
                f"The stored '{WEIGHTS}{name}' is {state[name].dtype}; finite {value.dtype} is needed. Ask for the "
                "file again."
            )
    module.load_state_dict(state, strict=True, assign=True)
    return module
