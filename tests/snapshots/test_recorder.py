from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.strategies import SingleDeviceStrategy
from numpy_reference import assert_same_statistics, describe_layer
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from foretrain.errors import CheckpointError, DataError
from foretrain.runtime.random_state import RandomState
from foretrain.snapshots.recorder import SnapshotRecorder, Snapshots
from foretrain.snapshots.statistics import MAX_LAYERS, ROWS, STATISTICS

L2 = STATISTICS.index("l2")
CLASSES = 3


class ResidualBlock(nn.Module):
    """As in torchvision: the shortcut is registered last and executed last."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.downsample(x))


class ResNet(nn.Module):
    """The head is registered first and executed last."""

    input_shape = (3, 8, 8)
    layers = ("conv1", "block1.conv1", "block1.conv2", "block2.conv1", "block2.conv2", "block2.downsample", "fc")

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, CLASSES)
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.block1 = ResidualBlock(4, 4, 1)
        self.block2 = ResidualBlock(4, 8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.block2(self.block1(self.conv1(x))).mean((2, 3)))


class MLP(nn.Sequential):
    input_shape = (6,)
    layers = ("0", "2")

    def __init__(self) -> None:
        super().__init__(nn.Linear(6, 10), nn.Tanh(), nn.Linear(10, CLASSES))


class Transformer(nn.Module):
    """``out_proj`` is a dense layer that attention uses without calling it."""

    input_shape = (4, 5)
    layers = ("embed", "block.linear1", "block.linear2", "head", "block.self_attn.out_proj")

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(5, 8)
        self.block = nn.TransformerEncoderLayer(8, 2, dim_feedforward=12, dropout=0.0, batch_first=True)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.block(self.embed(x)).mean(1))


NETWORKS = [ResNet, MLP, Transformer]


class Classifier(LightningModule):
    def __init__(self, network: Callable[[], nn.Module], optimizer: Callable = torch.optim.SGD, **options) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = network()
        self.make_optimizer = lambda: optimizer(self.network.parameters(), **{"lr": 0.1, **options})

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        x, y = batch
        return F.cross_entropy(self.network(x), y)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.make_optimizer()


class TwoOptimizers(Classifier):
    """Steps the body, then the head, by hand."""

    def __init__(self) -> None:
        super().__init__(MLP)
        self.automatic_optimization = False

    def training_step(self, batch: list[Tensor], batch_idx: int) -> None:
        for optimizer in self.optimizers():
            optimizer.zero_grad()
            self.manual_backward(super().training_step(batch, batch_idx))
            optimizer.step()

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return [torch.optim.SGD(layer.parameters(), lr=0.1) for layer in (self.network[0], self.network[2])]


def batches(network: type[nn.Module], count: int = 12) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.randn(4, *network.input_shape, generator=generator), torch.randint(CLASSES, (4,), generator=generator))
        for _ in range(count)
    ]


def loader(network: type[nn.Module], repeat_first: bool = False) -> DataLoader:
    chosen = batches(network, 1) * 12 if repeat_first else batches(network)
    columns = [torch.cat(column) for column in zip(*chosen, strict=True)]
    return DataLoader(TensorDataset(*columns), batch_size=4)


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., SnapshotRecorder]:
    def run(
        module: LightningModule, recorder: SnapshotRecorder, data: DataLoader | None = None, resume=None, **options
    ) -> SnapshotRecorder:
        options = {"max_epochs": 1, "callbacks": [recorder], "enable_checkpointing": False, **options}
        trainer = Trainer(
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
            **options,
        )
        trainer.fit(module, data or loader(MLP), ckpt_path=resume, weights_only=True)
        return recorder

    return run


def by_hand(
    network: type[nn.Module], accumulate: int = 1, clip: float | None = None, precision=nullcontext
) -> Iterator:
    """Trains without Lightning; yields every step's (weights, gradients before clipping) of the recorded layers."""
    module = Classifier(network)
    optimizer = module.configure_optimizers()
    layers = [module.network.get_submodule(name) for name in network.layers]
    for number, batch in enumerate(batches(network), start=1):
        with precision():
            loss = module.training_step(batch, 0) / accumulate
        loss.backward()
        if number % accumulate == 0:
            yield [(layer, copy(layer.weight), copy(layer.weight.grad)) for layer in layers]
            if clip is not None:
                nn.utils.clip_grad_norm_(module.parameters(), clip)
            optimizer.step()
            optimizer.zero_grad()


