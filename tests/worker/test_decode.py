"""The decoder for a declaration."""

from __future__ import annotations

import pytest

from skysail.inputs import DTYPES, InputSpec
from skysail.testing.codecs import check_decoder
from skysail.worker.decode import make_decoder
from skysail.worker.objects import ObjectDecoder
from skysail.worker.tensors import TensorDecoder


@pytest.mark.parametrize("declaration", ["json", "string", "bytes", *(f"{dtype}[2]" for dtype in DTYPES)])
def test_each_declaration_has_a_decoder_that_keeps_the_laws(declaration: str) -> None:
    """Every kind and element type is decoded, in good company and in bad."""
    spec = InputSpec.parse(declaration)
    decoder = make_decoder(spec)
    assert type(decoder) is (TensorDecoder if spec.kind == "tensor" else ObjectDecoder)
    good = {
        "json": [b"1", b"[null]", b'{"a": "b"}'],
        "string": [b'"a"', b'"\\u00e9"', b'""'],
        "bytes": [b'""', b'"aGk="', b'"AA=="'],
        "bool[2]": [b"[true,false]", b"[false,false]", b" [ true , true ] "],
    }.get(declaration, [b"[1,2]", b"[0,127]", b" [ 3 , 4 ] "])
    bad = [b"1e999"] if declaration == "json" else [b"null", b"[[]]", b'{"a":1}', b"1e999", b"[1,2,3]", b"7"]
    check_decoder(decoder, good, bytes(len(good)), bad)
