"""Embedders of DNA that are networks: the sequence side of a trained XChrom, and Nucleotide Transformer."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from chromatell._validate import ChromatellError, examples
from chromatell.genome.sequence import UNKNOWN
from chromatell.io._file import read_record_file
from chromatell.io._migrate import migrated
from chromatell.io._record import Record
from chromatell.nn.region_covariates import CovariateSource
from chromatell.nn.region_side import RegionSide, RegionSideConfig
from chromatell.nn.stored_module import stored_module

_SEQUENCES = 64  # that a tower reads at a time
_TOKENS = 16_384  # that a transformer reads at a time
_LONGEST_WORD = 8
_HEADS = (
    "lm_head.",
    "pooler.",
    "contact_head.",
    "classifier.",
    "cls.",
)  # parts that the last hidden state does without
_NO_WEIGHTS = ("position_ids", "inv_freq")  # numbers that the code itself makes


def device_of(name: str | None) -> torch.device:
    """Return the device of a name; None takes a GPU where there is one."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ChromatellError(f"device={name!r} cannot be used ({reason}). Leave it out, or take 'cpu'.") from error


class XChromEmbedder:
    """The vector that a trained XChrom gives to a region, from its tower and its covariates, mean of both strands.

    A region longer than the model's sequences is read in windows, evenly spaced and side by side or overlapping, whose
    vectors are averaged, weighted by their known bases; windows of which less than half is known are left out.

    Parameters
    ----------
    model
        A trained :class:`chromatell.models.XChrom`, its record, or the path of a file with one; only its arrays are
        read.
    device
        Such as 'cpu' or 'cuda'; None takes a GPU where there is one.

    Raises
    ------
    ChromatellError
        The record is of another family, or does not fit its own description.
    """

    def __init__(self, model: Any, *, device: str | None = None) -> None:
        record = _record(model)
        if record.family != "xchrom":
            raise ChromatellError(
                f"method='xchrom' reads the sequence tower of an XChrom; this is a {record.family!r} model. Give the "
                "path of an XChrom: ctl.pp.embed_sequence(data, fasta, method='xchrom', model='xchrom.h5mu')."
            )
        self.device = device_of(device)
        try:
            config = migrated(record.family, record.schema, record.config)
            self.config = c = RegionSideConfig.of(config["network"])
            self.side = stored_module(lambda: RegionSide(c), record.arrays, without="cell_tower.")
            if self.side.covariates is not None:
                self.side.covariates.check()
            self.source = CovariateSource.from_record(config, record.arrays)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ChromatellError(
                f"The XChrom model does not fit its own description ({error}). Ask for the file again."
            ) from error
        self.side.to(self.device).eval()
        self.name, self.n_features, self.window = "XChrom", c.n_embed, c.read_length

    def embed(self, tokens: np.ndarray, places: pd.DataFrame | None = None) -> np.ndarray:
        """Return float32 (regions, n_features); NaN where no window is known by half.

        `places` gives the distance to a start site, where the model holds these; None takes the average distance.
        """
        tiles = _tiles(tokens, self.window)  # (regions, tiles, window)
        n, m, _ = tiles.shape
        known = (tiles != UNKNOWN).mean(axis=2)
        weight = np.where(known >= 0.5, known, 0)
        flat, out = tiles.reshape(n * m, -1), np.zeros((n * m, self.n_features), dtype=np.float32)
        read = np.flatnonzero(weight.ravel() > 0)
        for i in range(0, read.size, _SEQUENCES):
            rows = read[i : i + _SEQUENCES]
            out[rows] = self._vectors(torch.from_numpy(np.ascontiguousarray(flat[rows]))).cpu().numpy()
        total = weight.sum(axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):
            vectors = ((out.reshape(n, m, -1) * weight[:, :, None]).sum(axis=1) / total).astype(np.float32)
        if self.side.covariates is not None:
            vectors += self.side.covariates.of_places(self.source.proximity(places), n)[:, : self.n_features]
        return vectors

    @torch.inference_mode()
    def _vectors(self, tokens: Tensor) -> Tensor:
        return self.side.regions(tokens.to(self.device))[:, : self.n_features].float()


