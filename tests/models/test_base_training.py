"""What training does for every family: precision by the hardware, and quiet where there is no validation part."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

import chromatell as ctl
from chromatell.models import _support
from chromatell.models._plan import Plan
from chromatell.models._support import cpu_has_bf16, resolve_precision, rng_devices
from chromatell.models._train_config import TrainConfig, rise_share
from chromatell.models.dense._module import DenseModule


@pytest.fixture(scope="module")
def mdata():
    mdata = ctl.datasets.simulate_multiome(200, 30, 60, n_types=2, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    return mdata


def trained(mdata, **options):
    mdata = mdata.copy()
    ctl.models.Dense.setup_mudata(mdata)
    model = ctl.models.Dense(mdata, stack=False)  # the network alone: with others it may have no share
    model.train(max_epochs=3, seed=0, **options)
    return model, model.predict(mdata)


@pytest.mark.parametrize("has", [True, False])
def test_auto_is_bfloat16_where_the_cpu_has_it(has, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(_support, "cpu_has_bf16", lambda: has)
    want = "bf16-mixed" if has else "32-true"
    assert resolve_precision("auto", "auto") == resolve_precision("auto", "cpu") == want
    assert resolve_precision("auto", "cpu", on_cpu=False) == "32-true"
    assert resolve_precision("auto", "mps") == "32-true"
    assert resolve_precision("16-mixed", "cpu") == "16-mixed"


@pytest.mark.parametrize(
    ("accelerator", "devices", "want"),
    [("auto", "auto", [0]), ("gpu", [1, 3], [1, 3]), ("cuda", 2, [0, 1]), ("gpu", -1, [0, 1, 2, 3]), ("cpu", 2, []),
     ("cpu", [0], [])],
)  # fmt: skip
def test_generators_of_the_devices_in_use_are_put_back(monkeypatch, accelerator, devices, want):
    assert rng_devices("auto", "auto") == list(range(min(1, torch.cuda.device_count())))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert rng_devices(accelerator, devices) == want


def test_a_torch_without_these_questions_has_none(monkeypatch):
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported", raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)  # slower than float32
    assert not cpu_has_bf16()
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
    assert cpu_has_bf16()


def test_a_loss_that_is_no_number_is_told_at_the_end_of_its_epoch(mdata, monkeypatch):
    loss = DenseModule.loss
    wrong = float("nan")
    monkeypatch.setattr(DenseModule, "loss", lambda self, batch: loss(self, batch) * (wrong if self.training else 1))
    with pytest.raises(FloatingPointError, match="training loss became nan at epoch 0. Lower the learning rate"):
        trained(mdata)


def test_bfloat16_learns_the_same_and_keeps_float32(mdata):
    full, p = trained(mdata, precision="32-true")
    half, q = trained(mdata, precision="bf16-mixed")
    assert {w.dtype for w in half.module.parameters()} == {torch.float32}
    assert q.dtype == np.float32
    np.testing.assert_allclose(half.history["validation_loss"], full.history["validation_loss"], rtol=0.005)
    assert 0 < np.abs(p - q).max() < 0.02
    _, again = trained(mdata, precision="bf16-mixed")
    np.testing.assert_array_equal(q, again)


def test_the_loss_is_float32_under_autocast(mdata, monkeypatch):
    seen = []
    loss = ctl.models.dense._module.DenseModule.loss

    def looked_at(self, batch):
        found = loss(self, batch)
        seen.append((torch.is_autocast_enabled("cpu"), found.dtype))
        return found

    monkeypatch.setattr(ctl.models.dense._module.DenseModule, "loss", looked_at)
    trained(mdata, precision="bf16-mixed", accelerator="cpu")
    assert set(seen) == {(True, torch.float32)}


def test_training_without_a_validation_part_is_quiet(mdata, capfd):
    mdata = mdata.copy()
    mdata.obs["ctl_split"] = np.where(mdata.obs["ctl_split"] == "val", "train", mdata.obs["ctl_split"])
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model, _ = trained(mdata)
    assert "validation_loss" not in model.history
    ours = ("ranks is zero", "val_dataloader", "validation_step")
    assert [str(w.message) for w in said if any(word in str(w.message) for word in ours)] == []
    out, err = capfd.readouterr()
    assert "ranks is zero" not in out + err


@pytest.mark.parametrize("steps", [1, 2, 5, 10, 11, 20])
def test_the_rate_rises_and_falls_in_a_run_of_any_length(steps):
    plan = Plan(torch.nn.Linear(1, 1), TrainConfig(max_epochs=1, lr=0.5, warmup=0.1), steps_per_epoch=steps, seed=0)
    made = plan.configure_optimizers()
    rates = []
    for _ in range(steps):
        rates.append(made["optimizer"].param_groups[0]["lr"])
        made["optimizer"].step()
        made["lr_scheduler"]["scheduler"].step()
    assert rates[0] <= 0.5
    assert np.isfinite(rates).all()
    assert steps < 10 or 0.4 < max(rates) <= 0.5


def test_a_rate_of_nothing_is_refused():
    with pytest.raises(ctl.ChromatellError, match=r"lr=0 is out of range: a number from 1e-12 to"):
        TrainConfig(lr=0)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_adam_in_one_pass_gives_the_weights_of_adam_in_many(precision, monkeypatch):
    """Where gradients are clipped in mixed precision it is not used, and training goes on."""
    mdata = ctl.datasets.simulate_multiome(200, 20, 40, n_types=2, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    made, weights = [], []
    configure = Plan.configure_optimizers

    def configured(plan):
        found = configure(plan)
        made.append(found["optimizer"].defaults["fused"])
        return found

    monkeypatch.setattr(Plan, "configure_optimizers", configured)
    for in_one_pass in (None, False):
        if in_one_pass is False:
            monkeypatch.setattr(
                Plan, "in_one_pass", property(lambda plan: False, lambda plan, value: None), raising=False
            )
        options = {"max_epochs": 2, "seed": 0, "precision": precision, "gradient_clip": 1.0}
        copied = ctl.tl.dense(mdata, n_hidden=4, seed=0, train_kwargs=options, copy=True)
        weights.append(ctl.models.load(copied, key="dense").module.weight.detach().numpy())
    assert made == [True if precision == "32-true" else None, None]
    np.testing.assert_allclose(*weights, atol=1e-5)


def test_a_rate_rises_and_falls_in_any_number_of_steps():
    """torch divides by the length of each part: no number of steps, and no share, makes one of them 0."""
    for share in (0, 0.05, 0.1, 0.2, 0.25, 0.5, 1):
        for steps in range(1, 45):
            found = rise_share(share, steps)
            if 1.1 < share * steps < steps - 0.1:
                assert found == pytest.approx(share)
            weight = torch.nn.Parameter(torch.zeros(1))
            optimizer = torch.optim.AdamW([weight], lr=0.1)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, steps, pct_start=found)
            for _ in range(steps):
                assert 0 < optimizer.param_groups[0]["lr"] <= 0.1 * (1 + 1e-9)
                optimizer.step()
                schedule.step()
