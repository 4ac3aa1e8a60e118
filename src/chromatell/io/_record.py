"""A trained model as plain data: JSON and arrays, with a hash of their content. No code is stored, none runs."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chromatell._arguments import arguments
from chromatell._errors import ChromatellError

FORMAT = "chromatell-model"
# The release that first reads each schema of a family; a record above the newest was written by a later version.
# 2: missing genes are estimated, predicted depth has a range, cells out of range are told (Dense, XChrom, AtacFormer).
# 3: what is linear in GC, CpG, distance to a start site and motifs (XChrom); what stands beside the network (Dense).
# 4: over what width the predictions of each target are smoothed (Nascent).
# 5: the share of a CNN in the predictions of each target, and its weights (Nascent).
# 6: what predicts samples like that of training (Nascent).
FIRST_RELEASE = {1: "0.1.0", 2: "0.2.0", 3: "0.2.0", 4: "0.2.0", 5: "0.2.0", 6: "0.2.0"}
NEWEST_SCHEMA = max(FIRST_RELEASE)
NEEDS = "needs"  # in the card: the release that reads the record
NAMES = "names"  # the array that holds var_names, as UTF-8 JSON
MAX_JSON = 16 * 1024**2
MAX_NAMES = 256 * 1024**2  # a million regions take 25 MB
MAX_BYTES = 4 * 1024**3
MAX_ARRAYS = 10_000
DTYPES = frozenset(  # those that HDF5, Zarr and safetensors all keep
    [
        "bool",
        "float16",
        "float32",
        "float64",
        *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)),
    ]
)
# Each part between the first dot and the end is a key in HDF5 and a folder in Zarr, so Zarr's own file names are out.
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}")
_TAKEN = frozenset({"zarr.json", "__proto__"})


@dataclass(frozen=True, eq=False)
class Record:
    """A trained model of any family as plain data.

    Parameters
    ----------
    family
        Name of the model family, such as ``'dense'``.
    schema
        Version of the family's layout.
    config
        Whatever rebuilds the model, JSON-able: strings, numbers, booleans, None, lists and dicts with text keys.
    arrays
        ``'weights.*'``, ``'scaling.*'``, ``'history.*'`` or any other name of letters, digits, ``_ . -``. In C order,
        little-endian: booleans, integers or floats. A 0-d array becomes shape ``(1,)``, bfloat16 ``uint16``.
    var_names
        Modality to the names of its variables, in the model's order.
    card
        What a person wants to know of the model, JSON-able: data, split, scores, versions, date. Not part of the hash.
    manifest
        The JSON text that is hashed, as it was stored; built where it is empty or disagrees with the other fields.

    Raises
    ------
    ChromatellError
        A field cannot be stored as plain data.

    Examples
    --------
    >>> import numpy as np
    >>> from chromatell.io import Record
    >>> record = Record("dense", 1, {"n_hidden": 8}, {"weights.bias": np.zeros(3, "float32")}, {"rna": ["Sox2"]})
    >>> record.arrays["weights.bias"].shape
    (3,)
    """

    family: str
    schema: int
    config: dict[str, Any]
    arrays: dict[str, np.ndarray]
    var_names: dict[str, list[str]] = field(default_factory=dict)
    card: dict[str, Any] = field(default_factory=dict)
    manifest: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if len(self.arrays) > MAX_ARRAYS:
            raise ChromatellError(f"The record holds {len(self.arrays)} arrays; at most {MAX_ARRAYS} can be stored.")
        arrays = {check_name(name): plain_array(name, value) for name, value in self.arrays.items()}
        names = {str(k): [str(v) for v in values] for k, values in self.var_names.items()}
        object.__setattr__(self, "arrays", arrays)
        object.__setattr__(self, "var_names", names)
        dump_json(self.card, "card")
        built = _manifest(self)
        if not self.manifest or json.loads(built) != parse_json(self.manifest, "manifest"):
            object.__setattr__(self, "manifest", built)

    @property
    def names_blob(self) -> np.ndarray:
        """`var_names` as UTF-8 JSON, uint8 (n bytes,)."""
        text = json.dumps(self.var_names, ensure_ascii=False, separators=(",", ":"))
        return np.frombuffer(text.encode(), dtype=np.uint8).copy()


def check_name(name: str) -> str:
    """Return the name of an array, which must survive as a key in HDF5, Zarr and safetensors."""
    if (
        not isinstance(name, str)
        or not all(_NAME.fullmatch(p) and p not in _TAKEN for p in split_name(name))
        or name == NAMES
    ):
        raise ChromatellError(
            f"The array name {name!r} cannot be stored; use letters, digits, '_', '-' and '.', not a '.' first, "
            f"at most 200 characters, and not {NAMES!r}."
        )
    return name


def split_name(name: str) -> tuple[str, str]:
    """Return (group, key) of an array in ``.uns``: ``'weights.encoder.0.bias'`` is ``weights`` / ``encoder.0.bias``."""
    group, dot, key = str(name).partition(".")
    return (group, key) if dot and group in ("weights", "scaling", "history") else ("arrays", str(name))


def join_name(group: str, key: str) -> str:
    """Return the array's name from its place in ``.uns``."""
    return key if group == "arrays" else f"{group}.{key}"


