"""Whether a bundle, and this installation, do what they should."""

from kvae.checks.verification import Check, Report, verify

__all__ = ["Check", "Report", "verify"]
