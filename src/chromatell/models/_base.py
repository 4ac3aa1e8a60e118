"""What the four families share: set-up, training, blockwise prediction, and a record that travels without pickle."""

from __future__ import annotations

import copy
import datetime
from abc import ABC, abstractmethod
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import torch
from anndata import AnnData
from mudata import MuData
from torch.utils.data import DataLoader

from chromatell._arguments import arguments
from chromatell._keys import READS_REGION_ATAC, TRAIN, VAL
from chromatell._settings import settings
from chromatell._unread import Readers, refuse_unread
from chromatell._validate import ChromatellError, in_range
from chromatell.data.stored import check_complete, check_stored
from chromatell.data.tracks import BinnedTracks
from chromatell.io._disk import load_record, save_record
from chromatell.io._migrate import migrated
from chromatell.io._record import FIRST_RELEASE, NEEDS, Record, content_hash, upgrade
from chromatell.models._declared import Declared
from chromatell.models._fingerprint import fingerprint, start_digest
from chromatell.models._options import refuse_unknown
from chromatell.models._stopped import says_how_to_go_on
from chromatell.models._support import (
    describe,
    first_rank_speaks,
    quiet_lightning,
    resolve_precision,
    rng_devices,
)
from chromatell.models._train_config import TrainConfig
from chromatell.models._trained_on import COUNTS, counts, stored_cells, trained_cells
from chromatell.nn.stored_module import module_arrays


class Fitted(Protocol):
    """What a family knows of its training data beside the weights."""

    @property
    def var_names(self) -> dict[str, list[str]]:
        """Names of the variables in use, by modality."""

    def plain(self) -> dict[str, Any]:
        """Return what is not an array, JSON-able: a part of the record's configuration."""

    def arrays(self) -> dict[str, np.ndarray]:
        """Return statistics as plain arrays."""


