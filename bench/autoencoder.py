"""Prints how fast the autoencoder is: beside the same network as literal convolutions, and beside the matmul peak.

Forward and backward of one batch at the published widths (512, 256, 128).

    python bench/autoencoder.py [--batch 32] [--layers 65] [--threads 1] [--device cpu]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from foretrain.snapshots.autoencoder import FeatureMapAutoencoder
from foretrain.snapshots.statistics import MAX_LAYERS, ROWS, STATISTICS

WIDTHS = (512, 256, 128)


def main() -> None:
    """Measures and prints."""
    options = _options()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    device = torch.device(options.device)
    maps = torch.randn(options.batch, options.layers, ROWS, len(STATISTICS), device=device)
    rows = torch.full((options.batch, options.layers), ROWS, device=device)
    ours = FeatureMapAutoencoder(WIDTHS).to(device)
    literal = literal_network(WIDTHS).to(device)
    padded = nn.functional.pad(maps, (0, 0, 0, 0, 0, MAX_LAYERS - options.layers)).permute(0, 3, 1, 2).contiguous()

    seconds = _seconds(lambda: ours.loss(maps, rows).backward(), device)
    literal_seconds = _seconds(lambda: (literal(padded) - padded).square().mean().backward(), device)
    rate = matmul_operations(options.batch, options.layers) / seconds
    peak = _matmul_peak(device)
    print(f"batch {options.batch}, {options.layers} layers, widths {WIDTHS}, {device}, {options.threads} threads")
    print(f"foretrain    {1e3 * seconds:9.1f} ms  {rate / 1e9:9.1f} GFLOP/s")
    print(f"literal      {1e3 * literal_seconds:9.1f} ms")
    print(f"matmul peak  {'':9}     {peak / 1e9:9.1f} GFLOP/s")
    print(f"times faster than literal convolutions: {literal_seconds / seconds:.1f}")
    print(f"share of the matmul peak: {rate / peak:.2f}")


def literal_network(widths: tuple[int, int, int]) -> nn.Sequential:
    """Builds the autoencoder as convolutions over ``[b, 12, 65, 100]``, without masks."""
    first, second, code = widths
    layers = (
        nn.Conv2d(len(STATISTICS), first, (1, ROWS)),
        nn.Conv2d(first, second, (MAX_LAYERS, 1)),
        nn.Conv2d(second, code, 1),
        nn.ConvTranspose2d(code, second, 1),
        nn.ConvTranspose2d(second, first, (MAX_LAYERS, 1)),
    )
    blocks = [nn.Sequential(layer, nn.ReLU(), nn.BatchNorm2d(layer.out_channels)) for layer in layers]
    return nn.Sequential(*blocks, nn.ConvTranspose2d(first, len(STATISTICS), (1, ROWS)))


def matmul_operations(batch: int, layers: int) -> int:
    """Floating point operations of the matrix products of one forward and backward pass (input gradients excepted)."""
    first, second, code = WIDTHS
    over_rows = 2 * batch * layers * ROWS * len(STATISTICS) * first
    over_layers = 2 * batch * layers * first * second
    small = 2 * batch * second * code
    return 2 * over_rows + 3 * (over_rows + 2 * over_layers + 2 * small)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--layers", type=int, default=MAX_LAYERS)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


def _matmul_peak(device: torch.device, size: int = 2048) -> float:
    first, second = torch.randn(2, size, size, device=device)
    return 2 * size**3 / _seconds(lambda: first @ second, device)


def _seconds(work: Callable[[], Tensor | None], device: torch.device, repeats: int = 5) -> float:
    """Returns the best of several timings, after one warm-up."""
    timings = []
    for _ in range(repeats + 1):
        _wait(device)
        start = time.perf_counter()
        work()
        _wait(device)
        timings.append(time.perf_counter() - start)
    return min(timings[1:])


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
