"""Training samples made on the accelerator, from decoded images that live there as uint8.

    before training every image, decoded or drawn once -> `store`
    data workers    annotation -> `Planner` -> `SamplePlan` -> `collate_plans` -> one buffer
    accelerator     buffer, `store` -> `warp_batch` -> `jitter_batch` -> inputs (N, 3, H, W) uint8
                           `-> `draw_target_maps` -> targets, four maps (N, H, W)

The plans hold what the transforms of the pipeline drew, by the same functions and the same random
numbers. Nothing on the accelerator waits for the host or the host for it: every size is known to
the plan.
"""

from dbnet.datasets.device.batch_maker import DeviceBatchMaker
from dbnet.datasets.device.packing import PackedPlans, collate_plans
from dbnet.datasets.device.planned_dataset import PlannedDataset, plan_dataset
from dbnet.datasets.device.plans import Planner, SamplePlan, pipeline_parts
from dbnet.datasets.device.shard_sampler import ShardKeySampler
from dbnet.datasets.device.store import StoreLayout, fill_store, lay_out

__all__ = [
    "DeviceBatchMaker",
    "PackedPlans",
    "PlannedDataset",
    "Planner",
    "SamplePlan",
    "ShardKeySampler",
    "StoreLayout",
    "collate_plans",
    "fill_store",
    "lay_out",
    "pipeline_parts",
    "plan_dataset",
]
