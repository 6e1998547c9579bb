from collections.abc import Sequence

import numpy as np
from mmengine.evaluator import BaseMetric

from dbnet.errors import UserError
from dbnet.evaluation.counts import metrics_with_intervals
from dbnet.evaluation.protocols.counting import PROTOCOLS
from dbnet.evaluation.protocols.scene import Row, Scene
from dbnet.registry import METRICS


@METRICS.register_module()
class ProtocolMetric(BaseMetric):
    """Precision, recall and hmean of one protocol, on all predictions whatever their score.

    The keys are `NAME/precision`, `NAME/recall`, `NAME/hmean`.

    Args:
        protocol: Name of the protocol, as in `dbnet evaluate --protocol`; see docs/metrics.md.
        collect_device: See `HmeanIOUMetric`.
        prefix: Instead of the name.
        bootstrap: Resamples of the images, of which `hmean_low` and `hmean_high` come, the ends of
            a 95 % interval; 0 for none.
    """

    def __init__(
        self,
        protocol: str,
        collect_device: str = "gpu",
        prefix: str | None = None,
        bootstrap: int = 0,
    ) -> None:
        if protocol not in PROTOCOLS:
            raise UserError(f"ProtocolMetric: no protocol {protocol!r}; one of {[*PROTOCOLS]}")
        super().__init__(collect_device, prefix or protocol)
        self.count = PROTOCOLS[protocol]
        self.bootstrap = bootstrap

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep what the images of a batch add to the sums; `metas` also has `gt_num_chars`."""
        for meta, prediction in zip(data_batch["metas"], data_samples):
            chars = meta.get("gt_num_chars", ())
            scene = Scene(meta["gt_polygons"], meta["gt_ignored"], prediction["polygons"], chars)
            self.results.append(tuple(map(float, self.count(scene))))

    def compute_metrics(self, results: list[tuple[float, ...]]) -> dict[str, float]:
        """Form the metrics from what `process` kept of every image."""
        counts = np.array(results, np.float64).reshape(-1, len(Row._fields))
        return metrics_with_intervals(counts, self.bootstrap, ["hmean"])
