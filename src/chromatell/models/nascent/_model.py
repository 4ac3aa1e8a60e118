"""`Nascent`: the class that users meet."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch.utils.data import DataLoader

from chromatell._arguments import arguments
from chromatell._docs import example
from chromatell._keys import REGION_SPLIT_HOW, SPLITS, TRAIN
from chromatell._unread import Readers
from chromatell._validate import ChromatellError, one_of, warn
from chromatell.data._tracks_store import TracksWriter
from chromatell.data._tracks_table import SIGMA
from chromatell.data.tracks import BinnedTracks, as_tracks
from chromatell.genome.genome import Genome
from chromatell.models._base import ChromatinModel
from chromatell.models._declared import Declared
from chromatell.models._fingerprint import fingerprint
from chromatell.models._options import refuse_unknown
from chromatell.models._trained_on import INTERVALS, trained_intervals
from chromatell.models.nascent._batches import Source, interval_batches, window_batches
from chromatell.models.nascent._bins import check_gap, draw_bins, most_bins, other_strands
from chromatell.models.nascent._build import build_network
from chromatell.models.nascent._carry import Sample, assays_of
from chromatell.models.nascent._config import UNREAD_BY_TREES, NascentConfig, options_for
from chromatell.models.nascent._evaluation import Predictor, predicted_chromosomes, prediction_table
from chromatell.models.nascent._fitted import Fitted, scale_of
from chromatell.models.nascent._predictor import chromosome_predictor
from chromatell.models.nascent._sample import SIGNAL, describe_signal, unlike, validated
from chromatell.models.nascent._sequence import MARGIN, open_genome
from chromatell.models.nascent._signal import choose_tracks, find_inputs
from chromatell.models.nascent._store import module_arrays, module_from, n_features
from chromatell.models.nascent._transfer import bins_beyond
from chromatell.models.nascent._tree_training import TreeBins

_NOT_OPTIONS = {"architecture", "preset", "bin_size"}


@example("tracks")
class Nascent(ChromatinModel):
    """Run-on signal around a bin -> marks and accessibility in it.

    Parameters
    ----------
    data
        BinnedTracks with tracks of role 'input' and 'target'.
    architecture
        'transfer': boosted trees, one model a target, for other cells, assays and depths: on densities of the signal at
        nine widths up to 25 kb, clipped where the sample's highest bins are and shrunk by one read, their ratios, and
        how the strands lie in them; on how high the smoothed signal ranks in its sample (`ranks`); trained on the
        signal as it is, thinned to 10, 3 and 1%, and changed as PRO-cap and GRO-seq would see it; blended with the
        smoothed log signal (`blend`); with ``cnn=True`` the mean of that and of a small CNN on the same features, of
        the same samples, for samples of the same assay; and smoothed (`smooth`). A sample like that of training is
        predicted by a stack of these, of second trees and of ridge (`stack`). 'xgboost': boosted trees, one model a
        target, on sums of the signal: six single bins on each side of the centre, then intervals that double in width
        up to the window's ends; log(1 + sum) of each strand. 'dense': five dense layers with ReLU on log(1 + signal) of
        each bin and strand, on windows drawn at random. 'cnn': logarithms of sums over 1, 3, 9, ... 243 bins, then
        residual dilated convolutions up to the window's ends, all targets at once, trained on intervals of thousands of
        bins; a chromosome is predicted in long intervals, each bin computed once, as window by window to float
        rounding.
    preset
        'default', or for 'dense' and 'cnn' 'stanford2019', the published networks, below.
    inputs, targets
        Names of the tracks to read and to predict; None takes those of the role.
    fasta
        For ``context='sequence'``: the path of the genome's FASTA, or a `chromatell.genome.Genome`.
    options
        Fields of :class:`NascentConfig`. The first to know: `window` (bins, odd, or text such as '128kb': 2,561 bins,
        for 'dense' 201), `task` ('regression', or 'classification' of bins whose unsmoothed target is above
        `threshold`), `loss` (networks: 'mse', 'masked_mse', which looks at targets that are not 0 alone,
        'weighted_mse', in which bins with and without signal weigh the same, 'poisson'; classes: 'logistic', of trees
        also 'hinge'), `strand_flip` (networks also learn from the other strand: the window turned and the strands of an
        assay swapped, where both are there; 'cnn' does), `context='sequence'` (the CNN also reads the bases of a bin
        and of its neighbours), `multi_task` (one network for all targets, or one each).

    Raises
    ------
    ChromatellError
        No inputs or targets, several samples, an unknown option, options that do not go together, or no FASTA.

    Notes
    -----
    Each input is divided by its mean over usable training bins, the same for the strands of an assay; it is 0 where it
    is blacklisted or unknown, and beyond a chromosome's ends. Each target is divided by its standard deviation in
    training and predictions are multiplied by it; they are not let below the least value seen in training. Stored trees
    are plain arrays; XGBoost is needed to train, not to predict. Training of trees and of 'dense' takes at most
    `max_bins` bins, more are drawn at random ('transfer': an eighth of them for each changed sample); validation looks
    at 400,000 whatever `max_bins` says. There is no external memory. Trees train on a GPU where there is one.

    'transfer' reads no mean of training: each sample is scaled by its own clipped mean, in reads, so that the unit of
    the files does not matter. Its CNN, with ``cnn=True``, is fitted on pieces of 512 bins, twice `max_bins` in all, and
    reads 31 more on each side: 24 filters, five residual convolutions dilated by 1 to 16, all targets at once;
    `max_epochs`, `lr` and `accelerator` are of the trees. What is predicted is smoothed by a Gaussian of 0 to 1,000 bp.
    Each target takes the width, and the CNN or none of it, that have the least loss in validation bins as all these
    samples see them (nothing that loses in the sample as it is); without any, or for a target that is known in none,
    the CNN is half, and the width half of what the target was smoothed over, and trees are not stopped early; of
    fewer than 32 unchanged pieces (`max_bins` under 65,536, ``augment=False`` 8,192) there is no CNN, and a log line
    says so. ``card['smoothing']`` (bp) and ``card['cnn_share']`` say it. ``card['validation']`` says of each target how
    well the validation bins are predicted, and whether that is enough to have the mark at all; None where no bin of the
    target tells, because none is known or they are all alike. A query with over 20 times fewer reads than training,
    or whose reads are concentrated otherwise, is told by a warning.

    Where that warning has no reason, ``stack=True`` predicts each target by the geometric mean of two: the mean of the
    trees above and of second ones, of at most 60 rounds, which see a quarter of `max_bins` bins as they are and read
    ridge's output too; and ridge on log sums of the signal over each of the intervals that 'xgboost' reads. The share
    of ridge (0, .25, .5, .75 or 1) is that with the highest sum of r and average precision (of unsmoothed values above
    `threshold`) in validation bins as they are and with 10 and 3% of the reads; ``card['ridge_share']`` says it, None
    where a target does not gain by any, in the mean and as it is, and is predicted as in other samples.

    ``preset='stanford2019'``, one network a target. CNN: published are the window of 2,561 bins, one input channel, a
    convolution of 16 filters of width 5, dropout, max pooling by 2, six more convolutions, 512 numbers flattened, one
    dense output and 8,385 weights, which fix the rest: 16 filters of width 5 without padding throughout, a pooling
    behind each convolution but the last. Left open, and chosen here: how two strands become one channel (their sum,
    log(1 + x)), ReLU, the rate of dropout (0.2), the optimiser (Adam, 0.001), epochs, and intervals in place of windows
    in training. Dense: published are five dense layers with ReLU, Adam, the squared error and the window of +-5 kb;
    left open are their width (128 here), dropout (none), batch (1,024) and epochs (10).

    References
    ----------
    Chen and Guestrin, XGBoost (KDD, 2016). Yu and Koltun, Multi-scale context aggregation by dilated convolutions
    (ICLR, 2016).

    Examples
    --------
    >>> model = ctl.models.Nascent(tracks, window=21)
    >>> model.train(max_epochs=20, seed=0)
    >>> found = model.predict(tracks)
    >>> bool(np.corrcoef(found.values("chr1")[0], signal > 1)[0, 1] > 0.7)
    True
    """

    family: ClassVar[str] = "nascent"
    schema: ClassVar[int] = 6  # 2: 'transfer', 'augment' and 'blend'; 3: 'ranks'; 4: 'smooth'; 5: 'cnn'; 6: 'stack'
    # in bfloat16 on a CPU a fifth faster, and single bins are told less well
    declared: ClassVar[Declared] = Declared(tracks=True, bf16_on_cpu=False)
    fitted: Fitted

    @arguments
    def __init__(
        self,
        data: BinnedTracks | None = None,
        *,
        architecture: Literal["transfer", "xgboost", "dense", "cnn"] = "transfer",
        preset: str = "default",
        inputs: str | Sequence[str] | None = None,
        targets: str | Sequence[str] | None = None,
        fasta: str | os.PathLike[str] | Genome | None = None,
        **options: Any,
    ):
        tracks = None if data is None else as_tracks(data)
        super().__init__(tracks)
        refuse_unknown(type(self), options, set(asdict(NascentConfig())) - _NOT_OPTIONS)
        self.options = options_for(architecture, preset, 50 if tracks is None else tracks.bin_size, options)
        self.train_config = self.options.kind.plan
        self.config = {"options": asdict(self.options)}
        self._genome: Genome | None = None
        if tracks is not None:
            self.inputs, self.targets, described = choose_tracks(tracks, inputs, targets)
            self.config |= described
            self._genome = self._open(fasta, tracks.chroms)

    def _open(self, fasta: str | os.PathLike[str] | Genome | None, chroms: Sequence[str]) -> Genome | None:
        if self.options.context == "sequence":
            return open_genome(fasta, chroms)
        if fasta is not None:
            raise ChromatellError(
                "fasta= was given, but the model reads signal alone. Leave fasta= out, or train one that reads both: "
                "ctl.tl.nascent(tracks, architecture='cnn', context='sequence', fasta=...)."
            )
        return None

    @classmethod
    def setup_mudata(cls, mdata: Any, **kwargs: Any) -> None:
        """Raise: this family trains on tracks, which need no set-up."""
        raise ChromatellError("Nascent needs no set-up, but tracks: ctl.models.Nascent(ctl.pp.bin_tracks(files)).")

    @classmethod
    def setup_anndata(cls, adata: Any, **kwargs: Any) -> None:
        """Raise, as `setup_mudata`."""
        cls.setup_mudata(adata)

    # ---- training

    def _fit_stats(self, data: BinnedTracks, seed: int) -> None:
        longest = max(data.n_bins_of(c) for c in data.chroms)
        if self.options.window > longest:
            raise ChromatellError(
                f"window={self.options.window} bins is longer than the longest chromosome ({longest} bins). Take a "
                f"narrower one: window={(longest - 1) // 2 * 2 + 1}."
            )
        self.fitted, self._start = Fitted.fit(
            data, self.inputs, self.targets, self.config["input_tracks"], self.options
        )
        self.config[SIGNAL] = describe_signal(data, self.inputs, TRAIN)
        margin = MARGIN if self.options.context == "sequence" else 0
        check_gap(data, self.options.window, margin, bins_beyond(self.options, data.bin_size))
        self.config[INTERVALS] = trained_intervals(data, self.targets)

    def _build(self) -> None:
        if self.trees:
            from chromatell.models.nascent._boosting import import_xgboost

            import_xgboost()  # missing, it is said before the bins are gathered
            self.config["n_features"] = n_features(self.options, self.config["input_tracks"])
            return
        swap, whole = other_strands(self.config["input_tracks"])
        options = replace(self.options, strand_flip=self.options.strand_flip and whole)
        self.module = build_network(options, len(self.inputs), len(self.targets), swap)
        self.module.start_from(*self._start)

    def _fit(self, data: BinnedTracks, seed: int, *, state: Path | None, **kwargs: Any) -> None:
        if not self.trees:
            super()._fit(data, seed, state=state, **kwargs)
            return
        if kwargs.get("devices") not in ("auto", 1, "1") or "strategy" in kwargs:
            raise ChromatellError(
                f"architecture={self.options.architecture!r} trains in one process: leave devices= and strategy out."
            )
        low = np.minimum(self.fitted.low / self.fitted.deviation, 0)
        bins = TreeBins.draw(self._source(data), assays_of(self.config["input_tracks"]), low, seed)
        self.config["training_bins"] = bins.used
        self.module, self.history_ = bins.grow(
            self.train_config,
            sigmas={t: x[SIGMA] for t, x in zip(self.targets, self.config["target_tracks"], strict=True)},
            seed=seed,
            accelerator=kwargs.get("accelerator"),
            state=state,
            identity=lambda: fingerprint(data, self.config, self.train_config, start="", family=self.family),
        )

    def _source(self, data: BinnedTracks) -> Source:
        fitted = self.fitted
        options = (fitted.scale, fitted.deviation, self.options, self._genome, fitted.sample)
        return Source(data, self.inputs, self.targets, *options)

    def _loader(self, data: BinnedTracks, split: str, seed: int) -> DataLoader | None:
        source, n = self._source(data), sum(int(data.usable(c, split).sum()) for c in data.chroms)
        by_window = self.options.kind.by_window
        if split == TRAIN:
            self.config["training_bins"] = {"used": min(n, self.options.max_bins) if by_window else n, "of": n}
        if by_window:
            draw = np.random.SeedSequence([seed, SPLITS.index(split)])
            at, _ = draw_bins(data, split, most_bins(self.options, split), draw)
            return window_batches(source, at, split, self.train_config, seed)
        return interval_batches(source, split, self.train_config, seed)

    def _training_readers(self) -> Readers:
        return UNREAD_BY_TREES if self.trees else ()

    @property
    def trees(self) -> bool:
        """Whether the model is one of trees, not a network."""
        return self.options.kind.network is None

    def _describe(self, data: BinnedTracks) -> dict[str, Any]:
        counts = {part: sum(int(data.usable(c, part).sum()) for c in data.chroms) for part in SPLITS}
        how = data.uns.get(REGION_SPLIT_HOW, {})
        source, scale = self._source(data), self.fitted.read_scale
        alike = not self._unlike(data, self.inputs, data.chroms)
        said = validated(
            data,
            self.targets,
            source.y,
            lambda chrom: self._predictor(data, chrom, self.inputs, scale, self._genome, alike=alike),
            classes=self.options.task == "classification",
            seed=int(self.config["seed"]),
        )
        return {
            **({"validation": said} if said else {}),
            **(self.module.described(self.targets, data.bin_size) if self.options.carries else {}),
            "data": {"bins": counts, "bin_size": data.bin_size, "build": data.build, "tracks": self.var_names},
            "split": {"by": str(how.get("by", "")) or "none", "gap": int(how.get("gap", 0))},
        }

    # ---- prediction

    @arguments
    def predict(
        self,
        data: BinnedTracks | None = None,
        *,
        chroms: str | Sequence[str] | None = None,
        depth: str = "predicted",
        suffix: str = "nascent",
        fasta: str | os.PathLike[str] | Genome | None = None,
        out: str | os.PathLike[str] | None = None,
    ) -> BinnedTracks:
        """Return the predicted targets of every bin, masked ones too.

        Parameters
        ----------
        data
            Tracks with the model's inputs: of the same names, or the same assays and strands, or the same strands. None
            takes the training data.
        chroms
            Which chromosomes; None takes all.
        depth
            'predicted': inputs are divided by their own mean over usable bins, so that a deeper or shallower sample is
            read alike; 'transfer' also clips them at their own 90th percentile. 'fixed': by what training found, as the
            data of training always are.
        suffix
            A prediction is named ``'<target>_<suffix>'``.
        fasta
            Where the model reads sequence: the genome; None takes that of training.
        out
            Path of a Zarr store for the predictions (``'predicted.zarr'``), written chromosome by chromosome and opened
            as what is returned. With inputs in a store as well, memory is bounded by one chromosome: about 30 bytes a
            bin, input and target, and for trees 16 more a bin and input ('transfer': 32).

        Returns
        -------
        BinnedTracks
            float32, one track of role 'prediction' a target: a value in the target's units, a probability
            (``task='classification'``), or with ``loss='hinge'`` a margin, above 0 where a peak is called.

        Raises
        ------
        ChromatellError
            The model is not trained; bins of another size; inputs that are not there or without signal; no FASTA.
        """
        self._require_trained()
        one_of(depth, ("fixed", "predicted"), "depth")
        if data is None and self._adata is None:
            raise ChromatellError("This model was loaded and has no data: model.predict(tracks).")
        tracks = as_tracks(self._adata if data is None else data)
        size = self.options.bin_size
        if tracks.bin_size != size:
            raise ChromatellError(
                f"The tracks have bins of {tracks.bin_size} bp, the model reads {size} bp. Bin them "
                f"again: ctl.pp.bin_tracks(files, bin_size={size})."
            )
        inputs = find_inputs(tracks, self.inputs, self.config["input_tracks"])
        chosen = tracks.chroms if chroms is None else [chroms] if isinstance(chroms, str) else list(chroms)
        sizes = {c: tracks.chrom_sizes[c] for c in tracks.select(inputs, chroms=chosen).chroms}
        genome = self._genome if fasta is None and self._genome is not None else self._open(fasta, chosen)
        if data is None or data is self._adata:
            depth = "fixed"  # its own scale is that of training
        reasons = self._unlike(tracks, inputs, chosen)
        if not (data is None or data is self._adata):
            for reason in reasons:
                warn(reason)
        own = depth == "fixed"
        scale = self.fitted.read_scale if own else scale_of(tracks, inputs, self.config["input_tracks"], self.options)
        table = prediction_table(tracks, inputs, self.targets, self.config["target_tracks"], suffix)
        fitted = self.fitted
        predicted = predicted_chromosomes(
            tracks,
            list(sizes),
            lambda chrom: self._predictor(tracks, chrom, inputs, scale, genome, alike=not reasons),
            fitted.deviation,
            fitted.low,
        )
        if out is None:
            return BinnedTracks(dict(predicted), table, bin_size=size, chrom_sizes=sizes)
        with TracksWriter(Path(out), table, chrom_sizes=sizes, bin_size=size) as writer:
            for chrom, values in predicted:
                writer.write(chrom, values)
        return BinnedTracks.open(out)

    def _unlike(self, tracks: BinnedTracks, inputs: list[str], chroms: Sequence[str]) -> list[str]:
        """Return in what a sample is unlike that of training; the whole of it where it is scaled by itself."""
        if SIGNAL not in self.config:
            return []
        seen = tracks if self.options.carries else tracks.select(inputs, chroms=chroms)
        return unlike(self.config[SIGNAL], describe_signal(seen, inputs), carries=self.options.carries)

    def _predictor(
        self,
        tracks: BinnedTracks,
        chrom: str,
        inputs: list[str],
        scale: np.ndarray | Sample,
        genome: Genome | None,
        *,
        alike: bool,
    ) -> Predictor:
        """Return what predicts some bins of a chromosome, in standard deviations."""
        own = self.module, self.options, self.config["input_tracks"]
        return chromosome_predictor(*own, tracks, chrom, inputs, scale, genome, self.device, alike)

    # ---- the record

    @property
    def device(self) -> torch.device:
        """Where the model is evaluated: trees on the CPU."""
        return torch.device("cpu") if self.trees else super().device

    def _arrays(self) -> dict[str, np.ndarray]:
        return module_arrays(self.module) | self.fitted.arrays()

    def _restore(self, var_names: dict[str, list[str]], arrays: dict[str, np.ndarray]) -> None:
        self.options, self._genome = NascentConfig(**self.config["options"]), None
        self.fitted = Fitted.from_record(self.config, self.options, var_names, arrays)
        self.inputs, self.targets = self.fitted.inputs, self.fitted.targets
        inputs, n_targets = self.config["input_tracks"], len(self.targets)
        if self.trees and self.config["n_features"] != n_features(self.options, inputs):
            raise ChromatellError("The stored window is not the one that was trained with. Ask for the file again.")
        self.module = module_from(arrays, self.options, inputs, n_targets, other_strands(inputs)[0])
