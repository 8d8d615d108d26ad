"""Train a small network on handwritten digits and look at what happened: python -m examples.train_mlp

Needs the packages scikit-learn, for the data, and matplotlib, for the plot (extra `train`).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import minigrad as mg


def main(argv: Sequence[str] | None = None) -> int:
    """Train, print the accuracy on digits that the network has never seen, draw the history."""
    parser = argparse.ArgumentParser(prog="python -m examples.train_mlp", description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--plot", default="digits.png", help="where the curves are drawn (.png, .svg or .pdf)")
    args = parser.parse_args(argv)

    # 1797 images of 8 x 8 pixels as rows of 64 numbers, and which digit each one shows
    x, y = mg.data.load_digits()
    x_train, x_test, y_train, y_test = mg.data.train_test_split(x, y, seed=0)

    # 64 numbers in, two hidden layers with batch norm, ten scores out; every weight is drawn with seed 0
    net = mg.nn.MLP((64, 64, 32, 10), norm="batch", activation="relu", rng=0)
    print(net)

    history = mg.training.fit(
        net,
        mg.cross_entropy,  # what is made small: minus the log of the probability given to the right digit
        mg.optim.Adam(net.parameters(), lr=0.01),  # how
        (x_train, y_train),
        val=(x_test, y_test),
        metrics="accuracy",
        epochs=args.epochs,
        batch_size=50,
        seed=0,
    )
    print(f"accuracy on the test images: {history['val_accuracy'][-1]:.3f}")

    history.plot(args.plot, title="Digits, 64-64-32-10 with batch norm")
    print(f"wrote {args.plot}")

    # one image alone: in eval mode batch norm uses the averages that it kept
    scores = mg.training.predict(net, x_test[:1])
    print(f"the first test image shows a {y_test[0]}; the network says {scores[0].argmax()}")
    return 0


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except ImportError as error:  # scikit-learn or matplotlib is missing: the message names it
        raise SystemExit(str(error)) from None