def plain_array(name: str, value: Any) -> np.ndarray:
    """Return an array as it is stored: C order, little-endian, at least 1-d, a dtype that every store has."""
    if (
        str(getattr(value, "dtype", "")) == "torch.bfloat16"
    ):  # NumPy has no such dtype; torch is loaded where such a value exists
        value = value.detach().cpu().view(sys.modules["torch"].uint16).numpy()
    array = np.asarray(value)
    if array.dtype.name == "bfloat16":  # as ml_dtypes adds it
        array = array.view(np.uint16)
    if array.dtype.name not in DTYPES:
        raise ChromatellError(
            f"The array {name!r} has dtype {array.dtype}; a model holds only {', '.join(sorted(DTYPES))}. "
            "Convert it with .astype, or put text into config."
        )
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return np.ascontiguousarray(array.reshape(array.shape or (1,)))


@arguments
def content_hash(record: Record) -> str:
    """Return the SHA-256 of a model's content, the same wherever it is stored.

    The manifest's bytes, then for each array in the order of names: the length of the name and the name, dtype, shape,
    and the C-ordered little-endian bytes. It shows that nothing was changed since it was written, not who wrote it.
    The card is outside.

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> import numpy as np
    >>> from chromatell.io import Record, content_hash
    >>> a, b = (Record("dense", 1, {}, {"weights.b": np.full(2, v)}) for v in (0.0, 1.0))
    >>> content_hash(a) == content_hash(b)
    False
    """
    return hash_parts(record.manifest, {**record.arrays, NAMES: record.names_blob})


