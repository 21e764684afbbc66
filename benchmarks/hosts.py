"""Do workers on other hosts measure what one worker measures, and what is lost when a host or its link fails?

    python benchmarks/hosts.py --rate 40 --seconds 5 --rounds 2 --delay 20

The hosts are network namespaces of this Linux machine, each with an address, a name and a working directory of its
own: this program is the driver, ``target`` serves, ``near1`` and ``near2`` are on the same switch, and ``far`` is
behind a line that delays every packet. A Dask scheduler runs on ``near1``. All of it lives in a namespace of its own,
so nothing is left behind, however the program ends.

Same load: as in ``workers.py``, one worker beside the driver against one on each of two hosts. Clocks: all hosts have
this machine's clock, so every stored offset must be 0 within its bound. Failing: 16 users, and in the middle of the run
all that runs on ``near2`` is killed, its link is cut for good or for 3 s, or the run is told to stop. By the server's
log, no answer may be missing that had ended 250 ms before. The exit status is 1 if anything did not hold.
"""

import argparse
import fcntl
import os
import select
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from time import monotonic, perf_counter_ns, sleep

sys.path.insert(0, str(Path(__file__).parent.parent))

import perfkit as pk
from benchmarks.dask_cluster import Cluster, Place, dask_cluster
from benchmarks.workers import GRACE, SERVER, compare, reckoned

