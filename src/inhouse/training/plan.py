"""What a training from scratch takes, before it starts: parameters, tokens, floating-point operations, hours.

A token costs six operations for each weight that multiplies it, and 12 times layers, width, and context for attention
(Chowdhery et al. 2022, "PaLM", appendix B). For a given number of operations, loss is lowest with about 20 tokens for
each parameter (Hoffmann et al. 2022, "Training Compute-Optimal Large Language Models"). Text that is repeated up to
four times is nearly as good as new text, and hardly helps after some 40 (Muennighoff et al. 2023, "Scaling
Data-Constrained Language Models").
"""

from __future__ import annotations

from inhouse.config.scratch import Scratch
from inhouse.types import Record

HEAD = 64  # width of an attention head
OPTIMAL = 20  # tokens for each parameter
GPU, PEAK = "H100 SXM", 989e12  # dense bf16 operations a second, by its data sheet
UTILIZATION = 0.4  # of the peak; usual for models of a billion parameters and more, and hardly reached by small ones
GOOD_PASSES, MOST_PASSES = 4, 40  # over the text
DEPTHS = range(1, 49)


class Shape(Record):
    """A Llama: SwiGLU, RMSNorm, rotary positions, and one matrix for embedding and output."""

    depth: int
    vocabulary: int
    context_tokens: int

    @property
    def width(self) -> int:
        return HEAD * self.depth

    @property
    def inner(self) -> int:
        """Width of the feed-forward layers: 8/3 of the width, in whole heads."""
        return -(-8 * self.width // (3 * HEAD)) * HEAD

    @property
    def layer_weights(self) -> int:
        """Weights of the matrices of all layers."""
        return self.depth * (4 * self.width**2 + 3 * self.width * self.inner)

    @property
    def parameters(self) -> int:
        norms = (2 * self.depth + 1) * self.width
        return self.vocabulary * self.width + self.layer_weights + norms

    @property
    def token_flops(self) -> int:
        """Floating-point operations of training on one token."""
        weights = self.layer_weights + self.vocabulary * self.width
        return 6 * weights + 12 * self.depth * self.width * self.context_tokens

    @property
    def optimal_tokens(self) -> int:
        return OPTIMAL * self.parameters


def suited_depth(flops: float, vocabulary: int, context_tokens: int) -> int:
    """The deepest model that so many operations train on its compute-optimal number of tokens; 1 if none."""
    shapes = (Shape(depth=d, vocabulary=vocabulary, context_tokens=context_tokens) for d in DEPTHS)
    return max((s.depth for s in shapes if s.token_flops * s.optimal_tokens <= flops), default=1)


class Plan(Record):
    """What will be trained.

    Attributes:
        text_tokens: of the text that is trained on, and `text_bytes` the bytes of the same.
        tokens: that are trained on, in `steps` steps of `batch_rows` rows.
        tokens_s: speed of this machine, measured.
        limit: what set the number of tokens.
        autocast: whether matrices are multiplied in bf16.
    """

    shape: Shape
    text_tokens: int
    text_bytes: int
    held_bytes: int
    tokens: int
    steps: int
    batch_rows: int
    tokens_s: float
    limit: str
    autocast: bool
    learning_rate: float

    @property
    def passes(self) -> float:
        return self.tokens / self.text_tokens

    @property
    def flops(self) -> float:
        return float(self.shape.token_flops * self.tokens)

    def hours_here(self, tokens: int) -> float:
        return tokens / self.tokens_s / 3600

    def hours_on_gpus(self, count: int, tokens: int) -> float:
        return self.shape.token_flops * tokens / (count * PEAK * UTILIZATION) / 3600

    def lines(self) -> list[str]:
        """For a person, a sentence or a figure each."""
        s, optimal = self.shape, self.shape.optimal_tokens
        suited = suited_depth(self.flops, s.vocabulary, s.context_tokens)
        lines = [
            f"model: {s.parameters:,} parameters ({s.depth} layers, width {s.width}, {s.vocabulary:,} tokens)",
            f"text: {self.text_tokens:,} tokens of {self.text_bytes:,} bytes, and {self.held_bytes:,} bytes held out",
            f"training: {self.tokens:,} tokens ({self.limit}), {self.passes:.1f} passes over the text, "
            f"{self.flops:.2g} floating-point operations",
            f"on this machine: {hours(self.hours_here(self.tokens))}, at {self.tokens_s:,.0f} tokens/s "
            f"({'bf16' if self.autocast else 'fp32'}, measured)",
            *(
                f"on {n} {GPU}: {hours(self.hours_on_gpus(n, self.tokens))}, at {UTILIZATION:.0%} of "
                f"{n * PEAK / 1e12:,.0f} teraflops, which small models do not reach"
                for n in (1, 8)
            ),
            f"compute-optimal: {optimal:,} tokens ({OPTIMAL} a parameter), {hours(self.hours_here(optimal))} here; "
            f"for as many operations as planned, depth {suited} would be",
        ]
        if self.passes > GOOD_PASSES:
            worth = "hardly helps" if self.passes > MOST_PASSES else "helps less and less"
            lines.append(
                f"warning: after {GOOD_PASSES} passes the same text {worth}; add text ([scratch] text), or choose "
                "a known base model and fine-tune it"
            )
        return lines


def rate_of(settings: Scratch) -> float:
    """The peak learning rate."""
    return settings.learning_rate or 2e-3 * (4 / settings.depth) ** 0.5


def budget(settings: Scratch, shape: Shape, tokens_s: float) -> tuple[int, str]:
    """How many tokens will be trained on, and what set the number."""
    if settings.tokens:
        wanted, limit = settings.tokens, "scratch.tokens"
    else:
        wanted, limit = shape.optimal_tokens, "compute-optimal"
    fit = int(settings.minutes * 60 * tokens_s)
    return (fit, "scratch.minutes") if settings.minutes and fit < wanted else (wanted, limit)


def hours(value: float) -> str:
    """A time in the unit that suits it."""
    seconds = value * 3600
    if seconds < 90:
        return f"{seconds:.2g} seconds" if seconds < 10 else f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{value:,.1f} hours"
