"""Solves requests with py-rattler. Standard input is JSON: index, a repodata.json;
subdir; virtual, lists of name, version and build; requests, lists of match specs.
Standard output is a JSON list: of each request the records as [name, version,
build], or why there are none; and the seconds of loading and of solving."""

import asyncio
import json
import os
import sys
import time

import rattler


async def main():
    given = json.load(sys.stdin)
    virtual = [rattler.GenericVirtualPackage(rattler.PackageName(n), rattler.Version(v), rattler.BuildString(b)) for n, v, b in given["virtual"]]
    begun = time.monotonic()
    channel = rattler.Channel("https://example.org/channel")
    data = rattler.SparseRepoData(channel, given["subdir"], given["index"])
    loaded = time.monotonic()
    answers = []
    for specs in given["requests"]:
        start = time.monotonic()
        try:
            records = await rattler.solve_with_sparse_repodata(
                specs=[rattler.MatchSpec(s) for s in specs], sparse_repodata=[data], virtual_packages=virtual)
            answer = {"records": sorted([r.name.normalized, str(r.version), str(r.build)] for r in records)}
        except Exception as e:
            answer = {"error": str(e) or repr(e)}
        answer["seconds"] = time.monotonic() - start
        answers.append(answer)
    json.dump({"load": loaded - begun, "answers": answers}, sys.stdout)


asyncio.run(main())
sys.stdout.flush()
os._exit(0)  # the library may abort while it is taken down
