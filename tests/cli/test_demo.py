"""``chromatell demo`` does what it prints."""

from __future__ import annotations

import numpy as np
import pytest
from pandas.testing import assert_frame_equal
from tests.helpers import file_names, one_line, predicted

import chromatell as ctl
from chromatell.cli import _demo, main


@pytest.fixture
def small_example(monkeypatch):
    """In place of the packaged cells, so that the test takes seconds."""
    make = lambda: ctl.datasets.simulate_multiome(240, 20, 620, n_types=2, seed=1)  # noqa: E731
    monkeypatch.setattr(ctl.datasets, "pbmc_example", make)
    return make


def test_demo_does_what_it_prints(small_example, tmp_path, monkeypatch, capsys):
    assert main(["demo", "--out", str(tmp_path / "new")]) == 0
    said = capsys.readouterr()
    figures = [f"demo_{name}.png" for name in ("leaderboard", "pr_curve", "per_cell_per_region", "calibration")]
    assert file_names(tmp_path / "new") == {"demo.h5mu", *figures}
    assert all((tmp_path / "new" / name).read_bytes().startswith(b"\x89PNG") for name in figures)
    assert said.err == ""  # quiet where nobody watches
    assert one_line(_demo.NOTE) in one_line(said.out)
    assert "smoothed the expression over neighbouring cells" in _demo.NOTE
    assert "51 genes" in _demo.NOTE
    assert "From expression only, with the model in" in said.out
    assert one_line(_demo.SAME) in one_line(said.out)

    monkeypatch.chdir(tmp_path)
    space: dict = {}
    exec(_demo.SAME, space)
    demo, same = ctl.io.read(tmp_path / "new" / "demo.h5mu"), space["mdata"]
    np.testing.assert_array_equal(predicted(demo), predicted(same))
    np.testing.assert_array_equal(predicted(space["query"]), predicted(same))
    for name in ("evaluation", "gains", "fisher"):
        a, b = demo.uns["ctl"][name], same.uns["ctl"][name]
        assert_frame_equal(a.reset_index(drop=True), b.reset_index(drop=True), check_dtype=False)


def test_demo_leaves_no_figure_open(small_example, tmp_path):
    import matplotlib.pyplot as plt

    plt.close("all")
    mdata = small_example()
    ctl.pp.split_cells(mdata, seed=0)
    ctl.tl.baseline(mdata, "svd_ridge")
    ctl.tl.evaluate(mdata, baselines=["region_mean"], n_bootstrap=0)
    assert len(_demo._save_figures(mdata, tmp_path)) == 4
    assert plt.get_fignums() == []
