"""``chromatell demo`` does what it prints."""

from __future__ import annotations

import numpy as np
import pytest
from pandas.testing import assert_frame_equal
from tests.helpers import file_names, one_line, predicted

import chromatell as ctl
from chromatell.cli import _demo, main
from chromatell.models._base import ChromatinModel


@pytest.fixture
def small_example(monkeypatch):
    """In place of the packaged cells and of whole training, so that the test takes seconds."""
    make = lambda: ctl.datasets.simulate_multiome(240, 20, 620, n_types=2, seed=1)  # noqa: E731
    train = ChromatinModel.train
    monkeypatch.setattr(ChromatinModel, "train", lambda self, max_epochs=3, **kw: train(self, max_epochs, **kw))
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


@pytest.mark.parametrize("there", ["demo.h5mu", "demo_calibration.png"])
def test_demo_replaces_nothing_unasked(small_example, tmp_path, monkeypatch, capsys, there):
    monkeypatch.setattr(_demo, "_main_job", lambda _: pytest.fail("work began"))
    (tmp_path / there).write_bytes(b"\x89HDF\r\n\x1a\nmine")
    assert main(["demo", "--out", str(tmp_path)]) == 2
    assert "is there already" in one_line(capsys.readouterr().err)
    assert (tmp_path / there).read_bytes().endswith(b"mine")
    (tmp_path / there).unlink()
    (tmp_path / there).mkdir()  # a folder of that name is not replaced even if asked
    assert main(["demo", "--out", str(tmp_path), "--overwrite"]) == 2
    assert (tmp_path / there).is_dir()
    assert main(["demo", "--out", str(__file__)]) == 2
    assert "is a file" in one_line(capsys.readouterr().err)


def test_demo_leaves_no_figure_open(small_example, tmp_path):
    import matplotlib.pyplot as plt

    plt.close("all")
    mdata = small_example()
    ctl.pp.split_cells(mdata, seed=0)
    ctl.tl.baseline(mdata, "svd_ridge")
    ctl.tl.evaluate(mdata, baselines=["region_mean"], n_bootstrap=0)
    assert len(_demo._save_figures(mdata, tmp_path)) == 4
    assert plt.get_fignums() == []
