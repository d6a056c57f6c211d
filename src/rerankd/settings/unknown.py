"""What looks like a setting and is none: a slip of the pen must not go unseen."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rerankd.fields import Field
from rerankd.settings.flat import flat, nearest

__all__ = ["ConfigWarning", "UnknownKey", "unknown_in_file", "unknown_variables"]

_SERVICE_LINK = re.compile(
    r"RERANKD_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)|RERANKD_PORT"
)


class ConfigWarning(UserWarning):
    """A variable or key that looks like a setting of ours and is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownKey:
    """A variable or a key of the file that looks like a setting and is none."""

    name: str
    nearest: str | None
    """The known name that is most like it, if any is."""
    source: str

    def __str__(self) -> str:
        return f"{self.name} ({self.source}) is not a setting" + (
            f"; did you mean {self.nearest}?" if self.nearest else ""
        )


def unknown_variables(environ: Mapping[str, str], fields: Mapping[str, Field]) -> Iterator[UnknownKey]:
    """Of the process; those that Kubernetes adds for services whose names begin with ours are left out."""
    known = [name for each in fields.values() for name in (each.env, *each.aliases)]
    for name in environ:
        if name.startswith("RERANKD_") and name not in known and not _is_service_link(name, environ[name]):
            yield UnknownKey(name=name, nearest=nearest(name, known), source="environment")


def _is_service_link(name: str, value: str) -> bool:
    """Whether Kubernetes made it: `RERANKD_PORT`, `RERANKD_API_SERVICE_HOST`, `RERANKD_API_PORT=tcp://...`."""
    if _SERVICE_LINK.fullmatch(name):
        return True
    # Somebody may well mean a setting by RERANKD_HTTP_PORT=8080; Kubernetes never sets a bare number there.
    return name.endswith("_PORT") and re.match(r"(tcp|udp|sctp)://", value) is not None


def unknown_in_file(
    table: Mapping[str, Any], path: Path | None, fields: Mapping[str, Field]
) -> Iterator[UnknownKey]:
    """Of the file at `path`."""
    known = [name for name, each in fields.items() if each.in_file]
    for name, _ in flat(table, fields, f"{path}: "):
        if name not in known:
            yield UnknownKey(name=name, nearest=nearest(name, known), source=f"file {path}")
