"""`Nascent`: the class that users meet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader

from chromatell._keys import SPLITS, TRAIN, VAL
from chromatell._progress import progress
from chromatell._validate import ChromatellError, examples, in_range, one_of
from chromatell.data._tracks_table import ASSAY, INPUT, PREDICTION, ROLE, SAMPLE, SIGMA, STRAND, TARGET
from chromatell.data.tracks import BinnedTracks, as_tracks
from chromatell.models._base import ChromatinModel
from chromatell.models._plan import TrainConfig
from chromatell.models.nascent._bins import draw_bins, scaled_inputs, target_scale, target_values
from chromatell.models.nascent._boosting import boost, import_xgboost, tree_options
from chromatell.models.nascent._evaluation import network_predictor, tree_predictor
from chromatell.models.nascent._module import DenseNetwork, NascentConfig
from chromatell.models.nascent._signal import Signal, find_inputs, mean_signal, segments
from chromatell.models.nascent._trees import TreeModule, Trees
from chromatell.models.nascent._windows import Windows, padded, window_loader

_BLOCK = 1 << 15  # bins predicted at a time
_TREES, _NETWORK = "weights.trees.", "weights.network."
_PLANS = {
    "xgboost": TrainConfig(max_epochs=100, lr=0.08, patience=30),  # rounds of boosting
    "dense": TrainConfig(max_epochs=10, batch_size=1024, optimizer="adam", lr=1e-3, weight_decay=0.0, patience=3),
}


class Nascent(ChromatinModel):
    """Run-on signal around a bin -> marks and accessibility in it.

    Parameters
    ----------
    data
        BinnedTracks with tracks of role 'input' and 'target'.
    architecture
        'xgboost': boosted trees, one model a target, on sums of the signal: six single bins on each side of the centre,
        then stretches that double in width up to the window's ends; log(1 + sum) of each strand. 'dense': five dense
        layers with ReLU on log(1 + signal) of each bin and strand, all targets at once, by Adam on the squared error.
    inputs, targets
        Names of the tracks to read and to predict; None takes those of the role.
    options
        Fields of :class:`NascentConfig`, such as `window` (bins, odd: 2,561, which are 128 kb, for trees, and 201
        for 'dense').

    Raises
    ------
    ChromatellError
        No inputs or targets, several samples, or an unknown option.

    Notes
    -----
    Each input is divided by its mean over usable training bins, the same for the strands of an assay; it is 0 where it
    is blacklisted or unknown, and beyond a chromosome's ends. Each target is divided by its standard deviation in
    training and predictions are multiplied by it; they are not let below the least value seen in training. Stored trees
    are plain arrays; XGBoost is needed to train, not to predict.

    References
    ----------
    Chen and Guestrin, XGBoost (KDD, 2016).

    Examples
    --------
    >>> import numpy as np
    >>> import chromatell as ctl
    >>> signal = np.random.default_rng(0).poisson(0.3, 4000)
    >>> tracks = ctl.data.BinnedTracks({"chr1": [signal, signal > 1]}, ["plus", "mark"], chrom_sizes={"chr1": 200_000})
    >>> tracks.table.loc["plus", "role"] = "input"
    >>> model = ctl.models.Nascent(tracks, window=21)
    >>> model.train(max_epochs=20, seed=0)
    >>> found = model.predict(tracks)
    >>> bool(np.corrcoef(found.values("chr1")[0], signal > 1)[0, 1] > 0.9)
    True
    """

    family: ClassVar[str] = "nascent"
    reads_tracks: ClassVar[bool] = True

    def __init__(
        self,
        data: BinnedTracks | None = None,
        *,
        architecture: Literal["xgboost", "dense"] = "xgboost",
        inputs: str | Sequence[str] | None = None,
        targets: str | Sequence[str] | None = None,
        **options: Any,
    ):
        tracks = None if data is None else as_tracks(data)
        super().__init__(tracks)
        unknown = sorted(set(options) - set(asdict(NascentConfig())))
        if unknown:
            raise ChromatellError(f"Nascent knows no option {unknown}; it knows {sorted(asdict(NascentConfig()))}.")
        self.options = NascentConfig(architecture=architecture, **options)
        self.train_config = _PLANS[self.options.architecture]
        self.config = {"options": asdict(self.options)}
        if tracks is not None:
            self._choose(tracks, inputs, targets)

    def _choose(
        self, tracks: BinnedTracks, inputs: str | Sequence[str] | None, targets: str | Sequence[str] | None
    ) -> None:
        self.inputs = tracks.check_names(inputs, INPUT if inputs is None else None)
        self.targets = tracks.check_names(targets, TARGET if targets is None else None)
        both = set(self.inputs) & set(self.targets)
        if both:
            raise ChromatellError(f"{examples(both)} would be read and predicted. Name it once: inputs=, targets=.")
        described = tracks.table.loc[self.inputs]
        if described[SAMPLE].nunique() > 1:
            raise ChromatellError(
                f"The inputs are of several samples ({examples(described[SAMPLE].unique())}). Train on one: "
                "tracks.select(sample=...)."
            )
        sigma = tracks.table.loc[self.targets, SIGMA]
        self.config["input_tracks"] = [
            {ASSAY: str(a), STRAND: str(s)} for a, s in zip(described[ASSAY], described[STRAND], strict=True)
        ]
        self.config["target_tracks"] = [
            {ASSAY: str(a), SIGMA: float(s)} for a, s in zip(tracks.table.loc[self.targets, ASSAY], sigma, strict=True)
        ]
        self.config["bin_size"] = tracks.bin_size

    @classmethod
    def setup_mudata(cls, mdata: Any, **kwargs: Any) -> None:
        """Raise: this family trains on tracks, which need no set-up."""
        raise ChromatellError("Nascent trains on tracks and needs no set-up: Nascent(ctl.pp.bin_tracks(files)).")

    @classmethod
    def setup_anndata(cls, adata: Any, **kwargs: Any) -> None:
        """Raise, as `setup_mudata`."""
        cls.setup_mudata(adata)

    # ---- training

    def _fit_stats(self, data: BinnedTracks, seed: int) -> None:
        self.deviation, self.low = target_scale(data, self.targets)
        self.scale = mean_signal(data, self.inputs, self._groups(), TRAIN)

    def _build(self) -> None:
        if self.trees:
            import_xgboost()  # missing, it is said before the bins are gathered
            self.config["n_features"] = len(self.inputs) * len(segments(self.options.window))
        else:
            self.module = DenseNetwork(self.options, len(self.inputs), len(self.targets))

    def _fit(self, data: BinnedTracks, seed: int, **kwargs: Any) -> None:
        if not self.trees:
            super()._fit(data, seed, **kwargs)
            return
        draws = np.random.SeedSequence(seed).spawn(2)
        parts = [
            self._gather(data, split, self._bins(data, split, draw))
            for split, draw in zip((TRAIN, VAL), draws, strict=True)
        ]
        gpu = kwargs.get("accelerator") in ("auto", "gpu", "cuda") and torch.cuda.is_available()
        trees, self.history_ = boost(
            parts[0],
            parts[1] if parts[1][0].size else None,
            self.train_config,
            tree_options(self.options),
            seed=seed,
            device="cuda" if gpu else "cpu",
        )
        self.module = TreeModule(trees)

    def _bins(self, data: BinnedTracks, split: str, draw: np.random.SeedSequence) -> dict[str, np.ndarray]:
        """Return the bins of a part on each chromosome that has any, at most `max_bins` in all."""
        at, n = draw_bins(data, split, self.options.max_bins, draw)
        if split == TRAIN:
            self.config["training_bins"] = {"used": min(n, self.options.max_bins), "of": n}
        return at

    def _gather(self, data: BinnedTracks, split: str, at: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return features (features, bins) and scaled targets (targets, bins) of bins."""
        inputs = {c: scaled_inputs(data, c, self.inputs, self.scale) for c in at}
        features = [Signal(inputs[c], self.options.window).features(bins) for c, bins in at.items()]
        targets = [target_values(data, c, self.targets, self.deviation)[:, bins] for c, bins in at.items()]
        none = np.empty((0, 0), dtype=np.float32)
        return np.concatenate(features or [none], axis=1), np.concatenate(targets or [none], axis=1)

    def _loader(self, data: BinnedTracks, split: str, seed: int) -> DataLoader | None:
        at = self._bins(data, split, np.random.SeedSequence([seed, SPLITS.index(split)]))
        if not at:
            return None
        signal = [padded(scaled_inputs(data, c, self.inputs, self.scale), self.options.window) for c in at]
        targets = [target_values(data, c, self.targets, self.deviation)[:, bins] for c, bins in at.items()]
        windows = Windows(signal, list(at.values()), targets, self.options.window)
        return window_loader(windows, self.train_config.batch_for(len(windows)), shuffle=split == TRAIN, seed=seed)

    @property
    def trees(self) -> bool:
        """Whether the model is one of trees, not a network."""
        return self.options.architecture == "xgboost"

    def _groups(self) -> list[str]:
        return [x[ASSAY] for x in self.config["input_tracks"]]

    def _describe(self, data: BinnedTracks) -> dict[str, Any]:
        counts = {part: sum(int(data.usable(c, part).sum()) for c in data.chroms) for part in SPLITS}
        how = data.uns.get("region_split", {})
        return {
            "data": {"bins": counts, "bin_size": data.bin_size, "build": data.build, "tracks": self.var_names},
            "split": {"by": str(how.get("by", "")) or "none", "gap": int(how.get("gap", 0))},
        }

    # ---- prediction

    def predict(  # type: ignore[override]  # tracks in, tracks out
        self,
        data: BinnedTracks | None = None,
        *,
        chroms: str | Sequence[str] | None = None,
        depth: str = "fixed",
        suffix: str = "nascent",
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
            'fixed': inputs are divided by their mean in training, as the training data were. 'predicted': by their own
            mean over usable bins, so that a deeper or shallower sample is read alike.
        suffix
            A prediction is named ``'<target>_<suffix>'``.

        Returns
        -------
        BinnedTracks
            float32, one track of role 'prediction' a target.

        Raises
        ------
        ChromatellError
            The model is not trained; bins of another size; inputs that are not there or without signal.
        """
        self._require_trained()
        one_of(depth, ("fixed", "predicted"), "depth")
        if data is None and self._adata is None:
            raise ChromatellError("This model was loaded and has no data: model.predict(tracks).")
        tracks = as_tracks(self._adata if data is None else data)
        if tracks.bin_size != self.config["bin_size"]:
            raise ChromatellError(
                f"The tracks have bins of {tracks.bin_size} bp, the model reads {self.config['bin_size']} bp. Bin them "
                f"again: ctl.pp.bin_tracks(files, bin_size={self.config['bin_size']})."
            )
        inputs = find_inputs(tracks, self.inputs, self.config["input_tracks"])
        scale = self.scale if depth == "fixed" else mean_signal(tracks, inputs, self._groups())
        chosen = tracks.chroms if chroms is None else [chroms] if isinstance(chroms, str) else list(chroms)
        values = {}
        with progress("Predicting", total=sum(tracks.n_bins_of(c) for c in chosen), unit="bins") as advance:
            for chrom in chosen:
                values[chrom] = np.empty((len(self.targets), tracks.n_bins_of(chrom)), dtype=np.float32)
                scaled = scaled_inputs(tracks, chrom, inputs, scale)
                for rows, columns, block in self._predict_blocks(scaled):
                    real = np.maximum(block * self.deviation[:, np.newaxis], self.low[:, np.newaxis])
                    values[chrom][rows, columns] = real
                    advance(block.shape[1])
        table = pd.DataFrame(
            {
                "name": [f"{name}_{suffix}" for name in self.targets],
                ASSAY: [x[ASSAY] for x in self.config["target_tracks"]],
                ROLE: PREDICTION,
                SAMPLE: tracks.table.loc[inputs[0], SAMPLE],
            }
        )
        sizes = {c: tracks.chrom_sizes[c] for c in chosen}
        return BinnedTracks(values, table, bin_size=tracks.bin_size, chrom_sizes=sizes)

    def _predict_blocks(self, scaled: np.ndarray) -> Iterator[tuple[slice, slice, np.ndarray]]:  # type: ignore[override]
        """Yield predictions, in standard deviations, of the scaled inputs of one chromosome."""
        window, n = self.options.window, len(self.targets)
        if self.trees:
            predict = tree_predictor(self.module.trees, scaled, window, n)
        else:
            predict = network_predictor(self.module, scaled, window, self.device)
        for first in range(0, scaled.shape[1], _BLOCK):
            columns = slice(first, min(first + _BLOCK, scaled.shape[1]))
            yield slice(0, n), columns, predict(columns)

    # ---- the record

    @property
    def device(self) -> torch.device:
        """Where the model is evaluated: trees on the CPU."""
        return torch.device("cpu") if self.trees else super().device

    @property
    def var_names(self) -> dict[str, list[str]]:
        """Names of the tracks read and of those predicted."""
        return {INPUT: list(self.inputs), TARGET: list(self.targets)}

    def _set_names(self, var_names: dict[str, list[str]]) -> None:
        self.inputs, self.targets = list(var_names[INPUT]), list(var_names[TARGET])

    def _arrays(self) -> dict[str, np.ndarray]:
        stats = {"scaling.input": self.scale, "scaling.target": self.deviation, "scaling.low": self.low}
        if self.trees:
            return {_TREES + name: array for name, array in self.module.trees.arrays().items()} | stats
        return {_NETWORK + name: w.detach().cpu().numpy() for name, w in self.module.state_dict().items()} | stats

    def _set_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        self.options = NascentConfig(**self.config["options"])
        self.scale, self.deviation, self.low = (arrays[f"scaling.{k}"] for k in ("input", "target", "low"))
        sizes = (len(self.inputs),), (len(self.targets),), (len(self.targets),)
        stats = (self.scale, self.deviation, self.low)
        fit = all(a.shape == size and np.isfinite(a).all() for a, size in zip(stats, sizes, strict=True))
        fit = fit and bool((self.scale > 0).all() and (self.deviation > 0).all())
        lists = self.config["input_tracks"], self.config["target_tracks"]
        if not fit or (len(lists[0]), len(lists[1])) != (sizes[0][0], sizes[1][0]) or not 0 < sizes[0][0] <= 64:
            raise ChromatellError(f"The stored scales are not those of {self.var_names}. Ask for the file again.")
        in_range(self.config["bin_size"], 1, 10_000_000, "bin_size")
        if self.trees:
            n_features = len(self.inputs) * len(segments(self.options.window))
            if self.config["n_features"] != n_features:
                raise ChromatellError("The stored window is not the one that was trained with. Ask for the file again.")
            self.module = TreeModule(Trees(**_part(arrays, _TREES)))
            self.module.trees.check(n_features, len(self.targets))
            return
        state = {name: torch.from_numpy(w.copy()) for name, w in _part(arrays, _NETWORK).items()}
        with torch.device("meta"):  # a wrong shape is refused, not allocated
            self.module = DenseNetwork(self.options, len(self.inputs), len(self.targets))
        if any(w.dtype != torch.float32 for w in state.values()):
            raise ChromatellError("The stored weights are not float32. Ask for the file again.")
        self.module.load_state_dict(state, strict=True, assign=True)


def _part(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
