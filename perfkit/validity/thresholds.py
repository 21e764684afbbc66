"""From where evidence of the client makes a run SUSPECT or CLIENT-BOUND.

=================== ======================================= ======== ============
check               evidence                                SUSPECT  CLIENT-BOUND
=================== ======================================= ======== ============
loop lag            99th percentile, s                      0.010    0.100
stall               longest time the loop stood still, s    0.050    0.500
processor wait      share of the time the loop was ready    0.15     0.50
                    and another process ran
processors          share of the time that all those of     0.75
                    the client were in use, by whomever
cpu                 share of one core, busiest worker       0.80     0.95
gc pause            longest, s                              0.020    0.200
plugin              share of the time that a plugin kept    0.01     0.10
                    the loop from its work
send lag            99th percentile behind schedule, s      0.020    0.250
turn-around         99th percentile between two requests    0.020    0.250
                    of a user, s
rate                share of the requested rate missed      0.05     0.20
backlog             rows the writer had waiting             10,000   100,000
look-ahead          share of the time that a request was    0.01     0.10
                    wanted and none was ready
connect failures    share of requests                       0.01
failures            share of requests, of all workers       1
resends             share of requests sent twice            0.05
idle connections    mean number beyond those in use         64
censored first      share of first tokens that shared a     0.01
                    read with a later chunk
censored gaps       share of gaps likewise                  0.05
file limit          share of the connections that the       0.001    0.10
                    limit of open files leaves no room for
storing             longest time a commit took, s           0.5      5
calibration         events per second, as a multiple of     1
                    what this machine was found to hold
Little's law        requests in flight as counted against   0.10     0.50
                    rate x E2E of the rows: share amiss
cache               share of requests whose prompt was sent 0.01
                    before and that the server had cached
shared prefixes     share of requests with a new prompt of      0.01
                    which the server had a tenth cached
governor            of the processor: powersave             always
killed              no process was left to end the run      always
=================== ======================================= ======== ============

They are ours, not physics: ten milliseconds of loop lag is a tenth of a quick TTFT.
"""

from typing import NamedTuple

GATEWAY = (
    "a gateway or the server sends its chunks in bunches, as the client was idle: "
    "`option http-no-delay` for HAProxy, `proxy_buffering off` for nginx"
)


OF_A_HELD_LOOP = frozenset({"loop_lag", "stall", "send_lag", "turnaround", "missed_rate"})
"""Evidence that a plugin which keeps the loop from its work explains: then more workers are no remedy."""


class Limit(NamedTuple):
    """From where a piece of evidence makes a run SUSPECT or CLIENT-BOUND, and what to say and do then."""

    name: str
    suspect: float
    bound: float
    sentence: str
    remedy: str
    idle_remedy: str = ""
    """What to do where the client was idle, so that the cause is none of its own."""