def copy(tensor: Tensor | None) -> np.ndarray | None:
    return None if tensor is None else tensor.detach().double().numpy().copy()


def assert_recorded(recorded: Snapshots, expected: list, steps: list[int]) -> None:
    """Compares with the trajectory of :func:`by_hand`; only rows that all are kept (no layer has more than 99)."""
    assert recorded.steps.tolist() == steps
    for features, step in zip(recorded.features.numpy(), steps, strict=True):
        for index, (layer, weight, gradient) in enumerate(expected[step - 1]):
            rows = int(recorded.rows[index])
            for kind, tensor in enumerate([weight, gradient]):
                assert_same_statistics(features[kind, index, :rows], describe_layer(layer, tensor, weight))
                assert not features[kind, index, rows:].any()


@pytest.mark.parametrize("network", NETWORKS)
def test_snapshots_agree_with_a_numpy_loop_around_plain_training(network: type[nn.Module], train):
    recorded = train(Classifier(network), SnapshotRecorder(every_n_steps=5), loader(network)).snapshots()
    assert recorded.layers == [f"network.{name}" for name in network.layers]
    assert recorded.features.dtype == torch.float32
    assert recorded.features.shape == (2, 2, len(network.layers), ROWS, len(STATISTICS))
    assert_recorded(recorded, list(by_hand(network)), [5, 10])


def test_gradients_are_accumulated_and_not_clipped(train):
    recorder = SnapshotRecorder(every_n_steps=2)
    train(Classifier(ResNet), recorder, loader(ResNet), accumulate_grad_batches=2, gradient_clip_val=1e-3)
    assert_recorded(recorder.snapshots(), list(by_hand(ResNet, accumulate=2, clip=1e-3)), [2, 4, 6])


@pytest.mark.parametrize("network", NETWORKS)
def test_mixed_precision_in_bfloat16(network: type[nn.Module], train):
    recorder = SnapshotRecorder(every_n_steps=4)
    train(Classifier(network), recorder, loader(network), precision="bf16-mixed")
    expected = by_hand(network, precision=lambda: torch.autocast("cpu", torch.bfloat16, cache_enabled=False))
    assert_recorded(recorder.snapshots(), list(expected), [4, 8, 12])


@pytest.mark.parametrize("fused", [False, True])
def test_mixed_precision_in_float16_gives_unscaled_gradients(fused: bool, train):
    recorder = SnapshotRecorder(every_n_steps=1, max_snapshots=1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    train(Classifier(MLP, fused=fused), recorder, plugins=[MixedPrecision("16-mixed", "cpu", scaler)])
    [first, *_] = by_hand(MLP)
    for index, (_, _, gradient) in enumerate(first):
        assert recorder.snapshots().features[0, 1, index, 0, L2] == pytest.approx(np.linalg.norm(gradient), rel=1e-2)


def test_steps_of_several_optimizers_count_together(train):
    recorded = train(TwoOptimizers(), SnapshotRecorder(every_n_steps=3)).snapshots()
    assert recorded.steps.tolist() == [3, 6, 9, 12, 15, 18, 21, 24]
    assert recorded.layers == ["network.0", "network.2"]


def test_an_optimizer_that_evaluates_its_closure_often_gives_one_snapshot_a_step(train):
    module = Classifier(MLP, torch.optim.LBFGS, max_iter=4)
    recorded = train(module, SnapshotRecorder(every_n_steps=1, max_snapshots=3)).snapshots()
    assert recorded.steps.tolist() == [1, 2, 3]
    [(_, _, gradient), _] = next(by_hand(MLP))
    assert recorded.features[0, 1, 0, 0, L2] == pytest.approx(np.linalg.norm(gradient), rel=1e-5)


class Partial(nn.Module):
    """A layer that is never executed, a frozen one, and one that is called twice."""

    input_shape = MLP.input_shape

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Linear(6, 2)
        self.head = nn.Linear(6, CLASSES)
        self.frozen = nn.Linear(6, 6).requires_grad_(False)
        self.twice = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.twice(self.frozen(self.twice(x))))


