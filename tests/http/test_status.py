from __future__ import annotations

import json
from collections.abc import Iterator
from http import HTTPStatus

import pytest

from skysail.errors import SkysailError
from skysail.http.status import STATUSES, error_body, headers_of, status_of


def errors(root: type[SkysailError] = SkysailError) -> Iterator[type[SkysailError]]:
    """Every class of error there is."""
    yield root
    for child in root.__subclasses__():
        yield from errors(child)


def test_every_error_has_a_status() -> None:
    """No code falls back to 500 for want of an entry, and no entry is for a code that nothing has."""
    ours = {error.code for error in errors() if error.__module__ == "skysail.errors"}
    assert ours == set(STATUSES)


@pytest.mark.parametrize(
    ("status", "codes"),
    [
        (400, "invalid_json invalid_input invalid_request config missing_extra"),
        (401, "unauthorized"),
        (404, "unknown_app unknown_model unknown_prediction not_found"),
        (405, "method_not_allowed"),
        (409, "conflict"),
        (413, "too_large"),
        (415, "unsupported_media_type"),
        (422, "deploy_failed"),
        (431, "headers_too_large"),
        (500, "internal protocol"),
        (502, "model_error"),
        (503, "overload unavailable store"),
        (504, "deadline"),
    ],
)
def test_the_table_is_the_published_one(status: int, codes: str) -> None:
    """Clients rely on these pairs."""
    assert {code for code, known in STATUSES.items() if known == status} == set(codes.split())
    assert HTTPStatus(status)


def test_an_unknown_code_is_the_servers_fault() -> None:
    """A code without an entry is 500, never an exception."""
    assert status_of("never heard of") == 500


def test_headers_that_errors_must_carry() -> None:
    """A 503 says when to try again, a 401 how to authenticate, the rest nothing."""
    for code, status in STATUSES.items():
        names = [name for name, _ in headers_of(code)]
        assert names == {503: [b"Retry-After"], 401: [b"WWW-Authenticate"]}.get(status, [])


def test_the_body_of_an_error_is_json() -> None:
    """Code and message survive whatever is in them."""
    message = 'a "quoted" line\nwith ümlauts'
    assert json.loads(error_body("too_large", message)) == {"error": {"code": "too_large", "message": message}}
