"""The tables of a run file, as data: every column with its type, unit and meaning.

The first fourteen columns of ``result`` are those of evalscope, same names, order, types and units, so that
reading programs written for it run unchanged. ``*_time`` columns are Unix epoch seconds unless they say "duration".
What failed or is unknown is NULL.
"""

from typing import NamedTuple

from perfkit.records import NOT_FAILED
from perfkit.runfile.percentile import percentile_sql

SCHEMA_VERSION = 1
APPLICATION_ID = 0x70666B31  # "pfk1": tells `file` and us that a sqlite file is perfkit's
OUTPUTS = "outputs"
"""The folder of run files that were given no place."""
SUFFIXES = (".db", ".sqlite", ".sqlite3")
"""What a folder is searched for."""


SHORT_OF = "short_of_"
"""Begins the flag of an answer that had fewer tokens than the server was told to write; their number follows."""
FAILED = f"(NOT success AND coalesce(error_kind, '') NOT IN {NOT_FAILED})"
"""SQL that holds of a request that failed: not of one that was cut off or cancelled."""


class Column(NamedTuple):
    """One column: its name, sqlite type, unit (empty for text and flags) and meaning.

    ``wide`` columns hold texts and blobs: they are left out of the covering index, and loaded only when asked for.
    """

    name: str
    type: str
    unit: str
    meaning: str
    wide: bool = False


RESULT = (
    Column("request", "TEXT", "", "base64 of a pickled dict (protocol 4, no memo): the body sent", wide=True),
    Column("start_time", "REAL", "s", "right before the request was written"),
    Column("inter_token_latencies", "TEXT", "s", "JSON list of gaps between token-bearing chunks", wide=True),
    Column("success", "INTEGER", "", "1 or 0"),
    Column("response_messages", "TEXT", "", "base64 of a pickled list of str: the payloads verbatim", wide=True),
    Column(
        "completed_time",
        "REAL",
        "s",
        "last byte of the answer, or the failure; the event that ends a stream ends it, whatever the server does after",
    ),
    Column("latency", "REAL", "s", "E2E: completed_time - start_time; NULL when failed"),
    Column("first_chunk_latency", "REAL", "s", "TTFT; NULL when failed or not streamed"),
    Column("prompt_tokens", "INTEGER", "tokens", "tokens of the prompt"),
    Column("completion_tokens", "INTEGER", "tokens", "tokens of the answer, reasoning included"),
    Column("max_gpu_memory_cost", "REAL", "", "always NULL; kept for evalscope's readers"),
    Column("time_per_output_token", "REAL", "s", "TPOT"),
    Column("request_id", "TEXT", "", "ours, or the trace's"),
    Column("is_stream", "INTEGER", "", "1 if the answer was a stream"),
    Column("run_id", "TEXT", "", "the run this row belongs to (ULID)"),
    Column("seq", "INTEGER", "", "index in the plan, unique within the run; NULL for preflight requests"),
    Column("phase", "TEXT", "", "warmup, ramp, steady or cooldown; preflight in the table of that name"),
    Column("session_id", "TEXT", "", "the conversation"),
    Column("turn", "INTEGER", "", "turn of the conversation, from 1"),
    Column("worker", "INTEGER", "", "number of the worker that sent it"),
    Column("scheduled_time", "REAL", "s", "when it was due"),
    Column("dns_time", "REAL", "s", "duration of the name look-up for its connection"),
    Column("connect_time", "REAL", "s", "duration of the TCP handshake of its connection"),
    Column("tls_time", "REAL", "s", "duration of the TLS handshake of its connection"),
    Column(
        "written_time",
        "REAL",
        "s",
        "the last byte of the request was handed to the kernel; not after what came back for it",
    ),
    Column("headers_time", "REAL", "s", "the answer's headers were complete"),
    Column("first_byte_time", "REAL", "s", "first byte of the answer's body"),
    Column("last_token_time", "REAL", "s", "last token-bearing chunk"),
    Column("stamp_source", "TEXT", "", "user, kernel or plugin: who stamped the chunks"),
    Column("stamp_lag", "REAL", "s", "largest user-space minus kernel stamp of the row"),
    Column(
        "attempts",
        "INTEGER",
        "",
        "2 when its kept-alive connection was being closed as it was sent, so that it was sent again",
    ),
    Column("connection", "INTEGER", "", "number of the connection within the run and worker"),
    Column("connection_use", "INTEGER", "", "1 for its first request, 2 for the next, ..."),
    Column("status_code", "INTEGER", "", "HTTP status"),
    Column("error_kind", "TEXT", "", "one word of records.ErrorKind"),
    Column("error", "TEXT", "", "what went wrong, secrets removed"),
    Column("finish_reason", "TEXT", "", "as the server said"),
    Column("token_source", "TEXT", "", "server, tokenizer, estimate or plugin: who counted the tokens"),
    Column("cached_tokens", "INTEGER", "tokens", "prompt tokens the server had cached"),
    Column("reasoning_tokens", "INTEGER", "tokens", "completion tokens spent on reasoning"),
    Column("bytes_received", "INTEGER", "bytes", "size of the answer's body as it was sent (compressed, if it was)"),
    Column("server_request_id", "TEXT", "", "the id the server gave"),
    Column("response_headers", "TEXT", "", "JSON, an allowlist", wide=True),
    Column("prompt_hash", "TEXT", "", "hash of the prompt, equal for equal prompts"),
    Column("dataset_row", "INTEGER", "", "row of the dataset it came from"),
    Column("prompt_text", "TEXT", "", "last user message, at most 4,000 characters", wide=True),
    Column("output_text", "TEXT", "", "the answer's text", wide=True),
    Column(
        "flags",
        "TEXT",
        "",
        "remarks, separated by spaces; not_streamed: a stream was asked for, and the answer came whole",
    ),
    Column("chunks", "BLOB", "", "arrival, kind and read of every chunk (perfkit.runfile.chunks)", wide=True),
    Column("first_answer_latency", "REAL", "s", "first chunk with text or a tool call, reasoning aside; as TTFT"),
    Column("server_queue_time", "REAL", "s", "as the server says: until it began with the prompt"),
    Column("server_prefill_time", "REAL", "s", "as the server says: from there to the first token"),
    Column("server_ttft", "REAL", "s", "as the server says: from its arrival there to the first token"),
    Column("server_decode_time", "REAL", "s", "as the server says: from the first token to the last"),
    Column("draft_tokens", "INTEGER", "tokens", "proposed by the server's draft model"),
    Column("accepted_tokens", "INTEGER", "tokens", "of these, the ones that the model took"),
    Column("request_model", "TEXT", "", "model that its body asks for"),
    Column("request_class", "TEXT", "", "of a mix of datasets: the one that it comes from"),
    Column("request_headers", "TEXT", "", "JSON: the headers that its record had for it, secrets masked"),
    Column("request_target", "TEXT", "", "URL that it went to, as it was given, secrets removed"),
)

