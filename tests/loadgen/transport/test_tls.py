import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from shutil import which

import pytest

from perfkit.errors import NothingSucceeded
from perfkit.runner.start import start
from perfkit.simulator import Simulated, simulate
from tests.certificates import self_signed, serving
from tests.measured import SMALL, rows_of
from tests.scripted import ANSWER, CLOSE, GAP, HANG, LAST, READ, STREAM, chunk, delta, scripted

pytestmark = [
    pytest.mark.skipif(which("openssl") is None, reason="no openssl to make certificates with"),
    pytest.mark.processes,
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def tls(folder: Path) -> tuple[ssl.SSLContext, Path]:
    return serving(folder)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Simulated, Path]]:
    certificate, key = self_signed(tmp_path_factory.mktemp("server"))
    with simulate(ttft=0.01, itl=0.005, output_tokens=8, certfile=str(certificate), keyfile=str(key)) as simulated:
        yield simulated, certificate


def test_a_certificate_that_nobody_signed_is_refused(server: tuple[Simulated, Path], tmp_path: Path) -> None:
    job = start(server[0].url, **SMALL, db=str(tmp_path / "run.db"))
    with pytest.raises(NothingSucceeded, match=r"TLS with https://127.0.0.1:.* failed: self-signed .* pass that one"):
        job.wait(10)


def test_a_certificate_given_as_ca_file_is_trusted(server: tuple[Simulated, Path], tmp_path: Path) -> None:
    rows = rows_of(server[0].url, tmp_path, ca_file=str(server[1]), number=3)
    assert [row["success"] for row in rows] == [1, 1, 1]
    assert [row["connection_use"] for row in rows] == [1, 2, 3]
    assert rows[0]["tls_time"] > 0


def test_verification_can_be_switched_off(server: tuple[Simulated, Path], tmp_path: Path) -> None:
    (row,) = rows_of(server[0].url, tmp_path, verify=False)
    assert row["success"] == 1


def test_a_certificate_for_another_host_is_refused(tls: tuple[ssl.SSLContext, Path], tmp_path: Path) -> None:
    context, certificate = tls
    with scripted([HANG], tls=context) as scripted_server:
        url = scripted_server.url.replace("127.0.0.1", "localhost")
        job = start(url, **SMALL, ca_file=str(certificate), db=str(tmp_path / "run.db"))
        with pytest.raises(NothingSucceeded, match=r"[Hh]ostname mismatch"):
            job.wait(10)


@pytest.mark.skipif(sys.platform != "linux", reason="kernel stamps are Linux's")
def test_kernel_stamps_reach_through_tls(server: tuple[Simulated, Path], tmp_path: Path) -> None:
    (row,) = rows_of(server[0].url, tmp_path, ca_file=str(server[1]))
    assert row["stamp_source"] == "kernel"
    assert row["stamp_lag"] >= 0


def test_an_event_split_over_records_is_one_event(tls: tuple[ssl.SSLContext, Path], tmp_path: Path) -> None:
    context, certificate = tls
    text = delta("x" * 100_000)
    script = [READ, STREAM, chunk(text[:50_000]), GAP, chunk(text[50_000:] + ANSWER), LAST, HANG]
    with scripted(script, tls=context) as scripted_server:
        (row,) = rows_of(scripted_server.url, tmp_path, ca_file=str(certificate))
    assert row["success"] == 1
    assert len(row["output_text"]) == 100_005


def test_a_stale_tls_connection_is_replaced_too(tls: tuple[ssl.SSLContext, Path], tmp_path: Path) -> None:
    context, certificate = tls
    good = [READ, STREAM, chunk(ANSWER), LAST]
    with scripted([*good, READ, CLOSE], [*good, HANG], tls=context) as scripted_server:
        rows = rows_of(scripted_server.url, tmp_path, ca_file=str(certificate), number=2)
    assert [(row["success"], row["attempts"]) for row in rows] == [(1, 1), (1, 2)]


def test_bytes_that_are_no_tls_record_end_the_answer(tls: tuple[ssl.SSLContext, Path], tmp_path: Path) -> None:
    with scripted([b"HTTP/1.1 400 Speak plainly\r\n\r\n", HANG]) as plain:
        job = start(plain.url.replace("http:", "https:"), **SMALL, verify=False, db=str(tmp_path / "run.db"))
        with pytest.raises(NothingSucceeded, match=r"TLS with .* failed"):
            job.wait(10)
