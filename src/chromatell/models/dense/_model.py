"""`Dense`: the class that users meet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from torch.utils.data import DataLoader

from chromatell._arguments import arguments
from chromatell._keys import ATAC, RNA, TRAIN
from chromatell._rows import matrix, read
from chromatell._settings import logger
from chromatell._unread import refuse_unread
from chromatell._validate import ChromatellError, name_list, one_of, paired, split_of
from chromatell._values import expressed, nonnegative, query_expression
from chromatell.data.accessibility import selected, true_depth
from chromatell.data.cells import CellBatch, CellDataset, CellInput, cell_loader, row_blocks, subset
from chromatell.data.expression import Expression
from chromatell.data.inputs import beside_expression
from chromatell.data.sparse_expression import projected
from chromatell.models._cell_model import DEPTHS, CellModel
from chromatell.models._query import Query
from chromatell.models._support import observed_atac
from chromatell.models.dense._fit_stack import stack_of
from chromatell.models.dense._fitted import Fitted, Scores, Training, targets_of
from chromatell.models.dense._links import score_map
from chromatell.models.dense._module import DenseModule
from chromatell.models.dense._presets import PANEL, PRESETS, SmoothingConfig, resolve_network
from chromatell.models.dense._store import decode_blocks, module_from, not_asked, stored_config
from chromatell.nn.losses import LossConfig

_ROWS = 512  # cells predicted at a time


class Dense(CellModel):
    """Expression of a cell -> probability that each region is open.

    A network reads the z-scored expression of the selected genes and returns, through a low-rank output, the logit of
    every selected region; to it come a bias per region, which starts at the logit of the training mean, and a weight
    per region on the cell's log depth. Depth is the cell's own in training and predicted from expression later, so that
    the network need not spend itself on it.

    Parameters
    ----------
    mdata
        MuData after ``Dense.setup_mudata(mdata)``.
    preset
        'default', chosen on validation cells of two data sets (with at most 100 genes it becomes 'panel', which reads
        the genes themselves rather than their principal components); or 'wizel2025', the published recipe: 10,000 most
        variable genes and 500 most variable regions (``ctl.pp.select_features``), z-scores, binary
        targets, fully connected Swish layers, sigmoid output, focal + Dice loss, RMSProp, batches of 32, 50 epochs, 20%
        test and 10% validation. Left open there, chosen here: two hidden layers of 512, no norm, dropout 0.2, learning
        rate 1e-4, focal alpha 0.25 and gamma 2, no depth term.
    encoder
        'mlp'; 'autoencoder' (adds the reconstruction of expression to the loss); 'transformer' (learned queries attend
        over gene tokens); 'shared' (expression is first carried into the space of regions: a score for each region from
        its linked genes, and for each gene set where `gene_sets` is given; needs ``ctl.pp.link_genes``).
    likelihood
        'bernoulli' on open or closed, or 'poisson' on fragment counts (cut-site counts are recognised and halved).
    loss
        'bce', 'focal', 'dice', 'focal_dice', or a `LossConfig` with gamma, alpha and weights. Poisson has its own.
    linked_genes
        Add a weight for each gene on each region linked to it (needs ``ctl.pp.link_genes``).
    gene_sets
        Name -> genes, for ``encoder='shared'``.
    smoothing
        `SmoothingConfig`, or None for none: targets averaged over neighbours among the training cells.
    stack
        Predict with a weighted mean of the network, ridge regression on the same expression (full, and of low rank) and
        region mean x predicted depth. The weights, 0 or more, sum to 1; they are those of the least squared error in
        validation cells, of which the network's share is lowered by two standard errors; where these are under 300,
        held-out tenths of the training cells weigh the others, and else it is raised until the mean loses nothing to
        the network in depth-matched AUROC, as far as average precision allows. ``model.card['predicts']`` says what
        they are. False gives the network alone, as do no validation cells; None is True but for 'wizel2025'.
    network
        Other fields of `DenseConfig`: `n_pcs`, `n_hidden`, `n_layers`, `n_latent`, `norm`, `dropout`, `n_members`,
        `block`, ...

    Raises
    ------
    ChromatellError
        `setup_mudata` was not called, or an option is unknown.

    Notes
    -----
    Training memory grows with the number of training cells x (principal components or genes), up to 1 GB and then block
    by block, and with batch x `block` of regions; the matrix cells x regions is never made. The stack adds 51 to 151
    floats a region, and the open entries of at most 200,000 training cells, 100 million in all.

    References
    ----------
    Wolpert, Neural Networks 1992; Breiman, Machine Learning 1996 (stacks with weights of 0 or more);
    Lin et al., ICCV 2017 (focal loss); Milletari et al., 3DV 2016 (Dice loss); Martens et al., Nature Methods 2024
    (counts).

    Examples
    --------
    >>> import chromatell as ctl
    >>> mdata = ctl.datasets.simulate_multiome(300, 50, 80, seed=0)
    >>> ctl.pp.split_cells(mdata, seed=0)
    >>> ctl.models.Dense.setup_mudata(mdata)
    >>> model = ctl.models.Dense(mdata)
    >>> model.train(max_epochs=2)
    >>> model.predict(mdata).shape
    (300, 80)
    """

    family: ClassVar[str] = "dense"
    schema: ClassVar[int] = 3
    module: DenseModule
    fitted: Fitted
    _training: Training

    @arguments
    def __init__(
        self,
        mdata: MuData | None = None,
        *,
        preset: str = "default",
        encoder: str | None = None,
        likelihood: str | None = None,
        loss: str | LossConfig | None = None,
        linked_genes: bool = False,
        gene_sets: Mapping[str, list[str]] | None = None,
        smoothing: SmoothingConfig | Literal["preset"] | None = "preset",
        stack: bool | None = None,
        **network: Any,
    ):
        one_of(preset, PRESETS, "preset")
        super().__init__(mdata)
        if preset == "default" and mdata is not None and (n := int(selected(mdata.mod[RNA]).sum())) <= PANEL:
            logger.info(f"{n} genes are a panel: preset 'panel', which reads the genes themselves.")
            preset = "panel"
        chosen = PRESETS[preset]
        self.train_config = chosen.training
        if smoothing == "preset":
            smoothing = chosen.smoothing
        if not isinstance(smoothing, SmoothingConfig | None):
            raise ChromatellError(f"smoothing={smoothing!r}: a SmoothingConfig, None or 'preset' is needed.")
        self.smoothing = smoothing or SmoothingConfig(mix=0.0)
        self.network = resolve_network(type(self), chosen.network, encoder, likelihood, loss, linked_genes, network)
        if gene_sets is not None and not isinstance(gene_sets, Mapping):
            raise ChromatellError(f"gene_sets={gene_sets!r}: a dict is needed, such as {{'mine': ['GATA1']}}.")
        shared = (("gene_sets",), self.network.encoder == "shared", "encoder='shared', after ctl.pp.link_genes")
        refuse_unread({"gene_sets": sorted(gene_sets)} if gene_sets else {}, None, [shared])
        self.gene_sets = dict(gene_sets or {})
        self.stack = chosen.stack if stack is None else bool(stack)
        setup = dict(self.registry_.get("setup_args", {}))
        self.config = {
            "preset": preset,
            "setup": setup,
            "smoothing": asdict(self.smoothing),
            "network": asdict(self.network),
            "stack": self.stack,
        }

    @classmethod
    @arguments
    def setup_mudata(
        cls,
        mdata: MuData,
        *,
        batch_key: str | None = None,
        continuous_covariate_keys: list[str] | None = None,
        depth_key: str | None = None,
        inputs: Sequence[str] = (RNA,),
    ) -> None:
        """Register paired cells, as in scvi-tools (which writes its own columns on `mdata`; ``ctl.tl.dense`` does not).

        Parameters
        ----------
        mdata
            Modalities `rna` and `atac` with the same cells; ``obs['ctl_split']`` from ``ctl.pp.split_cells``;
            ``var['ctl_selected']`` from ``ctl.pp.select_features`` where only some features are wanted.
        batch_key
            Column of labels; a level not seen in training later takes the mean effect.
        continuous_covariate_keys
            Columns of numbers.
        depth_key
            Column of `atac.obs` with each cell's fragments; else they are looked for, else counts are summed.
        inputs
            Modalities of the same cells that are read: `rna`, and others beside it, see ``ctl.tl.dense``.

        Raises
        ------
        ChromatellError
            Barcodes do not match or repeat, a modality is absent or empty, values are NaN or negative, a cell has no
            expression, or there is no split.
        """
        from chromatell.models._scvi import covariate_fields, register_paired

        rna, atac = paired(mdata)
        beside = beside_expression(mdata, inputs)
        split_of(mdata)
        nonnegative(rna, RNA, smoothed=True)
        nonnegative(atac, ATAC)
        expressed(rna)
        for adata, name in ((rna, RNA), (atac, ATAC)):
            if not selected(adata).any():
                raise ChromatellError(
                    f"mdata.mod[{name!r}].var['ctl_selected'] selects nothing. Run ctl.pp.select_features(mdata)."
                )
        continuous = name_list(continuous_covariate_keys, "continuous_covariate_keys")
        also = covariate_fields(mdata, batch_key, continuous)
        setup_args = {"batch_key": batch_key, "continuous_covariate_keys": continuous, "depth_key": depth_key}
        if beside:
            setup_args["inputs"] = beside
        register_paired(cls, mdata, setup_args, also)

    # ---- statistics and module

    def _fit_stats(self, data: MuData, seed: int) -> None:
        self.fitted, self._training = Fitted.fit(data, self.config["setup"], self.network, self.smoothing, seed)
        self.network = replace(self.network, **self.fitted.sizes)
        self.config["network"] = asdict(self.network)

    def _build(self) -> None:
        pairs = scores = None
        if self._training.links is not None:
            gene, region, distance = self._training.links
            pairs = (torch.from_numpy(gene), torch.from_numpy(region))
            if self.network.encoder == "shared":
                scores = score_map(gene, region, distance, self.genes, self.gene_sets)
        bias, slope = torch.from_numpy(self._training.start_bias), self.fitted.depth_model.sd
        self.module = DenseModule(self.network, bias, slope, pairs, scores)

    def _loader(self, data: MuData, split: str, seed: int) -> DataLoader | None:
        rna, atac, fitted = data.mod[RNA], data.mod[ATAC], self.fitted
        rows = np.flatnonzero(split_of(data) == split)
        if rows.size == 0:
            return None
        inputs = CellInput(
            subset(matrix(rna), rows, selected(rna)),
            fitted.expression,
            projection=fitted.projection,
            covariates=fitted.beside_expression(data, rows),
            keep_genes=self._keep_genes,
        )
        training = split == TRAIN
        if training:
            depth = fitted.depth_model.standardise(true_depth(atac, self.config["setup"].get("depth_key"))[rows])
        else:  # as it will be for new cells; the network's own prediction, where it makes one, replaces it
            weights = fitted.depth_model.of_genes[:, np.newaxis].astype(np.float32)
            score, own = projected(fitted.expression, inputs.x, weights)
            depth = np.float32(self.network.depth_shrink) * fitted.depth_model.from_score(score[:, 0], own)
        smoother = self._training.smoother if training else None
        targets = targets_of(self.network, atac, rows, selected(atac))
        dataset = CellDataset(inputs, targets, depth, self.network.block, smoother)
        c, n_train = self.train_config, int((split_of(data) == TRAIN).sum())
        size = c.batch_for(n_train)
        return cell_loader(dataset, size, shuffle=training, seed=seed, order=c.order, block=c.block_cells)

    def _fit(self, data: MuData, seed: int, **kwargs: Any) -> None:
        super()._fit(data, seed, **kwargs)
        self._recalibrate(data, seed)
        if self.stack:
            key = self.config["setup"].get("depth_key")
            self.fitted.stack = stack_of(data, self.fitted, self._training, self._blocks, depth_key=key, seed=seed)
        del self._training

    def _recalibrate(self, data: MuData, seed: int, n_cells: int = 2000, n_rounds: int = 3) -> None:
        """Shift each region's bias until its mean prediction over training cells, at predicted depth, is its mean."""
        rows = np.flatnonzero(split_of(data) == TRAIN)
        some = np.sort(np.random.default_rng(seed).choice(rows, min(n_cells, len(rows)), replace=False))
        mean = self._training.share_open(data.mod[ATAC], rows, selected(data.mod[ATAC]))
        x = subset(matrix(data.mod[RNA]), some, selected(data.mod[RNA]))
        covariates = self.fitted.beside_expression(data, some)
        position = np.arange(len(self.regions))
        for _ in range(n_rounds):
            total = np.zeros(len(self.regions))
            for _, cols, block in self._blocks(x, None, covariates, position, None):
                total[cols] += block.sum(axis=0, dtype=np.float64)
            shift = np.clip(np.log((mean + 1e-5) / (total / len(some) + 1e-5)), -1, 1)
            self.module.bias.data += torch.from_numpy(shift.astype(np.float32)).to(self.module.bias.device)

    def _describe(self, data: Any) -> dict[str, Any]:
        """Return what the card says, with what predicts."""
        alone = "the network alone" + ("" if not self.stack else ": there were no validation cells")
        inputs, stack = self.fitted.inputs, self.fitted.stack
        more = {"inputs": inputs.described()} if inputs.of else {}
        return {**super()._describe(data), "predicts": stack.described() if stack else alone, **more}

    @property
    def _keep_genes(self) -> bool:
        return self.network.linked_genes or self.network.encoder == "autoencoder"

    # ---- prediction

    def _query(self, data: MuData | AnnData, regions: pd.Index, *, depth: str, depth_key: str | None) -> Query:
        one_of(depth, DEPTHS, "depth")
        rna = query_expression(data)
        x, present = self.fitted.expression.align(rna)
        given = None
        if depth == "observed":
            key = depth_key or self.config["setup"].get("depth_key")
            given = self.fitted.depth_model.standardise(true_depth(observed_atac(data), key))
        elif depth == "fixed":
            given = np.zeros(rna.n_obs, dtype=np.float32)  # the training mean
        covariates = self.fitted.beside_expression(data, np.arange(rna.n_obs))
        shared = {"present": present, "position": self.regions.get_indexer(regions)}
        return Query({"x": x, "covariates": covariates, "depth": given}, shared)

    def _blocks(
        self,
        x: Any,
        present: np.ndarray | None,
        covariates: np.ndarray,
        position: np.ndarray,
        depth: np.ndarray | None,
        decode: Any = decode_blocks,
        finish: Any = None,
    ) -> Iterator[tuple[slice, Any, Any]]:
        """Yield rows, and the columns and blocks that `blocks_of` gives of them; `depth` is standardised."""
        for rows in row_blocks(x.shape[0], _ROWS):
            scores = self.fitted.scores(read(x[rows]), present, covariates[rows])
            for cols, block in self.blocks_of(scores, position, None if depth is None else depth[rows], decode, finish):
                yield rows, cols, block

    def blocks_of(
        self,
        scores: Scores,
        position: np.ndarray,
        depth: np.ndarray | None,
        decode: Any = decode_blocks,
        finish: Any = None,
    ) -> Iterator[tuple[Any, Any]]:
        """Yield the columns and blocks that `decode` gives of some cells; `depth` None is to be predicted.

        `decode` makes them of a batch. `finish`, of (z, sizes, other inputs, depth), returns what changes a block of
        them, given the positions of its regions; None is the stack, where there is one.
        """
        fitted, (z, sizes, beside) = self.fitted, scores
        if finish is None and fitted.stack is not None:
            finish = fitted.stacked
            if decode is decode_blocks and not fitted.stack.network_weight:
                decode = not_asked
        guess = np.float32(self.network.depth_shrink) * fitted.depth_model.predict(z, sizes)
        batch = self._batch(z, beside, guess if depth is None else depth).to(self.device)
        change = None
        if finish is not None:
            change = finish(z, sizes, fitted.of_inputs(beside), depth)
        if depth is None and self.network.depth_hidden:
            with torch.no_grad():
                own = self.network.depth_shrink * self.module.predict_depth(batch).mean(dim=0)
            batch.depth = own.clamp(fitted.depth_model.low, fitted.depth_model.high)
        for cols, block in decode(self.module, batch, position):
            yield cols, block if change is None else change(block, position[cols])

    def _batch(self, z: np.ndarray, covariates: np.ndarray, depth: np.ndarray) -> CellBatch:
        x = z if self.fitted.projection is None else z @ self.fitted.projection
        return CellBatch(
            x=torch.from_numpy(x),
            genes=torch.from_numpy(z) if self._keep_genes else None,
            covariates=torch.from_numpy(covariates.astype(np.float32)),
            depth=torch.from_numpy(depth),
        )

    @property
    def reads_beside(self) -> tuple[str, ...]:
        """Modalities that a prediction reads beside `rna`, by name."""
        return tuple(self.fitted.inputs.of)

    @property
    def read_expression(self) -> Expression:
        """What the model reads of a cell's expression."""
        return self.fitted.expression

    # ---- record

    @property
    def genes(self) -> pd.Index:
        """Names of the genes read."""
        return self.fitted.genes

    def _restore(self, var_names: dict[str, list[str]], arrays: dict[str, np.ndarray]) -> None:
        self.network = stored_config(self.config["network"], len(var_names[RNA]), len(var_names[ATAC]))
        self.smoothing, self.gene_sets = SmoothingConfig(**self.config["smoothing"]), {}
        self.fitted = Fitted.from_record(self.config, var_names, arrays)
        if (width := self.fitted.sizes["n_covariates"]) != self.network.n_covariates:
            raise ChromatellError(
                f"The model reads {self.network.n_covariates} columns of batches, covariates and other inputs and "
                f"names {width}. Ask for the file again."
            )
        self.module = module_from(self.network, arrays)
        self.stack = bool(self.config["stack"])
