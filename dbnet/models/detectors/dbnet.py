from typing import Any

from mmengine.model import BaseModel, is_model_wrapper
from torch import Tensor, nn

from dbnet.registry import MODELS


@MODELS.register_module()
class DBNet(BaseModel):
    """Text detector of "Real-time Scene Text Detection with Differentiable Binarization".

    Paper: https://arxiv.org/abs/1911.08947. Data flow:

    images (N, 3, H, W)
      -> backbone   c2..c5, strides 4, 8, 16, 32
      -> neck       (N, C, H/4, W/4)
      -> det_head   probability, threshold and binary map, each (N, H, W)
      -> loss (training) or postprocessor (inference)

    Without a neck, the backbone makes what the head reads. A backbone that brings a branch for the
    probability map along (`head_branch`) gives it to the head.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict | None,
        det_head: dict,
        loss: dict,
        postprocessor: dict,
        data_preprocessor: dict | None = None,
    ) -> None:
        # Built here: BaseModel would look in mmengine's root registry alone.
        super().__init__(MODELS.build(data_preprocessor) if data_preprocessor else None)
        self.backbone = MODELS.build(backbone)
        width = self.backbone.out_channels
        self.neck = nn.Identity()
        if neck is not None:
            self.neck = MODELS.build(neck, default_args=dict(in_channels=width))
            width = self.neck.out_channels
        brought = dict(in_channels=width)
        if hasattr(self.backbone, "head_branch"):
            brought["binarize"] = self.backbone.head_branch
        self.det_head = MODELS.build(det_head, default_args=brought)
        self.loss_module = MODELS.build(loss)
        self.postprocessor = MODELS.build(postprocessor)

    def init_weights(self) -> None:
        """Load pretrained weights into the parts that have some; the others have theirs."""
        for part in self.children():
            if hasattr(part, "init_weights"):
                part.init_weights()

    def forward(
        self,
        inputs: Tensor,
        targets: dict[str, Tensor] | None = None,
        metas: list[dict] | None = None,
        mode: str = "tensor",
    ) -> Tensor | dict[str, Tensor] | list[dict]:
        """Run the network; MMEngine's runner asks for `mode` "loss" or "predict".

        Args:
            inputs: Normalised images, (N, 3, H, W).
            targets: The four maps of `GenerateDBTargets`, each (N, H, W). Needed for "loss".
            metas: One dict per image with `scale_factor` and `ori_shape`. Needed for "predict".
            mode: "tensor" for `prob_map`, "loss" for named losses, "predict" for polygons and
                scores.
        """
        features = self.neck(self.backbone(inputs))
        if mode == "loss":
            return self.loss_module(self.det_head(features), targets)
        prob_map = self.det_head(features, mode="predict")
        if mode == "tensor":
            return prob_map
        if mode == "predict":
            return self.postprocessor(prob_map, metas)
        raise ValueError(f'mode must be "tensor", "loss" or "predict", got "{mode}"')


def unwrap(model: Any) -> nn.Module:
    """Return the detector inside a wrapper for several processes, or the model itself."""
    return model.module if is_model_wrapper(model) else model
