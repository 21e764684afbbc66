import shlex
import ssl
import subprocess
from pathlib import Path
from shutil import which

import pytest

from perfkit.errors import NothingSucceeded, UsageError
from perfkit.loadgen.transport.tls import tls_problem
from perfkit.runner.start import start
from tests.certificates import self_signed
from tests.measured import SMALL, rows_of
from tests.scripted import ANSWER, HANG, LAST, READ, STREAM, chunk, scripted

pytestmark = pytest.mark.skipif(which("openssl") is None, reason="no openssl to make certificates with")
GOOD = [READ, STREAM, chunk(ANSWER), LAST, HANG]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return self_signed(tmp_path_factory.mktemp("certificates"))


def demanding(files: tuple[Path, Path], version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    """Return the context of a server that wants a client certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(files[0])
    context.maximum_version = version
    return context


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2])
def test_a_server_that_wants_a_client_certificate_is_named(
    version: ssl.TLSVersion, files: tuple[Path, Path], tmp_path: Path
) -> None:
    with scripted(GOOD, tls=demanding(files, version)) as server:
        given = {**SMALL, "preflight": True, "ca_file": str(files[0]), "db": str(tmp_path / "run.db")}
        job = start(server.url, **given)
        with pytest.raises(NothingSucceeded, match=r"requires? a client certificate"):
            job.wait(10)


@pytest.mark.processes
def test_each_request_says_that_a_client_certificate_is_wanted(files: tuple[Path, Path], tmp_path: Path) -> None:
    with scripted(GOOD, tls=demanding(files)) as server:
        rows = rows_of(server.url, tmp_path, ca_file=str(files[0]), number=3)
    assert [row["error_kind"] for row in rows] == ["tls"] * 3
    assert {row["error"] for row in rows} == {tls_problem(ssl.SSLError(1, "CERTIFICATE_REQUIRED"))}


@pytest.mark.processes
def test_a_client_certificate_is_shown_to_the_server(files: tuple[Path, Path], tmp_path: Path) -> None:
    certificate, key = map(str, files)
    with scripted(GOOD, tls=demanding(files)) as server:
        (row,) = rows_of(server.url, tmp_path, ca_file=certificate, cert=certificate, key_file=key)
    assert (row["success"], row["output_text"]) == (1, "Hello")


@pytest.mark.processes
def test_a_certificate_without_its_key_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no certificate and matching key, both PEM, in"):
        start("https://127.0.0.1:1", **SMALL, cert=str(files[0]), db=str(tmp_path / "run.db"))
    assert not (tmp_path / "run.db").exists()  # refused before anything was started


@pytest.mark.processes
def test_an_encrypted_key_is_refused_and_no_passphrase_asked_for(files: tuple[Path, Path], tmp_path: Path) -> None:
    certificate, key = files
    encrypted = tmp_path / "encrypted.pem"
    subprocess.run(shlex.split(f"openssl pkey -in {key} -aes256 -passout pass:secret -out {encrypted}"), check=True)
    with pytest.raises(UsageError, match="is encrypted; decrypt it first"):
        start("https://127.0.0.1:1", **SMALL, cert=str(certificate), key_file=str(encrypted))


@pytest.mark.parametrize("name", ["ca_file", "cert"])
def test_a_file_that_holds_no_certificate_is_refused(name: str, tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not PEM")
    with pytest.raises(UsageError, match=r"PEM.*notes\.txt"):
        start("https://127.0.0.1:1", **SMALL, **{name: str(file)})
