"""What people try: misuses of `fit`, habits from Keras, PyTorch, scikit-learn. Each works, or a sentence helps."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

import minigrad as mg

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
Y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)  # classes 0, 1, 2
PRICE = X @ np.array([[1.0], [2.0], [-1.0], [0.5]]) + 3.0
untyped: Any = mg  # a type checker finds most of what is tried here
fit: Any = partial(mg.training.fit, epochs=2, batch_size=20, progress=False)


def net(outputs: int = 3, **more: Any) -> mg.nn.MLP:
    return mg.nn.MLP((4, 8, outputs), rng=0, **more)


def adam(of: Any) -> mg.optim.Adam:
    return mg.optim.Adam(of.parameters(), lr=0.01)


def with_sigmoid() -> mg.nn.Sequential:
    return mg.nn.Sequential(mg.nn.Linear(4, 1, rng=0), mg.nn.Sigmoid())


class Foreign:
    """What another library's object looks like from here."""


Foreign.__module__ = "torch.optim"
one_hot = np.eye(3)[Y]
either = (Y > 0).astype(float)[:, None]

# what is done with a network: what the error says
MISUSES: dict[str, tuple[Any, str]] = {
    "an optimizer of another network": (
        lambda n: fit(n, "cross_entropy", adam(net()), (X, Y)),
        r"none of the parameters of this MLP .* would train nothing of it: .* Adam\(net.parameters\(\), ...\)",
    ),
    "accuracy of one column": (
        lambda n: fit(net(1), "binary_cross_entropy_with_logits", "adam", (X, either), metrics="accuracy"),
        r"have one column, whose largest is always the first; use binary_accuracy",
    ),
    "labels 1 to 3": (
        lambda n: fit(n, "cross_entropy", "adam", (X, Y + 1)),
        r"label 3 is not one of the 3 classes 0 to 2; pass labels - 1",
    ),
    "accuracy of labels 1 to 3": (
        lambda n: fit(n, lambda out, y: mg.cross_entropy(out, y - 1), "adam", (X, Y + 1), metrics="accuracy"),
        r"accuracy: labels go from 1 to 3, but classes from 0 to 2; pass labels - 1",
    ),
    "labels that only the validation data has": (
        lambda n: fit(n, "cross_entropy", "adam", (X, Y), val=(X, Y * 2)),
        r"label 4 is not one of the 3 classes",
    ),
    "-1 and 1 for binary_accuracy": (
        lambda n: fit(net(1), "mse", "adam", (X, either * 2 - 1), metrics="binary_accuracy"),
        r"binary_accuracy: targets are 0 or 1, got -1; pass \(targets \+ 1\) / 2",
    ),
    "-1 and 1 for binary cross-entropy": (
        lambda n: fit(net(1), "binary_cross_entropy_with_logits", "adam", (X, either * 2 - 1)),
        r"targets must lie in 0 .. 1, got values from -1.0 to 1.0; pass \(targets \+ 1\) / 2",
    ),
    "scores of a Sigmoid": (
        lambda n: fit(with_sigmoid(), "binary_cross_entropy_with_logits", "adam", (X, either)),
        r"takes scores, but the network ends in a Sigmoid: leave that out, or use binary_cross_entropy",
    ),
    "binary_accuracy of probabilities": (
        lambda n: fit(with_sigmoid(), "binary_cross_entropy", "adam", (X, either), metrics="binary_accuracy"),
        r"binary_accuracy takes scores, but the network ends in a Sigmoid: .*binary_accuracy\(p - 0.5, t\)",
    ),
    "loss and optimizer exchanged": (
        lambda n: fit(n, adam(n), "cross_entropy", (X, Y)),
        r"the loss is an optimizer: the order is fit\(model, loss, optimizer",
    ),
    "an unknown loss": (
        lambda n: fit(n, "hinge", "adam", (X, Y)),
        r"the loss 'hinge' is not known; there are cross_entropy, .*, or a function \(outputs, targets\) -> Tensor",
    ),
    "an unknown metric": (
        lambda n: fit(n, "cross_entropy", "adam", (X, Y), metrics=["f1"]),
        r"the metric 'f1' is not known; there are accuracy,",
    ),
    "an unknown optimizer": (
        lambda n: fit(n, "cross_entropy", "lion", (X, Y)),
        r"the optimizer 'lion' is not known; there are sgd, momentum, rmsprop, adam, adamw, or an optimizer such as",
    ),
    "a number for a loss": (lambda n: fit(n, 3, "adam", (X, Y)), r"the loss is int; expected a function"),
    "a loss for an optimizer": (
        lambda n: fit(n, "cross_entropy", mg.cross_entropy, (X, Y)),
        r"the optimizer is cross_entropy; expected an optimizer such as",
    ),
    "a rate beside an optimizer": (
        lambda n: fit(n, "cross_entropy", adam(n), (X, Y), lr=0.1),
        r"lr=0.1 is for an optimizer given by name; this one has its own",
    ),
    "a list of layers for a model": (
        lambda n: fit([mg.nn.Linear(4, 3, rng=0)], "cross_entropy", "adam", (X, Y)),
        r"the model is list; expected a Module, such as .*mg.nn.Sequential",
    ),
    "a class for a callback": (
        lambda n: fit(n, "cross_entropy", "adam", (X, Y), callbacks=[mg.training.EarlyStopping]),
        r"a class is called first: EarlyStopping\(5\)",
    ),
    "a schedule of another optimizer": (
        lambda n: fit(n, "cross_entropy", "adam", (X, Y), schedule=mg.optim.StepLR(adam(n), 3)),
        r"the rates of another optimizer",
    ),
    "a rate as text": (lambda n: untyped.optim.SGD(n.parameters(), lr="0.1"), r"SGD: lr='0.1' must be a number"),
    "a rate as a Tensor": (lambda n: untyped.optim.SGD(n.parameters(), lr=mg.tensor(0.1)), r"must be a number"),
    "masked rows": (
        lambda n: fit(n, "cross_entropy", "adam", (np.ma.masked_greater(X, 1.0), Y)),
        "a masked array: its mask would be dropped",
    ),
}

