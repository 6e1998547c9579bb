# DBNet++ with the ResNet-50 of oCLIP: an attention weighs the levels of the pyramid.
_base_ = ["./dbnet_r50-oclip_fpnc.py"]

model = dict(
    neck=dict(attention=dict(type="ScaleChannelSpatialAttention")),
    postprocessor=dict(epsilon_ratio=0.002),  # outlines follow the regions more closely
)
