"""Bytes on disk: arrays, pictures, atomic writes, locks, output.

The package imports nothing itself, so that importing one module loads no other: this keeps start-up fast.
"""