RUN = (
    Column("run_id", "TEXT PRIMARY KEY", "", "ULID: sorts by time"),
    Column("name", "TEXT", "", "what the person called it"),
    Column("note", "TEXT", "", "free text"),
    Column("tags", "TEXT", "", "JSON object of str"),
    Column("sweep_id", "TEXT", "", "shared by the points of one sweep"),
    Column("point", "INTEGER", "", "index of this run in its sweep, from 0"),
    Column("plan", "TEXT", "", "JSON: number of the sweep's points, and its arguments, secrets removed"),
    Column("arguments", "TEXT", "", "JSON of Arguments, secrets removed"),
    Column("model", "TEXT", "", "model asked for"),
    Column("target", "TEXT", "", "URL, secrets removed"),
    Column("api", "TEXT", "", "name of the API plugin"),
    Column("load", "TEXT", "", "closed or open"),
    Column("parallel", "INTEGER", "", "users of the closed model"),
    Column("rate", "REAL", "1/s", "requests per second asked for in the open model; -1: all at time 0"),
    Column("number", "INTEGER", "", "requests planned"),
    Column("duration", "REAL", "s", "time limit of sending"),
    Column("dataset", "TEXT", "", "name or path; `<list>`: prompts of the session that began the run"),
    Column(
        "remarks",
        "TEXT",
        "",
        "JSON list of sentences: how the dataset was read, what was left out, what plugins held up",
    ),
    Column("dataset_hash", "TEXT", "", "hash of its file, where there is one"),
    Column("prompt_seed", "INTEGER", "", "seed of the order of prompts"),
    Column("arrival_seed", "INTEGER", "", "seed of the arrival process"),
    Column("request_seed", "INTEGER", "", "seed sent in the body"),
    Column("versions", "TEXT", "", "JSON: perfkit, Python, libraries"),
    Column("host", "TEXT", "", "JSON: name, system, CPUs, their frequency governor"),
    Column("git", "TEXT", "", "JSON: commit and state of the working directory"),
    Column("pid", "INTEGER", "", "process that writes the run: the first worker, or the driver of workers elsewhere"),
    Column("pid_time", "REAL", "s", "when that process started: tells a reused pid"),
    Column(
        "clock_offset", "INTEGER", "ns", "Unix time minus perf_counter: lines stamps up with other logs of the machine"
    ),
    Column("status", "TEXT", "", "running, finished or interrupted"),
    Column("problem", "TEXT", "", "why it ended before its time, where that was not a person's wish"),
    Column("start_time", "REAL", "s", "load started"),
    Column("end_time", "REAL", "s", "load ended"),
    Column("heartbeat", "REAL", "s", "when the writer was last seen alive: once a second"),
    Column("sent", "INTEGER", "", "requests sent, preflight left out"),
    Column("succeeded", "INTEGER", "", "of these"),
    Column("failed", "INTEGER", "", "of these; neither: cancelled, or cut off when the run was stopped"),
    Column("verdict", "TEXT", "", "VALID, SUSPECT or CLIENT-BOUND"),
    Column("reasons", "TEXT", "", "JSON list of sentences behind the verdict"),
    Column("basis", "TEXT", "", "JSON: what each metric rests on: stamps, recomputed, or stored:DEFINITION"),
    Column(
        "figures",
        "TEXT",
        "",
        "JSON: of a run whose requests are not here, what its tool's summary says, such as ttft_p50",
    ),
    Column("source", "TEXT", "", "tool that measured it: perfkit, evalscope, guidellm, ..."),
    Column("removed", "INTEGER", "", "1: left out when the file is opened, until someone brings it back"),
    Column("cancelled", "INTEGER", "", "of the requests sent: their client closed the connection, as it was to"),
)

