"""Solves SPEC... for linux-64 against the CHANNEL of a web server, with a CACHE folder."""

import asyncio
import os
import sys

import rattler


async def main(channel, cache, *specs):
    records = await rattler.solve(
        [rattler.Channel(channel)], list(specs), platforms=["linux-64", "noarch"],
        gateway=rattler.Gateway(cache_dir=cache), virtual_packages=rattler.VirtualPackage.detect())
    print("would have", len(records), "packages")


asyncio.run(main(*sys.argv[1:]))
sys.stdout.flush()
os._exit(0)  # the library may abort while it is taken down
