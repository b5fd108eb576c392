"""How far a model agrees with itself: for one whose weights nobody here has, so that it can only be asked.

A service may change what answers under a name, and sample where it was asked for the likeliest answer. What it says
twice in the same way was at least measured once for both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from inhouse.chat import ChatModel, ChatRequest, collect
from inhouse.types import Message, Progress

SEED = 1


async def asked_twice(
    model: ChatModel, prompts: Sequence[tuple[Message, ...]], max_tokens: int, concurrent: int, progress: Progress
) -> list[tuple[str, str]]:
    """Both answers to each prompt, greedy, the second asked after the first.

    Raises:
        BackendError: the model cannot be asked.
    """
    free = asyncio.Semaphore(concurrent)
    with progress.step("asking each question twice", len(prompts)) as step:

        async def pair(messages: tuple[Message, ...]) -> tuple[str, str]:
            request = ChatRequest(messages=messages, max_tokens=max_tokens, temperature=0.0, seed=SEED)
            async with free:
                first, second = (await collect(model, request)).text, (await collect(model, request)).text
            step.advance()
            return first, second

        return list(await asyncio.gather(*map(pair, prompts)))


def agreement(pairs: Sequence[tuple[str, str]]) -> tuple[float, float]:
    """The share of pairs that are equal but for white space, and the mean overlap of the two.

    Overlap is the F-measure of ROUGE-L (Lin 2004), the longest common subsequence of words; equal texts have 1, also
    empty ones and those without a word.

    Args:
        pairs: at least one.
    """
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"])
    equal = [first.split() == second.split() for first, second in pairs]
    overlaps = [
        1.0 if same else float(scorer.score(first, second)["rougeL"].fmeasure)
        for same, (first, second) in zip(equal, pairs, strict=True)
    ]
    return sum(equal) / len(pairs), sum(overlaps) / len(pairs)
