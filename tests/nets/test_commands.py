"""What every command returns and prints, on files that never change: exit status, structure and numbers."""

import json
import shutil
import subprocess
import sys

import pytest

from tests.cli import commands
from tests.nets.golden import FIXTURES, ROOT, RUNS, agrees, plain, tables

pytestmark = pytest.mark.processes

R, PEERS, EVALSCOPE = str(RUNS), FIXTURES / "peers", FIXTURES / "evalscope"
EACH = sorted({str(path) for path in PEERS.iterdir()})
NOBODY = ["--url", "http://127.0.0.1:9", "--model", "m", "-n", "1", "--workers", "0"]
BOTH = ["--pick", "A100*", "H100*"]

SHOWN = {
    "show": ["show", R],
    "show by": ["show", R, "--by", "gpu", "parallel", "--metric", "ttft", "tpot"],
    "show slo": ["show", R, "--slo", "ttft:50ms", "tpot:0.02"],
    "show definition": ["show", R, "--definition", "vllm", "--pick", "H100*"],
    "show trimmed": ["show", R, "--warmup", "2", "--cooldown", "10%", "--where", "ttft > 20ms"],
    "show others": ["show", *EACH],
    "show evalscope": ["show", str(EVALSCOPE)],
    "ls": ["ls", R],
    "ls others": ["ls", *EACH],
    "compare": ["compare", R, "--by", "gpu", "--baseline", "A100"],
    "compare chosen": [
        *["compare", R, *BOTH, "--by", "gpu", "--baseline", "A100", "--match", "parallel"],
        *["--quantity", "ttft_p90", "tpot_mean", "--test", "permutation"],
    ],
    "compare gate passes": ["compare", R, *BOTH, "--by", "gpu", "--baseline", "A100", "--tolerance", "tpot_mean=5%"],
    "compare gate fails": [
        "compare",
        R,
        *BOTH,
        "--by",
        "gpu",
        "--baseline",
        "H100",
        "--tolerance",
        "tpot_mean=5%",
        "--noise",
        "2%",
    ],
    "compare gate unsure": ["compare", R, *BOTH, "--by", "gpu", "--baseline", "A100", "--tolerance", "ttft_p95=0.05"],
    "compare gate unsure passes": [
        *["compare", R, *BOTH, "--by", "gpu", "--baseline", "A100"],
        *["--tolerance", "ttft_p95=0.05", "--unsure", "pass"],
    ],
    "plan": ["plan", R, "--pick", "H100 parallel=8", "--quantity", "p50 tpot", "--noise", "5%", "--effect", "20%"],
    "lens": ["lens", R, "--pick", "A100*"],
    "lens itl": ["lens", R, "--metric", "itl", "--pick", "H100*"],
    "lens others": ["lens", *EACH],
    "slow": ["slow", R, "-n", "3", "--metric", "ttft"],
    "slow failed": ["slow", R, "--which", "failed"],
    "attach ended": ["attach", R],
}
"""Commands that print, each in words and with --json."""

