from dbnet.models.necks.fpnc import FPNC
from dbnet.models.necks.rep_lk_fpn import RepLKFPN
from dbnet.models.necks.scale_fusion import ScaleChannelSpatialAttention

__all__ = ["FPNC", "RepLKFPN", "ScaleChannelSpatialAttention"]