CLOCK = (
    Column("run_id", "TEXT", "", ""),
    Column("worker", "INTEGER", "", ""),
    Column("time", "REAL", "s", "Unix epoch"),
    Column("offset", "REAL", "s", "this worker's clock minus the driver's; its times are on the driver's"),
    Column("bound", "REAL", "s", "largest error of the offset"),
)

SAMPLE = (
    Column("run_id", "TEXT", "", ""),
    Column("worker", "INTEGER", "", ""),
    Column("time", "REAL", "s", "Unix epoch"),
    Column(
        "name",
        "TEXT",
        "",
        "loop_beats, loop_late, cpu_share, gc_pause, clock_step, in_flight, peak_memory (bytes), ...",
    ),
    Column("value", "REAL", "", "in the unit its name implies; seconds for durations"),
)

CONTROL = (
    Column("time", "REAL", "s", "Unix epoch"),
    Column("run_id", "TEXT", "", "NULL: every run of this file"),
    Column("word", "TEXT", "", "an order to the worker, looked at once a second: stop, or extend and seconds"),
)

SERVER_SERIES = (
    Column("series", "INTEGER PRIMARY KEY", "", "number of the series in this file"),
    Column("run_id", "TEXT", "", "the run during which it was read"),
    Column("page", "TEXT", "", "URL of the page that it stands on, secrets removed"),
    Column("name", "TEXT", "", "as it is published; a counter's ends in _total, as the parser has it"),
    Column("labels", "TEXT", "", "JSON object of str, secrets masked"),
    Column("kind", "TEXT", "", "counter, gauge, histogram, summary or unknown, as the page says"),
)

SERVER_SAMPLE = (
    Column("series", "INTEGER", "", "its row of server_series"),
    Column("time", "REAL", "s", "Unix epoch: halfway between asking for the page and the beginning of the answer"),
    Column("value", "REAL", "", "from this time on; NULL: published no more"),
)

TABLES = {
    **{"result": RESULT, "preflight": RESULT, "run": RUN, "clock": CLOCK, "sample": SAMPLE, "control": CONTROL},
    **{"server_series": SERVER_SERIES, "server_sample": SERVER_SAMPLE},
}

RESULT_NAMES = tuple(column.name for column in RESULT)
ADDED = (
    *("first_answer_latency", "server_queue_time", "server_prefill_time", "server_ttft", "server_decode_time"),
    *("draft_tokens", "accepted_tokens", "request_model", "request_class", "request_headers", "request_target"),
)
"""Columns of ``result`` that files of earlier versions lack: NULL there."""
NARROW = tuple(column.name for column in RESULT if not column.wide)
"""Columns of ``result`` that the covering index holds: a scan of them never walks the texts' pages."""

_ITL_PERCENTILES = ",".join(
    f"{percentile_sql('inter_token_latencies', percent)} AS itl_p{percent}" for percent in (50, 95, 99)
)

REQUEST_METRICS = f"""
CREATE VIEW request_metrics AS
SELECT run_id, seq, phase, success,
       first_chunk_latency AS ttft,
       time_per_output_token AS tpot,
       latency AS e2e,
       1.0 / NULLIF(time_per_output_token, 0) AS decode_rate,
       start_time - scheduled_time AS lag,
       (SELECT avg(value) FROM json_each(inter_token_latencies)) AS itl_mean,
       (SELECT max(value) FROM json_each(inter_token_latencies)) AS itl_max,{_ITL_PERCENTILES}
FROM result
"""


def _create(table: str, columns: tuple[Column, ...]) -> str:
    body = ", ".join(f'"{column.name}" {column.type}' for column in columns)
    return f"CREATE TABLE IF NOT EXISTS {table} ({body})"


def statements() -> list[str]:
    """Return the SQL that makes an empty file a run file, safe to repeat on one that is."""
    return [
        f"PRAGMA application_id = {APPLICATION_ID}",  # first: another worker may find the file half made
        *(_create(table, columns) for table, columns in TABLES.items()),
        "CREATE UNIQUE INDEX IF NOT EXISTS result_seq ON result (run_id, seq)",
        f"CREATE INDEX IF NOT EXISTS result_narrow ON result (run_id, {', '.join(c for c in NARROW if c != 'run_id')})",
        "CREATE INDEX IF NOT EXISTS sample_run ON sample (run_id, name)",
        "CREATE INDEX IF NOT EXISTS server_series_run ON server_series (run_id)",
        "CREATE INDEX IF NOT EXISTS server_sample_series ON server_sample (series, time)",
        REQUEST_METRICS.replace("VIEW", "VIEW IF NOT EXISTS", 1),
        f"PRAGMA user_version = {SCHEMA_VERSION}",
    ]
