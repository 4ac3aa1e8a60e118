"""What a change of one base does to the vector of a sequence: of each layer only what the change reaches is computed.

Nair et al., fastISM: performant in silico saturation mutagenesis for convolutional neural networks (Bioinformatics,
2022), here by the two towers of this package instead of a traced graph.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chromatell.nn.region_covariates import RegionCovariates
from chromatell.nn.region_side import RegionSide
from chromatell.nn.sequence_tower import BassetTower, ConvBlock, MotifTower, centre, one_hot, reverse_complement

_AS_MANY = 8  # changes that are computed at a time for each sequence that may be read at a time


@dataclass(frozen=True)
class Patch:
    """What stands in a window of a layer's positions after each change.

    Attributes
    ----------
    of
        int64 (m,): the sequence that is changed.
    start
        int64 (m,): first position of the window.
    values
        float32 (m, width, channels).
    """

    of: Tensor
    start: Tensor
    values: Tensor


@torch.no_grad()
def change_effects(side: RegionSide, tokens: Tensor, part: slice, *, both: bool, batch_size: int) -> Tensor:
    """Return how the vector of each sequence changes with each base in each place, float32 (n, 4, width, n_vector).

    Parameters
    ----------
    side
        In eval mode.
    tokens
        int8 (n, `read_length`), on the device of `side`.
    part
        The places that are changed.
    both
        Whether the vector is the mean over both strands.
    batch_size
        Memory is that of so many whole sequences, about; the result depends on it by rounding only.
    """
    width, chunk = part.stop - part.start, _AS_MANY * batch_size
    k = side.config.n_vector
    effects = torch.zeros((len(tokens), 4, width, k), device=tokens.device)
    some = max(1, chunk // (3 * width))  # sequences at a time
    for first in range(0, len(tokens), some):
        own = tokens[first : first + some]
        missing = ~one_hot(own[:, part], torch.bool)  # (sequences, 4, width)
        of, base, at = missing.nonzero(as_tuple=True)
        strands = [_Strand(side, own)]
        if both:
            strands.append(_Strand(side, reverse_complement(own)))
        effect = torch.empty((len(of), k), device=tokens.device)
        for low in range(0, len(of), chunk):
            rows = slice(low, low + chunk)
            change = of[rows], at[rows] + part.start, base[rows]
            effect[rows] = strands[0].effect(*change)
            if both:
                turned = change[0], own.shape[1] - 1 - change[1], 3 - change[2]
                effect[rows] = (effect[rows] + strands[1].effect(*turned)) / 2
        effects[first + of, base, at] = effect
    return effects


class _Strand:
    """Sequences as one strand is read, and what each layer holds of them."""

    def __init__(self, side: RegionSide, tokens: Tensor) -> None:
        c, tower = side.config, side.tower
        self.side, self.length = side, tokens.shape[1]
        of_tower = centre(tokens, c.tower.sequence_length)
        self.tower = _Basset(tower, of_tower) if isinstance(tower, BassetTower) else _Motifs(tower, of_tower)
        beside = side.covariates
        self.covariates = None if beside is None else _Covariates(beside, centre(tokens, c.covariate_length))

    def effect(self, of: Tensor, at: Tensor, base: Tensor) -> Tensor:
        """Return the change of the vector, (m, n_vector)."""
        change = self.side.change_of(self.tower.effect(of, self._inside(at, self.tower.tokens), base))
        if self.covariates is None:
            return change
        return change + self.covariates.effect(of, self._inside(at, self.covariates.tokens), base)

    def _inside(self, at: Tensor, central: Tensor) -> Tensor:
        return at - (self.length // 2 - central.shape[1] // 2)  # below 0 or beyond the end where it is not read


class _Basset:
    """Each block's convolution over what a change reaches; the last layer over all positions, of which few are left."""

    def __init__(self, tower: BassetTower, tokens: Tensor) -> None:
        self.tower, self.tokens = tower, tokens
        self.before: list[Tensor] = []  # what each convolution reads, (n, positions, channels)
        self.parts = [_parts(block) for block in tower.blocks]
        h = one_hot(tokens)
        for activation, conv, rest, _ in self.parts:
            h = activation(h)
            self.before.append(_channels_last(h))
            h = rest(conv(h))
        self.last = _channels_last(h)
        self.output = self._end(self.last)

    def effect(self, of: Tensor, at: Tensor, base: Tensor) -> Tensor:
        """Return the change of what the tower returns, (m, n_bottleneck)."""
        patch = _changed_base(of, at, base)
        n_after = [*(layer.shape[1] for layer in self.before[1:]), self.last.shape[1]]
        for (activation, conv, rest, pool), before, n in zip(self.parts, self.before, n_after, strict=True):
            patch = Patch(of, patch.start, activation(patch.values))
            left = (conv.kernel_size[0] - 1) // 2
            patch = _convolved(before, patch, conv, left, pool, n, rest)
        whole = _spliced(self.last, patch, torch.zeros_like(of), self.last.shape[1])
        return self._end(whole) - self.output[of]

    def _end(self, h: Tensor) -> Tensor:
        u = self.tower.last(self.tower.activation(h).transpose(1, 2).flatten(1))
        return u if self.tower.after is None else self.tower.after(u)


