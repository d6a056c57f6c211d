"""`rerankd serve`: the service."""

from typing import TYPE_CHECKING, Annotated

import typer

from rerankd.cli.options import ModelName

if TYPE_CHECKING:
    from rerankd.http.server import Server

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    app.command("serve")(serve)


def serve(
    host: Annotated[
        str | None,
        typer.Option(
            "--host", metavar="H", help="The address to listen on; on any but loopback an API key must exist."
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65_535, metavar="P", help="The port; 0: one that is free."),
    ] = None,
    model: ModelName = None,
    memory: Annotated[
        bool | None,
        typer.Option(
            "--memory/--no-memory",
            help="Serve the memory too, to keys with a memory scope. Without it RERANKD_HTTP_MEMORY, which is off.",
            show_default=False,
        ),
    ] = None,
    ray: Annotated[
        bool,
        typer.Option(
            "--ray",
            help="Score on a Ray cluster: RERANKD_RAY_ADDRESS, else RAY_ADDRESS, else one of this machine."
            " See rerankd settings, section ray.",
        ),
    ] = False,
) -> None:
    """Serve every common rerank API, and a page to look at, over HTTP.

    It listens at once and answers in retrieval order until the model is loaded; SIGTERM or Ctrl-C ends it when the
    requests in flight are answered. Everything else is a setting: see rerankd settings, section http.

    Example: rerankd serve --port 8000
    """
    import asyncio
    import gc

    from rerankd.cli.session import load_settings, log_in_full
    from rerankd.cli.terminal import notice

    given = {
        "http.listen_host": host,
        "http.listen_port": port,
        "http.memory": memory,
        "model.model": model,
    }
    settings = load_settings(**given)
    log_in_full(settings)
    if ray:
        from rerankd.scale.serve import build_ray_service

        service = build_ray_service(settings)
    else:
        from rerankd.wiring import build_service

        service = build_service(settings)
    policy = settings.http

    def listening(server: "Server") -> None:
        # what was made until now stays: to look through all of it for garbage would hold the event loop up now and
        # then, beside busy workers for long enough to make answers late
        gc.collect()
        gc.freeze()
        shown = f"[{policy.listen_host}]" if ":" in policy.listen_host else policy.listen_host
        notice(f"listening on http://{shown}:{server.port} (the page, and the API's description at /docs)")

    asyncio.run(service.run(listening))