APART = ("unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
# 198.18.0.0/15 is set aside for benchmarks (RFC 2544).
ADDRESSES = {"target": "198.18.0.2", "near1": "198.18.0.3", "near2": "198.18.0.4", "far": "198.18.1.2"}
URL = f"http://{ADDRESSES['target']}:8000"
FAILURES = {
    "all on near2 killed": True,
    "link of near2 cut": True,
    "link of near2 cut for 3 s": False,
    "told to stop": False,
}
"""Whether the run must say that a share is missing."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=40.0)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--delay", type=float, default=20.0, help="milliseconds each way, between driver and far")
    parser.add_argument("--fail", nargs="*", choices=FAILURES, default=list(FAILURES), help="which failures")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.inside:
        if reason := why_not():
            sys.exit(f"this benchmark {reason}")
        return subprocess.call([*APART, sys.executable, __file__, "--inside", *sys.argv[1:]])
    with tempfile.TemporaryDirectory() as folder, hosts(Path(folder), options.delay / 1e3) as places:
        near = [places["near1"], places["near1"], places["near2"]]
        with dask_cluster(Path(folder), places=near) as cluster:
            ways = {"one worker": 1, "one on each of two hosts": cluster.client}
            serve = partial(serving, places["target"], Path(folder) / "log.csv")
            held = [compare(ways, options.rate, options.seconds, options.rounds, serve)]
            held.append(clocks(places, cluster, options.seconds, options.delay))
        held.append(fail(places, options.fail))
    return 0 if all(held) else 1


def why_not() -> str:
    """Return why no hosts can be made here; empty where they can."""
    if missing := [name for name in ("ip", "unshare") if shutil.which(name) is None]:
        return f"needs {' and '.join(missing)}, of iproute2 and util-linux, on Linux"
    if subprocess.run([*APART, "test", "-w", "/dev/net/tun"], capture_output=True, check=False).returncode:
        return "needs the right to make namespaces, and /dev/net/tun: try as root"
    return ""


# -- The hosts -------------------------------------------------------------------------------------------------------


def ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True)


@contextmanager
def hosts(folder: Path, delay: float) -> Iterator[dict[str, Place]]:
    """Make the hosts around this namespace, which becomes the driver's and the router to ``far``."""
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    ip("link set lo up")
    ip("link add switch type bridge")
    ip("link set switch up")
    ip("addr add 198.18.0.1/24 dev switch")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    for name in ADDRESSES:
        ip(f"netns add {name}")
        ip(f"-n {name} link set lo up")
    for name in ("target", "near1", "near2"):
        ip(f"link add to-{name} type veth peer name eth0 netns {name}")
        ip(f"link set to-{name} master switch up")
        ip(f"-n {name} addr add {ADDRESSES[name]}/24 dev eth0")
        ip(f"-n {name} link set eth0 up")
        ip(f"-n {name} route add default via 198.18.0.1")
    ends = [_tun(b"to-far"), _tun(b"eth0")]
    ip("link set eth0 netns far")
    ip("addr add 198.18.1.1/24 dev to-far")
    ip("link set to-far up")
    ip("-n far addr add 198.18.1.2/24 dev eth0")
    ip("-n far link set eth0 up")
    ip("-n far route add default via 198.18.1.1")
    relay = os.fork()
    if not relay:
        _delay(*ends, delay)
    try:
        yield {name: _place(name, folder) for name in ADDRESSES}
    finally:
        os.kill(relay, signal.SIGKILL)
        os.waitpid(relay, 0)


def _place(name: str, folder: Path) -> Place:
    home = folder / name
    home.mkdir()
    command = 'hostname "$0" && cd "$1" && shift && exec "$@"'
    return Place(
        ("ip", "netns", "exec", name, "unshare", "--uts", "sh", "-c", command, name, str(home)), ADDRESSES[name]
    )


def _tun(name: bytes) -> int:
    """Return a network device whose packets are read and written here."""
    end = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(end, 0x400454CA, struct.pack("16sH22x", name, 0x1001))  # TUNSETIFF, IFF_TUN | IFF_NO_PI
    return end


def _delay(one: int, other: int, delay: float) -> None:
    """Carry packets between two devices for ever, each some seconds late."""
    towards, late = {one: other, other: one}, deque[tuple[float, int, bytes]]()
    while True:
        wait = max(0.0, late[0][0] - monotonic()) if late else None
        for end in select.select([one, other], [], [], wait)[0]:
            late.append((monotonic() + delay, towards[end], os.read(end, 65536)))
        while late and late[0][0] <= monotonic():
            _, end, packet = late.popleft()
            os.write(end, packet)


@contextmanager
def serving(target: Place, log: Path, seed: int) -> Iterator[str]:
    """Serve on a host until the end; give the URL."""
    log.unlink(missing_ok=True)
    options = {**SERVER, "seed": seed, "host": "0.0.0.0", "port": 8000, "log": log}
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    command = [*target.before, sys.executable, "-m", "perfkit", "simulate", *words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        until = monotonic() + 30
        while not _answers(target.address, 8000):
            if monotonic() > until or server.poll() is not None:
                sys.exit("the simulated server did not start")
            sleep(0.05)
        yield URL
        server.send_signal(signal.SIGINT)


def _answers(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


# -- Clocks ----------------------------------------------------------------------------------------------------------


def clocks(places: dict[str, Place], near: Cluster, seconds: float, delay: float) -> bool:
    """Print how exact the comparisons of clocks and the agreed start are, and tell whether they are as they say."""
    print("\n| second share on | comparisons | largest offset [ms] | largest bound [ms] | beyond the bound |", end="")
    print(" shares start apart [ms] | verdict |\n|---|---|---|---|---|---|---|")
    held = True
    for name in ("near2", "far"):
        with tempfile.TemporaryDirectory() as folder:
            path, used = Path(folder) / "r.db", [places["near1"], places["near1"], places[name]]
            with (
                nullcontext(near) if name == "near2" else dask_cluster(Path(folder), places=used) as cluster,
                serving(places["target"], Path(folder) / "log.csv", seed=1) as url,
            ):
                pk.start(url, parallel=4, duration=seconds, prompt="hello", db=str(path), workers=cluster.client).wait()
            with closing(sqlite3.connect(path)) as db:
                count, offset, bound, beyond = db.execute(_CLOCKS).fetchone()
                starts = [start for (start,) in db.execute(_STARTS)]
                (verdict,) = db.execute("SELECT verdict FROM run").fetchone()
        apart = max(starts) - min(starts)
        where = f"{name} ({delay:g} ms each way)" if name == "far" else name
        print(f"| {where} | {count} | {offset * 1e3:.3f} | {bound * 1e3:.3f} | {beyond} |", end="")
        print(f" {apart * 1e3:.2f} | {verdict} |")
        held = held and not beyond and len(starts) == 2 and apart <= bound + 0.01
    return held


_CLOCKS = 'SELECT count(*), max(abs("offset")), max(bound), sum(abs("offset") > bound) FROM clock'
_STARTS = "SELECT min(start_time) FROM result WHERE phase <> 'preflight' GROUP BY worker"


# -- Failing ---------------------------------------------------------------------------------------------------------


def fail(places: dict[str, Place], kinds: list[str]) -> bool:
    """Have a host fail in each way; print what became of its requests, and tell whether all promises held."""
    print("\n| in the middle of the run | answers finished | missing | of the last 250 ms missing |", end="")
    print(" says that a share is missing | ended after [s] |\n|---|---|---|---|---|---|")
    held = True
    for kind in kinds:
        finished, missing, recent, told, after = _failed(kind, places)
        print(f"| {kind} | {finished:,} | {missing} | {recent} | {'yes' if told else 'no'} | {after:.1f} |")
        held = held and not missing and told == FAILURES[kind]
    return held


def _failed(kind: str, places: dict[str, Place]) -> tuple[int, int, int, bool, float]:
    """Let one run meet a failure; return what ``reckoned`` says, and how long after it the run ended."""
    with tempfile.TemporaryDirectory() as folder:
        path, log = Path(folder) / "r.db", Path(folder) / "log.csv"
        used = [places["near1"], places["near1"], places["near2"]]
        with dask_cluster(Path(folder), places=used) as cluster, serving(places["target"], log, seed=1) as url:
            given = {"parallel": 16, "duration": 6, "max_tokens": 8, "prompt": "hello", "db": str(path)}
            job = pk.start(url, workers=cluster.client, **given)
            while job.progress.done < 100:
                sleep(0.005)
            failed = perf_counter_ns()
            if kind == "told to stop":
                job.stop()
            elif "killed" in kind:
                pids = subprocess.run(["ip", "netns", "pids", "near2"], capture_output=True, text=True, check=True)
                for pid in pids.stdout.split():
                    os.kill(int(pid), signal.SIGKILL)
            else:
                ip("link set to-near2 down")
                if "for 3 s" in kind:
                    sleep(3)
                    ip("link set to-near2 up")
            job.wait()
            after = (perf_counter_ns() - failed) / 1e9
            ip("link set to-near2 up")
        return *reckoned(path, log, failed, GRACE), after


if __name__ == "__main__":
    sys.exit(main())
