"""Solves SPEC... for linux-64 against a folder CHANNEL, with a CACHE folder."""

import asyncio
import os
import pathlib
import sys

import rattler


async def main(channel, cache, *specs):
    records = await rattler.solve(
        [rattler.Channel(pathlib.Path(channel).as_uri())], list(specs), platforms=["linux-64", "noarch"],
        gateway=rattler.Gateway(cache_dir=cache), virtual_packages=rattler.VirtualPackage.detect())
    print("would have", len(records), "packages")


asyncio.run(main(*sys.argv[1:]))
sys.stdout.flush()
os._exit(0)  # the library may abort while it is taken down
