"""Confidence bounds on shares and means that hold at any sample size, and how many labels they take.

Each bound comes with the p-value of the same test: `upper(...) <= target` where `p(..., target) <= 1 - level`.
Shares: Clopper and Pearson (1934). Means of paired differences that are -1, 0 or 1: the exact unconditional test, with
the share of differences bounded first as in Berger and Boos (1994, "P values maximized over a confidence set for the
nuisance parameter", JASA). Means of any values in a range: betting (Waudby-Smith and Ramdas 2024, "Estimating means of
bounded random variables by betting", JRSS B), with a mixture of constant bets, so that the order does not count.
"""

from __future__ import annotations

from collections.abc import Callable

from inhouse.types import Numbers

LEVEL = 0.95
SPARE = 0.1  # share of 1 - level that the bound on the share of differences may use
SHARES = 24  # shares of differences among which the worst is looked for
NEGLIGIBLE = 1e-9  # probability of counts that are left out, added to the p-value
BETS = (*(2.0**-k for k in range(10, 0, -1)), 0.75, 0.95)  # of the largest bet that cannot lose everything
EXACTNESS = 1e-4  # of bounds that are found by bisection


# --- shares -----------------------------------------------------------------------------------------------------


def binomial_upper(wrong: int, n: int, level: float = LEVEL) -> float:
    """The one-sided upper confidence bound of a share, `wrong` of `n`; 1 where n is 0."""
    from scipy.special import betaincinv

    return 1.0 if wrong >= n else float(betaincinv(wrong + 1, n - wrong, level))


def binomial_interval(hits: float, n: int, level: float = LEVEL) -> tuple[float, float]:
    """The two-sided interval of a share; of a mean of n values in [0, 1] with the sum `hits` it is a wide one."""
    import math

    each = (1 + level) / 2
    return 1 - binomial_upper(n - math.floor(hits), n, each), binomial_upper(math.ceil(hits), n, each)


def binomial_p(wrong: int, n: int, target: float) -> float:
    """P(at most `wrong` of `n`) where the share is `target`: the p-value of "the share is above target"."""
    from scipy.special import bdtr

    return float(bdtr(wrong, n, target)) if n else 1.0


def labels_needed(target: float, errors: int = 0, level: float = LEVEL) -> int:
    """The fewest labels, `errors` of them wrong, whose upper bound is at most `target`; 59 for .05 and no error."""
    low, high = errors, errors + 1
    while binomial_upper(errors, high, level) > target:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if binomial_upper(errors, middle, level) <= target else (middle, high)
    return high


def labels_at_rate(target: float, rate: float, level: float = LEVEL) -> int:
    """The fewest labels that meet the target where the share `rate` of them turns out wrong, rounded to whole labels.

    Raises:
        ValueError: the rate is not below the target, so no number of labels is enough.
    """
    if not 0 <= rate < target < 1:
        raise ValueError(f"no number of labels shows at most {target:g} where {rate:g} are wrong")
    errors = 0
    while round(rate * (n := labels_needed(target, errors, level))) > errors:
        errors += 1
    return n


# --- means of paired differences --------------------------------------------------------------------------------


def paired_p(won: int, lost: int, n: int, target: float, level: float = LEVEL) -> float:
    """The p-value of "the mean loss is `target` or more", of `n` differences: `won` are -1, `lost` are 1, others 0.

    The loss is `lost - won`. Its distribution depends on the share of differences as well, which is unknown: that is
    first bounded from above, and the p-value is the largest over the shares up to there, plus the probability that the
    bound fails. The largest is that of SHARES values, which are close enough for it to be smooth between them.

    Args:
        target: in (0, 1).
        level: at which the p-value is to be used; it stays valid at any other, but is larger than need be.
    """
    import numpy as np
    from scipy.special import bdtr, bdtrik

    spare = SPARE * (1 - level)
    most = binomial_upper(won + lost, n, 1 - spare)
    if most < target:
        return spare
    shares = np.linspace(target, most, SHARES)[:, None]
    least = max(int(bdtrik(NEGLIGIBLE, n, target)), 0)
    differ = np.arange(least, min(n, int(bdtrik(1 - NEGLIGIBLE, n, most)) + 1) + 1)  # how many of the n may
    chance = np.diff(bdtr(differ, n, shares), prepend=0.0)
    most_lost = (differ + lost - won) // 2
    below = bdtr(np.clip(most_lost, 0, differ), differ, (1 + target / shares) / 2)
    below = np.where(most_lost < 0, 0.0, below)
    return float(min(1.0, (chance * below).sum(1).max() + spare + 2 * NEGLIGIBLE))


def paired_upper(won: int, lost: int, n: int, level: float = LEVEL) -> float:
    """The upper bound of the mean loss, at least 0."""
    return _lowest(lambda target: paired_p(won, lost, n, target, level), 0.0, 1.0, level)


# --- means of values in a range ---------------------------------------------------------------------------------


def mean_p(values: Numbers, target: float, low: float = 0.0, high: float = 1.0) -> float:
    """The p-value of "the mean is `target` or more", of independent values in [low, high].

    It is 1 over the mean, over BETS, of what is won by always betting the same share that the next value is below the
    target: prod(1 + bet * (target - x) / (high - target)) (Waudby-Smith and Ramdas 2024, section 4).
    """
    import numpy as np
    from scipy.special import logsumexp

    x = np.asarray(values, dtype=np.float64)
    if not len(x):
        return 1.0
    if x.min() < low or x.max() > high:
        raise ValueError(f"values from {x.min():g} to {x.max():g}: not in [{low:g}, {high:g}]")
    bets = np.array(BETS)[:, None]
    won = np.log1p(bets * (target - x) / (high - target)).sum(1)
    return float(min(1.0, np.exp(np.log(len(BETS)) - logsumexp(won))))


def mean_upper(values: Numbers, level: float = LEVEL, low: float = 0.0, high: float = 1.0) -> float:
    """The upper bound of the mean."""
    return _lowest(lambda target: mean_p(values, target, low, high), low, high, level)


def _lowest(p: Callable[[float], float], low: float, high: float, level: float) -> float:
    """The lowest target that passes, to EXACTNESS and rounded up; p falls with the target."""
    while high - low > EXACTNESS:
        middle = (low + high) / 2
        low, high = (low, middle) if p(middle) <= 1 - level else (middle, high)
    return high
