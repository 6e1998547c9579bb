from dbnet.apis.detector import init_detector
from dbnet.apis.inferencer import TextDetInferencer
from dbnet.images import read_displayed

__all__ = ["TextDetInferencer", "init_detector", "read_displayed"]
