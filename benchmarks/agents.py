"""Models that act: tools called under a grammar, the next action of a procedure, and the retail tasks of tau-bench.

    python benchmarks/agents.py --tools [--models code 135M 0.5B 1.5B] [--rows 100]
    python benchmarks/agents.py --train [--rows 480] [--minutes 15]      an adapter of the 135M for --star
    python benchmarks/agents.py --star [--models none 135M 0.5B 1.5B] [--rows 100] [--arms one-prompt procedure tuned]
    python benchmarks/agents.py --tau [--models none 135M] [--rows 20] [--trials 4] [--arms procedure one-prompt]

The data is not part of the project: without it a benchmark says so and ends. Prints tables with 95% intervals, and
writes JSON to `benchmarks/results/agents_*.json`.
"""

import argparse


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("tools", "train", "star", "tau"):
        parser.add_argument(f"--{name}", action="store_true")
    parser.add_argument("--models", nargs="+", default=["135M"])
    parser.add_argument("--rows", type=int, default=100, help="ask only so many")
    parser.add_argument("--trials", type=int, default=4, help="of each task of tau-bench")
    arms = ["one-prompt", "code", "procedure", "head"]
    parser.add_argument("--arms", nargs="+", default=arms, help="of --star and --tau")
    parser.add_argument("--minutes", type=float, default=0, help="of training; 0 for no limit")
    given = parser.parse_args()
    if given.tools:
        import tool_calls

        tool_calls.run(given.models, given.rows)
    if given.train:
        import star_actions

        star_actions.train(given.rows, given.minutes)
    if given.star:
        import star_actions

        star_actions.run(given.models, given.rows, given.arms)
    if given.tau:
        import tau_arms

        tau_arms.run(given.models, given.rows, given.trials, given.arms)


if __name__ == "__main__":
    main()
