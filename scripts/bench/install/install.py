"""Solves SPEC... for linux-64 against a folder CHANNEL and installs it to PREFIX, with
a CACHE folder."""

import asyncio
import os
import pathlib
import sys
import time

import rattler


async def main(channel, cache, prefix, *specs):
    records = await rattler.solve(
        [rattler.Channel(pathlib.Path(channel).as_uri())], list(specs), platforms=["linux-64", "noarch"],
        gateway=rattler.Gateway(cache_dir=os.path.join(cache, "index")), virtual_packages=rattler.VirtualPackage.detect())
    begun = time.monotonic()
    await rattler.install(records, prefix, cache_dir=os.path.join(cache, "pkgs"), platform=rattler.Subdir("linux-64"), show_progress=False)
    print("has", len(records), "packages, installed in %.3f s" % (time.monotonic() - begun))


asyncio.run(main(*sys.argv[1:]))
sys.stdout.flush()
os._exit(0)  # the library may abort while it is taken down
