"""Installs packages of a folder channel with py-rattler: CHANNEL PREFIX CACHE
PLATFORM SUBDIR/FILE..."""

import asyncio
import os
import pathlib
import sys

import rattler
from rattler.repo_data.sparse import PackageFormatSelection


async def main(channel, prefix, cache, platform, *files):
    records = []
    for key in files:
        subdir, _, name = key.partition("/")
        source = rattler.Channel(pathlib.Path(channel).absolute().as_uri())
        data = rattler.SparseRepoData(source, subdir, os.path.join(channel, subdir, "repodata.json"))
        found = [r for n in data.package_names() for r in data.load_records(n, PackageFormatSelection.BOTH) if r.file_name == name]
        records += found[:1]
    assert len(records) == len(files), "not all of " + " ".join(files) + " is in the channel"
    await rattler.install(records, prefix, cache_dir=cache, platform=rattler.Subdir(platform),
                          execute_link_scripts=False, show_progress=False)


try:
    asyncio.run(main(*sys.argv[1:]))
except Exception as e:
    print(type(e).__name__, e)
    sys.stdout.flush()
    os._exit(1)
sys.stdout.flush()
os._exit(0)  # the library may abort while it is taken down
