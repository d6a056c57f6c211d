"""python -m tests.prove_scale.service ADDRESS|- MODEL PORT FOLDER: `rerankd serve --ray`, over what is deployed."""

import asyncio
import sys

from rerankd.backends.replicas import load_replicas
from rerankd.core.ports import Model
from rerankd.engine.clock import SystemClock
from rerankd.scale.cluster import connect
from rerankd.scale.handle import ServeReplicas
from rerankd.scale.serve import APPLICATION, service_in_front
from rerankd.settings import Settings
from rerankd.wiring import build_service
from tests.prove_scale.sleepers import sleeping_model


def main() -> None:
    address, model, port, folder = sys.argv[1:]
    given = Settings.load(
        {},
        **{
            "ray.address": "" if address == "-" else address,
            "model.model": model,
            "http.listen_port": port,
            "data_dir": folder,
            # closed loops without a limit of time measure what is done and not what is refused
            "http.max_budget_ms": 60_000,
        },
    )
    if address == "-":
        service = build_service(given, load=lambda: sleeping_model(model))
    else:
        connect(given.ray)

        def load() -> Model:
            from ray import serve

            handle = serve.get_app_handle(APPLICATION)
            return load_replicas(ServeReplicas(handle), given.ray, clock=SystemClock())

        service = service_in_front(given, load)
    asyncio.run(service.run())


if __name__ == "__main__":
    main()
