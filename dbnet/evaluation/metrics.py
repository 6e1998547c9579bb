"""Metrics of MMEngine's evaluator: ICDAR2015's, those of other protocols, and none at all."""

from collections.abc import Sequence

import numpy as np
from mmengine.evaluator import BaseMetric

from dbnet.errors import UserError
from dbnet.evaluation.closing_lines import WITH_INTERVAL
from dbnet.evaluation.counts import (
    count_images,
    join_overlaps,
    measure_image,
    metrics_with_intervals,
)
from dbnet.evaluation.protocols.counting import PROTOCOLS
from dbnet.evaluation.protocols.scene import Row, Scene
from dbnet.evaluation.results import entry_of
from dbnet.registry import METRICS


@METRICS.register_module()
class HmeanIOUMetric(BaseMetric):
    """Precision, recall and hmean of text detection on ICDAR2015's terms; see docs/metrics.md.

    A prediction hits a text if their IoU exceeds 0.5. One with more than half of its area in a
    single ignored text does not count. Under `icdar/`, `precision`, `recall`, `hmean` and
    `best_score_thr` are MMOCR's, at the score threshold with the best hmean on these data;
    `official_...` are the competition's, of all predictions, whatever their score; `max_hmean` is
    with maximum bipartite matching; `hmean_iou...` and `mean_iou` tell how closely outlines fit. If
    a prediction comes without scores (None), only the official ones and these last exist.

    Args:
        collect_device: How results of several processes are gathered: "gpu" by messages, also on
            CPUs; "cpu" by files, for which all hosts must share the current folder.
        prefix: Instead of `icdar`.
        bootstrap: Resamples of the images, of which `hmean_low`, `hmean_high` and the same of
            `official_hmean` come, the ends of their 95 % intervals; 0 for none.
    """

    default_prefix = "icdar"

    def __init__(
        self, collect_device: str = "gpu", prefix: str | None = None, bootstrap: int = 0
    ) -> None:
        super().__init__(collect_device, prefix)
        self.bootstrap = bootstrap

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep what a batch adds: a small matrix of IoU and the scores per image.

        `metas` of the batch has `gt_polygons`, a list of (K, 2) arrays in pixels of the original
        image, and `gt_ignored`; a sample has `polygons`, M arrays (K, 2) in the same frame, and
        `scores`, (M,) or None.
        """
        for meta, prediction in zip(data_batch["metas"], data_samples):
            truth = meta["gt_polygons"], meta["gt_ignored"]
            self.results.append(measure_image(*truth, prediction["polygons"], prediction["scores"]))

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Sum the counts over all images and form the metrics, plain floats without prefix."""
        counts = count_images(join_overlaps(results))
        return metrics_with_intervals(counts, self.bootstrap, WITH_INTERVAL)


@METRICS.register_module()
class ProtocolMetric(BaseMetric):
    """Precision, recall and hmean of one protocol, on all predictions whatever their score.

    The keys are `NAME/precision`, `NAME/recall`, `NAME/hmean`; the protocol is named as in `dbnet
    evaluate --protocol`, see docs/metrics.md. `prefix` stands instead of the name; see
    `HmeanIOUMetric` for the others.
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


@METRICS.register_module()
class PredictionCollector(BaseMetric):
    """Gather the predictions of all processes, in the form that `results.json` has.

    After `evaluate`, the attribute `images` of the main process holds a dict per image, in the
    order of the dataset: `img_path`, `polygons` (flat lists [x1, y1, ...], pixels of the original
    image) and `scores`. It adds no metrics.
    """

    default_prefix = "predictions"  # of no key; mmengine warns without one

    images: Sequence[dict] = ()

    def __init__(self) -> None:
        super().__init__(collect_device="gpu")  # by messages: hosts need not share a folder

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep a batch's predictions as lists, see `entry_of`."""
        for meta, prediction in zip(data_batch["metas"], data_samples):
            self.results.append(entry_of(meta["img_path"], prediction))

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Store the gathered images."""
        self.images = results
        return {}
