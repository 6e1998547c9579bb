# tools/train.py configs/textdet/dbnet/dbnet_r18_fpnc_1200e_icdar2015_device.py --amp
# The recipe of dbnet_r18_fpnc_1200e_icdar2015.py with the decoded images on the GPU, 2.8 GB as
# uint8, where samples and targets are made. For a GPU that waits for the data workers otherwise.
_base_ = ["./dbnet_r18_fpnc_1200e_icdar2015.py"]

# The only switch; it works in any config, or from the command line:
# --cfg-options default_hooks.device_data.type=DeviceDataHook
default_hooks = dict(device_data=dict(type="DeviceDataHook"))
