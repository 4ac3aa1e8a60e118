"""A run that is stopped, anywhere and any number of times, ends as one that is not; and a state knows its run."""

from __future__ import annotations

import logging
import signal

import numpy as np
import pytest
import torch
from tests.models import tiny_families as tiny
from tests.models.tiny_families import StopIn

import chromatell as ctl
from chromatell.models import _checkpoint
from chromatell.models.nascent import _boosting

NETWORKS = [name for name in tiny.MODELS if name != "nascent-xgboost"]


def train_in_pieces(name, folder, **options):
    """Stop in each epoch but the first, go on each time."""
    for epoch in range(1, tiny.EPOCHS):
        with pytest.raises(KeyboardInterrupt):
            tiny.train(name, checkpoint_dir=folder, trainer_kwargs={"callbacks": [StopIn(epoch)]}, **options)
    return tiny.train(name, checkpoint_dir=folder, **options)


def same(a, b):
    assert a.history == b.history
    assert a.content_hash == b.content_hash
    for key, value in tiny.arrays(a).items():
        np.testing.assert_array_equal(tiny.arrays(b)[key], value, err_msg=key)


@pytest.mark.parametrize("name", NETWORKS)
def test_stopped_after_each_epoch_equals_not_stopped(name, tmp_path):
    whole = tiny.train(name)
    assert len(whole.history["train_loss"]) == tiny.EPOCHS
    resumed = train_in_pieces(name, tmp_path)
    same(whole, resumed)
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("schedule", ["none", "plateau"])
def test_schedules_that_look_at_the_losses_go_on_alike(schedule, tmp_path):
    options = {"schedule": schedule, "lr": 0.05, "patience": 1}
    if schedule == "plateau":
        options |= {"early_stopping": False}
    same(tiny.train("dense", **options), train_or_end("dense", tmp_path, **options))


def train_or_end(name, folder, **options):
    for epoch in range(1, tiny.EPOCHS):
        try:
            tiny.train(name, checkpoint_dir=folder, trainer_kwargs={"callbacks": [StopIn(epoch)]}, **options)
        except KeyboardInterrupt:
            continue
    return tiny.train(name, checkpoint_dir=folder, **options)


def test_trees_go_on_after_each_target(tmp_path, monkeypatch):
    whole = tiny.train("nascent-xgboost")
    one = _boosting._boost_one
    calls = []

    def stop_at_second(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return one(*args, **kwargs)

    monkeypatch.setattr(_boosting, "_boost_one", stop_at_second)
    with pytest.raises(KeyboardInterrupt):
        tiny.train("nascent-xgboost", checkpoint_dir=tmp_path)
    same(whole, tiny.train("nascent-xgboost", checkpoint_dir=tmp_path))
    assert len(calls) == 3
    same(whole, tiny.train("nascent-xgboost", checkpoint_dir=tmp_path))
    assert len(calls) == 3  # a finished run trains nothing
    with pytest.raises(ctl.ChromatellError, match="seed was 1 and is 2"):
        tiny.train("nascent-xgboost", checkpoint_dir=tmp_path, seed=2)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return tiny.train("dense", checkpoint_dir=folder), folder


def test_a_finished_run_trains_nothing(finished, monkeypatch):
    model, folder = finished
    monkeypatch.setattr(ctl.models.dense._module.DenseModule, "loss", None)
    same(model, tiny.train("dense", checkpoint_dir=folder))


def test_a_finished_run_without_validation_data_gives_the_model_that_it_trained(tmp_path):
    def train(folder):
        tracks = tiny.tracks().copy()
        for split in tracks.splits.values():
            split[split == 1] = 2  # no bin is left to validate on
        model = ctl.models.Nascent(tracks, architecture="cnn", window=21, n_filters=4)
        model.train(max_epochs=3, seed=1, checkpoint_dir=folder)
        return model

    whole = train(None)
    assert "validation_loss" not in whole.history
    same(whole, train(tmp_path))
    same(whole, train(tmp_path))  # nothing is trained; before, these were the weights that training starts from


def copied(folder, tmp_path):
    state = tmp_path / "last.ckpt"
    state.write_bytes((folder / "last.ckpt").read_bytes())
    return state


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 2}, "seed was 1 and is 2"),
        ({"lr": 0.01}, "lr was 0.002 and is 0.01"),
        ({"max_epochs": 5}, "max_epochs was 3 and is 5"),
        ({"max_epochs": 2}, "max_epochs was 3 and is 2"),
    ],
)
def test_a_state_of_another_run_is_refused(finished, options, message):
    with pytest.raises(ctl.ChromatellError, match=message):
        tiny.train("dense", checkpoint_dir=finished[1], **options)


