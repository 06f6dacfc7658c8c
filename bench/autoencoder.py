"""Prints how fast the autoencoder is: beside the same network as literal convolutions, and beside the matmul peak.

Forward and backward of one batch at the published widths (512, 256, 128).

    python bench/autoencoder.py [--batch 32] [--layers 65] [--threads 1] [--device cpu]
"""

from __future__ import annotations

import argparse
from statistics import median

import torch
from torch import nn

from foretrain.snapshots.autoencoder import FeatureMapAutoencoder
from foretrain.snapshots.statistics import MAX_LAYERS, ROWS, STATISTICS
from timing import ratios, seconds, seconds_in_turn

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

    ours_seconds, literal_seconds = seconds_in_turn(
        lambda: ours.loss(maps, rows).backward(),
        lambda: (literal(padded) - padded).square().mean().backward(),
        device=device,
    )
    rate = matmul_operations(options.batch, options.layers) / median(ours_seconds)
    peak = _matmul_peak(device)
    print(f"batch {options.batch}, {options.layers} layers, widths {WIDTHS}, {device}, {options.threads} threads")
    print(f"foretrain    {1e3 * median(ours_seconds):9.1f} ms  {rate / 1e9:9.1f} GFLOP/s")
    print(f"literal      {1e3 * median(literal_seconds):9.1f} ms")
    print(f"matmul peak  {'':9}     {peak / 1e9:9.1f} GFLOP/s")
    print(f"times faster than literal convolutions: {median(ratios(literal_seconds, ours_seconds)):.1f}")
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
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


def _matmul_peak(device: torch.device, size: int = 2048) -> float:
    first, second = torch.randn(2, size, size, device=device)
    return 2 * size**3 / seconds(lambda: first @ second, device=device)


if __name__ == "__main__":
    main()
