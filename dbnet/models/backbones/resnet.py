from collections.abc import Iterable, Sequence

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.models import resnet18, resnet50
from torchvision.models.resnet import BasicBlock, Bottleneck

from dbnet.models.backbones.deform_conv import ModulatedDeformConv2d
from dbnet.models.backbones.imagenet import load_imagenet_weights
from dbnet.registry import MODELS

BUILDERS = {18: resnet18, 50: resnet50}
STAGE_CHANNELS = (64, 128, 256, 512)  # before a block's expansion


@MODELS.register_module()
class ResNet(nn.Module):
    """ResNet trunk that returns the features of its four stages.

    The blocks are torchvision's; names and shapes in the state dict are those of torchvision and of
    MMOCR alike.

    Args:
        depth: 18 or 50.
        style: Where a bottleneck has its stride: "pytorch" in the 3x3 convolution, "caffe" in the
            first 1x1. Keys and shapes are the same, outputs differ: MMOCR's r50dcnv2 files of
            2021-03-25 need "caffe". ResNet-18 has no bottleneck, so there is no difference.
        stage_with_dcn: For each stage, whether its 3x3 convolutions (the last of each block) are
            deformable v2.
        frozen_stages: The stem (0) and the stages 1..frozen_stages get no gradients and keep their
            batch statistics; -1 freezes nothing.
        norm_eval: Keep the running statistics of every batch norm fixed in training.
        init_cfg: `dict(type="Pretrained", checkpoint=...)` with "torchvision://resnet18", a URL or
            a local file; None starts from scratch.

    Attributes:
        out_channels: Channels of c2..c5.
    """

    def __init__(
        self,
        depth: int,
        style: str = "pytorch",
        stage_with_dcn: Sequence[bool] = (False, False, False, False),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__()
        if depth not in BUILDERS:
            raise ValueError(f"depth must be one of {sorted(BUILDERS)}, got {depth}")
        if style not in ("pytorch", "caffe"):
            raise ValueError(f'style must be "pytorch" or "caffe", got "{style}"')
        if len(stage_with_dcn) != 4:
            raise ValueError(f"stage_with_dcn must have 4 entries, got {stage_with_dcn}")
        if not -1 <= frozen_stages <= 4:
            raise ValueError(f"frozen_stages must lie in -1..4, got {frozen_stages}")
        if init_cfg is not None and init_cfg.get("type") != "Pretrained":
            raise ValueError(f'init_cfg must be None or of type "Pretrained", got {init_cfg}')
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.init_cfg = init_cfg

        trunk = BUILDERS[depth]()  # torchvision's default weights: none, Kaiming initialisation
        self.conv1, self.bn1, self.relu, self.maxpool = (
            trunk.conv1,
            trunk.bn1,
            trunk.relu,
            trunk.maxpool,
        )
        self.layer1, self.layer2 = trunk.layer1, trunk.layer2
        self.layer3, self.layer4 = trunk.layer3, trunk.layer4
        for stage, with_dcn in zip(self.stages, stage_with_dcn):
            for block in stage:
                if style == "caffe" and isinstance(block, Bottleneck):
                    move_stride_to_first_conv(block)
                if with_dcn:
                    make_deformable(block)
        self.out_channels = tuple(c * trunk.layer1[0].expansion for c in STAGE_CHANNELS)
        self._freeze()

    @property
    def stages(self) -> list[nn.Sequential]:
        return [self.layer1, self.layer2, self.layer3, self.layer4]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map images (N, 3, H, W) to c2..c5, strides 4, 8, 16 and 32."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))  # (N, 64, H/4, W/4)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return tuple(features)

    def init_weights(self) -> None:
        """Load the ImageNet weights that `init_cfg` names, if any."""
        if self.init_cfg is not None:
            load_imagenet_weights(self, self.init_cfg["checkpoint"])

    def train(self, mode: bool = True) -> "ResNet":
        super().train(mode)
        if mode:
            self._freeze()
            if self.norm_eval:
                keep_statistics(self)
        return self

    def _freeze(self) -> None:
        stem: list[nn.Module] = [self.conv1, self.bn1] if self.frozen_stages >= 0 else []
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


def move_stride_to_first_conv(block: Bottleneck) -> None:
    """Turn torchvision's bottleneck ("pytorch" style) into the original one of Caffe."""
    block.conv1.stride, block.conv2.stride = block.conv2.stride, (1, 1)


def make_deformable(block: BasicBlock | Bottleneck) -> None:
    """Replace the 3x3 convolution `conv2` of a block by a deformable one of the same weights."""
    plain = block.conv2
    deformable = ModulatedDeformConv2d(plain.in_channels, plain.out_channels, plain.stride[0])
    deformable.weight.data.copy_(plain.weight.data)
    block.conv2 = deformable
