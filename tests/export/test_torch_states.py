"""PyTorch loads what minigrad exports and gives the same outputs, in training and at test time; and back."""

from typing import Any

import numpy as np
import pytest

import minigrad as mg

torch = pytest.importorskip("torch")


def theirs(norm):
    middle = {"batch": torch.nn.BatchNorm1d(8), "layer": torch.nn.LayerNorm(8), "none": torch.nn.Identity()}[norm]
    parts = [torch.nn.Linear(4, 8, bias=norm != "batch"), middle, torch.nn.ReLU(), torch.nn.Linear(8, 3)]
    return torch.nn.Sequential(*[part for part in parts if not isinstance(part, torch.nn.Identity)]).double()


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
def test_pytorch_gives_the_same_outputs(norm, rng):
    ours = mg.nn.MLP((4, 8, 3), norm=norm, rng=0)
    for _ in range(3):
        ours(mg.tensor(rng.normal(1.0, 2.0, size=(9, 4))))
    other = theirs(norm)
    other.load_state_dict({name: torch.from_numpy(a) for name, a in mg.export.torch_state(ours).items()})
    x = rng.normal(1.0, 2.0, size=(7, 4))
    for mode in (False, True, False):  # the step in training moves the running statistics on both sides alike
        y, z = ours.train(mode)(mg.tensor(x)), other.train(mode)(torch.tensor(x))
        np.testing.assert_allclose(y.data, z.detach().numpy(), rtol=1e-12, atol=1e-13)
    if norm == "batch":
        assert int(other.state_dict()["1.num_batches_tracked"]) == int(ours[1].updates.item()) == 4


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
def test_minigrad_loads_pytorchs_weights(norm, rng):
    torch.manual_seed(0)
    other = theirs(norm)
    other(torch.tensor(rng.normal(1.0, 2.0, size=(9, 4))))
    options: dict[str, Any] = {"bias_correction": True} if norm == "batch" else {}
    ours = mg.nn.MLP((4, 8, 3), norm=norm, rng=0, **options)
    mg.export.from_torch_state(ours, other.state_dict())
    x = rng.normal(size=(5, 4))
    expected = other.eval()(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(ours.eval()(mg.tensor(x)).data, expected, rtol=1e-12, atol=1e-13)
