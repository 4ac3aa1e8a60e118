"""What a report of tracks along the genome says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chromatell._keys import SPLITS
from chromatell._validate import ChromatellError
from chromatell.data.tracks import BinnedTracks
from chromatell.reporting._html import WIDTH, Html, join, picture, table, tag, told
from chromatell.reporting._models import models
from chromatell.reporting._sections import CHOSEN, Section, rival

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def sections_of_tracks(tracks: BinnedTracks, key: str) -> list[Section]:
    """Return the sections of tracks."""
    return [
        ("data", "Tracks and split", told(lambda: _data(tracks))),
        ("scores", "Scores beside baselines", told(lambda: _scores(tracks, key))),
        ("signal", "Observed against predicted", told(lambda: _signal(tracks, key))),
        ("models", "Models", told(lambda: models(tracks))),
        ("reading", "How to read this", _reading()),
    ]


def _data(tracks: BinnedTracks) -> Html:
    names = ["assay", "strand", "role", "sample"]
    rows = [[name, *row] for name, row in zip(tracks.table.index, tracks.table[names].to_numpy(), strict=True)]
    counts = []
    for part in SPLITS:
        n = sum(int(tracks.usable(chrom, part).sum()) for chrom in tracks.chroms) if tracks.splits else 0
        counts.append([part, n, n * tracks.bin_size / 1e6])
    return join(
        [
            tag("p", f"Bins of {tracks.bin_size} bp on {len(tracks.chroms)} chromosomes."),
            table(["track", *names], rows),
            tag("h3", "Split"),
            table(["part", "usable bins", "Mb"], counts),
        ]
    )


def _scores(tracks: BinnedTracks, key: str) -> Html:
    from chromatell import pl
    from chromatell.pl._track_evaluation import TrackEvaluation

    evaluation = TrackEvaluation(tracks, key)
    n = evaluation.table["model"].nunique()
    shown = []
    for target in evaluation.targets:

        def draw(ax: Axes, target: str = target) -> None:
            pl.leaderboard(tracks, targets=[target], key=key, ax=ax)

        shown.append(picture(draw, f"Pearson correlation with {target}", size=(WIDTH, 1.0 + 0.2 * n)))
    columns = ["target", "model", "view", "resolution", "metric", "value", "ci_low", "ci_high"]
    whole = evaluation.table[(evaluation.table["chrom"] == "all").to_numpy()]
    rows = whole[columns].itertuples(index=False, name=None)
    gains = evaluation.gains[(evaluation.gains["chrom"] == "all").to_numpy()]
    names = ["target", "model", "baseline", "view", "resolution", "metric", "gain", "ci_low", "ci_high"]
    rows_of_gains = [[*(getattr(row, name) for name in names), rival(row)] for row in gains.itertuples()]
    return join(
        [
            tag("p", "All chromosomes together. Lines are 95% intervals from resampled blocks.", class_="soft"),
            tag("div", *shown, class_="grid"),
            tag("h3", "Gain over the best baseline"),
            table([*names[:7], "95% from", "to", "but"], rows_of_gains, CHOSEN),
            tag("h3", "All scores"),
            table([*columns[:6], "95% from", "to"], rows),
        ]
    )


def _signal(tracks: BinnedTracks, key: str) -> Html:
    from chromatell import pl
    from chromatell.pl._track_evaluation import TrackEvaluation

    table_ = TrackEvaluation(tracks, key).table
    own = table_[~table_["is_baseline"].astype(bool).to_numpy()]
    made = []
    for target, model in dict.fromkeys(zip(own["target"].astype(str), own["model"].astype(str), strict=True)):

        def one(target: str = target, model: str = model) -> Html:
            about = f"{target}: observed against predicted by {model}, test bins"
            return picture(
                lambda ax: pl.track_scatter(tracks, target, model, log=True, key=key, ax=ax),
                about,
                size=(WIDTH, 2.9),
                caption=about,
            )

        made.append(told(one))
    if not made:
        raise ChromatellError("No prediction of tracks is scored. Run ctl.tl.nascent(tracks), ctl.tl.evaluate(tracks).")
    return tag("div", *made, class_="grid")


def _reading() -> Html:
    lines = [
        "Neighbouring bins are alike: intervals come from whole blocks, and bins next to training bins are not scored.",
        "A score says something beside a baseline only: the smoothed input itself follows many marks.",
    ]
    return tag("ul", *(tag("li", line) for line in lines))
