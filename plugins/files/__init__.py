"""A source that takes the archive files of a folder."""

from .source import Files

__all__ = ["Files"]
