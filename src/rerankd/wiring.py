"""Builds a reranker from settings: the only place that knows all concrete classes."""

from collections.abc import Sequence
from dataclasses import replace

from rerankd.core.ports import Model, Observer
from rerankd.flags.choice import choose
from rerankd.reranker import Reranker
from rerankd.settings import Settings

__all__ = ["build", "open_reranker"]


def open_reranker(
    model: str | None = None,
    *,
    device: str | None = None,
    settings: Settings | None = None,
    observers: Sequence[Observer] = (),
    wait: bool = True,
    require_model: bool = False,
) -> Reranker:
    """A reranker from the environment's settings; use it as a context manager, sync or async.

    `model`: a hub id, a folder or an alias, instead of `CROSS_ENCODER_MODEL`. `device`: instead of `DEVICE`.
    `wait=False`: entering the context does not wait until the model is loaded; answers fall open until then.
    `require_model=True`: entering raises `BackendError` when the model cannot be loaded.

    Raises `ConfigError` for a wrong setting, naming it.
    """
    settings = settings or Settings.load()
    if model is not None:
        settings = replace(settings, model=replace(settings.model, model=model))
    if device is not None:
        settings = replace(settings, model=replace(settings.model, device=device))
    return build(settings, observers=observers, wait=wait, require_model=require_model)


def build(
    settings: Settings,
    *,
    observers: Sequence[Observer] = (),
    wait: bool = True,
    require_model: bool = False,
) -> Reranker:
    """The reranker that the settings describe. Nothing is loaded before its context is entered."""

    def load() -> Model:
        # heavy imports belong to the loader's thread, not to `import rerankd`
        from rerankd.backends.onnx import load_onnx
        from rerankd.models.resolve import resolve

        return load_onnx(resolve(settings.model, data_dir=settings.data_dir), settings.model.device)

    return Reranker(
        load,
        name=settings.model.model,
        policy=settings.rerank,
        breaker=settings.breaker,
        batch=settings.batch,
        estimate=settings.estimate,
        watch=settings.watch,
        flag=choose(settings.flag, enabled=settings.enabled),
        flag_poll_ms=settings.flag.poll_ms,
        retry_ms=settings.model.retry_ms,
        retry_max_ms=settings.model.retry_max_ms,
        observers=observers,
        wait=wait,
        require_model=require_model,
    )