# what is written elsewhere: what it says here, or None where it works
HABITS: dict[str, tuple[Any, str | None]] = {
    "Keras: everything by name": (
        lambda n: fit(n, "sparse_categorical_crossentropy", "adam", X, Y, metrics=["accuracy"]),
        None,
    ),
    "Keras: one metric": (lambda n: fit(n, "cross_entropy", "rmsprop", X, Y, metrics="acc"), None),
    "Keras: mse and mae": (lambda n: fit(net(1), "mean_squared_error", "sgd", X, PRICE, metrics=["mae", "mse"]), None),
    "Keras: class_weight": (
        lambda n: fit(n, "cross_entropy", "adam", X, Y, class_weight={0: 1.0, 1: 2.0, 2: 0.5}),
        None,
    ),
    "Keras: summary": (lambda n: str(n.summary()), None),
    "Keras: model.fit": (lambda n: n.fit(X, Y), r"no attribute 'fit'; write mg.training.fit\(net, loss, optimizer"),
    "Keras: model.compile": (lambda n: n.compile("adam"), r"'compile'; write mg.training.fit"),
    "Keras: model.predict": (lambda n: n.predict(X), r"write mg.training.predict\(net, x\)"),
    "Keras: Dense": (lambda n: untyped.nn.Dense(3), r"no attribute 'Dense'; write Linear\(inputs, outputs, rng=0\)"),
    "Keras: validation_data": (
        lambda n: fit(n, "cross_entropy", "adam", X, Y, validation_data=(X, Y)),
        r"fit has no validation_data=; write val=\(x, y\)",
    ),
    "Keras: validation_split": (
        lambda n: fit(n, "cross_entropy", "adam", X, Y, validation_split=0.2),
        r"mg.data.train_test_split\(x, y, seed=0\)",
    ),
    "Keras: verbose": (lambda n: fit(n, "cross_entropy", "adam", X, Y, verbose=0), r"write progress=False"),
    "Keras: learning_rate": (
        lambda n: untyped.optim.Adam(n.parameters(), learning_rate=0.1),
        r"Adam has no option 'learning_rate'; write lr=; it has lr, betas, eps, weight_decay",
    ),
    "Keras: one-hot labels": (
        lambda n: fit(n, "categorical_crossentropy", "adam", X, one_hot),
        r"labels of shape \(60, 3\) look one-hot; pass class numbers, labels.argmax\(axis=-1\)",
    ),
    "Keras: early stopping": (
        lambda n: fit(
            n, "cross_entropy", "adam", X, Y, callbacks=[mg.training.EarlyStopping(patience=3, monitor="loss")]
        ),
        None,
    ),
    "PyTorch: an optimizer's class": (lambda n: fit(n, mg.cross_entropy, mg.optim.Adam, X, Y, lr=0.01), None),
    "PyTorch: CrossEntropyLoss by name": (lambda n: fit(n, "CrossEntropyLoss", "SGD", X, Y), None),
    "PyTorch: CrossEntropyLoss": (lambda n: untyped.nn.CrossEntropyLoss(), r"write the function mg.cross_entropy"),
    "PyTorch: an optimizer of torch": (
        lambda n: fit(n, "cross_entropy", Foreign(), X, Y),
        r"the optimizer is torch's Foreign; expected an optimizer such as mg.optim.Adam",
    ),
    "PyTorch: labels as floats": (
        lambda n: fit(n, "cross_entropy", "adam", X, Y.astype(float)),
        r"must be integers, got dtype float64; pass labels.astype\(int\)",
    ),
    "PyTorch: targets without a column": (
        lambda n: fit(net(1), "mse", "adam", X, PRICE[:, 0], metrics="r2"),
        r"shape \(60, 1\) and target \(60,\); they must be equal \(reshape one of them",
    ),
    "PyTorch: a data loader": (
        lambda n: fit(n, "cross_entropy", "adam", iter([(X, Y)])),
        r"train must be a pair \(x, y\) of arrays, got list_iterator",
    ),
    "PyTorch: to(device)": (lambda n: n.to("cuda"), r"nothing: all runs on the CPU"),
    "PyTorch: ReduceLROnPlateau": (
        lambda n: [fit(n, "cross_entropy", opt := adam(n), X, Y, schedule=mg.optim.PlateauLR(opt, patience=1))],
        None,
    ),
    "PyTorch: weight of the loss": (
        lambda n: fit(n, "cross_entropy", "adam", X, Y, class_weight=[1.0, 2.0, 3.0]),
        None,
    ),
    "scikit-learn: balanced": (lambda n: fit(n, "cross_entropy", "adam", X, Y, class_weight="balanced"), None),
    "scikit-learn: lists": (lambda n: fit(n, "cross_entropy", "adam", X.tolist(), Y.tolist()), None),
    "scikit-learn: names of classes": (
        lambda n: fit(n, "cross_entropy", "adam", X, np.array(["a", "b", "c"])[Y]),
        r"y must hold numbers, got dtype <U1; names, y = np.unique\(y, return_inverse=True\)",
    ),
    "scikit-learn: max_iter": (lambda n: fit(n, "cross_entropy", "adam", X, Y, max_iter=3), r"write epochs="),
    "scikit-learn: random_state": (lambda n: fit(n, "cross_entropy", "adam", X, Y, random_state=3), r"write seed="),
    "scikit-learn: predict_proba": (lambda n: n.predict_proba(X), r"mg.softmax\(mg.training.predict\(net, x\)\)"),
    "scikit-learn: score": (lambda n: n.score(X, Y), r"write mg.training.evaluate\(net, x, y, loss, metrics\)"),
    "anybody: a slip": (
        lambda n: fit(n, "cross_entropy", "adam", X, Y, batchsize=3),
        r"no batchsize=; write batch_size=",
    ),
}