class ChromatinModel(ABC):
    """A model of chromatin, as in scvi-tools: ``setup_mudata``, constructor, ``train``, ``predict``, ``save``.

    It differs from scvi-tools' base in one thing: nothing is pickled. A trained model is a `Record` (plain arrays and
    JSON), saved as safetensors, kept in ``mdata.uns``, checked by its hash. A model made from data is a
    `scvi.model.base.BaseModelClass`; one made from a record has no data, and predicts without scvi-tools.

    A family writes `family`, `declared`, `schema` and the abstract methods below; one that reads cells begins with
    :class:`~chromatell.models._cell_model.CellModel`, which predicts.
    """

    family: ClassVar[str]
    declared: ClassVar[Declared] = Declared()
    schema: ClassVar[int] = 1
    module: torch.nn.Module
    config: dict[str, Any]
    fitted: Fitted
    registry_: dict[str, Any]
    is_trained_: bool
    trainer: Any
    _adata: Any
    train_config: TrainConfig
    _made: dict[str, Any] | None = None  # the configuration before the first training
    _trained_by: TrainConfig | None = None  # how it would be trained, before the first training

    @property
    def reads_beside(self) -> tuple[str, ...]:
        """Modalities that a prediction reads beside `rna`, by name."""
        return ()

    @property
    def reads_atac(self) -> bool:
        """Whether a prediction reads the cell's own ATAC, and not only its expression."""
        return False

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Return an object of the class that scvi-tools stands behind; of this one where nothing is given."""
        if not args and not kwargs:
            return super().__new__(cls)
        from chromatell.models._scvi import scvi_class  # takes seconds, and a stored model predicts without

        return super().__new__(scvi_class(cls))

    def __init__(self, data: MuData | AnnData | BinnedTracks | None = None):
        self._take(data)
        self.card: dict[str, Any] = {}
        self.history_: dict[str, list[float]] | None = None
        self.trained_cells: dict[str, np.ndarray] = {}  # hashes of their barcodes, see _trained_on
        self.trained_before: dict[str, np.ndarray] = {}  # those of the model that training went on from
        # schema and description that a model of an older schema was read with: it is written as it was
        self.older: tuple[int, dict[str, Any]] | None = None

    def _take(self, data: Any) -> None:
        """Take the data to train on; scvi-tools' class takes it as that does."""
        self._adata, self.registry_, self.is_trained_ = data, {"setup_args": {}}, False

    def _release(self) -> None:
        """Drop the data."""
        self._adata = None

    # ---- what a family writes

    @classmethod
    @abstractmethod
    def setup_mudata(cls, mdata: Any, *args: Any, **kwargs: Any) -> None:
        """Check what the data hold, and register them with scvi-tools."""

    @abstractmethod
    def _fit_stats(self, data: Any, seed: int) -> None:
        """Fit statistics (means, components, depth) on training rows only."""

    @abstractmethod
    def _build(self) -> None:
        """Make `self.module` from the configuration and the statistics."""

    @abstractmethod
    def _loader(self, data: Any, split: str, seed: int) -> DataLoader | None:
        """Return the batches of one split, or None where it holds nothing."""

    @abstractmethod
    def _restore(self, var_names: dict[str, list[str]], arrays: dict[str, np.ndarray]) -> None:
        """Make `fitted` and `module` again from `config` and a record; check names, dtypes and shapes."""

    @abstractmethod
    def predict(self, data: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Return what the model says of the data; None takes those of training."""

    def _arrays(self) -> dict[str, np.ndarray]:
        """Return weights (`weights.*`) and statistics (`scaling.*`) as plain arrays."""
        return module_arrays(self.module) | self.fitted.arrays()

    @property
    def var_names(self) -> dict[str, list[str]]:
        """Names of the variables in use, by modality."""
        return self.fitted.var_names

    def _training_readers(self) -> Readers:
        """Return which options of the training are not read by this model, see `refuse_unread`."""
        return ()

    def _describe(self, data: Any) -> dict[str, Any]:
        """Return what the model's card says of its training data, JSON-able."""
        return describe(data, self.var_names)

    # ---- training

    @arguments
    def train(
        self,
        max_epochs: int | None = None,
        *,
        accelerator: str = "auto",
        devices: int | list[int] | str = "auto",
        seed: int | None = None,
        checkpoint_dir: str | Path | None = None,
        precision: str = "auto",
        trainer_kwargs: dict[str, Any] | None = None,
        **train_config: Any,
    ) -> None:
        """Train on the cells marked `train`; stop early on, and keep the best weights of, those marked `val`.

        Parameters
        ----------
        max_epochs
            None takes the preset's.
        accelerator, devices
            As in Lightning. Several devices share each batch (DDP): `batch_size` is that of all of them together, and
            the result that of one, but for rounding and for which numbers dropout draws.
        seed
            The same seed gives the same weights on the same machine with the same number of threads.
        checkpoint_dir
            Folder for the state after each epoch. The same call with the same folder goes on where it was stopped, and
            ends with the model that it would have had otherwise; a finished run returns at once. A state of other data,
            another split, seed or option is refused.
        precision
            'auto': bfloat16 autocast on a GPU that has it and a CPU with AMX, else float32; or any of Lightning's
            names, such as '32-true'. Weights, losses and scores are float32 in any case.
        train_config
            Fields of the preset to change: `batch_size`, `optimizer`, `lr`, `weight_decay`, `schedule`,
            `gradient_clip`, `early_stopping`, `patience`.

        Raises
        ------
        ChromatellError
            There is no data, no training cell, an unknown option or device, or `checkpoint_dir` holds another run.
        FloatingPointError
            The loss became infinite.
        KeyboardInterrupt
            The user stopped it.
        """
        from chromatell.models._checkpoint import prepare_folder
        from chromatell.models._fit_network import make_trainer  # Lightning takes seconds

        if self._adata is None:
            name = type(self).__name__
            raise ChromatellError(
                f"This {name} was loaded and has no data to train on. Make one: {name}.setup_mudata(mdata); "
                f"{name}(mdata).train()."
            )
        changes = {k: v for k, v in {"max_epochs": max_epochs, **train_config}.items() if v is not None}
        before = self.train_config if self._trained_by is None else self._trained_by
        refuse_unknown("train()", changes, asdict(before))
        plan = replace(before, **changes)
        refuse_unread(changes, before, self._training_readers())
        in_range(plan.max_epochs, 1, 10**9, "max_epochs")  # 0 would store a model that was never trained
        seed = settings.resolve_seed(seed)
        self._made = copy.deepcopy(self.config) if self._made is None else self._made
        self.config = {**copy.deepcopy(self._made), "seed": seed, READS_REGION_ATAC: self.declared.region_atac}
        trainer = {
            "accelerator": accelerator,
            "devices": devices,
            "precision": resolve_precision(precision, accelerator, on_cpu=self.declared.bf16_on_cpu),
            **(trainer_kwargs or {}),
        }
        with torch.random.fork_rng(rng_devices(accelerator, devices)), quiet_lightning(), first_rank_speaks():
            make_trainer(plan, **trainer)  # raises before any work
            self._trained_by, self.train_config = before, plan  # a call that is refused leaves nothing behind
            state = None if checkpoint_dir is None else prepare_folder(checkpoint_dir)
            torch.manual_seed(seed)
            with says_how_to_go_on("Training was stopped.", state):
                self._fit_stats(self._adata, seed)
                self._build()
                self._fit(self._adata, seed, state=state, **trainer)
        self.is_trained_ = True
        self.card = self._describe(self._adata)
        self.trained_cells = trained_cells(self._adata, self.trained_before)

    def _schedule(self) -> TrainConfig:
        """Return how the network is fitted, which may follow the data; `train_config` is what the user chose."""
        return self.train_config

    def _fit(
        self, data: Any, seed: int, *, state: Path | None, precision: str, starts_fitted: bool = False, **trainer: Any
    ) -> None:
        """Fit by gradient descent, through Lightning; a family may fit otherwise.

        With `starts_fitted` the weights that training starts from are a candidate for the best.
        """
        from chromatell.models._fit_network import fit_network

        config = self._schedule()
        train, val = self._loader(data, TRAIN, seed), self._loader(data, VAL, seed)
        if train is None:
            raise ChromatellError("There is no training cell. Run ctl.pp.split_cells(mdata) first.")
        if val is None and config.schedule == "plateau":
            raise ChromatellError("schedule='plateau' needs 'val' cells: ctl.pp.split_cells(mdata), or take 'cosine'.")
        self.history_, self.is_trained_ = None, False

        def identity() -> dict[str, Any]:
            start = start_digest(self.module, (train, val))
            more = {k: v for k, v in trainer.items() if isinstance(v, int | float) and k != "devices"}
            return fingerprint(data, self.config, config, start=start, family=self.family, precision=precision, **more)

        self.trainer, self.history_ = fit_network(
            self.module,
            config,
            (train, val),
            seed=seed,
            starts_fitted=starts_fitted,
            state=state,
            identity=identity,
            precision=precision,
            **trainer,
        )
        self.module.eval()
        self.is_trained_ = True

    @property
    def history(self) -> dict[str, list[float]] | None:
        """`train_loss` and `validation_loss`, a value an epoch; None before training."""
        return self.history_

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.module.parameters()).device

    def _require_trained(self) -> None:
        if not self.is_trained_:
            raise ChromatellError(f"This {type(self).__name__} is not trained. Call model.train() first.")

    # ---- the record

    def to_record(self) -> Record:
        """Return the trained model as plain arrays and JSON; one of an older schema as its release wrote it."""
        self._require_trained()
        arrays = self._arrays() | self.trained_cells
        arrays |= {f"history.{k}": np.asarray(v, dtype=np.float64) for k, v in (self.history_ or {}).items()}
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        config = {**self.config, **self.fitted.plain(), "train": asdict(self.train_config)}
        config[COUNTS] = counts(self.trained_cells)
        schema, config = self.older or (self.schema, config)
        return Record(
            family=self.family,
            schema=schema,
            config=config,
            arrays=arrays,
            var_names=self.var_names,
            card={**self.card, "package": version("chromatell"), NEEDS: FIRST_RELEASE[schema], "date": now},
        )

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Return a model that predicts, without data, from a record."""
        if record.family != cls.family:
            raise ChromatellError(
                f"The record holds a {record.family!r} model, not {cls.family!r}. Use ctl.models.load(path)."
            )
        if record.schema > cls.schema:
            raise ChromatellError(
                f"The model has schema {record.schema}; this chromatell ({version('chromatell')}) reads up to "
                f"{cls.schema}. {upgrade(record.card)}"
            )
        model = cls.__new__(cls)  # without scvi-tools, which knows no model without data
        ChromatinModel.__init__(model)
        model.older = (record.schema, dict(record.config)) if record.schema < cls.schema else None
        model._read(record)
        history = [k for k in record.arrays if k.startswith("history.")]  # one-dimensional, `_read` has seen to it
        model.history_ = {k.removeprefix("history."): [float(v) for v in record.arrays[k]] for k in history}
        model.card = dict(record.card)
        model.is_trained_ = True
        return model

    def _read(self, record: Record) -> None:
        """Take names and arrays from a record. Damaged content becomes one clear error."""
        try:
            config = migrated(self.family, record.schema, record.config)
            self.train_config = TrainConfig(**config.pop("train"))
            config.pop(COUNTS, None)
            self.config = config
            seed = self.config.get("seed", 0)  # goes into the provenance of every prediction
            if not isinstance(seed, int) or isinstance(seed, bool):
                raise TypeError(f"its seed is {str(seed)[:40]!r}")
            check_stored(record.arrays, record.var_names)
            self.trained_cells = stored_cells(record.arrays, f"a {self.family!r} model", record.config.get(COUNTS, {}))
            check_complete(record.arrays, record.schema)
            arrays = {k: a for k, a in record.arrays.items() if k not in self.trained_cells}
            self._restore(record.var_names, arrays)
        except ChromatellError:
            raise
        except (AttributeError, KeyError, TypeError, IndexError, ValueError, RuntimeError) as error:
            raise ChromatellError(
                f"The {self.family!r} model does not fit its own description ({error}). Ask for the file again, or "
                "train anew."
            ) from error
        self.module.eval()

    @property
    def content_hash(self) -> str:
        """SHA-256 of the model's configuration, names and arrays."""
        return content_hash(self.to_record())

    @arguments
    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Save the model to a folder, as safetensors and JSON; the data is not saved."""
        save_record(self.to_record(), path, overwrite=overwrite)

    @classmethod
    @arguments
    def load(cls, path: str | Path) -> Self:
        """Load a model from a folder, a `.h5mu` or a `.zarr`. Nothing in it is executed."""
        return cls.from_record(load_record(path))

    @classmethod
    def setup_anndata(cls, adata: AnnData, *args: Any, **kwargs: Any) -> None:
        """Raise: this family trains on paired modalities."""
        raise ChromatellError(
            f"{cls.__name__} trains on paired cells: {cls.__name__}.setup_mudata(mdata) with modalities 'rna' and "
            "'atac'."
        )

    def clear(self) -> None:
        """Drop the data and scvi-tools' registrations of it, so that nothing keeps it in memory."""
        self._release()
        self.trainer = None  # its loaders hold matrices too
