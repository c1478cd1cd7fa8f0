"""Checks that a bundle, and this installation, work correctly."""

from kvae.checks.verification import Check, Report, verify

__all__ = ["Check", "Report", "verify"]
