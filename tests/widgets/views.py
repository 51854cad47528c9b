"""What byte maps and static twins show."""

from __future__ import annotations

from sevlab.widgets.bytemap import ByteMap, StaticBox


def raw_of(shown: ByteMap) -> bytes:
    return b"".join(bytes.fromhex(span["hex"]) for span in shown.spans)


def marked(shown: ByteMap) -> list[int]:
    return [offset for span in shown.spans for offset in span["marked"]]


def assert_static(made: StaticBox) -> None:
    data, _ = made._repr_mimebundle_()
    assert data["text/plain"] == repr(made)
    assert data["text/html"] == made.static().html()
    assert "<script" not in data["text/html"]
    assert max(map(len, repr(made).splitlines())) <= 110
