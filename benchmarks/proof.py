"""Runs every benchmark that backs a claim of ours, and writes what they print to ``benchmarks/proof.md``.

    python benchmarks/proof.py                                 # what this repository can do alone
    PERFKIT_INSTRUMENTS=folder python benchmarks/proof.py      # with a paced server and a client written in C

``PERFKIT_INSTRUMENTS`` names a folder with ``paced_server.c`` (a server whose log says what it did, see
``accuracy.py``) and ``epoll_client.c`` (the least that a streaming client can cost). Without it perfkit's own
simulator serves, whose timekeeping ends sooner. ``PERFKIT_PEERS="evalscope=venv/bin vllm=..."`` names the bin folders
of other tools, which are measured beside. ``--only NAME`` runs one section and replaces it alone.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path

HERE = Path(__file__).parent
PROOF = HERE / "proof.md"


@dataclass(frozen=True)
class Section:
    """One claim: the program that checks it, its arguments, and what the figures must be."""

    name: str
    claim: str
    program: str
    words: tuple[str, ...] = ()
    with_server: bool = False
    with_client: bool = False
    pace: str = "--ttft-ms 100 --itl-ms 10 --chunks 64"


SECTIONS = (
    Section(
        "accuracy",
        "Stored stamps against the server's own log (TTFT 100 ms, ITL 10 ms, 64 chunks; all streams opened together). "
        "Wanted of what is stored by default (kernel stamps): every chunk p50 <= 0.5 ms, p99 <= 6 ms at 256 streams "
        "and <= 12 ms at 1024, uncensored ones p50 <= 0.05 ms, p99 <= 1 ms; written - start p99 <= 0.1 ms; mean TTFT "
        "error <= 1.5 ms at 32 and 256 and <= 5 ms at 1024; ITL p50 10 +- 0.2 ms and TPOT within 0.1 ms at 256; CPU "
        "per chunk, stored, at most 3 times the C client's at 256 and 2.5 times at 1024. Wanted of user stamps at "
        "1024, uncensored: p50 <= 0.5 ms, p99 <= 10 ms; CPU at most twice the C client's.",
        "accuracy.py",
        ("--streams", "32", "256", "1024", "--stamps", "user", "kernel"),
        with_server=True,
        with_client=True,
    ),
    Section(
        "busy neighbour",
        "The same while a busy loop occupies a processor. Wanted: uncensored kernel stamps p50 <= 0.05 ms and "
        "p99 <= 1 ms all the same; the censored share is shown.",
        "accuracy.py",
        ("--streams", "256", "1024", "--stamps", "kernel", "--busy", "1"),
        with_server=True,
        with_client=True,
    ),
    Section(
        "size",
        "Cost and exactness against size: 100 events a second from each stream. Where the machine cannot carry the "
        "server and the client, the verdict must say so.",
        "accuracy.py",
        ("--streams", "1", "8", "64", "512", "2048", "4096", "--stamps", "kernel", "--rounds", "2"),
        with_server=True,
        with_client=True,
    ),
    Section(
        "two workers",
        "The same with two worker processes. Wanted at 4096 streams: uncensored kernel stamps p50 <= 0.05 ms and p99 "
        "<= 1 ms, or a verdict that says CLIENT-BOUND and is right.",
        "accuracy.py",
        ("--streams", "1024", "4096", "--stamps", "kernel", "--rounds", "2", "--workers", "2"),
        with_server=True,
        with_client=True,
    ),
    Section(
        "command",
        "The whole command at 256 users, 4,096 requests of 64 chunks, three times: start-up to the first request (it "
        "tries the connection) at most 0.7 s, tail from the last byte served to the end of the command at most 0.5 s. "
        "Both grow with what else runs on the machine, whose load stands beside them.",
        "peers.py",
        ("--only", "perfkit", "--streams", "256", "256", "256", "--rounds", "16"),
        with_server=True,
    ),
    Section(
        "durability",
        "Runs killed with SIGKILL at random moments: nothing whose answer ended more than 250 ms before, and which the "
        "loop had read, is missing, no row is there twice, every file opens and needs no hand. Of 10 runs ended with "
        "Ctrl-C nothing is missing, they end within 2 s (times the patience given), nothing is sent afterwards. Of 10 "
        "on a disk that fills up (a tmpfs in a mount namespace of its own) and 10 whose file is deleted, all is in a "
        "file that they name.",
        "durability.py",
        (
            "--kinds",
            *("group=20", "recorder=30", "worker=20", "driver=10", "interrupt=10", "full=10", "deleted=10"),
            *("--patience", "4"),
        ),
    ),
    Section(
        "durability under load",
        "30 runs of which everything is killed at once, driver included, beside eight loops that use the two "
        "processors: the same.",
        "durability.py",
        ("--kinds", "everything=30", "--busy", "8", "--patience", "4"),
    ),
    Section(
        "soak",
        "256 users for 30 minutes, one request in a hundred faulty in each way that the simulator knows: after five "
        "minutes the memory of driver, loop and recorder grows by less than 1 MB/min, their descriptors are constant, "
        "and no row is missing.",
        "soak.py",
        ("--streams", "256", "--minutes", "30"),
    ),
    Section(
        "storm",
        "512 users, three requests of ten to a server that does everything of docs/faults.md wrong, in turns with runs "
        "without it: no healthy stream fails, and the p99 of their TTFT error is at most 1.5 times the quiet runs'.",
        "storm.py",
        ("--streams", "512", "--rounds", "4", "--seconds", "12"),
    ),
    Section(
        "losses",
        "Resets, half-closes and stalls under 64 streams, on both event loops, plain and TLS: each ends its request, "
        "as what it is, within 50 ms (a stall: of its read_timeout). Waits for a processor count as ours.",
        "losses.py",
        ("--streams", "64", "--rounds", "3"),
    ),
    Section(
        "verdicts",
        "20 runs set up to be good and 20 set up to be bad (busy neighbour, too high a rate, stopped process, file "
        "limit, slow disk, slow dataset): no bad run called VALID, and each doubted for what was done to it. Good runs "
        "that are not VALID are counted; the line says how busy others kept the machine.",
        "verdicts.py",
        ("--good", "20", "--bad", "20"),
    ),
    Section(
        "waits",
        "What a wait for a processor does to the numbers, by the server's log: the limits of the check rest on it.",
        "waits.py",
        ("--rounds", "2"),
    ),
    Section(
        "notebook",
        "64 users, quiet and while another cell redraws a figure every second: p99 of chunk lateness no worse than "
        "twice the quiet run's, or 5 ms.",
        "notebook.py",
    ),
    Section(
        "scraping",
        "256 users, with `scrape` and without, in turns, ten runs of each: the server's own page and one of 1,000 "
        "series that all change, once a second. The mean of the runs' p99 of chunk lateness is no larger with it than "
        "without, or by less than the standard deviation of the runs without.",
        "scraping.py",
    ),
    Section(
        "workers",
        "Two local processes and two Dask workers measure what one worker measures at the same load: TTFT by a "
        "two-sample Kolmogorov-Smirnov test, ITL by the same distance with whole requests permuted, p > 0.01. Of Dask "
        "workers killed at random moments no answer that had ended is missing; of whole machines, none that had ended "
        "250 ms before; every such run says whose share is missing, and none is VALID.",
        "workers.py",
    ),
    Section(
        "hosts",
        "The same between hosts, which are network namespaces: workers on two of them measure what one beside the "
        "driver does; with 20 ms each way to one, every stored offset between clocks is within its bound (they have "
        "the same clock, so the truth is 0), and the shares start within bound + 10 ms of each other. Of a host that "
        "is killed, or whose link is cut for good or for 3 s, and of a run that is told to stop, no answer is missing "
        "that had ended 250 ms before; the run says that a share is missing where one is.",
        "hosts.py",
    ),
    Section(
        "arrivals",
        "What the servers' logs say of 20 s of Poisson, gamma and constant arrivals: each passes the goodness-of-fit "
        "test of its own law and of no other, its rate is within 1 % of its schedule's, and no request is missing. "
        "What the test sees and what it does not is in the first table; gaps below 1 ms are one class.",
        "arrivals.py",
        with_server=True,
        pace="--ttft-ms 10 --itl-ms 5 --chunks 2",
    ),
    Section(
        "capacity",
        "300 searches of `pk.capacity` in virtual time, 60 at each of five kinds of server, open and closed, with 500 "
        "requests a point and at most 12 points: the bracket holds the truth in 95 % (93 % of the 300 at least), and "
        "its ends lie within 15 % of its middle, in the median of each kind.",
        "capacity.py",
    ),
    Section(
        "hostile",
        "Every hostile cell and file refused or decoded as it should be, without a side effect.",
        "hostile.py",
        ("../tests/corpus",),
    ),
    Section(
        "exploring",
        "1,000,000 requests without bodies opened and summarised in under 10 s and 2 GB. Of 100,000 requests with 64 "
        "chunks each, 1,000 filtered and decoded in under 1 s, and their ids and TTFT read at least 5 times faster "
        "than by a plain reader.",
        "exploring.py",
    ),
    Section(
        "lens",
        "Other tools beside what their definitions make of our stamps: one stream, an empty role chunk 50 ms early, "
        "four tokens an event, half of the answer reasoning, a usage chunk. Within 5 ms or the tool's own spread "
        "(p99 - p50), for each tool that PERFKIT_PEERS names.",
        "lens.py",
        ("--reasoning", "32", "--patience", "300"),
    ),
    Section(
        "figure",
        "A script of at most 8 lines and 5 s opens databases of every generation of another tool, tags the runs from "
        "their paths, and writes the ECDF of TTFT as a PDF 89 mm wide and a LaTeX table of percentiles.",
        "figure.py",
        ("../tests/fixtures/evalscope",),
    ),
    Section(
        "coverage",
        "Nine kinds of latencies (dependent, heavy-tailed, with ties, ...), 20 to 1,000 of each: of the 95 % intervals "
        "without a mark, 92 to 98 % hold the truth, for each statistic over the runs that have seen what is rare; of "
        "log-normal latencies at most 10 % are marked from 200 requests on. So for the rates of closed and open runs.",
        "coverage.py",
    ),
    Section(
        "windows",
        "Request, output and prompt throughput and concurrency of the window, against the truth of virtual runs of 50, "
        "200 and 1,000 requests (constant, log-normal, ramped, stopped, scheduled, capped) and by the server's own "
        "log: within 1 %.",
        "windows.py",
    ),
    Section(
        "claims",
        "Of equal servers whose runs differ by 0, 2 or 5 %, the first sentence of a comparison claims a difference in "
        "at most 5 + 1.5 % of 2,000, and never with one run a side; beside it, how often 5 and 10 % are seen.",
        "claims.py",
    ),
    Section(
        "planning",
        "Of ten kinds of comparison that a plan promises to see with a chance of 80 %, 400 are planned, each by a "
        "pilot of its own, and made: 75 to 90 % see the difference.",
        "planning.py",
    ),
    Section(
        "seeds",
        "The programs, plugins and the command line of the first users' documents, run as they stand but for their "
        "import lines, streaming and not; plugins of every generation from file to row.",
        "../tests/test_seeds.py",
        ("../tests/test_generations.py", "../tests/test_coming_from.py"),
    ),
    Section(
        "wire",
        "What each option does: on the wire as the server received it, or on the clock.",
        "../tests/test_options_on_the_wire.py",
    ),
    Section(
        "mistakes",
        "Fifty mistakes: one clear sentence each, exit status 2, nothing lost.",
        "../tests/test_bad_input.py",
    ),
    Section(
        "plugins",
        "Stamps of plugins of generations A and C are as true as a built-in API's; those of B, which sends by itself, "
        "at least as true as evalscope's own transport (where PERFKIT_PEERS names one).",
        "plugins.py",
    ),
    Section(
        "dataset",
        "A dataset of 2,000,000 lines starts sending within 1 s and stays under 200 MB.",
        "dataset.py",
    ),
    Section(
        "translated",
        "Command lines of other tools and what `perfkit translate` makes of them, each run against a server that logs "
        "what it gets: path, fields of the body, headers, requests, most in flight, rate, lengths of prompts. Nothing "
        "differs that the translation does not say. Beside the tool where PERFKIT_PEERS names it, else beside what was "
        "recorded of it.",
        "translated.py",
    ),
    Section(
        "fixtures",
        "Other tools' own summaries recomputed from their files.",
        "fixtures.py",
        ("../tests/fixtures/evalscope", "../tests/fixtures/peers"),
    ),
)


def main() -> int:
    """Run the sections asked for; the exit status says whether every program ended well."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=[section.name for section in SECTIONS], nargs="+")
    only = parser.parse_args().only
    renewed: dict[str, str] = {}
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        instruments = _instruments(Path(folder))
        for section in SECTIONS:
            if (only and section.name not in only) or not (HERE / section.program).exists():
                continue
            sys.stdout.write(f"{section.name} ...\n")
            text, ended_well = _run(section, instruments)
            renewed[section.name] = text
            if not ended_well:
                failed.append(section.name)
    texts = {**_earlier(), **renewed}
    # Sections of programs that need servers of others are put in by hand, and stay.
    names = dict.fromkeys([*(section.name for section in SECTIONS), *texts])
    body = "\n\n".join(texts[name] for name in names if name in texts)
    PROOF.write_text(f"# Proof\n\nWritten by `make proof`; each section says when and where it ran.\n\n{body}\n")
    sys.stdout.write(f"written: {PROOF}\n" + (f"failed: {', '.join(failed)}\n" if failed else ""))
    return 1 if failed else 0


