"""The file that a stopped run goes on from: tensors and plain values, with a SHA-256, written beside and renamed."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch.plugins.io import CheckpointIO

from chromatell._validate import ChromatellError

NAME = "last.ckpt"
_MARK = b"chromatell run, SHA-256 "  # stands, with the hash in hex, behind what torch wrote
_WORDS = {"data": "other data", "split": "another split"}
_TAIL = len(_MARK) + 64


class StateFile(CheckpointIO):
    """How Lightning writes and reads the state; nothing is unpickled but tensors and plain values."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a state so that `path` is whole at any moment."""
        path = Path(path)
        partial = path.with_suffix(".partial")
        try:
            torch.save(checkpoint, partial)
            with partial.open("rb+") as handle:
                digest = hashlib.file_digest(handle, "sha256").hexdigest()
                handle.seek(0, os.SEEK_END)
                handle.write(_MARK + digest.encode())
                handle.flush()
                os.fsync(handle.fileno())
            partial.replace(path)
        except (OSError, RuntimeError) as error:  # torch's writer raises RuntimeError where a disk is full
            partial.unlink(missing_ok=True)
            raise ChromatellError(
                f"The state of training could not be written to {str(path)!r} ({error}). Make room there, then train "
                "with the same checkpoint_dir again: training goes on from the epoch before."
            ) from error

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return a state."""
        return read_state(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a state."""
        Path(path).unlink(missing_ok=True)


def read_state(path: Path) -> dict[str, Any]:
    """Return the state in a file.

    Raises
    ------
    ChromatellError
        It is not as it was written.
    """
    content = path.read_bytes()
    body, tail = content[:-_TAIL], content[-_TAIL:]
    if tail[: len(_MARK)] != _MARK or tail[len(_MARK) :] != hashlib.sha256(body).hexdigest().encode():
        why = (
            "its SHA-256 does not fit" if tail[: len(_MARK)] == _MARK else "it was cut short, or another tool wrote it"
        )
        raise ChromatellError(
            f"The state of training in {str(path)!r} cannot be used: {why}. Remove that file to start anew, or name "
            "another folder: train(checkpoint_dir=...)."
        )
    try:
        stream = io.BytesIO(body)
        return torch.load(stream, map_location="cpu", weights_only=True)
    except Exception as error:
        if type(error).__name__ != "UnpicklingError":  # torch refused to make other objects
            raise
        raise ChromatellError(
            f"The state of training in {str(path)!r} holds more than tensors and plain values, and is not read. Remove "
            "that file to start anew, or name another folder: train(checkpoint_dir=...)."
        ) from error


def prepare_folder(folder: str | os.PathLike[str]) -> Path:
    """Return the path of the state in a folder, which is made; raise, before any work, where nothing can be kept there.

    Raises
    ------
    ChromatellError
        The folder cannot be made, or not be written into.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".{os.getpid()}.probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ChromatellError(
            f"checkpoint_dir={str(folder)!r} cannot be written to ({error.strerror}). Name a folder that is yours."
        ) from error
    return path / NAME


def check_same_ranks(own: Mapping[str, Any]) -> None:
    """Raise, in each of the processes that train together, where one has other data, another split or other options.

    They would wait for each other for ever, or make one model of two data sets.
    """
    every: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(every, {name: own[name] for name in ("data", "split", "options")})
    first = every[0]
    other = [rank for rank, identity in enumerate(every) if identity != first]
    if not other:
        return
    identity = every[other[0]]
    what = [text for name, text in _WORDS.items() if identity[name] != first[name]]
    names = [
        n for n in {**first["options"], **identity["options"]} if first["options"].get(n) != identity["options"].get(n)
    ]
    what += [f"{n} is {first['options'].get(n)} and {identity['options'].get(n)}" for n in names]
    raise ChromatellError(
        f"The {len(every)} processes that train together were not given the same: rank {', '.join(map(str, other))} "
        f"has, beside rank 0, {'; '.join(what)}. Open the same file, with the same split and options, in each: "
        "mdata = ctl.io.open_cells(path) on a disk that all see, with obs['ctl_split'] written in it."
    )


def check_same_run(stored: Mapping[str, Any], own: Mapping[str, Any], path: Path) -> None:
    """Raise where a state is of another run than the one that is about to go on.

    Raises
    ------
    ChromatellError
        Names what differs: data, split, an option, the seed, or where training starts.
    """
    if stored == own:
        return
    what = [text for name, text in _WORDS.items() if stored.get(name) != own.get(name)]
    before, now = stored.get("options", {}), own["options"]
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    what += [f"{name} was {before.get(name)} and is {now.get(name)}" for name in names]
    if not what:  # else it follows
        what = [
            "its statistics and first weights came out otherwise, as on another machine, with another number of "
            "threads or with other versions of the libraries"
        ]
    raise ChromatellError(
        f"The state of training in {str(path)!r} is of another run: {'; '.join(what)}. With what was given then, "
        "training goes on; to start anew name another folder, train(checkpoint_dir=...), or remove that file."
    )
