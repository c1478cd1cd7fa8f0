"""A web service around a bundle: `kvae serve`. Needs the extra `serve`."""

from kvae.serving.app import create_app
from kvae.serving.limits import Limits
from kvae.serving.server import serve

__all__ = ["Limits", "create_app", "serve"]