def test_unused_frozen_and_shared_layers(train):
    recorded = train(Classifier(Partial), SnapshotRecorder(every_n_steps=6)).snapshots()
    assert recorded.layers == ["network.twice", "network.head", "network.unused"]
    assert recorded.rows.tolist() == [7, CLASSES + 1, 3]
    assert not recorded.features[:, 1, 2].any()
    assert recorded.features[:, 0, 2, :3, L2].all()
    assert recorded.features[:, 1, :2, 0, L2].all()


def test_the_first_65_layers_in_execution_order_are_kept(train):
    class Deep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList([nn.Linear(6, 6) for _ in range(MAX_LAYERS + 2)])
            self.head = nn.Linear(6, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            for block in reversed(self.blocks):
                x = x + block(x)
            return self.head(x)

    recorded = train(Classifier(Deep), SnapshotRecorder(every_n_steps=12)).snapshots()
    assert recorded.layers == [f"network.blocks.{index}" for index in range(MAX_LAYERS + 1, 1, -1)]
    assert recorded.features.shape[2] == MAX_LAYERS


def test_recording_ends_with_the_last_snapshot_and_starts_with_step_n(train):
    assert train(Classifier(MLP), SnapshotRecorder(2, max_snapshots=3)).snapshots().steps.tolist() == [2, 4, 6]
    none_yet = train(Classifier(MLP), SnapshotRecorder(13)).snapshots()
    assert none_yet.features.shape == (0, 2, 2, ROWS, len(STATISTICS))
    assert none_yet.rows.tolist() == [11, CLASSES + 1]
    assert len(SnapshotRecorder().snapshots().layers) == 0


def test_recording_does_not_change_training_and_leaves_no_hooks(train):
    def network() -> nn.Module:
        return nn.Sequential(
            nn.utils.parametrizations.spectral_norm(nn.Linear(6, 8)), nn.Dropout(), nn.Linear(8, CLASSES)
        )

    plain, watched = Classifier(network), Classifier(network)
    for module, recorder in ((plain, SnapshotRecorder(1000)), (watched, SnapshotRecorder(1))):
        torch.manual_seed(1)
        train(module, recorder)
    for name, value in plain.state_dict().items():
        assert torch.equal(value, watched.state_dict()[name])
    assert not any(module._forward_pre_hooks for module in watched.modules())


def test_a_failure_in_the_first_batch_leaves_no_hooks(train):
    module = Classifier(MLP)
    module.network.append(nn.Linear(99, 99))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        train(module, SnapshotRecorder(1))
    assert not any(layer._forward_pre_hooks for layer in module.modules())


def test_a_network_without_layers_is_refused(train):
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor = nn.Parameter(torch.ones(6))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.factor

    with pytest.raises(DataError, match=r"Classifier: has no trainable dense or convolutional layer .*nn\.Linear"):
        train(Classifier(Scale), SnapshotRecorder(1))


@pytest.mark.parametrize("options", [{"every_n_steps": 0}, {"max_snapshots": 0}])
def test_impossible_options_are_refused(options: dict[str, int]):
    with pytest.raises(ValueError, match="must be at least 1"):
        SnapshotRecorder(**options)


def test_only_the_first_process_records(train):
    class SecondProcess(SingleDeviceStrategy):
        is_global_zero = False

    recorded = train(Classifier(MLP), SnapshotRecorder(1), strategy=SecondProcess("cpu"))
    assert recorded.snapshots().features.shape[0] == 0


class Wide(MLP):
    """More than 99 neurons; the layers are executed against the order of their registration."""

    def __init__(self) -> None:
        nn.Sequential.__init__(self, nn.Linear(150, CLASSES), nn.ReLU(), nn.Linear(6, 150))

    def forward(self, x: Tensor) -> Tensor:
        return self[0](self[1](self[2](x)))


def test_the_chosen_rows_depend_on_the_seed_only(train):
    one, same, other = (train(Classifier(Wide), SnapshotRecorder(6, seed=seed)).snapshots() for seed in (0, 0, 1))
    assert one.rows.tolist() == [ROWS, CLASSES + 1]
    assert torch.equal(one.features, same.features)
    assert not torch.equal(one.features[:, :, 0], other.features[:, :, 0])
    assert torch.equal(one.features[:, :, 1], other.features[:, :, 1])


@pytest.mark.filterwarnings("ignore:The dirpath has changed", "ignore:You're resuming from a checkpoint that ended")
@pytest.mark.parametrize("stop_after", [1, 5, 12])
def test_a_resumed_training_gives_the_same_snapshots(stop_after: int, train, tmp_path: Path):
    def run(folder: str, **options) -> Snapshots:
        recorder = SnapshotRecorder(every_n_steps=5, max_snapshots=4)
        checkpoint = ModelCheckpoint(tmp_path / folder, "{step}", every_n_train_steps=stop_after, save_top_k=-1)
        callbacks = [recorder, RandomState(), checkpoint]
        data = loader(Wide, repeat_first=True)  # in the middle of an epoch Lightning begins with the first batch again
        train(Classifier(Wide), recorder, data, max_epochs=2, callbacks=callbacks, **options)
        return recorder.snapshots()

    undisturbed = run("undisturbed", enable_checkpointing=True)
    resumed = run("resumed", enable_checkpointing=True, resume=tmp_path / f"undisturbed/step={stop_after}.ckpt")
    assert resumed.steps.tolist() == undisturbed.steps.tolist() == [5, 10, 15, 20]
    assert resumed.layers == undisturbed.layers == ["network.2", "network.0"]
    assert torch.equal(resumed.rows, undisturbed.rows)
    assert torch.equal(resumed.features, undisturbed.features)


def test_a_recorder_forgets_an_earlier_training_but_goes_on_with_its_own(train):
    recorder = SnapshotRecorder(every_n_steps=6)
    train(Classifier(ResNet), recorder, loader(ResNet))
    assert recorder.snapshots().features.shape[2] == len(ResNet.layers)
    train(Classifier(MLP), recorder)
    assert recorder.snapshots().steps.tolist() == [6, 12]
    assert recorder.snapshots().features.shape[2] == len(MLP.layers)
    module = Classifier(MLP)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        callbacks=[recorder],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, loader(MLP))
    trainer.fit_loop.max_epochs = 2
    trainer.fit(module, loader(MLP))
    assert recorder.snapshots().steps.tolist() == [6, 12, 18, 24]


def test_the_state_holds_tensors_and_primitives_only(train, tmp_path: Path):
    recorder = train(Classifier(MLP), SnapshotRecorder(every_n_steps=4))
    torch.save(recorder.state_dict(), tmp_path / "state.pt")
    restored = SnapshotRecorder(every_n_steps=4)
    restored.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert torch.equal(restored.snapshots().features, recorder.snapshots().features)
    assert restored.snapshots().layers == recorder.snapshots().layers


@pytest.mark.parametrize("options", [{"every_n_steps": 5}, {"seed": 1}])
def test_a_checkpoint_of_another_interval_or_seed_is_refused(options: dict[str, int]):
    with pytest.raises(CheckpointError, match=f"{next(iter(options))}=.*Resume with the same value"):
        SnapshotRecorder(**options).load_state_dict(SnapshotRecorder(every_n_steps=100).state_dict())


def test_snapshots_check_their_shapes():
    with pytest.raises(ValueError, match=r"has shape \[1, 2, 3, 100, 12\] with 2 steps"):
        Snapshots(torch.zeros(1, 2, 3, ROWS, 12), torch.ones(3), torch.tensor([1, 2]), ["a", "b", "c"])