def test_a_state_of_other_data_or_another_split_is_refused(finished, tmp_path, monkeypatch):
    mdata = tiny.cells().copy()
    mdata["atac"].X.data[5] += 1
    monkeypatch.setattr(tiny, "cells", lambda: mdata)
    with pytest.raises(ctl.ChromatellError, match="another run: other data. With"):
        tiny.train("dense", checkpoint_dir=finished[1])
    mdata["atac"].X.data[5] -= 1
    split = mdata.obs["ctl_split"].to_numpy().copy()
    i, j = np.flatnonzero(split == "val")[0], np.flatnonzero(split == "test")[0]
    split[i], split[j] = "test", "val"
    mdata.obs["ctl_split"] = split
    with pytest.raises(ctl.ChromatellError, match="another run: another split"):
        tiny.train("dense", checkpoint_dir=finished[1])


def test_statistics_that_came_out_otherwise_are_told(finished, monkeypatch):
    monkeypatch.setattr("chromatell.models._base.start_digest", lambda *args: "of another machine")
    with pytest.raises(ctl.ChromatellError, match="another number of threads"):
        tiny.train("dense", checkpoint_dir=finished[1])


def test_without_a_fixed_end_a_run_may_be_longer_but_not_shorter(tmp_path):
    options = {"schedule": "none", "early_stopping": False}
    tiny.train("dense", checkpoint_dir=tmp_path, **{**options, "max_epochs": 2})
    longer = tiny.train("dense", checkpoint_dir=tmp_path, **options)
    same(tiny.train("dense", **options), longer)
    with pytest.raises(ctl.ChromatellError, match="Take max_epochs=3 or more"):
        tiny.train("dense", checkpoint_dir=tmp_path, **{**options, "max_epochs": 1})


@pytest.mark.parametrize("place", [0, 1000, -100, -70, -1])
def test_one_flipped_bit_in_the_state_is_refused(finished, tmp_path, place):
    state = copied(finished[1], tmp_path)
    content = bytearray(state.read_bytes())
    content[place] ^= 1
    state.write_bytes(content)
    with pytest.raises(ctl.ChromatellError, match="Remove that file to start anew"):
        tiny.train("dense", checkpoint_dir=tmp_path)
    state.unlink()  # the cure
    same(finished[0], tiny.train("dense", checkpoint_dir=tmp_path))


@pytest.mark.parametrize("size", [0, 50, 3000])
def test_a_state_that_was_cut_short_is_refused(finished, tmp_path, size):
    state = copied(finished[1], tmp_path)
    state.write_bytes(state.read_bytes()[:size])
    with pytest.raises(ctl.ChromatellError, match="cut short"):
        tiny.train("dense", checkpoint_dir=tmp_path)


def test_a_state_runs_nothing(finished, tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("executed",))

    _checkpoint.StateFile().save_checkpoint({"callbacks": Evil()}, tmp_path / "last.ckpt")
    with pytest.raises(ctl.ChromatellError, match="holds more than tensors and plain values"):
        tiny.train("dense", checkpoint_dir=tmp_path)


def test_a_folder_that_cannot_be_written_is_told_before_any_work(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    model = tiny.MODELS["dense"]()
    monkeypatch.setattr(model, "_fit_stats", None)
    with pytest.raises(ctl.ChromatellError, match="Name a folder that is yours"):
        model.train(checkpoint_dir=tmp_path / "file" / "run")


def test_a_full_disk_keeps_the_epoch_before(finished, tmp_path, monkeypatch):
    whole, _ = finished
    save = torch.save

    def full(checkpoint, path):
        if checkpoint["epoch"] == 1:
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        save(checkpoint, path)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(ctl.ChromatellError, match="Make room there"):
        tiny.train("dense", checkpoint_dir=tmp_path)
    monkeypatch.setattr(torch, "save", save)
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]
    same(whole, tiny.train("dense", checkpoint_dir=tmp_path))


