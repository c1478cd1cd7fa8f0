"""kvae: variational autoencoders, trained with Keras and TensorFlow Probability, handed over as ONNX.

Nothing is imported here, so that `import kvae` stays instant. Start at `kvae.model.vae` (for training) or
`kvae.runtime.bundle` (for sampling, with numpy and onnxruntime only).
"""

import os as _os
import sys as _sys

__version__ = "0.1.0"

SILENT = {"ORT_DISABLE_TELEMETRY": "1", "RAY_USAGE_STATS_ENABLED": "0"}
"""Environment variables, with the values that keep onnxruntime and Ray from reporting to their makers.

onnxruntime reads its variable once, when it is imported. They are set here because whatever uses kvae imports this
module first, also in Ray's workers and in spawned processes. A value that the user has set is kept.
"""
ONNXRUNTIME_CAME_FIRST = "onnxruntime" in _sys.modules and not _os.environ.get("ORT_DISABLE_TELEMETRY")
"""Whether a program imported onnxruntime before kvae, too early for the variable to work."""

for _name, _value in SILENT.items():
    if not _os.environ.get(_name):
        _os.environ[_name] = _value
