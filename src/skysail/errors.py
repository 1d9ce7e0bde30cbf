"""Every error Skysail raises or answers, split by who can act on it.

```
SkysailError
├── RequestError            the caller can act: change the request
│   ├── InvalidJSON             invalid_json
│   ├── InvalidInput            invalid_input
│   ├── InvalidRequest          invalid_request
│   ├── Unauthorized            unauthorized
│   ├── UnknownApp              unknown_app
│   ├── UnknownModel            unknown_model
│   ├── UnknownPrediction       unknown_prediction
│   ├── NotFound                not_found
│   ├── MethodNotAllowed        method_not_allowed
│   ├── TooLarge                too_large
│   ├── UnsupportedMediaType    unsupported_media_type
│   └── HeadersTooLarge         headers_too_large
├── ServingError            nobody did wrong, or the model did: try again, or look at /status
│   ├── ModelError              model_error
│   ├── Overload                overload
│   ├── Unavailable             unavailable
│   └── DeadlineMissed          deadline
├── ConfigError             the operator can act: change the file or the command
├── MissingExtra            the operator can act: install the extra that is named
├── DeployError             a version could not be loaded, or did not answer
├── ProtocolError           the other end of an internal socket broke the protocol
├── StoreError              the state cannot be read or written
└── ConflictError           the request contradicts the present state
```

The `code` strings are part of the HTTP interface and never change. No HTTP status appears here: `skysail.http.status`
maps codes to statuses.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar

__all__ = [
    "ConfigError",
    "ConflictError",
    "DeadlineMissed",
    "DeployError",
    "HeadersTooLarge",
    "InvalidInput",
    "InvalidJSON",
    "InvalidRequest",
    "MethodNotAllowed",
    "MissingExtra",
    "ModelError",
    "NotFound",
    "Overload",
    "ProtocolError",
    "RequestError",
    "ServingError",
    "SkysailError",
    "StoreError",
    "TooLarge",
    "Unauthorized",
    "Unavailable",
    "UnknownApp",
    "UnknownModel",
    "UnknownPrediction",
    "UnsupportedMediaType",
    "from_code",
    "nearest",
]


class SkysailError(Exception):
    """The root of everything Skysail raises on purpose; `message` names the thing, the value and the remedy."""

    code: ClassVar[str] = "internal"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class RequestError(SkysailError):
    """The request cannot be served as it is; sending it again unchanged will fail again."""

    code = "invalid_request"


class InvalidJSON(RequestError):
    """The body is not JSON: syntax, encoding, or nested too deeply."""

    code = "invalid_json"


class InvalidInput(RequestError):
    """The row does not fit the declared input of the application's models."""

    code = "invalid_input"


class InvalidRequest(RequestError):
    """The request is JSON but not one this route understands."""

    code = "invalid_request"


class Unauthorized(RequestError):
    """A bearer token is required and was missing or wrong."""

    code = "unauthorized"


class UnknownApp(RequestError):
    """No application has this name."""

    code = "unknown_app"


class UnknownModel(RequestError):
    """No model, or no such version of it, has this name."""

    code = "unknown_model"


class UnknownPrediction(RequestError):
    """No decision with this id is kept for this application."""

    code = "unknown_prediction"


class NotFound(RequestError):
    """No route has this path."""

    code = "not_found"


class MethodNotAllowed(RequestError):
    """The path exists, but not with this method."""

    code = "method_not_allowed"


class TooLarge(RequestError):
    """The body, or the number of rows in it, is over the configured limit."""

    code = "too_large"


class UnsupportedMediaType(RequestError):
    """The body's content type is neither JSON nor one row of bytes."""

    code = "unsupported_media_type"


class HeadersTooLarge(RequestError):
    """The request's headers are over the limit."""

    code = "headers_too_large"


class ServingError(SkysailError):
    """The request was fine; no model's answer could be given for it."""

    code = "model_error"


class ModelError(ServingError):
    """Every model asked raised, or gave an output that cannot be used."""

    code = "model_error"


class Overload(ServingError):
    """Refused or dropped because of the work ahead of it."""

    code = "overload"


class Unavailable(ServingError):
    """No replica is ready, or the store cannot write."""

    code = "unavailable"


class DeadlineMissed(ServingError):
    """Time ran out, or an idle replica could not have made it."""

    code = "deadline"


class ConfigError(SkysailError):
    """The configuration cannot be used; the message names the key, its value and what is known."""

    code = "config"


class MissingExtra(SkysailError):
    """A library that an optional part needs is not installed; the message names the extra."""

    code = "missing_extra"

    def __init__(self, thing: str, extra: str, library: str) -> None:
        super().__init__(
            f"{thing} needs {library}, which is not installed; install it with: pip install 'skysail[{extra}]'"
        )


class DeployError(SkysailError):
    """A model version could not be loaded, or did not answer; what was current before still is."""

    code = "deploy_failed"


class ProtocolError(SkysailError):
    """Bytes from an internal peer do not follow the protocol, or stop in the middle of a message."""

    code = "protocol"


class StoreError(SkysailError):
    """The state store cannot be opened, read or written."""

    code = "store"


class ConflictError(SkysailError):
    """What is asked contradicts what is there, such as deleting the current version."""

    code = "conflict"


_BY_CODE: dict[str, type[SkysailError]] = {
    cls.code: cls
    for cls in (
        InvalidJSON,
        InvalidInput,
        InvalidRequest,
        Unauthorized,
        UnknownApp,
        UnknownModel,
        UnknownPrediction,
        NotFound,
        MethodNotAllowed,
        TooLarge,
        UnsupportedMediaType,
        HeadersTooLarge,
        ModelError,
        Overload,
        Unavailable,
        DeadlineMissed,
        ConfigError,
        DeployError,
        ProtocolError,
        StoreError,
        ConflictError,
    )
}


def from_code(code: str, message: str) -> SkysailError:
    """The error that another process or machine told of by its code; a plain `SkysailError` where the code is unknown.

    >>> from_code("unknown_app", "no application 'x'")
    UnknownApp("no application 'x'")
    """
    return _BY_CODE.get(code, SkysailError)(message)


_NEAR = 0.55
"""Two names are near if they share so much by difflib's measure: one slip in a name of three letters is at .57."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The hint that ends a message about an unknown name: the nearest known one, or all of them.

    >>> nearest("digts", ["digits", "faces"])
    "did you mean 'digits'?"
    >>> nearest("x", ["digits", "faces"])
    'known: digits, faces'
    >>> nearest("x", [])
    'none is known'
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=_NEAR)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known: {', '.join(names)}" if names else "none is known"
