"""Figures of several processes are added up; what a process that is gone has counted is not lost, what it had open is."""

import asyncio
import re
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from gateway.intake.front.status import Status
from gateway.intake.metrics import Merged, Metrics


def values(text: bytes) -> dict[str, float]:
    return {
        sample.name + "".join(f"|{key}={value}" for key, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_the_sums_of_two_processes() -> None:
    one, other = Metrics(), Metrics()
    one.bytes_in(10)
    other.bytes_in(32)
    one.refused("name-taken")
    other.refused("name-taken")
    other.refused("too-large")
    one.session(1)
    other.session(1)
    other.delivered(32, 0.5)
    found = values(Merged().text([one.snapshot(), other.snapshot()]))
    assert found["sluis_intake_received_bytes_total"] == 42
    assert found["sluis_intake_refusals_total|code=name-taken"] == 2 and found["sluis_intake_refusals_total|code=too-large"] == 1
    assert found["sluis_intake_sessions"] == 2 and found["sluis_intake_delivered_files_total"] == 1
    assert found["sluis_intake_upload_seconds_bucket|le=1.0"] == 1 and found["sluis_intake_upload_seconds_bucket|le=0.1"] == 0


def test_a_process_that_is_gone_leaves_its_counts_and_takes_its_gauges() -> None:
    merged, one, other = Merged(), Metrics(), Metrics()
    for metrics in (one, other):
        metrics.bytes_in(5)
        metrics.session(1)
        metrics.close_seconds(0.003)
    merged.gone(one.snapshot())
    found = values(merged.text([other.snapshot()]))
    assert found["sluis_intake_received_bytes_total"] == 10 and found["sluis_intake_close_seconds_count"] == 2
    assert found["sluis_intake_sessions"] == 1


@given(st.lists(st.integers(0, 1 << 40), max_size=10), st.integers(0, 10))
@settings(max_examples=20)
def test_counts_never_fall_whenever_somebody_asks(amounts: list[int], dies_after: int) -> None:
    merged, metrics, last = Merged(), Metrics(), 0.0
    for at, amount in enumerate(amounts):
        metrics.bytes_in(amount)
        if at == dies_after:
            merged.gone(metrics.snapshot())
            metrics = Metrics()
        now = values(merged.text([metrics.snapshot()]))["sluis_intake_received_bytes_total"]
        assert now == last + amount
        last = now


def test_no_figure_names_anybody() -> None:
    metrics = Metrics()
    metrics.refused("name-taken")
    metrics.login("ok")
    metrics.connection("accepted")
    labels = {key for _name, _kind, _text, _sample, labels, _value in metrics.snapshot() for key in labels}
    assert labels == {"le", "code", "result"}


def test_the_operators_page_explains_every_figure_and_no_other() -> None:
    page = (Path(__file__).parents[2] / "docs/operator/endpoint.md").read_text()
    told = set(re.findall(r"^\| `(sluis_intake_\w+)` \|", page, re.MULTILINE))
    assert told == {name + ("_total" if kind == "counter" else "") for name, kind in Metrics().figures()}


# ---------------------------------------------------------------- where they are found


def answers(*requests: bytes) -> list[bytes]:
    """What the server says to each, one connection each."""

    async def figures() -> bytes:
        return b"figures\n"

    async def healthy() -> bool:
        return False

    async def ask(port: int, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        writer.write_eof()
        try:
            return await asyncio.wait_for(reader.read(), 20)
        except ConnectionError:
            return b""
        finally:
            writer.close()

    async def asked() -> list[bytes]:
        status = Status(figures, healthy)
        await status.start(0)
        try:
            return [await ask(status.port, request) for request in requests]
        finally:
            status.close()

    return asyncio.run(asked())


def test_two_addresses_are_served_and_nothing_else() -> None:
    found = answers(
        b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /metrics?x=1 HTTP/1.0\r\n\r\n",
        b"HEAD /metrics HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET /../sluis.toml HTTP/1.1\r\n\r\n",
        b"POST /metrics HTTP/1.1\r\n\r\n",
    )
    assert [answer.split(b" ")[1] for answer in found] == [b"200", b"200", b"200", b"503", b"404", b"405"]
    assert found[0].endswith(b"\r\n\r\nfigures\n") and found[2].endswith(b"\r\n\r\n")
    assert b"Content-Length: 8\r\n" in found[0] and b"text/plain; version=0.0.4" in found[0]


def test_noise_gets_no_answer() -> None:
    assert answers(b"", b"GET /metrics", b"\xff" * 300, b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n") == [b"", b"", b"", b""]
