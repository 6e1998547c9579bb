"""The lines in which the tools state metrics at their end."""

WITH_INTERVAL = ("hmean", "official_hmean")


def format_metrics(metrics: dict[str, float]) -> list[str]:
    """Write the closing lines of the tools: protocols, fit, intervals, `icdar`, `official`.

    The metrics have keys such as `icdar/hmean`; others are skipped.
    """
    protocols = [key.removesuffix("hmean") for key in metrics if key.endswith("/hmean")]
    lines = [_protocol_line(metrics, prefix) for prefix in protocols if prefix != "icdar/"]
    if "icdar/mean_iou" in metrics:
        strict = [metrics[f"icdar/hmean_iou{percent}"] for percent in (60, 70, 80)]
        at = ", ".join(f"{hmean:.4f} at IoU {iou}" for hmean, iou in zip(strict, (0.6, 0.7, 0.8)))
        lines.append(f"fit: hmean {at}; mean IoU {metrics['icdar/mean_iou']:.4f}")
    bounds = [_interval(metrics, "icdar/", name) for name in WITH_INTERVAL]
    if any(bounds):
        lines.append(f"95 % intervals over images: {', '.join(filter(None, bounds))}")
    if "icdar/hmean" in metrics:
        threshold = f"(score threshold {metrics['icdar/best_score_thr']:.1f})"
        lines.append(f"icdar: {_triple(metrics, 'icdar/')} {threshold}")
    if "icdar/official_hmean" in metrics:
        lines.append(f"official: {_triple(metrics, 'icdar/official_')}")
    return lines


def _protocol_line(metrics: dict[str, float], prefix: str) -> str:
    interval = _interval(metrics, prefix, "hmean")
    ends = f" (95 % interval: {interval})" if interval else ""
    return f"{prefix[:-1]}: {_triple(metrics, prefix)}{ends}"


def _interval(metrics: dict[str, float], prefix: str, name: str) -> str:
    ends = [metrics.get(f"{prefix}{name}_{end}") for end in ("low", "high")]
    return "" if None in ends else f"{name} {ends[0]:.4f} to {ends[1]:.4f}"


def _triple(metrics: dict[str, float], prefix: str) -> str:
    names = ("precision", "recall", "hmean")
    return " ".join(f"{name} {metrics[prefix + name]:.4f}" for name in names)
