"""HTTP errors with status, body, and headers."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from inhouse.gateway.wire import error_body

INTERNAL = "internal server error"


class HttpError(HTTPException):
    """An HTTP error in OpenAI's shape."""

    def __init__(
        self, status: int, message: str, type: str = "invalid_request_error", code: str | None = None,
        param: str | None = None, headers: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(status, message, dict(headers or {}))
        self.body = error_body(message, type, code, param)

    def response(self) -> JSONResponse:
        return JSONResponse(self.body, self.status_code, self.headers)


def too_many(message: str, retry_s: float) -> HttpError:
    return HttpError(
        429, message, "requests", "rate_limit_exceeded", headers={"Retry-After": str(max(1, round(retry_s + 0.5)))}
    )


def unavailable(message: str, code: str, headers: Mapping[str, str] | None = None) -> HttpError:
    return HttpError(503, message, "server_error", code, headers={"Retry-After": "5", **(headers or {})})
