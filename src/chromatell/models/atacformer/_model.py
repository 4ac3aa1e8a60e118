"""`AtacFormer`: the class that users meet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from torch.utils.data import DataLoader

from chromatell._arguments import arguments
from chromatell._keys import TRAIN
from chromatell._validate import ChromatellError, in_range, one_of
from chromatell.data.accessibility import selected
from chromatell.data.expression import Expression
from chromatell.models._cell_model import DEPTHS, CellModel
from chromatell.models._declared import Declared
from chromatell.models._query import Query
from chromatell.models._train_config import TrainConfig
from chromatell.models.atacformer._contrastive import Contrastive, ContrastiveHead, Positives, resolve_contrastive
from chromatell.models.atacformer._data import atac_of, class_fractions, context_source, set_up
from chromatell.models.atacformer._fitted import Fitted
from chromatell.models.atacformer._module import AtacFormerConfig, AtacFormerModule
from chromatell.models.atacformer._presets import check_read, preset_for, resolve_masking, resolve_network
from chromatell.models.atacformer._reader import Reader, looked_for, named_columns, open_reader
from chromatell.models.atacformer._sentences import Masking
from chromatell.models.atacformer._start import loaded, lsi_vectors, new_module
from chromatell.models.atacformer._store import module_from


class AtacFormer(CellModel):
    """A cell as a sentence of its open bins -> the probability of any bin, labels of the cell, an embedding.

    A Transformer reads the open bins of a cell (no positions beyond the bins themselves) with a `<cls>` token before
    and one `<eos>` token a chromosome after them. It learns by having part of the bins removed: from the `<eos>` of its
    chromosome and `<cls>` it tells of a bin whether it is not in the sentence, in it, or in it but removed. Labels are
    read off `<cls>`. With a context, such as an embedding of expression, one more token is projected from it, and
    sentences are emptied in part of the training: then accessibility is predicted from expression alone.

    Parameters
    ----------
    data
        AnnData of cells x bins after ``AtacFormer.setup_anndata(adata)``, or MuData after ``setup_mudata(mdata)``.
    preset
        'small' (d 128, 3 layers; decoder 'cross_attention', with a context 'chromosome'), which trains on two cores in
        minutes, or 'base' (d 512, 12 layers, decoder 'chromosome'), for a GPU.
    decoder
        How the state of a bin is read off the encoded sentence: 'chromosome', from the `<eos>` of its chromosome;
        'region_class', from those of its classes, such as promoter and exon, weighted by the share of the bin that is
        in each (after ``ctl.pp.annotate_regions``); 'cross_attention', from all tokens of the sentence, which the bin
        attends to. None takes the preset's.
    max_length
        Tokens of a sentence, at most; of a cell with more open bins a new random subset is taken in each epoch.
    tokens_per_batch
        Tokens of a training step, counted before bins are removed.
    start
        Where bin embeddings start: 'lsi', latent semantic indexing of the training cells, or 'random'. None takes the
        preset's.
    label_balance
        Weight the classes of a label by one over their number of cells.
    contrastive
        Tell each cell, with part of its bins dropped and bins of a near neighbour added, from the other cells of the
        batch, and tell which bins these were, from the `<eos>` states: True, or a dict with fields of `Contrastive`
        (`weight`, `temperature`, `dropped`, `added`, ...). In training only: the validation loss is that without it,
        and neither the stored model nor its predictions are larger. A training step takes about twice as long.
    pretrained
        A model (or the path of one) to go on from: bins of the same name keep their embeddings, new ones start at the
        mean. The network is that model's.
    network
        Fields of `AtacFormerConfig` and `Masking` to change: `eos` ('inside': the `<eos>` tokens stand in the sentence;
        'outside': they attend to the encoded sentence, and no token sees them; 'both': the sum of the two), `d`, `k`,
        `n_layers`, `n_heads`, `n_hidden`, `dropout`, `class_weights`, `low`, `high`, `empty`, `n_negatives`, ...

    Raises
    ------
    ChromatellError
        The data is not set up, or an option is unknown.

    Notes
    -----
    Memory grows with tokens of a batch x `d` x layers, with bins x `k` (four times in training), and with what the
    decoder is asked: some hundred bins a cell in training, blocks of cells x bins in prediction. Cells x bins is never
    made in training.

    References
    ----------
    Vaswani et al., NeurIPS 2017; Devlin et al., NAACL 2019 (masked modelling); Xiong et al., ICML 2020 (pre-norm).

    Examples
    --------
    >>> import chromatell as ctl
    >>> adata = ctl.datasets.simulate_multiome(300, 50, 80, seed=0).mod["atac"]
    >>> ctl.pp.split_cells(adata, seed=0)
    >>> ctl.models.AtacFormer.setup_anndata(adata, labels="cell_type")
    >>> model = ctl.models.AtacFormer(adata, d=32, n_hidden=64, n_layers=1)
    >>> model.train(max_epochs=2)
    >>> model.embed(adata).shape
    (300, 32)
    """

    family: ClassVar[str] = "atacformer"
    declared: ClassVar[Declared] = Declared(cell_columns=True)
    schema: ClassVar[int] = 2
    module: AtacFormerModule
    network: AtacFormerConfig
    fitted: Fitted
    pretrained: AtacFormer | None = None  # what training goes on from

    @arguments
    def __init__(
        self,
        data: AnnData | MuData | None = None,
        *,
        preset: str = "small",
        decoder: str | None = None,
        max_length: int = 5000,
        tokens_per_batch: int | None = None,
        start: str | None = None,
        label_balance: bool = False,
        contrastive: bool | Mapping[str, Any] | Contrastive = False,
        pretrained: Any = None,
        **network: Any,
    ):
        self.contrastive = resolve_contrastive(contrastive)
        super().__init__(data)
        setup = dict(self.registry_.get("setup_args", {}))
        chosen = preset_for(preset, setup.get("context"))
        self.pretrained = loaded(pretrained)
        base = chosen.network if self.pretrained is None else self.pretrained.network
        self.train_config = chosen.training
        self.masking, network = resolve_masking(chosen.masking, network)
        if decoder is not None:
            network["decoder"] = decoder
        self.network = resolve_network(type(self), base, network, pretrained=self.pretrained is not None)
        if self._adata is not None:
            check_read({"start": start, "label_balance": label_balance, **network}, base, setup, self.pretrained)
        if self._adata is not None and self.network.decoder == "region_class":
            class_fractions(atac_of(self._adata), selected(atac_of(self._adata)))  # raises where there are none
        tokens = chosen.tokens_per_batch if tokens_per_batch is None else tokens_per_batch
        self.config = {
            "preset": preset,
            "setup": setup,
            "max_length": in_range(max_length, 1, 10**7, "max_length"),
            "tokens_per_batch": in_range(tokens, 64, 10**9, "tokens_per_batch"),
            "start": one_of(chosen.start if start is None else start, ("lsi", "random"), "start"),
            "label_balance": bool(label_balance),
            "contrastive": None if self.contrastive is None else asdict(self.contrastive),
            "masking": asdict(self.masking),
            "network": asdict(self.network),
        }

    @classmethod
    @arguments
    def setup_anndata(
        cls,
        adata: AnnData,
        *,
        labels: str | Sequence[str] | None = None,
        context: str | None = None,
        dna_key: str | None = None,
    ) -> None:
        """Register cells x bins (scvi-tools writes its own columns on `adata`; ``ctl.tl.atacformer`` does not).

        Parameters
        ----------
        adata
            Counts or 0 and 1, cells x bins; ``obs['ctl_split']`` from ``ctl.pp.split_cells``; `chrom`, `start` and
            `end` in `var`, or names such as 'chr1:5000-10000'. With ``var['ctl_selected']`` those bins are used.
        labels
            Columns of `obs` to predict, such as 'cell_type'; cells without a label are let through.
        context
            Key of `obsm` that becomes one token.
        dna_key
            Key of `varm` with an embedding of each bin's DNA.

        Raises
        ------
        ChromatellError
            Values are negative or NaN, there is no split, or a column or key is not there.
        """
        set_up(cls, adata, {"labels": labels, "context": context, "dna_key": dna_key, "depth_key": None})

    @classmethod
    @arguments
    def setup_mudata(
        cls,
        mdata: MuData,
        *,
        labels: str | Sequence[str] | None = None,
        context: str | None = None,
        dna_key: str | None = None,
        depth_key: str | None = None,
    ) -> None:
        """Register modality `atac`, and with a context `rna`.

        Parameters
        ----------
        mdata
            As for `setup_anndata`; the split is in ``mdata.obs``.
        labels
            Columns of ``atac.obs`` or ``mdata.obs``.
        context
            Key of ``rna.obsm``; 'X_pca' is computed on the training cells where it is not there.
        dna_key
            Key of ``atac.varm``.
        depth_key
            Not used: the depth of this family is the number of open bins.

        Raises
        ------
        ChromatellError
            Barcodes do not match, values are negative or NaN, there is no split, or a column or key is not there.
        """
        set_up(cls, mdata, {"labels": labels, "context": context, "dna_key": dna_key, "depth_key": depth_key})

    # ---- statistics and module

    def _fit_stats(self, data: AnnData | MuData, seed: int) -> None:
        if self.train_config.batch_size != TrainConfig().batch_size:
            raise ChromatellError(
                "AtacFormer makes batches of tokens, not of cells: give AtacFormer(data, tokens_per_batch=8192), not "
                "train(batch_size=...)."
            )
        self.fitted, binarized = Fitted.fit(
            data, self.config["setup"], seed, decoder=self.network.decoder, eos=self.network.eos
        )
        self.fitted.check_room(binarized, self.config["max_length"])
        self.network = replace(self.network, **self.fitted.sizes)
        self.config |= {"network": asdict(self.network)}
        self._vectors = None
        if self.config["start"] == "lsi" and self.pretrained is None:
            self._vectors = lsi_vectors(binarized, self.network.k, seed=seed)

    def _build(self) -> None:
        self.module = new_module(self.network, self.fitted, vectors=self._vectors, pretrained=self.pretrained)
        if self.contrastive is not None:
            self.module.contrastive = ContrastiveHead(self.network, self.fitted.tensors(), self.contrastive)
        if self.config["label_balance"]:
            self.module.label_weights = self.fitted.class_weights(self._adata)

    def _loader(self, data: AnnData | MuData, split: str, seed: int) -> DataLoader | None:
        loader = self.fitted.loader(
            data,
            split,
            self.masking,
            max_length=self.config["max_length"],
            budget=self.config["tokens_per_batch"],
            steps=self.train_config.min_steps,
            seed=seed,
        )
        if loader is not None and split == TRAIN and self.contrastive is not None:
            sentences: Any = loader.dataset
            sentences.positives = Positives(sentences, self.contrastive, seed=seed)
        return loader

    def _fit(self, data: AnnData | MuData, seed: int, **kwargs: Any) -> None:
        super()._fit(data, seed, **kwargs)
        self.module.contrastive = None  # in training only
        self.trained_before = {} if self.pretrained is None else self.pretrained.trained_cells

    # ---- what it says of cells

    @property
    def reads_atac(self) -> bool:
        """Whether predictions read the cell's own ATAC: where there is no context."""
        return self.network.n_context == 0

    @arguments
    def embed(self, data: AnnData | MuData | None = None, *, sentence: bool = True) -> np.ndarray:
        """Return the embedding of each cell, its `<cls>`, float32 (n_cells, d).

        Parameters
        ----------
        data
            Cells x bins (and the context, where the model has one); bins are matched by name, or by coordinates where
            hardly one name fits. None takes the training data.
        sentence
            Read the cell's own open bins; False reads the context alone.

        Raises
        ------
        ChromatellError
            Under a tenth of the bins are there, or the context is not.
        """
        return self._reader(data, sentence=sentence).cells()[0]

    @arguments
    def predict_labels(self, data: AnnData | MuData | None = None, *, sentence: bool = True) -> dict[str, pd.DataFrame]:
        """Return for each label the probability of its classes, float32 (n_cells, n_classes); index `obs_names`.

        Parameters
        ----------
        data, sentence
            As for `embed`.
        """
        return self.embed_and_label(data, sentence=sentence)[1]

    def embed_and_label(
        self, data: AnnData | MuData | None = None, *, sentence: bool = True
    ) -> tuple[np.ndarray, dict[str, pd.DataFrame]]:
        """Return `embed` and `predict_labels`, from one reading of the cells."""
        source = self._given(data)
        cls, scores = self._reader(source, sentence=sentence).cells()
        names = (atac_of(source) if sentence else context_source(source)).obs_names
        tables = zip(self.fitted.labels.items(), scores, strict=True)
        return cls, {key: pd.DataFrame(p, index=names, columns=classes) for (key, classes), p in tables}

    @property
    def read_expression(self) -> Expression | None:
        """What the model reads of a cell's expression; None without a context, or where that is the user's own."""
        return None if self.fitted.embedding is None else self.fitted.embedding.expression

    def cell_columns(
        self, data: Any, key: str, *, sentence: bool = True
    ) -> tuple[dict[str, pd.Categorical], dict[str, np.ndarray]]:
        """Return the columns of `obs` (labels) and the arrays of `obsm` (embedding, probabilities) that are written."""
        return named_columns(key, *self.embed_and_label(data, sentence=sentence))

    def _given(self, data: AnnData | MuData | None) -> AnnData | MuData:
        self._require_trained()
        if data is None and self._adata is None:
            raise ChromatellError("This AtacFormer was loaded and has no data. Give some: model.embed(adata).")
        return self._adata if data is None else data

    def _reader(self, data: Any, *, sentence: bool = True) -> Reader:
        source, max_length = self._given(data), self.config["max_length"]
        return open_reader(self.module, self.fitted, source, sentence=sentence, max_length=max_length)

    # ---- prediction of bins

    @arguments
    def predict(
        self,
        data: AnnData | MuData | None = None,
        *,
        regions: list[str] | pd.Index | None = None,
        sentence: bool | None = None,
        depth: str = "predicted",
        depth_key: str | None = None,
        out: str | Path | None = None,
        dtype: Literal["float32", "float16"] = "float32",
        **more: Any,
    ) -> np.ndarray | Path:
        """Return the probability that each bin, were it not seen, is open in each cell.

        Parameters
        ----------
        data
            Cells x bins, or a MuData; with a context, an AnnData of expression will do. None takes the training data.
        regions
            Names of bins, as in training; None for all.
        sentence
            Read the cell's own open bins. None: only where the model has no context, and so nothing else to read.
        depth
            How many open bins are looked for. From a context alone: 'predicted' from it, 'fixed' at the training mean,
            'observed', the cell's own. From the cell's own bins: as many again as it has ('predicted', 'observed'), or
            the training mean ('fixed').
        depth_key
            Not used by this family.
        out
            Path of a Zarr store to write instead, block by block; needed above ``ctl.settings.dense_limit``.
        dtype
            Number type of the store: 'float32' or 'float16'.
        more
            `top_k`, `groups` (label of each cell) and `client`, as in ``ctl.tl.predict``.

        Returns
        -------
        numpy.ndarray, scipy.sparse.csr_matrix or pathlib.Path
            float32 (cells, bins), CSR with `top_k`, (groups, bins) with `groups`; or the path of the store. Peak memory
            grows with the matrix, or, with `out`, with a block of cells x 4,096 bins alone.
        """
        source = self._given(data)
        read = self.reads_atac if sentence is None else bool(sentence)
        columns = self.region_names(regions)
        cells = atac_of(source).obs_names if read else context_source(source).obs_names
        return self._collected(
            lambda: self._query(source, columns, depth=depth, sentence=read), cells, columns, out, dtype, more
        )

    def _query(self, data: Any, regions: pd.Index, *, depth: str, sentence: bool) -> Query:
        reader = self._reader(data, sentence=sentence)
        n = looked_for(self.fitted, reader, data, read=sentence, depth=one_of(depth, DEPTHS, "depth"))
        return Query({**reader.by_row, "n": n}, {"bins": self.fitted.vocabulary.bins.get_indexer(regions)})

    def _blocks(self, n: np.ndarray, bins: np.ndarray, **by_row: Any) -> Iterator[tuple[slice, slice, np.ndarray]]:
        room = self.fitted.room(self.config["max_length"])
        return Reader(self.module.eval(), self.fitted.vocabulary, room, **by_row).probabilities(bins, n)

    # ---- record

    def _restore(self, var_names: dict[str, list[str]], arrays: dict[str, np.ndarray]) -> None:
        self.masking = Masking(**self.config["masking"])
        self.contrastive = resolve_contrastive(self.config["contrastive"])
        self.fitted = Fitted.from_record(self.config, var_names, arrays)
        self.module = module_from(self.config["network"], self.fitted.sizes, self.fitted.tables, arrays)
        self.network = self.module.config
        self.fitted.room(self.config["max_length"])
