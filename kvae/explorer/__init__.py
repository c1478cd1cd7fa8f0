"""A web page for exploring a model, and its server."""

from kvae.explorer.pages import page, write
from kvae.explorer.server import Server

__all__ = ["Server", "page", "write"]
