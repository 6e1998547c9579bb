from dbnet.models.necks.fpnc import FPNC
from dbnet.models.necks.scale_fusion import ScaleChannelSpatialAttention

__all__ = ["FPNC", "ScaleChannelSpatialAttention"]
