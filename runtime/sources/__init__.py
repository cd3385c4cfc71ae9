"""Readers that turn the files of installed packages into labelled rows."""
