import torch
from torch import Tensor, nn

from dbnet.registry import MODELS


@MODELS.register_module()
class DBHead(nn.Module):
    """Predict the probability, threshold and binary map of Differentiable Binarization.

    Maps are computed in float32 from the last layer's output on, also under AMP: with k = 50 half
    precision would cost the binary map most of its digits.

    Deviation from MhLiao/DB and MMOCR: the last two layers start small, with P = 0.25 everywhere.
    A transposed convolution's Kaiming fan-in counts out_channels, which makes the single-channel
    layer start with logits of several units, and a run from scratch then tends to stay at the
    constant predictor (mmocr #349). A checkpoint overwrites all of it.

    Args:
        in_channels: Channels of the neck's output, at stride 4.
        k: Amplifying factor of the paper's equation 3.
        norm: False for convolutions with biases and no batch norms, as in files whose batch norms
            are folded.
        binarize: The branch to the logits of the probability map, (N, 1, H, W), where one comes
            from elsewhere (see `DBNet`); None makes a new one.
    """

    def __init__(
        self,
        in_channels: int,
        k: float = 50.0,
        norm: bool = True,
        binarize: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.k = k
        # Balanced cross-entropy weighs 1 text pixel against 3 background ones: P = 0.25 is its
        # constant optimum, logit ln(0.25 / 0.75) = -1.1.
        if binarize is None:
            binarize = upsampling_branch(in_channels, output_bias=-1.1, norm=norm)
        self.binarize = binarize
        self.threshold = upsampling_branch(in_channels, output_bias=0.0, norm=norm)

    def forward(self, x: Tensor, mode: str = "loss") -> dict[str, Tensor] | Tensor:
        """Compute the maps at the resolution of the image.

        Args:
            x: Features, (N, in_channels, H/4, W/4).
            mode: "loss" for all maps; "predict" for `prob_map` alone, without the threshold branch.

        Returns:
            `prob_logits`, `prob_map`, `thresh_map` and `binary_map`, or `prob_map`; each
            (N, H, W) float32.
        """
        prob_logits = self.binarize(x).squeeze(1).float()  # (N, 1, H, W) to (N, H, W)
        prob_map = prob_logits.sigmoid()
        if mode == "predict":
            return prob_map
        if mode != "loss":
            raise ValueError(f'mode must be "loss" or "predict", got "{mode}"')
        thresh_map = self.threshold(x).squeeze(1).float().sigmoid()
        return dict(
            prob_logits=prob_logits,
            prob_map=prob_map,
            thresh_map=thresh_map,
            binary_map=torch.sigmoid(self.k * (prob_map - thresh_map)),
        )


def upsampling_branch(in_channels: int, output_bias: float, norm: bool = True) -> nn.Sequential:
    """Build one branch of the head: (N, C, h, w) to logits (N, 1, 4h, 4w).

    Indices are MMOCR's; the sigmoid that follows has no parameters and is left to the caller.
    """
    inner = in_channels // 4
    first = nn.Conv2d(in_channels, inner, 3, padding=1, bias=not norm)
    middle = nn.ConvTranspose2d(inner, inner, 2, stride=2)
    last = nn.ConvTranspose2d(inner, 1, 2, stride=2)
    nn.init.kaiming_normal_(first.weight, nonlinearity="relu")
    nn.init.normal_(middle.weight, std=0.12)
    nn.init.normal_(last.weight, std=0.02)
    for layer, bias in ((first, 0.0), (middle, 0.0), (last, output_bias)):
        if layer.bias is not None:
            nn.init.constant_(layer.bias, bias)
    return nn.Sequential(
        first,
        nn.BatchNorm2d(inner) if norm else nn.Identity(),
        nn.ReLU(inplace=True),
        middle,
        nn.BatchNorm2d(inner) if norm else nn.Identity(),
        nn.ReLU(inplace=True),
        last,
    )
