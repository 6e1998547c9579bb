# DBNet++ with ResNet-50: an attention weighs the levels of the pyramid.
_base_ = ["./dbnet_r50_fpnc.py"]

model = dict(
    neck=dict(attention=dict(type="ScaleChannelSpatialAttention")),
    postprocessor=dict(epsilon_ratio=0.002),  # outlines follow the regions more closely
)
