from rattler import Version as VersionOrder  # noqa: F401
