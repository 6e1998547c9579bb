from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.models import resnet18, resnet50
from torchvision.models.resnet import BasicBlock, Bottleneck

from dbnet.models.backbones.deform_conv import ModulatedDeformConv2d
from dbnet.models.backbones.imagenet import load_imagenet_weights
from dbnet.models.backbones.staged import StagedBackbone
from dbnet.registry import MODELS

BUILDERS = {18: resnet18, 50: resnet50}
STAGE_CHANNELS = (64, 128, 256, 512)  # before a block's expansion


@MODELS.register_module()
class ResNet(StagedBackbone):
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
        super().__init__(frozen_stages, norm_eval, init_cfg)
        if depth not in BUILDERS:
            raise ValueError(f"depth must be one of {sorted(BUILDERS)}, got {depth}")
        if style not in ("pytorch", "caffe"):
            raise ValueError(f'style must be "pytorch" or "caffe", got "{style}"')
        if len(stage_with_dcn) != 4:
            raise ValueError(f"stage_with_dcn must have 4 entries, got {stage_with_dcn}")

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
        self.keep_frozen()

    @property
    def stem_parts(self) -> list[nn.Module]:
        return [self.conv1, self.bn1]

    def forward_stem(self, x: Tensor) -> Tensor:
        return self.maxpool(self.relu(self.bn1(self.conv1(x))))

    def init_weights(self) -> None:
        """Load the ImageNet weights that `init_cfg` names, if any."""
        if self.init_cfg is not None:
            load_imagenet_weights(self, self.init_cfg["checkpoint"])


def move_stride_to_first_conv(block: Bottleneck) -> None:
    """Turn torchvision's bottleneck ("pytorch" style) into the original one of Caffe."""
    block.conv1.stride, block.conv2.stride = block.conv2.stride, (1, 1)


def make_deformable(block: BasicBlock | Bottleneck) -> None:
    """Replace the 3x3 convolution `conv2` of a block by a deformable one of the same weights."""
    plain = block.conv2
    deformable = ModulatedDeformConv2d(plain.in_channels, plain.out_channels, plain.stride[0])
    deformable.weight.data.copy_(plain.weight.data)
    block.conv2 = deformable
