from dbnet.apis.detector import init_detector
from dbnet.apis.images import read_displayed
from dbnet.apis.inferencer import TextDetInferencer

__all__ = ["TextDetInferencer", "init_detector", "read_displayed"]
