"""The sum of the hardest negatives against `torch.topk`, at the size of a training batch.

    python benchmarks/mining.py [--shape 16,640,640] [--device cpu] [--cpu-time]

For several shares of pixels that are kept: the least time of several calls that take turns, in
milliseconds, forward alone and with the gradient, and how far sum and gradient differ.
"""

import argparse
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from dbnet.models.losses.db_loss import sum_of_largest

KEPT = (0.02, 0.1, 0.3, 0.8)
REPEATS = 5


def topk(values: Tensor, count: Tensor) -> Tensor:
    return values.flatten().topk(int(count), sorted=False)[0].sum()


def losses(shape: tuple[int, ...], device: str) -> Tensor:
    """Draw the losses of background pixels; a tenth is text and counts 0, as in training."""
    generator = torch.Generator().manual_seed(0)
    values = F.softplus(2 * torch.randn(shape, generator=generator) - 2)
    return (values * (torch.rand(shape, generator=generator) > 0.1)).to(device)


def seconds(function: Callable[[], object], args: argparse.Namespace) -> float:
    clock = time.process_time if args.cpu_time else time.perf_counter
    wait = torch.cuda.synchronize if args.device == "cuda" else lambda: None
    wait()
    start = clock()
    function()
    wait()
    return clock() - start


def compare(values: Tensor, count: Tensor, args: argparse.Namespace) -> list[float]:
    """Return milliseconds of topk and ours, forward and with gradient, and two differences."""
    functions = (topk, sum_of_largest)
    leaf = values.clone().requires_grad_()
    results = [(f(leaf, count), *torch.autograd.grad(f(leaf, count), leaf)) for f in functions]
    (expected, expected_grad), (actual, grad) = results
    taken: list[list[float]] = [[], [], [], []]
    for _ in range(REPEATS):
        for index, function in enumerate(functions):
            forward = seconds(lambda f=function: f(values, count), args)  # type: ignore[misc]
            both = seconds(lambda f=function: f(leaf, count).backward(), args)  # type: ignore[misc]
            leaf.grad = None
            taken[index].append(1e3 * forward)
            taken[2 + index].append(1e3 * both)
    difference = (actual / expected - 1).abs().item()
    return [*map(min, taken), difference, (grad - expected_grad).abs().max().item()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", default="16,640,640")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="count CPU seconds instead of passed ones, on a shared machine, with one thread",
    )
    args = parser.parse_args()
    values = losses(tuple(map(int, args.shape.split(","))), args.device)

    print(f"{args.shape} on {args.device}, {torch.get_num_threads()} threads, ms")
    titles = ("topk", "ours", "ratio", "topk+grad", "ours+grad", "ratio", "sum off", "grad off")
    print(f"{'kept':>6}" + "".join(f"{title:>11}" for title in titles))
    for share in KEPT:
        count = torch.tensor(int(share * values.numel()), device=args.device)
        slow, fast, slow_both, fast_both, *off = compare(values, count, args)
        times = f"{slow:11.1f}{fast:11.1f}{slow / fast:11.1f}"
        times += f"{slow_both:11.1f}{fast_both:11.1f}{slow_both / fast_both:11.1f}"
        print(f"{share:6.0%}{times}" + "".join(f"{value:11.1e}" for value in off))


if __name__ == "__main__":
    main()