LIMITS = {
    "loop_lag": Limit(
        "loop lag",
        0.010,
        0.100,
        "the client's loop was late by {ms:.0f} ms (p99)",
        "use more workers, or close what else runs on this machine",
    ),
    "stall": Limit(
        "stall",
        0.050,
        0.500,
        "the client stood still for {ms:.0f} ms",
        "close what else runs on this machine; nothing may stop or swap out the worker",
    ),
    "cpu_wait": Limit(
        "processor wait",
        0.15,
        0.50,
        "the client waited for a processor {percent:.0f} % of the time",
        "close what else runs on this machine, or give the worker a core of its own",
    ),
    "cpu_taken": Limit(
        "processors",
        0.75,
        float("inf"),
        "no processor that the client may use was idle for {percent:.0f} % of the time",
        "close what else runs on this machine, or give the worker a core of its own",
    ),
    "cpu_share": Limit(
        "cpu",
        0.80,
        0.95,
        "the client used {percent:.0f} % of its core",
        "use more workers: workers=2",
    ),
    "gc_pause": Limit(
        "gc pause",
        0.020,
        0.200,
        "garbage collection stopped the client for {ms:.0f} ms",
        "keep plugins from allocating during the run",
    ),
    "plugin_held": Limit(
        "plugin",
        0.01,
        0.10,
        "a plugin kept the client's loop from its work {percent:.0f} % of the time",
        "await what waits, or give it to asyncio.to_thread; the remark of the run names file and line",
    ),
    "send_lag": Limit(
        "send lag",
        0.020,
        0.250,
        "requests were sent {ms:.0f} ms behind schedule (p99)",
        "lower the rate, or use more workers",
    ),
    "turnaround": Limit(
        "turn-around",
        0.020,
        0.250,
        "a user's next request waited {ms:.0f} ms for the client (p99)",
        "use fewer users, or more workers",
    ),
    "missed_rate": Limit(
        "rate",
        0.05,
        0.20,
        "{percent:.0f} % of the requested rate was not sent",
        "lower the rate, or use more workers",
    ),
    "backlog": Limit(
        "backlog",
        10_000,
        100_000,
        "{value:,.0f} rows waited to be written",
        "write to a faster disk",
    ),
    "starved": Limit(
        "look-ahead",
        0.01,
        0.10,
        "the load waited for prompts {percent:.0f} % of the time",
        "prepare the dataset beforehand",
    ),
    "connect_failures": Limit(
        "connect failures",
        0.01,
        float("inf"),
        "{percent:.1f} % of the requests got no connection",
        "check the server's address, its limit of connections, and `ulimit -n` here",
    ),
    "failed": Limit(
        "failures",
        1.0,
        float("inf"),
        "no request succeeded",
        "put right what the server or the connection says; nothing of this run is a measurement",
    ),
    "resent": Limit(
        "resends",
        0.05,
        float("inf"),
        "{percent:.0f} % of the requests were sent twice, as the server closed their connections when they were sent",
        "let the server keep connections open, or say Connection: close",
    ),
    "idle_connections": Limit(
        "idle connections",
        64,
        float("inf"),
        "{value:.0f} more connections stood idle than had a request in flight (mean)",
        "a server that keeps a thread or a slot for each answers slower; cap them with max_concurrency",
    ),
    "censored_first": Limit(
        "censored first tokens",
        0.01,
        float("inf"),
        "{percent:.1f} % of the first tokens came in one read with later chunks: their TTFT is an upper bound",
        "use more workers, or close what else runs on this machine",
        GATEWAY,
    ),
    "censored_gaps": Limit(
        "censored gaps",
        0.05,
        float("inf"),
        "{percent:.1f} % of the chunks came in one read with later ones: short ITL are not seen",
        "use more workers; a server or proxy that batches its chunks does this too",
        GATEWAY,
    ),
    "no_socket": Limit(
        "file limit",
        0.001,
        0.10,
        "the limit of open files leaves no room for {percent:.0f} % of the connections",
        "raise the hard limit (`ulimit -Hn`, LimitNOFILE of a service), or use more workers",
    ),
    "commit": Limit(
        "storing",
        0.5,
        5.0,
        "storing rows took {value:.1f} s at once",
        "write to a faster disk, and let nothing else lock the file",
    ),
    "calibrated": Limit(
        "calibration",
        1.0,
        float("inf"),
        "{value:.1f} times the event rate up to which this machine's stamps were found to hold",
        "use more workers, or calibrate again: perfkit calibrate",
    ),
    "littles_gap": Limit(
        "Little's law",
        0.10,
        0.50,
        "the requests in flight that the client counted are {percent:.0f} % off rate x E2E of its rows (Little's law)",
        "requests waited in the client, where E2E does not count them: use more workers or fewer connections",
    ),
    "cached_repeats": Limit(
        "cache",
        0.01,
        float("inf"),
        "{percent:.0f} % of the requests repeat prompts of {where} and came from the server's cache",
        "give more prompts, or others with dataset_offset",
    ),
    "cached_prefixes": Limit(
        "shared prefixes",
        0.01,
        float("inf"),
        "{percent:.0f} % of the requests begin as {prefixes} and came in part from the server's cache",
        "give prompts that begin differently, unless that is what you measure",
    ),
}
