from collections.abc import Sequence

from mmengine.evaluator import BaseMetric

from dbnet.evaluation.closing_lines import WITH_INTERVAL
from dbnet.evaluation.counts import (
    count_images,
    join_overlaps,
    measure_image,
    metrics_with_intervals,
)
from dbnet.registry import METRICS


@METRICS.register_module()
class HmeanIOUMetric(BaseMetric):
    """Precision, recall and hmean of text detection on ICDAR2015's terms.

    A prediction hits a text if their IoU exceeds 0.5. One with more than half of its area in a
    single ignored text does not count. Three ways of counting are reported, under `icdar/`:

    - `precision`, `recall`, `hmean`, `best_score_thr`: MMOCR's. Of the score thresholds 0.3, 0.4,
      ... 0.9 the one (the lowest, if several) with the best hmean, first-come matching. The
      threshold is chosen on the data that is evaluated.
    - `official_precision`, `official_recall`, `official_hmean`: the competition's. All predictions,
      whatever their score, first-come matching.
    - `max_hmean`: as `hmean`, but with a maximum bipartite matching. Its best threshold may be
      another one.

    How closely the outlines fit, counted as `official_*`:

    - `hmean_iou60`, `hmean_iou70`, `hmean_iou80`: hmean where a hit needs more than that IoU;
      `hmean_iou_mean`: the mean of it at 0.5, 0.6, 0.7 and 0.8.
    - `mean_iou`: mean IoU of the official matches, 0 if there is none.

    If a prediction comes without scores (None), only the official ones and these exist.

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