class TransformerEmbedder:
    """The mean of the last hidden states of Nucleotide Transformer, or any model of `transformers` that reads k-mers.

    Sequences are cut into words of k bases from the left, as the model's own tokenizer does, single bases where less
    are left; N are left out. What is longer than the model's input is read in even parts and averaged over all words.

    Parameters
    ----------
    model
        Folder of a model, or its name on the Hugging Face Hub, such as
        'InstaDeepAI/nucleotide-transformer-500m-human-ref'. Only safetensors are read, and no code that comes with the
        model is run: version 2 of Nucleotide Transformer needs its own code, and is refused.
    device
        Such as 'cpu' or 'cuda'; None takes a GPU where there is one.

    Raises
    ------
    ChromatellError
        `transformers` is not installed; the model is not there, has no safetensors, needs code of its own, or does not
        read k-mers.

    References
    ----------
    Dalla-Torre et al., Nucleotide Transformer (Nature Methods, 2024). Its weights are CC BY-NC-SA 4.0.
    """

    def __init__(self, model: str | Path, *, device: str | None = None) -> None:
        self.device = device_of(device)
        tokenizer, network = _pretrained(str(model))
        self.network = network.to(self.device).eval()
        self.name, self.window = f"transformers: {Path(str(model)).name}", 1
        self.n_features = int(network.config.hidden_size)
        vocabulary = tokenizer.get_vocab()
        self.k, self._words = _word_ids(vocabulary, str(model))
        self._bases = np.array([vocabulary.get(b, -1) for b in "ACGT"])
        around = tokenizer.build_inputs_with_special_tokens([-1])
        at = around.index(-1)
        self._before, self._after = around[:at], around[at + 1 :]
        self._pad = int(tokenizer.pad_token_id or 0)
        self.n_words = _longest(tokenizer, network.config) - len(around) + 1  # at a time
        if self.n_words < 1:
            raise ChromatellError(f"{str(model)!r} reads {self.n_words} words at a time; it cannot be used.")

    def embed(self, tokens: np.ndarray, places: pd.DataFrame | None = None) -> np.ndarray:
        """Return float32 (regions, n_features); NaN where there is no word. `places` is not read."""
        parts: list[np.ndarray] = []
        of: list[int] = []
        for i, row in enumerate(tokens):
            words = self.words(row)
            n = -(-words.size // self.n_words)
            parts += np.array_split(words, n) if n else []
            of += [i] * n
        total = np.zeros((len(tokens), self.n_features))
        count = np.zeros(len(tokens), dtype=np.int64)
        for rows in self._batches(np.array([p.size for p in parts], dtype=np.int64)):
            sums = self._sums([parts[r] for r in rows])
            for r, s in zip(rows, sums, strict=True):
                total[of[r]] += s
                count[of[r]] += parts[r].size
        with np.errstate(invalid="ignore"):
            return (total / count[:, None]).astype(np.float32)

    def words(self, row: np.ndarray) -> np.ndarray:
        """Return the ids of one sequence's words, int64 (words,)."""
        known = np.concatenate([[False], (row >= 0) & (row < UNKNOWN), [False]])
        edges = np.flatnonzero(known[1:] != known[:-1]).reshape(-1, 2)
        ids: list[np.ndarray] = []
        for start, end in edges:
            n = (end - start) // self.k
            whole = row[start : start + n * self.k].reshape(n, self.k).astype(np.int64)
            ids.append(self._words[whole @ 4 ** np.arange(self.k - 1, -1, -1)])
            if (self._bases >= 0).all():
                ids.append(self._bases[row[start + n * self.k : end]])
        return np.concatenate(ids) if ids else np.zeros(0, dtype=np.int64)

    @staticmethod
    def _batches(length: np.ndarray) -> Iterator[np.ndarray]:
        """Yield parts of like length, longest first, about `_TOKENS` words together."""
        order = np.argsort(-length, kind="stable")
        at = 0
        while at < order.size:
            n = max(1, _TOKENS // max(int(length[order[at]]), 1))
            yield order[at : at + n]
            at += n

    @torch.inference_mode()
    def _sums(self, parts: list[np.ndarray]) -> np.ndarray:
        """Return the sum of the last hidden states over the words of each part, float (parts, n_features)."""
        first, width = len(self._before), max(p.size for p in parts)
        ids = np.full((len(parts), first + width + len(self._after)), self._pad, dtype=np.int64)
        mask = np.zeros_like(ids)
        is_word = np.zeros(ids.shape, dtype=bool)
        for i, part in enumerate(parts):
            whole = [*self._before, *part, *self._after]
            ids[i, : len(whole)], mask[i, : len(whole)] = whole, 1
            is_word[i, first : first + part.size] = True
        inputs = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        hidden = self.network(**{k: v.to(self.device) for k, v in inputs.items()}).last_hidden_state.float()
        return (hidden * torch.from_numpy(is_word).to(self.device)[:, :, None]).sum(dim=1).cpu().numpy()


def _record(model: Any) -> Record:
    if isinstance(model, Record):
        return model
    if isinstance(model, str | Path):
        return read_record_file(model)
    if hasattr(model, "to_record"):
        return model.to_record()
    raise ChromatellError(
        "method='xchrom' needs model=: a trained ctl.models.XChrom, its record or the path of a file with one; got "
        f"{type(model).__name__}. Load it: model = ctl.models.load(mdata, key='xchrom')."
    )


def _tiles(tokens: np.ndarray, window: int) -> np.ndarray:
    """Return windows that cover each sequence, (n, tiles, window); shorter ones lie in the middle of N."""
    n, length = tokens.shape
    if length <= window:
        out = np.full((n, 1, window), UNKNOWN, dtype=np.int8)
        first = window // 2 - length // 2
        out[:, 0, first : first + length] = tokens
        return out
    starts = np.linspace(0, length - window, -(-length // window)).round().astype(np.int64)
    return np.stack([tokens[:, s : s + window] for s in starts], axis=1)


# ---- transformers


def _pretrained(model: str) -> tuple[Any, Any]:
    """Return tokenizer and network; nothing of the model's is run or unpickled."""
    try:
        import transformers
    except ImportError as error:
        raise ChromatellError(
            "method='nucleotide_transformer' needs transformers: pip install 'chromatell[dna-models]'."
        ) from error
    options: dict[str, Any] = {"trust_remote_code": False}
    try:
        with _quiet(transformers):
            config = transformers.AutoConfig.from_pretrained(model, **options)
            if getattr(config, "auto_map", None):
                raise ChromatellError(
                    f"{model!r} comes with code of its own ({examples(config.auto_map.values(), 2)}), which is not "
                    "run. Take one of the first version, such as 'InstaDeepAI/nucleotide-transformer-500m-human-ref'."
                )
            tokenizer = transformers.AutoTokenizer.from_pretrained(model, **options)
            network, info = transformers.AutoModel.from_pretrained(
                model, use_safetensors=True, output_loading_info=True, ignore_mismatched_sizes=True, **options
            )  # what does not fit is looked at below: heads need not
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        if isinstance(error, ChromatellError):
            raise
        reason = " ".join(str(error).split())[:200]
        raise ChromatellError(
            f"{model!r} cannot be loaded ({type(error).__name__}: {reason}). Needed: a folder, or the name of a model "
            "on the Hub, with config.json, a tokenizer and model.safetensors."
        ) from error
    kinds = ("missing_keys", "mismatched_keys", "unexpected_keys")
    names = [k if isinstance(k, str) else k[0] for kind in kinds for k in info[kind]]
    wrong = sorted(k for k in names if not k.startswith(_HEADS) and not k.endswith(_NO_WEIGHTS))
    if wrong:
        raise ChromatellError(
            f"The weights of {model!r} do not fit its architecture, {type(network).__name__}: {len(wrong)} are "
            f"missing, too many or of another shape ({examples(wrong)}). It may need code of its own, which is not run."
        )
    return tokenizer, network


@contextlib.contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Leave out the bars and reports of loading, and put the library's settings back."""
    log = transformers.utils.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()


def _word_ids(vocabulary: dict[str, int], model: str) -> tuple[int, np.ndarray]:
    """Return k, and the id of each of the 4**k words; k is the longest for which all are there."""
    for k in range(_LONGEST_WORD, 1, -1):
        words = ["".join(w) for w in itertools.product("ACGT", repeat=k)]
        if all(w in vocabulary for w in words):
            return k, np.array([vocabulary[w] for w in words], dtype=np.int64)
    raise ChromatellError(
        f"The tokens of {model!r} are not k-mers of DNA (such as {examples(vocabulary, 5)}); the 4,096 6-mers of "
        "Nucleotide Transformer, or all words of 2 to 8 bases, are needed."
    )


def _longest(tokenizer: Any, config: Any) -> int:
    """Return how many tokens the model reads at a time."""
    positions = int(getattr(config, "max_position_embeddings", None) or 10**9)
    offset = int(getattr(config, "pad_token_id", None) or 0) + 1  # ESM counts positions from behind the padding's id
    return min(int(tokenizer.model_max_length), positions - offset)
