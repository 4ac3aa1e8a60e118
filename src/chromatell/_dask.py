"""Work on the workers of a dask cluster, where the user has one: in order, and no more at a time than they can hold."""

from __future__ import annotations

import sys
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import starmap
from typing import Any

import numpy as np

from chromatell._rows import in_file, read
from chromatell._validate import ChromatellError, heard, warn

_AHEAD = 2  # pieces of work for each thread that wait at a worker


def _same(value: Any) -> Any:
    return value


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


def shared(client: Any, value: Any, made: Callable[[Any], Any] = _same) -> Any:
    """Return a future of ``made(value)``, which many tasks read; where a worker that held it dies it is made again.

    Without a client it is that value itself.
    """
    if client is None:
        return made(value)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(?s).*Sending large graph.*")  # once, and it must go there
        return client.submit(made, value, pure=False)


def in_order(
    client: Any, function: Callable[..., Any], work: Iterable[tuple[Any, ...]], threads: int = 1
) -> Generator[Any, None, None]:
    """Yield ``function(*arguments)`` for each of `work`, in order: by workers, or without a client by threads here.

    A piece that was at a worker that died is computed again by another. Arguments are made as they are needed, and no
    more results wait than a few for each thread. Warnings are given here.
    """
    if client is None and threads == 1:
        yield from starmap(function, work)
        return
    waiting: deque[Any] = deque()
    with ExitStack() as stack:
        if client is None:
            submit: Callable[..., Any] = stack.enter_context(ThreadPoolExecutor(threads)).submit
        else:
            submit = partial(client.submit, pure=False)
            workers = client.scheduler_info(n_workers=-1)["workers"].values()
            threads = max(1, sum(worker["nthreads"] for worker in workers))
        try:
            for arguments in work:
                waiting.append(submit(heard, function, *arguments))
                if len(waiting) > _AHEAD * threads:
                    yield _told(waiting.popleft())
            while waiting:
                yield _told(waiting.popleft())
        finally:
            for future in waiting:
                future.cancel()


def _told(future: Any) -> Any:
    value, texts = future.result()
    for text in texts:
        warn(text)
    return value


def over_rows(
    client: Any, function: Callable[..., Any], x: Any, size: int, *more: Any, rows: np.ndarray | None = None
) -> Generator[Any, None, None]:
    """Yield ``function(block, *more)`` of `size` rows of a matrix at a time, in order.

    What is in a file is read by workers, who must see it. What is in memory stays here: it would take longer to send.

    Parameters
    ----------
    rows
        Which, in this order; None takes all.
    """
    parts = (slice(i, i + size) for i in range(0, x.shape[0] if rows is None else len(rows), size))
    work = ((function, x[s if rows is None else rows[s]], *more) for s in parts)
    return in_order(client if in_file(x) else None, _of_rows, work)


def _of_rows(function: Callable[..., Any], x: Any, *more: Any) -> Any:
    return function(read(x), *more)
