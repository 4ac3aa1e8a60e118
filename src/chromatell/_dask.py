"""Work on the workers of a dask cluster, where the user has one: in order, and no more at a time than they can hold."""

from __future__ import annotations

import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from chromatell._errors import ChromatellError

_AHEAD = 2  # pieces of work for each thread that wait at a worker


def current_client(client: Any = None) -> Any:
    """Return the `dask.distributed` client that was given, else the one that the user made last, else None.

    Raises
    ------
    ChromatellError
        What was given is no client.
    """
    if client is not None:
        if not all(hasattr(client, name) for name in ("submit", "scheduler_info", "cancel")):
            raise ChromatellError(
                f"client= is {type(client).__name__}; a dask.distributed client is needed: client = "
                "dask.distributed.Client(cluster), of 'chromatell[dask]'."
            )
        return client
    distributed = sys.modules.get("distributed")  # who has made a client has imported it
    if distributed is None:
        return None
    try:
        return distributed.default_client()
    except ValueError:  # there is none
        return None


def shared(client: Any, value: Any) -> Any:
    """Return a future of a value that many tasks read; it is made again where a worker that held it dies."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(?s).*Sending large graph.*")  # once, and it must go there
        return client.submit(_same, value, pure=False)


def in_order(client: Any, function: Callable[..., Any], work: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
    """Yield ``function(*arguments)`` for each of `work`, computed by workers, in order.

    A piece that was at a worker that died is computed again by another. Arguments are made as they are needed.
    """
    threads = sum(worker["nthreads"] for worker in client.scheduler_info(n_workers=-1)["workers"].values())
    waiting: deque[Any] = deque()
    try:
        for arguments in work:
            waiting.append(client.submit(function, *arguments, pure=False))
            if len(waiting) > _AHEAD * max(1, threads):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        client.cancel(list(waiting))


def _same(value: Any) -> Any:
    return value
