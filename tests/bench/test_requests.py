from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from skysail.bench.requests import Requests
from skysail.http.bodies import decode_predict

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=5,
)


@given(rows=st.lists(JSON, min_size=1, max_size=4), turns=st.integers(1, 5))
def test_each_request_carries_its_row(rows: list[object], turns: int) -> None:
    """Rows come in turn, each request is as long as it says, and its input means what the row means."""
    texts = [msgspec.json.encode(row) for row in rows]
    requests = Requests(texts, host="h:1", path="/apps/a/predict", token="secret")
    for n in range(turns * len(rows)):
        head, _, body = requests.next().partition(b"\r\n\r\n")
        assert head.startswith(b"POST /apps/a/predict HTTP/1.1\r\nHost: h:1\r\n")
        assert b"Authorization: Bearer secret" in head
        assert int(head.partition(b"Content-Length: ")[2]) == len(body)
        assert msgspec.json.decode(bytes(decode_predict(body, 1).input)) == rows[n % len(rows)]


def test_no_two_inputs_are_alike_as_the_cache_sees_them() -> None:
    """What the frontend takes for the input is other bytes in each turn, for lists and objects; a number stays."""
    requests = Requests([b"[1,2]", b"{}", b"7"], host="h", path="/", token=None)
    seen = [bytes(decode_predict(requests.next().partition(b"\r\n\r\n")[2], 1).input) for _ in range(3 * 5000)]
    assert len(set(seen)) == 2 * 5000 + 1
    assert b"Authorization" not in requests.next()
