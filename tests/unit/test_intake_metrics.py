"""Figures of several processes are added up; what a process that is gone has counted is not lost, what it had open is."""

import re
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

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
