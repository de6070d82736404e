"""Reads what the program prints as a session would, and tells what it acts on.

Standard input: batches, each its length (8 bytes, little endian) and so many
bytes. Standard output: for each a line of JSON, {"records", "ends", "hits"}.
A line that is END ends an input; a hit is [input, reader, kind, record].
"""

import io
import json
import logging
import struct
import sys
from types import SimpleNamespace

from openjd.model import RevisionExtensions, SpecificationRevision
from openjd.sessions import _action_filter, _subprocess

END = "-- end of input --"
SESSION = "fuzz"

logging.disable(logging.CRITICAL)  # the library warns of each line that it does not like
found = []
library = _action_filter.ActionMonitoringFilter(
    session_id=SESSION,
    callback=lambda kind, value, cancel: found.append(kind.value),
    revision_extensions=RevisionExtensions(
        spec_rev=SpecificationRevision.v2023_09, supported_extensions=["REDACTED_ENV_VARS"]
    ),
)
record = SimpleNamespace(session_id=SESSION, msg="", args=())

# Earlier versions of the library took any line that begins so for a broken
# directive, and failed the action.
EARLIER = ("openjd_env", "openjd_redacted_env", "openjd_unset_env", "openjd_service_ready")


def kind_of(line):
    """What a session takes line for; None: text."""
    record.msg = line
    library.filter(record)
    library._redacted_values.clear()  # each line is judged by itself
    library._redacted_lines.clear()
    if found:
        kind = found[0]
        found.clear()
        return kind
    if record.msg != line:
        return "broken directive"
    if "openjd_" in line.lower() and line.lstrip().lower().startswith(EARLIER):
        return "near miss"
    return None


def strict(data):
    """Lines as the library reads them, with the error handling it had first."""
    stream = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", errors="strict")
    while line := stream.readline(_subprocess.LOG_LINE_MAX_LENGTH):
        yield line.rstrip("\n\r")


def lenient(data):
    """Lines as the library reads them now."""
    stream = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", errors="backslashreplace")
    while line := stream.readline(_subprocess.LOG_LINE_MAX_LENGTH):
        yield line.rstrip("\n\r")


def whole(data):
    """Lines as the other runtime reads them."""
    for line in data.split(b"\n"):
        yield line[:65536].decode("utf-8", "backslashreplace").rstrip()


def judge(data):
    records, ends, hits = 0, [], []
    # What is valid UTF-8 looks the same to both text readers.
    try:
        data.decode("utf-8")
        readers = (strict, whole)
    except UnicodeDecodeError as error:
        hits.append([data.count(END.encode(), 0, error.start), "strict", "not UTF-8", repr(data[error.start : error.start + 20])])
        readers = (lenient, whole)
    for reader in readers:
        number = 0
        for line in reader(data):
            records += 1
            if line == END:
                number += 1
            elif kind := kind_of(line):
                hits.append([number, reader.__name__, kind, line[:200]])
        ends.append(number)
    return {"records": records, "ends": min(ends), "hits": hits}


while head := sys.stdin.buffer.read(8):
    answer = judge(sys.stdin.buffer.read(struct.unpack("<q", head)[0]))
    print(json.dumps(answer), flush=True)
