"""The admin route of a running server: `GET` and `PUT /admin/flag`."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rerankd.core.flag import Flag
from rerankd.core.secret import Secret
from rerankd.errors import ConfigError, RerankdError

if TYPE_CHECKING:
    from urllib.request import OpenerDirector

__all__ = ["AdminError", "read_flag_at", "set_flag_at"]

TIMEOUT_S = 10.0
MAX_BYTES = 65_536


class AdminError(RerankdError):
    """The server cannot be reached, or it refused; the message names it and says why."""


def read_flag_at(url: str, key: Secret | None) -> Flag:
    """The flag of the server at `url`."""
    return _flag(_ask(url, key, "GET", None), url)


def set_flag_at(url: str, key: Secret | None, flag: Flag) -> Flag:
    """Turn the server's flag, and return how it stands then."""
    from rerankd.flags.notation import flag_to_json

    return _flag(_ask(url, key, "PUT", flag_to_json(flag).encode()), url)


def _flag(answer: Mapping[str, Any], url: str) -> Flag:
    from rerankd.flags.notation import flag_from_object

    try:
        # a server may say more of its flag than this version knows
        return flag_from_object({name: answer[name] for name in ("mode", "percent") if name in answer})
    except ConfigError as error:
        raise AdminError(f"{url}: its answer is not a flag: {error}") from None


def _ask(url: str, key: Secret | None, method: str, body: bytes | None) -> Mapping[str, Any]:
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import Request

    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"--url: must begin with http:// or https://, got {url!r}")
    headers = {"Accept": "application/json"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    if key:
        headers["Authorization"] = f"Bearer {key}"
    request = Request(f"{url.rstrip('/')}/admin/flag", data=body, headers=headers, method=method)
    try:
        with _opener().open(request, timeout=TIMEOUT_S) as response:
            answer = json.loads(response.read(MAX_BYTES))
    except HTTPError as error:
        with error:
            said = error.read(MAX_BYTES)
        raise AdminError(_refused(url, error.code, said, bool(key))) from None
    except (OSError, HTTPException) as error:  # URLError is an OSError
        reason = getattr(error, "reason", None) or error
        raise AdminError(f"{url}: cannot be reached: {reason}") from None
    except ValueError:
        answer = None
    if not isinstance(answer, Mapping):
        raise AdminError(f"{url}: answered, but not as rerankd does; is it the right server?")
    return answer


def _opener() -> "OpenerDirector":
    from urllib.request import HTTPRedirectHandler, build_opener

    class NoRedirect(HTTPRedirectHandler):
        """urllib would carry the key along to wherever it is sent."""

        def redirect_request(self, *_: Any) -> None:
            return None

    return build_opener(NoRedirect)


def _refused(url: str, status: int, body: bytes, with_key: bool) -> str:
    if status in (401, 403):
        why = "does not accept RERANKD_API_KEY" if with_key else "wants a key: set RERANKD_API_KEY"
        return f"{url}: {why} (HTTP {status})"
    if 300 <= status < 400:
        return f"{url}: redirects elsewhere (HTTP {status}); give the address that it redirects to"
    said = _message(body)
    return f"{url}: HTTP {status}{': ' + said if said else ''}"


def _message(body: bytes) -> str:
    """What the server said, from its error body."""
    try:
        answer = json.loads(body)
    except ValueError:
        return ""
    if not isinstance(answer, Mapping):
        return ""
    error = answer.get("error")
    said = error.get("message") if isinstance(error, Mapping) else None
    for value in (said, answer.get("message"), answer.get("detail"), error):
        if isinstance(value, str):
            return value[:300]
    return ""