REFUSED = {
    "no command": [],
    "unknown command": ["shwo", R],
    "unknown option": ["show", R, "--jsno"],
    "no path": ["show"],
    "no such file": ["show", "no/such.db"],
    "no such folder": ["ls", "no/such"],
    "not a run file": ["show", str(ROOT / "sample_data" / "prompts.txt")],
    "no such label": ["show", R, "--pick", "nobody"],
    "bad condition": ["show", R, "--where", "ttft >"],
    "unknown column": ["show", R, "--where", "tfft > 1"],
    "unknown metric": ["show", R, "--metric", "tfft"],
    "unknown definition": ["show", R, "--definition", "vlm"],
    "unknown group": ["show", R, "--by", "gpus"],
    "bad objective": ["show", R, "--slo", "ttft:p95:1"],
    "bad amount": ["show", R, "--warmup", "soon"],
    "no baseline": ["compare", R],
    "unknown baseline": ["compare", R, "--baseline", "B200", "--by", "gpu"],
    "unknown quantity": ["compare", R, "--baseline", "A100", "--by", "gpu", "--quantity", "ttft_99"],
    "bad test": ["compare", R, "--baseline", "A100", "--by", "gpu", "--test", "t"],
    "bad tolerance": ["compare", R, "--baseline", "A100", "--by", "gpu", "--tolerance", "ttft_p95=much"],
    "bad effect": ["plan", R, "--pick", "faulty", "--effect", "0"],
    "bad power": ["plan", R, "--pick", "faulty", "--power", "95"],
    "plan too short": ["plan", R, "--pick", "faulty", "--quantity", "ttft_p95"],
    "lens unknown": ["lens", R, "--metric", "lag"],
    "slow which": ["slow", R, "--which", "slowes"],
    "merge without to": ["merge", R],
    "merge over": ["merge", R, "--to", R],
    "translate nothing": ["translate"],
    "translate unknown": ["translate", "--", "wrk", "-t2"],
    "run of another tool": ["run", "http://127.0.0.1:9", "--num-prompts", "5"],
    "run two urls": ["run", "a:1", "--url", "b:2"],
    "save without to": ["save", R],
    "save over": ["save", R, "--to", R],
    "scrub nothing": ["scrub", "no/such.db"],
    "plot unknown": ["plot", R, "--chart", "pie"],
    "plot ending": ["plot", R, "--out", "picture.exe"],
    "plot width": ["plot", R, "--width", "wide"],
    "export unknown": ["export", R, "--chart", "pie", "--to", "charts"],
    "report group": ["report", R, "--by", "gpus", "--out", "a.html"],
    "run rate": ["run", "--rate", "0"],
    "run both loads": ["run", "--rate", "1", "--parallel", "1"],
    "run number": ["run", "-n", "0"],
    "run number text": ["run", "-n", "many"],
    "run dataset": ["run", "--dataset", "nosuch", *NOBODY],
    "run api": ["run", "--api", "nosuch", *NOBODY],
    "run config": ["run", "--config", "no/such.toml"],
    "run proxy": ["run", "--proxy", "nowhere"],
    "run steps": ["run", "--steps", "5"],
    "check url": ["check"],
    "replay nothing": ["replay", "no/such.db"],
    "replay which": ["replay", R],
    "resume nothing": ["resume", "no/such.db"],
    "attach nothing": ["attach", "no/such.db"],
    "stop nothing": ["stop", "no/such.db"],
    "stop ended": ["stop", R],
    "capacity no slo": ["capacity"],
    "capacity slo": ["capacity", "--slo", "ttft:500ms"],
    "capacity low": ["capacity", "--slo", "ttft:p95:500ms", "--low", "8", "--high", "4"],
    "capacity confidence": ["capacity", "--slo", "ttft:p95:500ms", "--confidence", "2"],
    "capacity rate": ["capacity", "--slo", "ttft:p95:500ms", "--rate", "4"],
    "simulate ttft": ["simulate", "--ttft", "-1"],
    "simulate style": ["simulate", "--style", "nosuch"],
    "calibrate stamps": ["calibrate", "--stamps", "atomic"],
    "calibrate streams": ["calibrate", "--streams", "0"],
}
"""Bad usage, and what cannot be done."""

LATE = ("bad tolerance", "scrub nothing", "run dataset")
"""Refused after something was printed, or a folder or a run file was made: should be refused before."""


def perfkit(words, folder):
    """Run a command; return its status and what it printed."""
    done = commands.perfkit(*words, folder=folder, COLUMNS="200")
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("name", SHOWN)
def test_a_command_prints_the_numbers_it_printed(name, tmp_path):
    status, out, err = perfkit(SHOWN[name], tmp_path)
    # A folder's name may hold digits, which are no numbers of a table.
    said = {
        "status": status,
        "tables": tables(out.replace(str(ROOT), "FOLDER")),
        "lines on stderr": len(err.splitlines()),
    }
    agrees("commands", name, plain(said, folder=ROOT))