def test_ctrl_c_says_how_to_go_on_and_leaves_python_as_it_was(tmp_path, caplog, capsys):
    logging.getLogger("chromatell").addHandler(caplog.handler)
    before = signal.getsignal(signal.SIGINT)
    for folder, epoch, said in (
        (None, 0, "checkpoint_dir"),
        (tmp_path, 0, "starts anew"),
        (tmp_path, 1, "after epoch 1"),
    ):
        caplog.clear()
        with pytest.raises(KeyboardInterrupt):
            tiny.train("dense", checkpoint_dir=folder, trainer_kwargs={"callbacks": [StopIn(epoch)]})
        assert said in caplog.text
        assert signal.getsignal(signal.SIGINT) is before
    caplog.clear()
    tiny.train("dense", checkpoint_dir=tmp_path)
    assert "Epoch 1 of 3 is in" in caplog.text
    assert "Epoch 3/3: training loss" in caplog.text
    logging.getLogger("chromatell").removeHandler(caplog.handler)
    assert capsys.readouterr().out == ""


@pytest.fixture
def stopped_at(monkeypatch, caplog):
    """Return what a call says, and its KeyboardInterrupt too, where Ctrl-C is pressed inside of a function."""
    monkeypatch.setattr(logging.getLogger("chromatell"), "propagate", True)

    def run(owner, name, call):
        def press(*args, **kwargs):
            raise KeyboardInterrupt

        caplog.clear()
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, press)
            with pytest.raises(KeyboardInterrupt) as error:
                call()
        (said,) = [r.getMessage() for r in caplog.records if "stopped" in r.getMessage()]
        assert str(error.value) == said
        return said

    return run


def test_ctrl_c_before_and_after_the_epochs_says_how_to_go_on(stopped_at, tmp_path):
    folder = tmp_path / "run"
    model = ctl.models.Dense
    for where, state, said in (
        ("_fit_stats", None, "Training was stopped. Nothing is kept; train(checkpoint_dir=...)"),
        ("_fit_stats", folder, "Training was stopped. No epoch was finished"),
        ("_recalibrate", folder, f"Training was stopped. The state of training is in {str(folder)!r}"),
    ):
        assert said in stopped_at(model, where, lambda state=state: tiny.train("dense", checkpoint_dir=state))
    same(tiny.train("dense"), tiny.train("dense", checkpoint_dir=folder))


def test_ctrl_c_while_predicting_keeps_what_was_trained(stopped_at, tmp_path, monkeypatch):
    """`tl.dense` and the like train and then predict: the same call takes the trained model up."""
    options = {"n_hidden": 16, "n_latent": 8, "seed": 0}

    def call(mdata, folder=None):
        kept = {} if folder is None else {"checkpoint_dir": folder}
        ctl.tl.dense(mdata, train_kwargs={"max_epochs": 2, **kept}, **options)

    mdata = tiny.cells().copy()
    first = "The model is trained; its prediction was stopped, and not written."
    assert stopped_at(ctl.models.Dense, "predict", lambda: call(mdata)).startswith(
        f"{first} Nothing is kept; train_kwargs="
    )
    assert stopped_at(ctl.models.Dense, "predict", lambda: call(mdata, tmp_path)) == (
        f"{first} The state of training is in {str(tmp_path)!r}: the same call goes on from there."
    )
    assert "atac_pred" not in mdata.mod
    assert "ctl" not in mdata.uns or "models" not in mdata.uns["ctl"]
    monkeypatch.setattr(ctl.models.dense._module.DenseModule, "loss", None)  # nothing is trained again
    call(mdata, tmp_path)
    assert ctl.models.load(mdata).content_hash == mdata.mod["atac_pred"].uns["ctl"]["provenance"]["dense"]["hash"]


def test_ctrl_c_while_tracks_or_bins_are_predicted_says_it_too(stopped_at):
    tracks, cells = tiny.tracks().copy(), tiny.cells().mod["atac"].copy()
    cells.obs["ctl_split"] = tiny.cells().obs["ctl_split"]
    names = tracks.names
    for owner, name, call in (
        (ctl.models.Nascent, "predict", lambda: ctl.tl.nascent(tracks, window=5, train_kwargs={"max_epochs": 1})),
        (ctl.models.AtacFormer, "cell_columns", lambda: ctl.tl.atacformer(cells, train_kwargs={"max_epochs": 1})),
    ):
        assert stopped_at(owner, name, call).startswith("The model is trained; its prediction was stopped")
    assert tracks.names == names
    assert not {"models", "predictions"} & {*tracks.uns.get("ctl", {}), *cells.uns.get("ctl", {})}
