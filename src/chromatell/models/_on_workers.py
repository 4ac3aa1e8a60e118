"""Parts of a query, predicted by the workers of a dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from chromatell._dask import in_order, shared
from chromatell.io._record import Record, content_hash
from chromatell.models._query import Query

_models: dict[str, Any] = {}  # the model that this process used last, by its hash


def on_workers(
    client: Any, model: Any, query: Query, parts: Sequence[slice], reduce: Callable[..., Any]
) -> Iterator[tuple[slice, Any]]:
    """Yield (rows, what `reduce` made of their predictions), in order; cells are read here and sent."""
    record = model.to_record()
    what = shared(client, (record, dict(query.shared), reduce))
    name = content_hash(record)
    work = ((what, name, rows, query.part(rows)) for rows in parts)
    yield from zip(parts, in_order(client, _predict, work), strict=True)


def _predict(
    what: tuple[Record, Mapping[str, Any], Callable[..., Any]], name: str, rows: slice, part: Mapping[str, Any]
) -> Any:
    record, common, reduce = what
    if name not in _models:
        from chromatell.models import load

        _models.clear()
        _models[name] = load(record)
    return reduce(rows, _models[name]._blocks(**part, **common))
