from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from dbnet.checkpoints.read import read_checkpoint
from dbnet.errors import UserError
from dbnet.models.onnx_operators import keep_statistics
from dbnet.registry import MODELS

if TYPE_CHECKING:
    from torchvision.models.resnet import BasicBlock, Bottleneck

DEPTHS = (18, 50)
STAGE_CHANNELS = (64, 128, 256, 512)  # before a block's expansion
FIX = (
    "give a local file with --cfg-options model.backbone.init_cfg.checkpoint=FILE, "
    "or train from scratch on purpose with --cfg-options model.backbone.init_cfg=None"
)


class StagedBackbone(nn.Module):
    """Stem and four stages with freezing (`frozen_stages`, `norm_eval`).

    A subclass makes `layer1` to `layer4` and calls `keep_frozen` at the end of its `__init__`.

    Args:
        frozen_stages: The stem (0) and the stages 1..frozen_stages get no gradients and keep their
            batch statistics; -1 freezes nothing.
        norm_eval: Keep the running statistics of every batch norm fixed in training.
        init_cfg: `dict(type="Pretrained", checkpoint=...)`; None starts from scratch.

    Attributes:
        out_channels: Channels of c2..c5.
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
        """Freeze the stem and the stages that `frozen_stages` counts, statistics included."""
        stem = self.stem_parts if self.frozen_stages >= 0 else []
        for module in (*stem, *self.stages[: max(self.frozen_stages, 0)]):
            module.eval().requires_grad_(False)


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
        frozen_stages, norm_eval, init_cfg: See `StagedBackbone`. The checkpoint is
            "torchvision://resnet18", a URL or a local file.
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
        if depth not in DEPTHS:
            raise ValueError(f"depth must be one of {list(DEPTHS)}, got {depth}")
        if style not in ("pytorch", "caffe"):
            raise ValueError(f'style must be "pytorch" or "caffe", got "{style}"')
        if len(stage_with_dcn) != 4:
            raise ValueError(f"stage_with_dcn must have 4 entries, got {stage_with_dcn}")

        from torchvision.models import resnet  # takes as long as half of torch

        # torchvision's default weights: none, Kaiming initialisation
        trunk = getattr(resnet, f"resnet{depth}")()
        self.conv1, self.bn1, self.relu, self.maxpool, *stages = list(trunk.children())[:8]
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        for stage, with_dcn in zip(self.stages, stage_with_dcn):
            for block in stage:
                if style == "caffe" and isinstance(block, resnet.Bottleneck):
                    block.conv1.stride, block.conv2.stride = block.conv2.stride, (1, 1)
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


def make_deformable(block: "BasicBlock | Bottleneck") -> None:
    """Replace the 3x3 convolution `conv2` of a block by a deformable one of the same weights."""
    plain = block.conv2
    deformable = ModulatedDeformConv2d(plain.in_channels, plain.out_channels, plain.stride[0])
    deformable.weight.data.copy_(plain.weight.data)
    block.conv2 = deformable


class ModulatedDeformConv2d(nn.Conv2d):
    """Deformable convolution v2 (Zhu et al. 2019) on torchvision's operator.

    Parameters have mmcv's names and layout (`weight`, `conv_offset.weight`, `conv_offset.bias`), so
    MMOCR's checkpoints fit. `conv_offset` yields, for each of the K = kh * kw points, 2K offsets
    (y and x in turn, in pixels) and K modulation logits. It starts at zero: the layer then is half
    of the plain convolution (sigmoid(0) = 0.5), as in mmcv.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.conv_offset = nn.Conv2d(in_channels, 3 * 9, 3, stride, padding=1)
        nn.init.zeros_(self.conv_offset.weight)
        if self.conv_offset.bias is not None:
            nn.init.zeros_(self.conv_offset.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H / stride, W / stride)."""
        from torchvision.ops import deform_conv2d

        first, second, logits = self.conv_offset(x).chunk(3, dim=1)  # (N, 9, H', W') each
        offset = torch.cat((first, second), dim=1)
        # The operator has no half-precision kernel on CPUs; on GPUs torchvision casts likewise.
        exact = torch.promote_types(self.weight.dtype, torch.float32)
        with torch.autocast(x.device.type, enabled=False):
            return deform_conv2d(
                x.to(exact),
                offset.to(exact),
                self.weight,
                stride=self.stride,
                padding=self.padding,
                mask=logits.to(exact).sigmoid(),
            )


def load_imagenet_weights(
    backbone: nn.Module,
    checkpoint: str,
    what: str = "ImageNet",
    rename: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] = dict,
) -> None:
    """Load a pre-trained checkpoint, of a classifier or the like, into a backbone.

    The classifier (`fc.*`) is left out; the offsets of deformable convolutions, which such a file
    cannot hold, keep their start.

    `rename` maps the file's state dict to the backbone's names, `what` is for messages.
    """
    try:
        loaded = read_checkpoint(checkpoint)
    except UserError as error:
        raise UserError(f"{what} weights: {error}; {FIX}") from None
    state = rename(loaded.get("state_dict", loaded))
    state = {key: value for key, value in state.items() if not key.startswith("fc.")}
    where = f"{what} weights {checkpoint} are not of this backbone"
    try:
        result = backbone.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise UserError(f"{where}: {str(error).splitlines()[1].strip()}; {FIX}") from error
    missing = [key for key in result.missing_keys if "conv_offset" not in key]
    if missing or result.unexpected_keys:
        raise UserError(
            f"{where}: {len(missing)} keys missing, {len(result.unexpected_keys)} unexpected "
            f"(first: {(missing + result.unexpected_keys)[0]}); {FIX}"
        )