class _Motifs:
    """Both scans and the hidden layer over what a change reaches; places are summed, so a difference is enough."""

    def __init__(self, tower: MotifTower, tokens: Tensor) -> None:
        self.tower, self.tokens, self.n = tower, tokens, len(tower.place)
        self.skipped = (tokens.shape[1] - tower.n_read) // 2
        inner = one_hot(tokens[:, self.skipped : self.skipped + tower.n_read])
        self.before = [_channels_last(strand) for strand in (inner, inner.flip((1, 2)))]
        scans = [tower.pools[0](tower.scan(strand))[:, :, : self.n] for strand in (inner, inner.flip((1, 2)))]
        self.scans = [_channels_last(scans[0]), _channels_last(scans[1].flip(2))]
        self.hidden = self._hidden(torch.maximum(*self.scans))
        self.weight = torch.softmax((tower.place + tower.place.flip(0)) / 2, dim=0)
        self.counts = _Counts(tokens)

    def effect(self, of: Tensor, at: Tensor, base: Tensor) -> Tensor:
        """Return the change of what the tower returns, (m, n_bottleneck)."""
        inner = at - self.skipped
        forward = self._scan(0, of, inner, base)
        turned = self._scan(1, of, self.tower.n_read - 1 - inner, 3 - base)
        width = forward.values.shape[1]
        backward = Patch(of, self.n - width - turned.start, turned.values.flip(1))
        wide = min(2 * width, self.n)  # holds what either reaches
        start = torch.minimum(forward.start, backward.start).clamp(max=self.n - wide)
        pair = [_spliced(scan, patch, start, wide) for scan, patch in zip(self.scans, (forward, backward), strict=True)]
        change = self._hidden(torch.maximum(*pair)) - _window(self.hidden, of, start, wide)
        weight = self.weight[start[:, None] + torch.arange(wide, device=start.device)]
        h = (change * weight[:, :, None]).sum(dim=1)
        gc, cpg, _ = self.counts.changed(of, at, base)
        shares = [self._composition(*counts) for counts in ((gc, cpg), (self.counts.gc[of], self.counts.cpg[of]))]
        return h @ self.tower.last.weight.T + (shares[0] - shares[1]) @ self.tower.straight.weight.T

    def _scan(self, strand: int, of: Tensor, at: Tensor, base: Tensor) -> Patch:
        scan, pool = self.tower.scan, self.tower.pools[0]
        patch = _changed_base(of, at, base)
        left = scan.kernel_size[0] // 2
        return _convolved(self.before[strand], patch, scan, left, self.tower.n_read // self.n, self.n, pool)

    def _hidden(self, h: Tensor) -> Tensor:
        return _channels_last(self.tower.hidden(h.transpose(1, 2)))

    def _composition(self, gc: Tensor, cpg: Tensor) -> Tensor:
        length = self.tokens.shape[1]
        return self.tower.composition.of_shares((gc / length)[:, None], (cpg / (length - 1))[:, None])


class _Covariates:
    """GC, CpG and known bases are counted; of the hits of motifs those that a change reaches are computed again."""

    def __init__(self, covariates: RegionCovariates, tokens: Tensor) -> None:
        self.covariates, self.tokens, self.counts = covariates, tokens, _Counts(tokens)
        x = one_hot(tokens)
        self.features = covariates.features(x)
        self.before = [_channels_last(strand) for strand in (x, x.flip((1, 2)))]

    def effect(self, of: Tensor, at: Tensor, base: Tensor) -> Tensor:
        """Return the change of the vector, (m, n_vector)."""
        gc, cpg, known = self.counts.changed(of, at, base)
        known = known.clamp(min=1)
        features = torch.stack([gc / known, cpg / known], dim=1)
        if self.covariates.scan is not None:
            hits = self._hits(0, of, at, base) + self._hits(1, of, self.tokens.shape[1] - 1 - at, 3 - base)
            features = torch.cat([features, self.features[of, 2:] + hits], dim=1)
        return self.covariates.of_features(features) - self.covariates.of_features(self.features)[of]

    def _hits(self, strand: int, of: Tensor, at: Tensor, base: Tensor) -> Tensor:
        """Return the change of the hits on a strand, (m, n_motifs)."""
        scan = self.covariates.scan
        assert scan is not None
        before, kernel, left = self.before[strand], scan.kernel_size[0], scan.kernel_size[0] // 2
        first = at - (kernel - 1 - left)  # the places whose window holds the base, as many as it is long
        place = first[:, None] + torch.arange(kernel, device=at.device)
        n_places = before.shape[1] + 2 * left - kernel + 1
        read = (place >= 0) & (place < n_places)
        hits = [
            F.conv1d(x.transpose(1, 2), scan.weight, scan.bias).relu()
            for x in (
                _spliced(before, _changed_base(of, at, base), first - left, 2 * kernel - 1),
                _window(before, of, first - left, 2 * kernel - 1),
            )
        ]
        return ((hits[0] - hits[1]) * read[:, None]).sum(dim=2)


class _Counts:
    """How many G or C, CpG and known bases sequences hold, before and after changes; float32, (n,) or (m,)."""

    def __init__(self, tokens: Tensor) -> None:
        self.tokens = tokens
        self.gc = ((tokens == 1) | (tokens == 2)).sum(dim=1).float()
        self.cpg = ((tokens[:, :-1] == 1) & (tokens[:, 1:] == 2)).sum(dim=1).float()
        self.known = (tokens < 4).sum(dim=1).float()

    def changed(self, of: Tensor, at: Tensor, base: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return GC, CpG and known bases after each change; one beyond the ends changes nothing."""
        length = self.tokens.shape[1]
        inside = (at >= 0) & (at < length)
        left, own, right = (self._base(of, at + step) for step in (-1, 0, 1))
        gc = ((base == 1) | (base == 2)).float() - ((own == 1) | (own == 2)).float()
        now, was = (
            ((left == 1) & (middle == 2)).float() + ((middle == 1) & (right == 2)).float() for middle in (base, own)
        )
        known = (own == 4).float()
        return self.gc[of] + gc * inside, self.cpg[of] + (now - was) * inside, self.known[of] + known * inside

    def _base(self, of: Tensor, at: Tensor) -> Tensor:
        bases = self.tokens[of, at.clamp(0, self.tokens.shape[1] - 1)]
        return torch.where((at >= 0) & (at < self.tokens.shape[1]), bases, 4)


def _changed_base(of: Tensor, at: Tensor, base: Tensor) -> Patch:
    return Patch(of, at, F.one_hot(base, 4).float()[:, None])


def _convolved(
    before: Tensor, patch: Patch, conv: nn.Conv1d, left: int, pool: int, n_after: int, rest: nn.Module
) -> Patch:
    """Return what a patch changes of the next layer: a convolution that reads `left` zeros before the start, a pooling.

    The window is as long for every patch: as many pooled positions as a change can reach, all of them in the layer.
    """
    kernel, width = conv.kernel_size[0], patch.values.shape[1]
    reached = width + kernel - 1
    n = min(n_after, -(-(reached - 1) // pool) + 1)
    start = torch.div(patch.start - (kernel - 1 - left), pool, rounding_mode="floor").clamp(0, n_after - n)
    read = _spliced(before, patch, start * pool - left, n * pool + kernel - 1)
    h = rest(F.conv1d(read.transpose(1, 2), conv.weight, conv.bias))
    return Patch(patch.of, start, _channels_last(h))


def _window(before: Tensor, of: Tensor, start: Tensor, width: int) -> Tensor:
    """``(n, positions, channels) -> (m, width, channels)``: a window of each sequence, zeros beyond its ends."""
    n, positions, channels = before.shape
    at = start[:, None] + torch.arange(width, device=start.device)
    inside = (at >= 0) & (at < positions)
    rows = (of[:, None] * positions + at.clamp(0, positions - 1)).flatten()
    values = before.reshape(n * positions, channels).index_select(0, rows).view(len(of), width, channels)
    return values * inside[:, :, None]


def _spliced(before: Tensor, patch: Patch, start: Tensor, width: int) -> Tensor:
    """Return that window as it stands after the change."""
    window = _window(before, patch.of, start, width + 1)  # the last takes what lies outside
    at = patch.start[:, None] + torch.arange(patch.values.shape[1], device=start.device)
    to = at - start[:, None]
    to = torch.where((at >= 0) & (at < before.shape[1]) & (to >= 0) & (to < width), to, width)
    window[torch.arange(len(to), device=to.device)[:, None], to] = patch.values
    return window[:, :width]


def _parts(block: ConvBlock) -> tuple[nn.Sequential, nn.Conv1d, nn.Sequential, int]:
    """Return a block's activation, its convolution, what comes after, and how many positions it pools."""
    layers = list(block)
    first = next(i for i, layer in enumerate(layers) if isinstance(layer, nn.Conv1d))
    conv = layers[first]
    assert isinstance(conv, nn.Conv1d)
    return nn.Sequential(*layers[:first]), conv, nn.Sequential(*layers[first + 1 :]), block.pool


def _channels_last(h: Tensor) -> Tensor:
    return h.transpose(1, 2).contiguous()
