"""Import `mmengine.model` without the parts for training in several processes.

FSDP and ZeRO import sympy and torch's compiler, which takes as long as half of torch. A process
that only infers needs neither; one that trains must not import this module.
"""

import sys
import types

FSDP = "mmengine.model.wrappers.fully_sharded_distributed"
ZERO = "torch.distributed.optim"  # mmengine does without it where it cannot be imported

if "mmengine.model" not in sys.modules and not {FSDP, ZERO} & sys.modules.keys():
    placeholder = types.ModuleType(FSDP)
    placeholder.__dict__["MMFullyShardedDataParallel"] = None
    sys.modules.update({FSDP: placeholder, ZERO: None})  # type: ignore[dict-item]  # None: no module
    try:
        import mmengine.model  # noqa: F401
    finally:
        del sys.modules[FSDP], sys.modules[ZERO]
