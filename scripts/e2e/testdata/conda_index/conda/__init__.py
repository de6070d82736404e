"""The two modules that conda-index imports of conda, which PyPI does not have."""