def hash_parts(manifest: str, arrays: Mapping[str, np.ndarray]) -> str:
    """Return the hash of a manifest's text and all arrays, the names' blob among them."""
    digest = hashlib.sha256()
    raw = manifest.encode()
    digest.update(len(raw).to_bytes(8, "little") + raw)
    for name in sorted(arrays):
        array = plain_array(name, arrays[name])
        for text in (name, array.dtype.name, ",".join(map(str, array.shape))):
            digest.update(len(text.encode()).to_bytes(8, "little") + text.encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def verified(manifest: str, stored_hash: str, arrays: Mapping[str, np.ndarray], card: str, where: str) -> Record:
    """Return the record from its stored parts; `arrays` includes the names' blob.

    Raises
    ------
    ChromatellError
        A newer schema, a hash that does not match, or parts that disagree.
    """
    said = parse_json(manifest, f"the manifest of {where}")
    if not isinstance(said, dict) or said.get("format") != FORMAT or not isinstance(said.get("schema"), int):
        raise ChromatellError(f"{where} is not a chromatell model: its manifest does not say {FORMAT!r}. {RESAVE}")
    if said["schema"] > NEWEST_SCHEMA:
        raise ChromatellError(
            f"{where} has schema {said['schema']}; this version of chromatell reads up to {NEWEST_SCHEMA}. "
            f"{upgrade(parse_json(card, f'the card of {where}'))}"
        )
    if hash_parts(manifest, arrays) != stored_hash:
        raise ChromatellError(
            f"The content hash of {where} does not match its weights: it was changed or damaged after it "
            f"was written. {RESAVE}"
        )
    names_text = bytes(arrays[NAMES]).decode("utf-8", "replace")
    names = parse_json(names_text, f"the names of {where}", MAX_NAMES)
    about = parse_json(card, f"the card of {where}")
    plain = {k: v for k, v in arrays.items() if k != NAMES}
    try:
        record = Record(said["family"], said["schema"], said["config"], plain, names, about, manifest)
    except (KeyError, TypeError, AttributeError) as err:
        raise ChromatellError(f"{where} is not a whole chromatell model ({err!r}). {RESAVE}") from err
    if record.manifest != manifest:
        raise ChromatellError(f"The manifest of {where} lists other arrays than are stored. {RESAVE}")
    return record


def upgrade(card: Any) -> str:
    """Return how a record of a newer schema is read: by which release, where its card says so."""
    needs = str(card.get(NEEDS, "")) if isinstance(card, Mapping) else ""
    if re.fullmatch(r"\d{1,4}(\.\d{1,4}){1,3}", needs):  # the card is not hashed: no other text of it is shown
        return f"Release {needs} reads it: pip install --upgrade 'chromatell>={needs}'."
    return "Upgrade it: pip install --upgrade chromatell."


RESAVE = "Ask its author for a new copy made with ctl.io.export_model."


def parse_json(text: str, what: str, limit: int = MAX_JSON, *, allow_nan: bool = False) -> Any:
    """Return what strict JSON says: bounded in size and depth, no NaN, no infinity."""
    if len(text) > limit or len(text.encode("utf-8", "surrogatepass")) > limit:
        raise ChromatellError(f"{what} is JSON of more than {limit // 1024**2} MB, which no model needs. {RESAVE}")

    def number(token: str) -> float:
        value = float(token)
        if not (allow_nan or np.isfinite(value)):
            raise ValueError(f"{token} is not a finite number")
        return value

    try:
        return json.loads(text, parse_constant=number, parse_float=number)
    except (ValueError, RecursionError) as err:
        raise ChromatellError(f"{what} is not valid JSON ({str(err)[:100]}). {RESAVE}") from err


def dump_json(value: Any, what: str) -> str:
    """Return JSON text, the same for equal values, that reads back as the same value."""
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        size = len(text.encode())
        same = json.loads(text) == value or json.loads(text) == _listed(value)
    except (TypeError, ValueError, RecursionError) as err:
        raise ChromatellError(
            f"The model's {what} must be plain JSON (text, finite numbers, booleans, None, lists, dicts): {err}."
        ) from err
    if not same:
        raise ChromatellError(f"The model's {what} has keys that are not text, which JSON cannot keep; use text keys.")
    if size > MAX_JSON:
        raise ChromatellError(
            f"The model's {what} is {size // 1024**2} MB of JSON, at most 16 can be stored; put long lists into arrays."
        )
    return text


def _listed(value: Any) -> Any:
    """Tuples as lists, which is what JSON gives back."""
    if isinstance(value, dict):
        return {k: _listed(v) for k, v in value.items()}
    return [_listed(v) for v in value] if isinstance(value, list | tuple) else value


def _manifest(record: Record) -> str:
    arrays = {**record.arrays, NAMES: record.names_blob}
    if any("\x00" in n for names in record.var_names.values() for n in names):
        modalities = [m for m, names in record.var_names.items() if any("\x00" in n for n in names)]
        raise ChromatellError(f"A name of a variable of {modalities} holds a null character. Rename it.")
    return dump_json(
        {
            "format": FORMAT,
            "schema": int(record.schema),
            "family": str(record.family),
            "config": record.config,
            "arrays": {name: [array.dtype.name, list(array.shape)] for name, array in arrays.items()},
        },
        "config",
    )