@pytest.mark.parametrize("name", SHOWN)
def test_a_command_gives_the_json_it_gave(name, tmp_path):
    status, out, _ = perfkit([*SHOWN[name], "--json"], tmp_path)
    found = json.loads(out) if out.strip() else None
    if name == "ls others":  # their ids tell where the files stand
        found = [{key: value for key, value in each.items() if key != "run_id"} for each in found]
    said = {"status": status, "json": found}
    agrees("commands", f"{name} --json", plain(said, wording=False, folder=ROOT))


@pytest.mark.parametrize("name", REFUSED)
def test_bad_usage_is_refused_in_one_sentence(name, tmp_path):
    status, out, err = perfkit(REFUSED[name], tmp_path)
    agrees("commands", f"refused: {name}", status)
    assert "Traceback" not in err
    assert err.strip()
    if name not in LATE:
        assert out == ""
        assert not list(tmp_path.iterdir())


def files(folder):
    """Return what a command wrote: the names of files, and the headings of tables."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            head = path.read_text(encoding="utf-8").splitlines()[0] if path.suffix == ".csv" else None
            found[str(path.relative_to(folder))] = head
    return found


WRITES = {
    "save": ["save", R, "--pick", "H100*", "--to", "new.db"],
    "save no body": ["save", R, "--where", "ttft < 100ms", "--no-body", "--to", "new.db"],
    "scrub": ["scrub", R, "--to", "clean.db"],
    "scrub other": ["scrub", str(PEERS / "vllm_4"), "--to", "clean"],
    "plot": ["plot", R, "--chart", "ecdf", "--out", "a.svg"],
    "plot table": ["plot", R, "--chart", "percentiles", "--metric", "tpot", "--by", "gpu", "--out", "a.csv"],
    "plot paper": ["plot", R, "--chart", "hist", "--size", "paper", "--width", "89mm", "--grey", "--out", "a.pdf"],
    "export": ["export", R, "--chart", "ecdf", "sweep:tpot", "--format", "svg", "csv", "--to", "charts"],
    "export monitoring": ["export", R, "--format", "prometheus", "otel", "--to", "out"],
    "report": ["report", R, "--pick", "H100*", "--title", "Mine", "--out", "a.html"],
}
"""Commands that write files."""


@pytest.mark.parametrize("name", WRITES)
def test_a_command_writes_the_files_it_wrote(name, tmp_path):
    status, _, _ = perfkit(WRITES[name], tmp_path)
    said = {"status": status, "files": files(tmp_path)}
    for made in tmp_path.glob("*.db"):
        _, shown, _ = perfkit(["show", made.name, "--json"], tmp_path)
        said["show"] = json.loads(shown)
    agrees("commands", name, plain(said, wording=False, folder=tmp_path))


@pytest.mark.parametrize("name", ["save", "scrub"])
def test_what_was_written_is_told_as_json(name, tmp_path):
    status, out, _ = perfkit([*WRITES[name], "--json"], tmp_path)
    said = {"status": status, "json": json.loads(out)}
    agrees("commands", f"{name} --json", plain(said, wording=False, folder=tmp_path))


def test_resume_of_a_complete_sweep_has_nothing_to_do(tmp_path):
    shutil.copy(RUNS, tmp_path / "a.db")
    status, _, _ = perfkit(["resume", "a.db"], tmp_path)
    agrees("commands", "resume complete", status)


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["show", "--help"], ["simulate", "--help"]])
def test_help_and_version_are_printed_and_done(words, tmp_path):
    status, out, err = perfkit(words, tmp_path)
    assert (status, err) == (0, "")
    assert out.strip()


def test_the_status_reaches_the_shell(tmp_path):
    for words, status in (["ls", "no/such"], 2), (SHOWN["compare gate fails"], 5):
        done = subprocess.run([sys.executable, "-m", "perfkit", *words], cwd=tmp_path, capture_output=True, check=False)
        assert done.returncode == status
