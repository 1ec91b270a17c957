"""A zip of EDEXML and UWLR on the whole way: delivered by SFTP, accepted and linked like its twin in CSV."""

from pathlib import Path

import pytest

from tests.support.deliveries import COLUMNS, write_csv
from tests.support.exchange import exchange
from tests.support.gateway import Gateway
from tests.support.pupils import objections, results

pytestmark = pytest.mark.slow

#: as the policy's table of codes has them
CODES = {"begrijpend_lezen": "BL-3.0", "spelling": "SP-3.0", "rekenen_wiskunde": "RW-3.0"}


def test_a_zip_is_linked_like_its_twin_in_csv(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    gateway.start()
    try:
        rows = results(gateway.at("41AA00", "41AB00"), gateway.today)
        table = [{**row, "toetscode": f"{CODES[row['domein']]}-{row['afnamemoment']}"} for row in rows]
        gateway.door().deliver("bezwaren.csv.age", gateway.sealed(objections(("41AA00", "41AB00"), [], gateway.today)), "bezwaren")
        gateway.settled(["bezwaren.csv.age"])
        gateway.door().deliver("levering.zip.age", gateway.sealed(exchange(table)))
        gateway.door().deliver("levering.csv.age", gateway.sealed(write_csv(table, COLUMNS)))
        zipped, plain = gateway.settled(["levering.zip.age", "levering.csv.age"], ("linked",))
        gateway.wait(lambda: gateway.receipt(zipped)["findings"] or None, "the receipt of the zip says that the CSV replaces it")
        receipts = [gateway.receipt(drop) for drop in (zipped, plain)]
        (lost,), (won,) = (receipt["findings"] for receipt in receipts)
        assert (lost["rule"], won["rule"]) == ("replaced", "replaces"), "the same pupils and results, to the last one"
        assert f"{len(table)} resultaten" in lost["message"] and f"{len(table)} resultaten" in won["message"]
        assert receipts[0]["counts"] == receipts[1]["counts"] and receipts[0]["counts"]["accepted_rows"] == len(table)
    finally:
        gateway.stop()


def test_half_a_zip_is_incomplete(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    gateway.start()
    try:
        whole = gateway.sealed(exchange(results(gateway.at("41AA00"), gateway.today)))
        gateway.door().deliver("half.zip.age", whole[: len(whole) // 2])
        (drop,) = gateway.settled(["half.zip.age"], ("incomplete",))
        assert [found["rule"] for found in drop.findings] == ["truncated"]
    finally:
        gateway.stop()
