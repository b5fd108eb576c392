"""inhouse: a business's own LLM, built, measured and served on one machine."""

__version__ = "0.1.0"
