"""Where the time of a training step goes: each instruction of its replayed program, timed alone.

    python -m benchmarks.steps 2-128-1                      the network of that name, float32
    MINIGRAD_KERNELS=numpy python -m benchmarks.steps 784-256-128-10 --top 12

The program is run whole, again and again, with a clock around each instruction; the medians are printed, longest
first, with their sum. The clock itself adds about 0.1 us to each.
"""

from __future__ import annotations

import argparse
import statistics
import time

import minigrad as mg

from .peers.cases import ADAM_EPS, BETAS, LR, NETS, Case, net_inputs


def main(argv: list[str] | None = None) -> int:
    """Record, replay, time, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steps", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("net", choices=tuple(NETS))
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--runs", type=int, default=300, help="of the whole program (300)")
    parser.add_argument("--top", type=int, default=30, help="lines to print (30)")
    args = parser.parse_args(argv)
    sizes, _, norm = NETS[args.net]
    params, batch, targets = net_inputs(Case("mlp", args.dtype, net=args.net))
    net = mg.nn.MLP(sizes, norm="batch" if norm else "none", rng=0, dtype=args.dtype)
    for tensor, array in zip(net.parameters(), params, strict=True):
        tensor.data = array
    adam = mg.optim.Adam(net.parameters(), lr=LR, betas=BETAS, eps=ADAM_EPS)
    loss = mg.cross_entropy if sizes[-1] > 1 else mg.binary_cross_entropy_with_logits

    @mg.replay
    def step(x: mg.Tensor, y: mg.Tensor) -> mg.Tensor:
        value: mg.Tensor = loss(net(x), y)
        adam.zero_grad()
        value.backward()
        adam.step()
        return value

    for _ in range(5):
        step(batch, targets)
    calls = step.program.calls()
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(args.runs):
        for k, (_, run) in enumerate(calls):
            begin = time.perf_counter()
            run()
            times[k].append(time.perf_counter() - begin)
    rows = sorted(((statistics.median(t) * 1e6, text) for t, (text, _) in zip(times, calls, strict=True)), reverse=True)
    total = sum(us for us, _ in rows)
    print(f"{args.net} {args.dtype}, kernels: {mg.kernels()['batch_norm']}; {len(rows)} calls, {total:.0f} us together")
    for us, text in rows[: args.top]:
        print(f"{us:9.1f} us  {us / total:4.0%}  {text}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
