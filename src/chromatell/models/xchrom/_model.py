"""`XChrom`: the class that users meet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from torch.utils.data import DataLoader

from chromatell._arguments import arguments
from chromatell._keys import ATAC, DNA, SPLIT, TRAIN, VAL, X_PCA
from chromatell._validate import in_range, name_list, one_of
from chromatell.data.expression import Expression
from chromatell.genome.motifs import Motifs
from chromatell.genome.regions import places_of
from chromatell.models._cell_model import DEPTHS, CellModel
from chromatell.models._declared import Declared
from chromatell.models._query import Query
from chromatell.models._support import expression_of
from chromatell.models._train_config import TrainConfig
from chromatell.models.xchrom import _stages as stages
from chromatell.models.xchrom._fit_stack import stack_of
from chromatell.models.xchrom._fitted import Fitted
from chromatell.models.xchrom._module import XChromModule
from chromatell.models.xchrom._presets import PRESETS, resolve_network, scheduled
from chromatell.models.xchrom._regions import Asked, Regions, checked_tokens, chosen_cells, resolve_regions
from chromatell.models.xchrom._setup import checked_setup, with_covariates
from chromatell.models.xchrom._store import SequenceVectors, check_config, module_from
from chromatell.models.xchrom._training import TrainingData


class XChrom(CellModel):
    """DNA sequence x cell embedding -> probability that any region is open in any cell, seen or unseen.

    A convolutional tower turns the sequence of a region into a short vector, a small network turns the embedding of a
    cell into another, and their product is the logit. To it come a bias and a weight on the cell's log depth, both read
    off the sequence, and, with ``region_effect=True``, a term of its own for each region that was seen in training.
    Regions are predicted that no cell was measured for; cells need expression only.

    Parameters
    ----------
    mdata
        MuData after ``XChrom.setup_mudata(mdata)``.
    preset
        'small', which trains on two cores in minutes, or 'xchrom', the published towers and recipe, for a GPU.
    region_effect
        Add a term for each region seen in training, fitted when the towers stand still: it helps in new cells, and
        changes nothing for regions never seen. None takes the preset's: True for 'small', False for 'xchrom'.
    stack
        Predict the training regions, and no others, with a weighted mean of the network and simpler predictors, as
        `Dense` does; ``model.card['predicts']`` says which. False, or no validation cells, gives the network alone;
        None takes the preset's, likewise.
    cells_per_batch
        Cells drawn for each step; 0 takes all training cells. Not used by 'small', whose sequence side learns vectors.
    n_pcs
        Components of expression, where they are computed here (``embedding=None`` in `setup_mudata`).
    annotation
        Genes of the regions' build, for the distance of a region to the nearest start site: what
        `chromatell.genome.annotation.read_genes` takes (GTF, BED, a table). Their start sites are kept with the model.
        With None what is linear in a region is read from GC and CpG alone; a log line and the model's card say so.
    motifs
        Motifs that are counted in a region beside its tower, and that half of its filters start at: what
        `chromatell.genome.motifs.read_motifs` takes (a MEME file, names of JASPAR, matrices), such as
        `chromatell.genome.motifs.family_motifs()`, one of each family of factors. None counts none.
    network
        Fields of `XChromConfig` and `TowerConfig` to change: `length` (or `sequence_length`; up to 8,192 bases and
        more), `stem_filters`, `filters`, `n_embed`, `dropout`, ...; ``covariate_length=0`` leaves GC, CpG, distance and
        motifs out.

    Raises
    ------
    ChromatellError
        `setup_mudata` was not called, an option is unknown, the annotation or the motifs do not read, or
        ``preset='xchrom'`` is given any: its tower stands alone.

    Notes
    -----
    Beside the tower of 'small' stands what is linear in GC, CpG (of up to 1,344 bases), proximity to a start site,
    1 / (1 + bp / 1000), and motifs: a ridge regression of the regions' vectors on these, so that each acts in each
    cell through its embedding. Its penalties have the lowest leave-one-out error over the training regions. The tower
    learns what is left, and validation regions say how much of it stays, from 0 to 1, of the level and of the response
    to the cell. GC, CpG and motifs change with the sequence, so ISM and effects of variants contain them; the distance
    does not, and cancels.

    The towers stay apart: the cell tower runs once a step, and the loss runs in blocks of 16,384 cells from the sparse
    matrix. Memory grows with batch x activations of the sequence tower, with training cells x `n_hidden`, and with the
    int8 sequences; regions x cells is never made.

    References
    ----------
    Yuan and Kelley, Nature Methods 2022 (scBasset); Kelley, Snoek and Rinn, Genome Research 2016 (Basset).

    Examples
    --------
    >>> import chromatell as ctl
    >>> mdata = ctl.datasets.simulate_sequence_multiome(n_cells=200, n_regions=120, seed=0)
    >>> ctl.pp.split_cells(mdata, seed=0)
    >>> ctl.models.XChrom.setup_mudata(mdata)
    >>> model = ctl.models.XChrom(mdata, stem_filters=8)
    >>> model.train(max_epochs=1)
    >>> model.predict(mdata).shape
    (200, 120)
    """

    family: ClassVar[str] = "xchrom"
    schema: ClassVar[int] = 3
    declared: ClassVar[Declared] = Declared(region_atac=False, sequence=True, two_losses=True)
    module: XChromModule
    fitted: Fitted

    @arguments
    def __init__(
        self,
        mdata: MuData | None = None,
        *,
        preset: str = "small",
        region_effect: bool | None = None,
        stack: bool | None = None,
        cells_per_batch: int = 0,
        n_pcs: int | None = None,
        annotation: str | Path | pd.DataFrame | None = None,
        motifs: Motifs | None = None,
        **network: Any,
    ):
        one_of(preset, PRESETS, "preset")
        super().__init__(mdata)
        chosen = PRESETS[preset]
        self.train_config = chosen.training
        resolved = resolve_network(type(self), chosen.network, network)
        self.network, self._source = with_covariates(resolved, annotation, motifs)
        self.config = {
            "preset": preset,
            "setup": dict(self.registry_.get("setup_args", {})),
            "region_effect": chosen.region_effect if region_effect is None else bool(region_effect),
            "stack": chosen.stack if stack is None else bool(stack),
            "cells_per_batch": in_range(cells_per_batch, 0, 10**9, "cells_per_batch"),
            "n_pcs": chosen.n_pcs if n_pcs is None else in_range(n_pcs, 1, 10_000, "n_pcs"),
            "network": asdict(self.network),
            "covariates": self._source.plain(),
        }

    @classmethod
    @arguments
    def setup_mudata(
        cls,
        mdata: MuData,
        *,
        embedding: str | None = X_PCA,
        sequence: str = DNA,
        batch_key: str | None = None,
        continuous_covariate_keys: list[str] | None = None,
        depth_key: str | None = None,
    ) -> None:
        """Register paired cells and the sequences of their regions.

        Parameters
        ----------
        mdata
            Modalities `rna` and `atac` with the same cells; ``obs['ctl_split']`` from ``ctl.pp.split_cells``;
            ``atac.varm['dna_code']`` from ``ctl.pp.add_sequence``; ``atac.var['ctl_split']`` from
            ``ctl.pp.split_regions`` where regions are held out.
        embedding
            Key of ``rna.obsm`` that the cell tower reads; batch-corrected ones may be named too. Where 'X_pca' is not
            there, or with None, principal components are fitted on the training cells; a query is projected on them.
        sequence
            Key of ``atac.varm`` with int8 tokens (n_regions, width).
        batch_key
            Column of labels that the cell tower reads beside the embedding; a level not seen in training later takes
            the mean effect.
        continuous_covariate_keys
            Columns of numbers, likewise.
        depth_key
            Column of `atac.obs` with each cell's fragments; else they are looked for, else counts are summed.

        Raises
        ------
        ChromatellError
            Barcodes do not match, a modality is absent, sequences or the embedding are missing or hold NaN, or there is
            no split.
        """
        from chromatell.models._scvi import covariate_fields, register_paired

        setup_args: dict[str, Any] = {"embedding": checked_setup(mdata, embedding, sequence), "sequence": sequence}
        continuous = name_list(continuous_covariate_keys, "continuous_covariate_keys")
        setup_args |= {"depth_key": depth_key, "batch_key": batch_key, "continuous_covariate_keys": continuous}
        register_paired(cls, mdata, setup_args, covariate_fields(mdata, batch_key, continuous))

    # ---- statistics and module

    def _fit_stats(self, data: MuData, seed: int) -> None:
        if self.network.covariate_length:
            width = np.shape(data.mod[ATAC].varm[self.config["setup"]["sequence"]])[1]
            self.network = replace(self.network, covariate_length=min(self.network.covariate_length, width))
            self._source.check(places_of(data.mod[ATAC]))
        self._training = t = TrainingData.fit(
            data, self.config, self.sequence_length, seed, block=self.network.block, source=self._source
        )
        self.fitted = t.fitted
        self.network = replace(self.network, n_inputs=t.dataset.cells.shape[1])
        self.config["network"] = asdict(self.network)

    def _build(self) -> None:
        self.module = XChromModule(self.network, self._training.start)

    def _loader(self, data: MuData, split: str, seed: int) -> DataLoader | None:
        n_seen = int(self.fitted.seen.sum())
        size = in_range(self.train_config.batch_for(n_seen), 2, 10**9, "batch_size")  # for batch norm
        frozen = bool(self.network.warm_epochs) and self.network.freeze_cells
        return self._training.loader(split, size, self.config["cells_per_batch"], seed, new_regions_only=frozen)

    def _schedule(self) -> TrainConfig:
        return scheduled(self.train_config, int(self.fitted.seen.sum()))

    def _fit(self, data: MuData, seed: int, **kwargs: Any) -> None:
        if self.network.warm_epochs:
            stages.start_from_cells(self.module, self._training, accelerator=kwargs["accelerator"], seed=seed)
        super()._fit(data, seed, starts_fitted=self.network.learns_vectors, **kwargs)
        if (share := stages.share_of_filters(self.module, self._training)) is not None:
            self.config["share_of_filters"] = share
        self.fitted.vectors = vectors = self.region_vectors(self._training.tokens, self.fitted.places)
        if self.config["region_effect"]:
            seen = self.fitted.seen
            terms, self.config["region_penalty"] = stages.region_terms(self.module, self._training, vectors[seen], seed)
            vectors[seen] += terms
        if self.config["stack"]:
            self.fitted.stack = stack_of(data, self._training, self.module, self.config["setup"], seed)
        del self._training

    # ---- the two sides, as arrays

    @property
    def sequence_length(self) -> int:
        """Bases that are read of a region; longer windows are cropped at the centre."""
        return self.network.read_length

    def stored_vectors(self) -> np.ndarray:
        """Return the vectors of the model's own regions, float32 (n_regions, n_embed + 2), with their own terms."""
        self._require_trained()
        return self.fitted.vectors

    def region_vectors(self, tokens: np.ndarray, places: pd.DataFrame | None = None) -> np.ndarray:
        """Return the vector of each sequence, averaged over both strands, without the terms of seen regions.

        Parameters
        ----------
        tokens
            int8 (n, width), A C G T N = 0 1 2 3 4; `width` at least `sequence_length`, of which the centre is read.
        places
            `chrom`, `start`, `end` of each, for its distance to a start site; None takes the average distance.

        Returns
        -------
        numpy.ndarray
            float32 (n, n_embed + 2): the embedding, the bias, the weight on depth.
        """
        self._require_trained()
        w = stages.sequence_vectors(self.module, checked_tokens(tokens, self.sequence_length))
        if self.module.covariates is not None:
            w += self.module.covariates.of_places(self.fitted.source.proximity(places), len(w))
        return w

    @arguments
    def cell_vectors(self, data: Any, *, depth: str = "predicted", depth_key: str | None = None) -> np.ndarray:
        """Return the vector of each cell, float32 (n_cells, n_embed + 2): the embedding, 1, its log depth.

        Parameters
        ----------
        data
            Cells with what the model reads of them: expression, or ``obsm`` with the embedding it was trained on.
        depth
            'predicted' from expression; 'fixed' at the training mean; 'observed' (reads the cell's ATAC).
        depth_key
            Column of `atac.obs` with each cell's fragments, for 'observed'.
        """
        return self._cells(data, depth, depth_key)["v"]

    def _cells(self, data: MuData | AnnData, depth: str, depth_key: str | None) -> dict[str, Any]:
        self._require_trained()
        one_of(depth, DEPTHS, "depth")
        key = (depth_key or self.config["setup"].get("depth_key")) if depth == "observed" else None
        read = self.fitted.read_cells(data, depth, key)
        v = stages.cell_vectors(self.module, read.inputs, read.log_depth)
        return {"v": v, **self.fitted.beside_network(read)}

    def sequence_module(self) -> torch.nn.Module:
        """Return the sequence side alone: float one-hot (n, 4, `sequence_length`) -> (n, n_embed + 2), in eval mode."""
        self._require_trained()
        return SequenceVectors(self.module).eval()

    # ---- prediction

    @arguments
    def predict(
        self,
        data: MuData | AnnData | None = None,
        *,
        regions: Regions = None,
        fasta: Any = None,
        cells: Any = None,
        depth: str = "predicted",
        depth_key: str | None = None,
        out: str | Path | None = None,
        dtype: Literal["float32", "float16"] = "float32",
        **more: Any,
    ) -> np.ndarray | Path:
        """Return the probability that each region is open in each cell; neither need have been seen before.

        Parameters
        ----------
        data
            Cells with expression (or the embedding that the model reads): an AnnData, or a MuData whose modality `rna`
            is read. None takes the training data.
        regions
            None for the model's own; names; a BED file or a table with `chrom`, `start`, `end`; or sequences, int8
            (n, width). Those that the model does not hold take their sequence from `fasta`.
        fasta
            Path of the genome, or a `chromatell.genome.Genome`; of another species too.
        cells
            Names, places or a mask of cells; None for all.
        depth
            'predicted' from expression; 'fixed' at the training mean (denoised: cells differ by their state alone); or
            'observed', the cell's own (reads its ATAC: an upper bound).
        out
            Path of a Zarr store to write instead, block by block; needed above ``ctl.settings.dense_limit``.
        dtype, more
            Number type of the store; `top_k`, `groups` (label of each cell), `client`, as in ``ctl.tl.predict``.

        Returns
        -------
        numpy.ndarray, scipy.sparse.csr_matrix or pathlib.Path
            float32 (cells, regions), CSR with `top_k`, (groups, regions) with `groups`; or the path of the store. Peak
            memory grows with the matrix, or, with `out`, with a block of 512 cells x 16,384 regions.

        Raises
        ------
        ChromatellError
            A region has no sequence, the query lacks what the model reads, or the matrix would be too large.
        """
        source = chosen_cells(self._given(data), cells)
        names, asked = expression_of(source).obs_names, self.asked(regions, fasta)
        query = partial(self._query, source, asked, depth=depth, depth_key=depth_key)
        return self._collected(query, names, asked.names, out, dtype, more)

    def region_names(self, regions: Any = None, *, fasta: Any = None) -> pd.Index:
        """Return the names of the regions that ``predict(regions=...)`` gives, or raise where it cannot."""
        return self.asked(regions, fasta).names

    def asked(self, regions: Any, fasta: Any = None) -> Asked:
        """Return the regions asked for, with sequences of new ones, as `predict` takes them: files are read once."""
        return resolve_regions(self.fitted.places, regions, fasta, self.sequence_length)

    @arguments
    def denoise(self, data: MuData | AnnData | None = None, **kwargs: Any) -> np.ndarray | Path:
        """Return `predict` at the training mean of depth, so that cells differ by their state alone."""
        return self.predict(data, depth="fixed", **kwargs)

    def _query(self, data: MuData | AnnData, regions: Asked, *, depth: str, depth_key: str | None) -> Query:
        w = self.fitted.vectors[regions.known]
        if regions.tokens is not None:
            w[regions.known < 0] = self.region_vectors(regions.tokens, regions.places)
        shared = {"w": w, "place": self.fitted.places_in_stack(regions.known)}
        return Query(self._cells(data, depth, depth_key), shared)

    def _blocks(self, v: np.ndarray, w: np.ndarray, place: np.ndarray, **beside: Any) -> Iterator[Any]:
        for rows, cols, network in stages.probabilities(v, w, self.device):
            known = {name: None if value is None else value[rows] for name, value in beside.items()}
            yield rows, cols, self.fitted.combined(network, place[cols], **known)

    @property
    def read_expression(self) -> Expression | None:
        """What the model reads of a cell's expression; None where a query brings its embedding."""
        return self.fitted.embedding.expression

    # ---- record

    def _describe(self, data: Any) -> dict[str, Any]:
        """Add to the card what predicts, what is read of a region beside its tower, and how much of the tower stays."""
        card = {**super()._describe(data), "predicts": self.fitted.described(self.config["stack"])}
        if self.module.covariates is not None:
            card |= {"covariates": self.fitted.source.described, "share_of_filters": self.config["share_of_filters"]}
        return card

    @property
    def trained_regions(self) -> pd.Index:
        """Names of the regions that were not held out: the others are known by their sequence alone."""
        return self.regions[self.fitted.seen]

    @property
    def read_regions(self) -> pd.DataFrame:
        """The regions whose ATAC it was trained or tuned on: `chrom`, `start`, `end` (-1: not known), `ctl_split`."""
        tuned = ~self.fitted.seen if self.fitted.tuned is None else self.fitted.tuned  # not known counts as read
        part = np.where(self.fitted.seen, TRAIN, np.where(tuned, VAL, ""))
        return self.fitted.places.assign(**{SPLIT: part})[part != ""]

    def _arrays(self) -> dict[str, np.ndarray]:
        return {k: v for k, v in super()._arrays().items() if "num_batches" not in k}

    def _restore(self, var_names: dict[str, list[str]], arrays: dict[str, np.ndarray]) -> None:
        self.network = check_config(self.config["network"])
        self.fitted = Fitted.from_record(self.config, self.network, var_names, arrays)
        self.module = module_from(self.network, arrays)
