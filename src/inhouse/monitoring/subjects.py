"""The monitors of what users ask about, the questions that show a change, and all monitors of a day together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inhouse.bounds import binomial_interval
from inhouse.monitoring import topics, windows
from inhouse.monitoring.alarms import Group, Monitored, Shown, State, Waiting, cut
from inhouse.monitoring.drift import COLLECTING, EXAMPLES, URGENT, Traffic, decide, judge_traffic, monitored, values
from inhouse.monitoring.monitors import MONITORS, Monitor
from inhouse.monitoring.topics import Background, Neighborhood, Questions, Sample
from inhouse.monitoring.windows import SPANS
from inhouse.types import Array, Matrix

if TYPE_CHECKING:
    from inhouse.monitoring.windows import Ints

Embed = Callable[[Sequence[str]], Matrix]
PER_DAY = (
    1000  # questions of a usual day that are embedded, one for each user, and of the last days together thrice that
)
CAUGHT = 0.4  # of a group's questions that one neighborhood has, with which lengths of windows are planned
TOPICS, GROUPS = "topics", "new questions"
LEAST_TESTS = 20  # test questions to compare with
BY_CHANCE = 0.05  # a group that is as probable by chance alone is no alarm, however few usual days have any
LEAST_SPREAD = 0.15  # of the growth of groups: where usual days have none, they do not seem to differ at all
STANDS_OUT = 5.0  # strength from which examples of a mean are a group: below, any will do


@dataclass(frozen=True)
class Embedded:
    """Questions of the traffic with their rows in it, shape (n,)."""

    questions: Questions
    row: Ints


def embedded(seen: Traffic, embed: Embed, seed: int = 0) -> Embedded:
    """One question of each user and day, at most PER_DAY of each usual day, embedded; equal texts once."""
    import numpy as np

    rng = np.random.default_rng(seed)
    order = rng.permutation(len(seen.rows))
    order = order[[bool(seen.rows[n].question.strip()) for n in order]] if len(order) else order
    _, at = np.unique(np.stack([seen.day[order], seen.user[order]]), axis=1, return_index=True)
    first = order[np.sort(at)]
    days, kept = seen.day[first], [first[:0]]
    usual = set(seen.usual)
    for day in np.unique(days):
        own = first[days == day]
        kept.append(own[: PER_DAY if int(day) in usual else 3 * PER_DAY])
    rows = np.concatenate(kept)
    texts = [seen.rows[n].question for n in rows]
    different = list(dict.fromkeys(texts))
    position = {text: n for n, text in enumerate(different)}
    vectors = embed(different)[[position[t] for t in texts]] if texts else np.zeros((0, 1), dtype=np.float32)
    return Embedded(Questions(seen.day[rows], seen.user[rows], vectors), rows)


# --- judged -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Basis:
    """How usual days differ when they are compared as a window is: in separation, in the growth of groups, and in that
    of the strongest alone."""

    area: Background
    growth: Background
    strongest: Background


def basis(questions: Questions, usual: Sequence[int], window: Sequence[int]) -> Basis | None:
    """None where there are too few questions, or too few usual days to compare."""
    samples = [topics.sample(questions, drawn, usual) for drawn in topics.draws(window, usual)]
    samples = [s for s in samples if s.enough]
    if len(samples) < windows.LEAST_DAYS / 2:
        return None
    areas = [topics.separation(questions, s).area for s in samples]
    grown = [topics.groups(questions, s) for s in samples]
    every, strongest = [topics.growth(g) for g in grown], [topics.growth(g[:1]) for g in grown]
    shared = len(window) / len(usual)
    return Basis(
        Background.of(areas, shared), Background.of(every, shared, LEAST_SPREAD),
        Background.of(strongest, shared, LEAST_SPREAD),
    )  # fmt: skip


@dataclass(frozen=True)
class Window:
    """The questions of the last days, the usual ones to compare them with, and how usual days differ."""

    days: int
    chosen: Sample
    basis: Basis


def sees_topics(found: Window, level: float, times: float = 1.0) -> bool:
    """Whether a change of topics of so many times the size that matters would be found."""
    monitor = MONITORS[TOPICS]
    return _reach(found.basis.area, level) <= times * monitor.matters - monitor.harmless


def sees_groups(found: Window, level: float, times: float = 1.0) -> bool:
    """Whether a new group of so many times the size that matters would be found, if a neighborhood has CAUGHT of it."""
    count = times * CAUGHT * MONITORS[GROUPS].matters * len(found.chosen.window)
    expected = topics.SPARE * len(found.chosen.window) / len(found.chosen.usual)
    strength = count * math.log(count / expected) - count + expected if count > expected else 0.0
    return math.log1p(max(strength, 0.0)) >= found.basis.strongest.mean + _reach(found.basis.strongest, level)


def _reach(usual: Background, level: float) -> float:
    """How far a value must be from the usual mean to be found with the power."""
    from scipy.stats import norm

    return usual.reach(1 - 2 * level) + float(norm.ppf(windows.POWER)) * usual.spread


def judge_topics(questions: Questions, found: Window, level: float) -> tuple[Monitored, Array]:
    """The monitor of topics, not decided, and the score of each question of the window."""
    monitor = MONITORS[TOPICS]
    apart = topics.separation(questions, found.chosen)
    p = found.basis.area.p(apart.area, monitor.harmless)
    if p <= windows.daily_level():
        p = max(p, topics.permuted(questions, found.chosen, apart.area))
    effect, wide = apart.area - found.basis.area.mean, found.basis.area.reach(1 - 2 * level)
    says = (
        f"A classifier tells questions of the last {_days(found.days)} from usual ones with AUROC {apart.area:.3f}; "
        f"usual days have {found.basis.area.mean:.3f}: {effect:+.3f} [{effect - wide:+.3f}, {effect + wide:+.3f}]."
    )
    made = Monitored(
        name=TOPICS, area=monitor.area, state="no change", says=says, effect=effect, low=effect - wide,
        high=effect + wide, now=apart.area, usual=found.basis.area.mean, p=p, days=found.days,
        units=len(found.chosen.window), todo=monitor.todo,
    )  # fmt: skip
    return made, apart.scores


def judge_groups(seen: Traffic, own: Embedded, found: Window, level: float) -> Monitored:
    """The monitor of new groups, not decided, with the groups that stand out."""
    monitor = MONITORS[GROUPS]
    hoods = topics.groups(own.questions, found.chosen)
    common = {"name": GROUPS, "area": monitor.area, "days": found.days, "units": len(found.chosen.window)}
    if not hoods:
        says = f"No group of questions has grown in the last {_days(found.days)}."
        return Monitored(state="no change", says=says, **common)
    n = len(found.chosen.window)
    out = [h for h in hoods if found.basis.strongest.p(topics.growth([h])) <= level] or hoods[:1]
    first = out[0]
    share, before = first.count / n, first.expected / n
    low, high = binomial_interval(first.count, n, 1 - level)
    p = found.basis.growth.p(topics.growth(hoods))
    if share - before < monitor.harmless or _chance(first, n, len(found.chosen.usual)) > BY_CHANCE:
        p = 1.0
    shown = tuple(_group(seen, own, found.chosen, h) for h in out)
    says = (
        f"The group of questions that has grown most has {share:.1%} of the questions of the last {_days(found.days)}, "
        f"usually {before:.1%}: {100 * (share - before):+.1f} points [{100 * (low - before):+.1f}, "
        f"{100 * (high - before):+.1f}]."
    )
    return Monitored(
        state="no change", says=says, effect=share - before, low=low - before, high=high - before, now=share,
        usual=before, p=p, groups=shown, todo=monitor.todo, **common,
    )  # fmt: skip


def _chance(hood: Neighborhood, n: int, m: int) -> float:
    """The p-value of the count by chance alone, for all neighborhoods that were looked at (Bonferroni): the center is
    not counted, and the usual count is as uncertain as its own size says."""
    from scipy.stats import hypergeom

    usual = max(round(hood.expected * m / n - topics.SPARE), 0)
    count = hood.count - 1
    tail = float(hypergeom.sf(count - 1, n + m, count + usual, n))
    return min(1.0, tail * n * len(topics.RADII))


def _days(days: int) -> str:
    return "day" if days == 1 else f"{days} days"


# --- examples ---------------------------------------------------------------------------------------------------


def shown(seen: Traffic, row: int) -> Shown:
    return Shown(exchange=seen.rows[row].exchange, text=cut(seen.rows[row].question))


def _group(seen: Traffic, own: Embedded, chosen: Sample, hood: Neighborhood) -> Group:
    members = [int(chosen.window[m]) for m in hood.members]
    return group_of(seen, own, members, [int(n) for n in chosen.usual], hood, len(chosen.window))


def group_of(
    seen: Traffic, own: Embedded, members: Sequence[int], usual: Sequence[int], hood: Neighborhood, n: int
) -> Group:  # fmt: skip
    """A group as it is shown: `members` and `usual` are positions among the embedded questions."""
    texts = [seen.rows[own.row[m]].question for m in members]
    before = [seen.rows[own.row[m]].question for m in usual]
    few = topics.spread_out(own.questions.vectors, members)
    return Group(
        question=shown(seen, int(own.row[members[0]])), terms=topics.terms(texts, before), share=hood.count / n,
        usual_share=hood.expected / n, examples=tuple(shown(seen, int(own.row[m])) for m in few),
    )  # fmt: skip


def telling(seen: Traffic, own: Embedded, found: Window, scores: Array) -> tuple[Shown, ...]:
    """Questions of the window that a classifier, and the ones around them, are surest of."""
    import numpy as np

    vectors = own.questions.vectors[found.chosen.window]
    near = vectors @ vectors.T
    most = min(10, len(vectors))
    around = np.argpartition(-near, most - 1, axis=1)[:, :most]
    smooth = scores[around].mean(1)
    best = topics.spread_out(vectors, [int(n) for n in np.argsort(-smooth)[: 4 * EXAMPLES]])
    return tuple(shown(seen, int(own.row[found.chosen.window[n]])) for n in best)


def explained(seen: Traffic, own: Embedded, monitor: Monitor, value: Array, found: Monitored) -> Monitored:
    """A changed mean with the questions that show it: the group that stands out among those on the changed side, or
    else the last ones of these."""
    import numpy as np

    up = (found.effect or 0.0) >= 0
    then = np.isin(seen.day, list(seen.usual))
    now = seen.day > seen.last - found.days
    known = value[then & ~np.isnan(value)]
    edge = 0.5 if monitor.kind == "share" else float(np.quantile(known, 0.8 if up else 0.2)) if len(known) else 0.0
    with np.errstate(invalid="ignore"):
        side = value > edge if up else value < edge
    last = [int(n) for n in np.flatnonzero(side & now)[::-1][:EXAMPLES]]
    asked_now, asked_then = now[own.row] & side[own.row], then[own.row] & side[own.row]
    rows, usual = np.flatnonzero(asked_now), np.flatnonzero(asked_then)
    exposure = now[own.row].sum() / max(then[own.row].sum(), 1)
    vectors = own.questions.vectors
    hoods = topics.scan(vectors[rows], vectors[usual], float(exposure)) if len(rows) >= topics.LEAST_GROUP else []
    out = [h for h in hoods if h.strength >= STANDS_OUT]
    total = max(int(now[own.row].sum()), 1)
    made = tuple(group_of(seen, own, [int(rows[m]) for m in h.members], [int(n) for n in usual], h, total) for h in out)
    examples = made[0].examples if made else tuple(shown(seen, n) for n in last)
    return found.model_copy(update={"groups": made, "examples": examples})


# --- before there is usual traffic ------------------------------------------------------------------------------


def beyond_tests(seen: Traffic, own: Embedded, tests: Matrix, level: float) -> Monitored:
    """The monitor of new groups against test questions, whose unit vectors are given: what live users ask about and
    tests do not. It is judged by chance alone, since nothing is known of how days differ."""
    import numpy as np

    monitor = MONITORS[GROUPS]
    order = np.random.default_rng(0).permutation(len(own.row))
    chosen = order[: topics.MOST_WINDOW]
    common = {"name": GROUPS, "area": monitor.area, "units": len(chosen), "needed": topics.LEAST_WINDOW}
    if len(chosen) < topics.LEAST_WINDOW or len(tests) < LEAST_TESTS:
        says = (
            f"Live questions are compared with test questions from {topics.LEAST_WINDOW} questions of different users "
            f"and days, and {LEAST_TESTS} test questions, on: there are {len(chosen)} and {len(tests)}."
        )
        return Monitored(state="not enough traffic", says=says, **common)
    n, m = len(chosen), len(tests)
    hoods = topics.scan(own.questions.vectors[chosen], tests, n / m)
    out = [h for h in hoods if _chance(h, n, m) <= level and (h.count - h.expected) / n >= monitor.harmless]
    if not out:
        says = "Live questions have no group that the test questions lack."
        return Monitored(state="no change", says=says, **common)
    first = out[0]
    groups = tuple(group_of(seen, own, [int(chosen[k]) for k in h.members], [], h, n) for h in out)
    share, before = first.count / n, first.expected / n
    low, high = binomial_interval(first.count, n, 1 - level)
    says = f"{share:.1%} of live questions belong to a group that has {before:.1%} of the test questions."
    return Monitored(
        state="no change", says=says, effect=share - before, low=low - before, high=high - before, now=share,
        usual=before, p=_chance(first, n, m), groups=groups, examples=groups[0].examples, todo=monitor.todo, **common,
    )  # fmt: skip


# --- all together -----------------------------------------------------------------------------------------------


def examine(
    seen: Traffic, embed: Embed, waiting: Waiting | None = None, tests: Sequence[str] = ()
) -> list[Monitored]:  # fmt: skip
    """Every monitor of traffic, in the order of MONITORS.

    Args:
        seen: the traffic.
        embed: unit vectors of questions.
        tests: test questions, to compare with until there are enough days of usual traffic.
        waiting: what waiting costs, from the rule that decides what is done.
    """
    level = windows.single_level(len(MONITORS))
    found: dict[str, Monitored] = {}
    figures: dict[str, Array] = {}
    for monitor in MONITORS.values():
        if monitor.kind in ("area", "group"):
            continue
        figures[monitor.name] = values(monitor, seen)
        judged = judge_traffic(monitor, figures[monitor.name], seen, len(MONITORS))
        found[monitor.name] = monitored(monitor, judged, seen, level)
    own = embedded(seen, embed)
    found |= questions_of(seen, own, level)
    if not seen.usual and tests:
        found[GROUPS] = beyond_tests(seen, own, embed(tests), level)
    decided = decide({name: found[name] for name in MONITORS}, len(MONITORS), seen.per_day(), waiting)
    return [explained(seen, own, MONITORS[m.name], figures[m.name], m) if m.name in figures and m.state == "changed"
            else m for m in decided]  # fmt: skip


def questions_of(
    seen: Traffic, own: Embedded, level: float, known: dict[tuple[int, ...], Basis | None] | None = None
) -> dict[str, Monitored]:  # fmt: skip
    """The monitors on embeddings, not decided: each over the shortest window with the power for the smallest change
    that matters, or else over the shortest with that for an urgent one.

    `known` keeps how usual days differ, by the days of the week of the window, for further looks at the same traffic.
    """
    chosen: dict[str, tuple[Window, bool]] = {}
    for window in windows_of(seen, own.questions, {} if known is None else known):
        for name, sees in ((TOPICS, sees_topics), (GROUPS, sees_groups)):
            full = chosen[name][1] if name in chosen else False
            if not full and sees(window, level):
                chosen[name] = window, True
            elif name not in chosen and sees(window, level, URGENT):
                chosen[name] = window, False
        if len(chosen) == 2 and all(full for _, full in chosen.values()):
            break
    found: dict[str, Monitored] = {}
    for name in (TOPICS, GROUPS):
        if name not in chosen:
            few = "There are too few questions of different users and days, or days differ too much, to see a change."
            says = few if seen.usual else COLLECTING
            found[name] = Monitored(name=name, area=MONITORS[name].area, state="not enough traffic", says=says)
            continue
        window, full = chosen[name]
        if name == TOPICS:
            row, scores = judge_topics(own.questions, window, level)
            row = row.model_copy(update={"examples": telling(seen, own, window, scores)})
        else:
            row = judge_groups(seen, own, window, level)
            row = row.model_copy(update={"examples": row.groups[0].examples if row.groups else ()})
        state: State = "no change" if full else "not enough traffic"
        found[name] = row.model_copy(update={"state": state})
    return found


def windows_of(seen: Traffic, questions: Questions, known: dict[tuple[int, ...], Basis | None]) -> Iterator[Window]:
    """Windows of the last days with enough questions, the shortest first."""
    for days in SPANS:
        if days > seen.recent or 2 * days > len(seen.usual):
            return
        window = range(seen.last - days + 1, seen.last + 1)
        chosen = topics.sample(questions, window, seen.usual)
        if not chosen.enough:
            continue
        key = (1,) if days == 1 else tuple(sorted(d % windows.WEEK for d in window))
        if key not in known:
            known[key] = basis(questions, seen.usual, window)
        if (usual := known[key]) is not None:
            yield Window(days, chosen, usual)
