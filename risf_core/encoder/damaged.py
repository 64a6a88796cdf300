"""What reading a file of weights may raise."""

from __future__ import annotations

import pickle

from safetensors import SafetensorError

DAMAGED = (  # what torch, safetensors and their users raise on a damaged file or one that holds other things
    OSError,
    ValueError,
    RuntimeError,
    LookupError,
    TypeError,
    AttributeError,
    EOFError,
    MemoryError,
    pickle.UnpicklingError,
    SafetensorError,
)