def test_there_are_a_dozen_misuses_and_fifteen_habits():
    assert len(MISUSES) >= 12
    assert len(HABITS) >= 15


@pytest.mark.parametrize("what", [*MISUSES, *HABITS])
def test_it_works_or_one_sentence_helps(what: str):
    do, said = {**MISUSES, **HABITS}[what]
    model = net()
    before = model.state_dict()
    if said is None:
        do(model)
        return
    with pytest.raises((TypeError, ValueError, AttributeError), match=said) as caught:
        do(model)
    assert "\n" not in str(caught.value)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_names_give_the_same_bits_as_objects():
    by_name, by_object = net(), net()
    first = fit(by_name, "cross_entropy", "adam", X, Y, lr=0.01, metrics="accuracy", val=(X, Y))
    again = fit(by_object, mg.cross_entropy, adam(by_object), (X, Y), metrics=[mg.training.accuracy], val=(X, Y))
    assert first.loss == again.loss
    assert first.epochs == again.epochs
    evaluated = mg.training.evaluate(by_name, X, Y, "cross_entropy", "accuracy")
    assert evaluated == {"loss": first["val_loss"][-1], "accuracy": first["val_accuracy"][-1]}


@pytest.mark.parametrize("replay", [False, True])
def test_class_weights_are_those_of_pytorch(replay: bool):
    """sum of w[y] * loss over sum of w[y], also in a replayed step."""
    weights = np.array([1.0, 2.0, 5.0])
    model = net()
    history = fit(model, "cross_entropy", "sgd", X, Y, lr=0.1, class_weight=weights, replay=replay)
    twin, rng, losses = net(), np.random.default_rng(0), []
    sgd = mg.optim.SGD(twin.parameters(), lr=0.1)
    for _ in range(2):
        for index in mg.data.shuffled(60, 20, rng):
            each = mg.cross_entropy(twin(mg.tensor(X[index])), Y[index], reduction="none")
            loss = (each * weights[Y[index]]).sum() / weights[Y[index]].sum()
            sgd.zero_grad()
            loss.backward()
            sgd.step()
            losses.append(loss.item())
    np.testing.assert_allclose(history.loss, losses, rtol=1e-12)
    counts = np.bincount(Y)
    balanced = fit(net(), "cross_entropy", "sgd", X, Y, class_weight="balanced")
    by_hand = fit(net(), "cross_entropy", "sgd", X, Y, class_weight=60 / (3 * counts))
    assert balanced.loss == by_hand.loss
    for wrong in ("even", [1.0], {0: -1.0}):
        with pytest.raises(ValueError, match="class_weight="):
            fit(net(), "cross_entropy", "sgd", X, Y, class_weight=wrong)


def test_metrics_of_numbers():
    outputs, targets = np.array([[1.0], [2.0], [4.0]]), np.array([[1.0], [3.0], [2.0]])
    assert mg.training.mse(outputs, targets) == 5 / 3
    assert mg.training.mae(outputs, targets) == 1.0
    assert mg.training.r2(outputs, targets) == 1 - 5 / 2
    model = net(1)
    history = mg.training.fit(
        model, "mse", "adam", X, PRICE, val=(X, PRICE), metrics="mae", epochs=9, lr=0.05, progress=False
    )
    assert history.best is not None
    assert history.best["val_mae"] == min(history["val_mae"])  # of an error less is better
