"""The one table from error codes to HTTP statuses, and the body and headers every error has.

Codes are `SkysailError.code` and belong to the interface; only this module knows which status they mean.
"""

from __future__ import annotations

import msgspec

__all__ = ["STATUSES", "error_body", "headers_of", "status_of"]

STATUSES: dict[str, int] = {
    # the data plane
    "invalid_json": 400,
    "invalid_input": 400,
    "invalid_request": 400,
    "unauthorized": 401,
    "unknown_app": 404,
    "unknown_model": 404,
    "unknown_prediction": 404,
    "not_found": 404,
    "method_not_allowed": 405,
    "too_large": 413,
    "unsupported_media_type": 415,
    "headers_too_large": 431,
    "model_error": 502,
    "overload": 503,
    "unavailable": 503,
    "deadline": 504,
    # the control plane
    "config": 400,
    "missing_extra": 400,
    "conflict": 409,
    "deploy_failed": 422,
    "store": 503,
    # ours to mend
    "internal": 500,
    "protocol": 500,
}
"""Every error code and its status."""

_TRY_AGAIN = ((b"Retry-After", b"1"),)
_HEADERS: dict[str, tuple[tuple[bytes, bytes], ...]] = {
    "overload": _TRY_AGAIN,
    "unavailable": _TRY_AGAIN,
    "store": _TRY_AGAIN,
    "unauthorized": ((b"WWW-Authenticate", b"Bearer"),),
}


def status_of(code: str) -> int:
    """The HTTP status of an error code; 500 for a code that is not in the table.

    >>> status_of("overload")
    503
    """
    return STATUSES.get(code, 500)


def headers_of(code: str) -> tuple[tuple[bytes, bytes], ...]:
    """The headers an error must carry beside its body: when to try again (seconds), or how to authenticate."""
    return _HEADERS.get(code, ())


def error_body(code: str, message: str) -> bytes:
    """The JSON body of an error.

    >>> error_body("deadline", "too late")
    b'{"error":{"code":"deadline","message":"too late"}}'
    """
    return msgspec.json.encode({"error": {"code": code, "message": message}})
