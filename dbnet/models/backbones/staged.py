from collections.abc import Iterable

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class StagedBackbone(nn.Module):
    """A stem and four stages, `layer1` to `layer4`, that can be kept as they are.

    A subclass makes the layers and calls `keep_frozen` at the end of its `__init__`.

    Args:
        frozen_stages: The stem (0) and the stages 1..frozen_stages get no gradients and keep their
            batch statistics; -1 freezes nothing.
        norm_eval: Keep the running statistics of every batch norm fixed in training.
        init_cfg: `dict(type="Pretrained", checkpoint=...)`, or None.
    """

    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential

    def __init__(self, frozen_stages: int, norm_eval: bool, init_cfg: dict | None) -> None:
        super().__init__()
        if not -1 <= frozen_stages <= 4:
            raise ValueError(f"frozen_stages must lie in -1..4, got {frozen_stages}")
        if init_cfg is not None and init_cfg.get("type") != "Pretrained":
            raise ValueError(f'init_cfg must be None or of type "Pretrained", got {init_cfg}')
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.init_cfg = init_cfg

    @property
    def stem_parts(self) -> list[nn.Module]:
        """The parts of the stem that have weights."""
        raise NotImplementedError

    def forward_stem(self, x: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to what `layer1` takes, (N, C, H/4, W/4)."""
        raise NotImplementedError

    @property
    def stages(self) -> list[nn.Sequential]:
        return [self.layer1, self.layer2, self.layer3, self.layer4]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map images (N, 3, H, W) to c2..c5, strides 4, 8, 16 and 32."""
        x = self.forward_stem(x)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return tuple(features)

    def train(self, mode: bool = True) -> "StagedBackbone":
        super().train(mode)
        if mode:
            self.keep_frozen()
            if self.norm_eval:
                keep_statistics(self)
        return self

    def keep_frozen(self) -> None:
        """Freeze what `frozen_stages` says."""
        stem = self.stem_parts if self.frozen_stages >= 0 else []
        freeze([*stem, *self.stages[: max(self.frozen_stages, 0)]])


def freeze(modules: Iterable[nn.Module]) -> None:
    """Let modules get no gradients and keep their batch statistics."""
    for module in modules:
        module.eval()
        module.requires_grad_(False)


def keep_statistics(module: nn.Module) -> None:
    """Let every batch norm in a module normalise by its running statistics and leave them."""
    for part in module.modules():
        if isinstance(part, _BatchNorm):
            part.eval()
