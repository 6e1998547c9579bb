from dbnet.models.necks.fpnc import FPNC

__all__ = ["FPNC"]