def _run(section: Section, instruments: list[str]) -> tuple[str, bool]:
    instruments = [word.replace("PACE", section.pace) for word in instruments]
    words = [*section.words, *instruments[: 2 * (section.with_server + section.with_client)]]
    began = time.perf_counter()
    programs = [str((HERE / word).resolve()) if word.startswith("../tests/") else word for word in words]
    runner = ["-m", "pytest"] if section.program.startswith("../tests/") else []
    command_line = [sys.executable, *runner, str((HERE / section.program).resolve()), *programs]
    process = subprocess.run(command_line, capture_output=True, text=True, check=False)
    took = time.perf_counter() - began
    start = ["pytest" if runner else "python", f"benchmarks/{section.program}", *section.words]
    command = " ".join(start).replace("benchmarks/../", "").replace("../", "")
    beside = " and client" if section.with_client else ""
    served = f"the C server{beside}" if section.with_server and instruments else "perfkit's simulator"
    head = f"## {section.name}\n\n{section.claim}\n\n`{command}` against {served}; {_where()}; {took:.0f} s"
    told = process.stdout.strip() or process.stderr.strip()[-2000:]
    return f"{head}, exit status {process.returncode}.\n\n{told}", process.returncode == 0


def _instruments(folder: Path) -> list[str]:
    """Compile the instruments, if their folder was named; return the options that use them."""
    source = os.environ.get("PERFKIT_INSTRUMENTS")
    if not source:
        return []
    for name in ("paced_server", "epoll_client"):
        subprocess.run(["cc", "-O2", "-o", str(folder / name), f"{source}/{name}.c"], check=True)
    server = "--port {port} PACE --log {log} --chunk-log {chunks}"
    client = "{port} {streams} {requests}"
    return ["--server", f"{folder}/paced_server {server}", "--client", f"{folder}/epoll_client {client}"]


def _where() -> str:
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE, check=False)
    load = f", load {os.getloadavg()[0]:.1f} before" if hasattr(os, "getloadavg") else ""
    return (
        f"{date.today()}, commit {git.stdout.strip() or 'unknown'}, {os.cpu_count()} CPUs, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}{load}"
    )


def _earlier() -> dict[str, str]:
    """Return the sections of the file that is there, so that one can be renewed alone."""
    if not PROOF.exists():
        return {}
    parts = re.split(r"^(?=## )", PROOF.read_text(), flags=re.MULTILINE)[1:]
    return {part.split("\n", 1)[0].removeprefix("## ").strip(): part.strip() for part in parts}


if __name__ == "__main__":
    sys.exit(main())
