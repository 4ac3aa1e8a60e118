"""The one LightningModule: optimiser, schedule, losses; and the batches of each process."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler

from chromatell.data.sampler import Pick, part_of
from chromatell.models._checkpoint import check_same_ranks
from chromatell.models._train_config import TrainConfig, rise_share
from chromatell.nn import ranks


class Plan(LightningModule):
    """Fits any module that has ``loss(batch)``; keeps `train_loss` and `validation_loss` of the epoch.

    Losses are those of whole batches, whatever the number of processes that share them. With `in_one_pass` Adam takes
    one pass over the weights a step in place of ten.
    """

    def __init__(
        self,
        module: nn.Module,
        config: TrainConfig,
        *,
        steps_per_epoch: int,
        seed: int,
        identity: Any = None,
        in_one_pass: bool = False,
    ):
        super().__init__()
        self.in_one_pass = in_one_pass
        self.module = module
        self.config = config
        self.seed = seed
        self._identity = identity
        self.total_steps = max(1, steps_per_epoch * config.max_epochs)
        self.plateau: torch.optim.lr_scheduler.ReduceLROnPlateau | None = None
        self._seen: dict[str, list[tuple[Tensor, float]]] = {}  # losses of the epoch and their weights
        self.begin_means()

    @property
    def n_ranks(self) -> int:
        """Processes that share each batch."""
        return int(self.trainer.world_size)

    def setup(self, stage: str) -> None:
        """Look, before anything waits for another process, whether all were given the same."""
        if self.n_ranks > 1 and self._identity is not None:
            check_same_ranks(self._identity())

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed dropout by (seed, epoch) once the loader is made, which draws too: a resumed run goes on alike.

        Each process draws numbers of its own.
        """
        if batch_idx == 0:  # the caller forked the generator
            seed = self.seed * 100_003 + self.current_epoch
            if self.global_rank:
                seed = int(np.random.SeedSequence([seed, self.global_rank]).generate_state(1, np.uint64)[0] >> 1)
            torch.manual_seed(seed)
            self.begin_means()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the loss of one batch; of part of it where processes share it."""
        with ranks.sharing(self.n_ranks):
            loss = self.module.loss(batch)
        self._add("train_loss", loss, 1.0)
        return loss

    def begin_means(self) -> None:
        """Begin new means of the losses: the same on all ranks, of which some may have nothing to validate."""
        self._seen = {"train_loss": [], "validation_loss": []}

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Take in the loss of one validation batch, weighted by its size; processes take turns at batches."""
        self._add("validation_loss", self.module.loss(batch), float(len(batch)))

    def _add(self, name: str, loss: Tensor, weight: float) -> None:
        self._seen[name].append((loss.detach(), weight))

    def losses(self) -> dict[str, float]:
        """Return the losses of the epoch by name; a mean over all processes, which all must ask."""
        means = {}
        for name, seen in self._seen.items():
            # once an epoch: a GPU is waited for
            values = torch.stack([loss for loss, _ in seen]).tolist() if seen else []
            sums = (sum(v * w for v, (_, w) in zip(values, seen, strict=True)), sum(w for _, w in seen))
            both = torch.tensor(sums, dtype=torch.float64, device=self.device if self.n_ranks > 1 else "cpu")
            if self.n_ranks > 1:
                torch.distributed.all_reduce(both)
            if both[1] > 0:
                means[name] = float(both[0] / both[1])
        return means

    def configure_optimizers(self) -> Any:
        """Decay matrices only: biases, norms and per-region terms are left alone."""
        c = self.config
        decayed = [p for p in self.module.parameters() if p.ndim >= 2 and not getattr(p, "no_decay", False)]
        other = [p for p in self.module.parameters() if p.ndim < 2 or getattr(p, "no_decay", False)]
        groups = [{"params": decayed, "weight_decay": c.weight_decay}, {"params": other, "weight_decay": 0.0}]
        optimizer: torch.optim.Optimizer
        if c.optimizer == "rmsprop":
            optimizer = torch.optim.RMSprop(groups, lr=c.lr)
        else:
            adam = torch.optim.Adam if c.optimizer == "adam" else torch.optim.AdamW
            optimizer = adam(groups, lr=c.lr, betas=c.betas, fused=self.in_one_pass or None)
        if c.schedule == "cosine":
            cosine = torch.optim.lr_scheduler.OneCycleLR(
                optimizer,
                c.lr,
                self.total_steps,
                pct_start=rise_share(c.warmup, self.total_steps),
                cycle_momentum=False,
                div_factor=25,
                final_div_factor=100,
            )
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cosine, "interval": "step"}}
        if c.schedule == "plateau":
            # stepped by `Run`, before the state is written: Lightning would step it after
            self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=2)
        return optimizer


class Loaders(LightningDataModule):
    """The training and validation batches of one process."""

    def __init__(self, train: DataLoader, val: DataLoader | None):
        super().__init__()
        self.allow_zero_length_dataloader_with_multiple_devices = True
        self._train, self._val = train, val

    def _of_rank(self, loader: DataLoader, *, train: bool) -> DataLoader:
        trainer = self.trainer
        assert trainer is not None
        if trainer.world_size == 1:
            return loader
        names = ("num_workers", "collate_fn", "pin_memory", "timeout", "worker_init_fn", "prefetch_factor")
        more = {name: getattr(loader, name) for name in (*names, "persistent_workers", "multiprocessing_context")}
        kind = PartsOfBatches if train else SomeBatches
        sampler = kind(loader.sampler, trainer.global_rank, trainer.world_size)
        return DataLoader(loader.dataset, sampler=sampler, batch_size=None, **more)

    def train_dataloader(self) -> Any:
        """Return the training loader."""
        return self._of_rank(self._train, train=True)

    def val_dataloader(self) -> Any:
        """Return the validation loader, or none."""
        return self._of_rank(self._val, train=False) if self._val is not None else []


class PartsOfBatches(Sampler):
    """Each batch of another sampler, of which one process takes every n-th row.

    An item is an array of rows, a `Pick`, of which each process reads its own blocks, or a tuple that begins with rows;
    one that ends with a list is drawn as a whole and cut by its data set. Where a batch has fewer rows than there are
    processes, each takes all of it, which is the same mean.
    """

    def __init__(self, batches: Any, rank: int, n_ranks: int):
        self.batches, self.rank, self.n_ranks = batches, rank, n_ranks

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; Lightning calls this."""
        self.batches.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        for item in self.batches:
            if isinstance(item, Pick):
                yield item.part(self.rank, self.n_ranks)
            elif isinstance(item, tuple) and isinstance(item[-1], list):
                yield (*item, (self.rank, self.n_ranks))
            elif isinstance(item, tuple):
                yield (part_of(item[0], self.rank, self.n_ranks), *item[1:])
            else:
                yield part_of(item, self.rank, self.n_ranks)


class SomeBatches(Sampler):
    """Every n-th batch of another sampler."""

    def __init__(self, batches: Any, rank: int, n_ranks: int):
        self.batches, self.rank, self.n_ranks = batches, rank, n_ranks

    def __len__(self) -> int:
        return len(range(self.rank, len(self.batches), self.n_ranks))

    def __iter__(self) -> Iterator[Any]:
        yield from islice(iter(self.batches), self.rank, None, self.n_ranks)
