from dbnet.models.detectors.dbnet import DBNet

__all__ = ["DBNet"]
