"""What kvae runs on: the cores and threads that it may use, and how it was installed.

The package imports nothing itself, so that importing one module loads no other: this keeps start-up fast.
"""
