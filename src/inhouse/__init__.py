"""inhouse: a business's own LLM, built, measured and served on one machine."""

from inhouse.offline import turn_off_telemetry

__version__ = "0.1.0"

turn_off_telemetry()
