"""Bytes on disk: arrays, pictures, atomic writes, locks, output.

The face is empty, so that a module alone is loaded: cold start.
"""
