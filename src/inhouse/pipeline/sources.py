"""Files of the package that a training depends on, for the keys of its artifacts."""

from __future__ import annotations

TRAINING = [
    "training/__init__.py", "training/checkpoint.py", "training/convert.py", "training/data.py", "training/folder.py",
    "training/gguf.py", "training/job.py", "training/local.py", "training/loss.py", "training/preference.py",
    "training/rows.py", "training/sft.py", "training/sharding.py",
]  # fmt: skip
"""What a model that was fine-tuned depends on. Where it was trained does not belong to it (training/anywhere.py)."""
