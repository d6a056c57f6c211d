"""The GPUs as Prometheus gauges, read at the scrape; without NVML or a device there are no series."""

from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rerankd.nvml import Gpu, NoGpu, Nvml

__all__ = ["GpuGauges"]

_FIGURES: tuple[tuple[str, str, Callable[[Gpu], float | None]], ...] = (
    (
        "utilization_ratio",
        "Share of the last moments in which the GPU computed something",
        lambda g: g.utilisation,
    ),
    ("memory_used_bytes", "The GPU's memory in use, by whomever", lambda g: g.memory_bytes - g.free_bytes),
    ("memory_total_bytes", "The GPU's memory", lambda g: g.memory_bytes),
    ("power_watts", "What the GPU draws", lambda g: g.power_watts),
    ("temperature_celsius", "How warm the GPU is", lambda g: g.temperature_celsius),
)


class GpuGauges(Collector):
    """`rerank_gpu_*`, with the labels `gpu` (NVML's index) and `name`."""

    def __init__(self, read: Callable[[], tuple[Gpu, ...] | NoGpu] | None = None) -> None:
        """`read`: by default NVML, where the extra `gpu` is installed."""
        self._read = read or Nvml().read

    def describe(self) -> Iterator[Metric]:
        """The names alone: asked at registration."""
        return iter(self._families(()))

    def collect(self) -> Iterator[Metric]:
        seen = self._read()
        return iter(self._families(() if isinstance(seen, NoGpu) else seen))

    def _families(self, gpus: tuple[Gpu, ...]) -> list[Metric]:
        families: list[Metric] = []
        for name, text, figure in _FIGURES:
            family = GaugeMetricFamily(f"rerank_gpu_{name}", text, labels=("gpu", "name"))
            for gpu in gpus:
                value = figure(gpu)
                if value is not None:
                    family.add_metric((str(gpu.index), gpu.name), value)
            families.append(family)
        return families
