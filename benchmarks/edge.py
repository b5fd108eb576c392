"""A folder for devices on a machine without a network: the example's release is exported, copied, and asked.

    python benchmarks/edge.py [PROJECT] [--quick]

PROJECT is a copy of the example with a release in production; without it, one is built (without training, in a few
minutes; --quick asks fewer questions for it). The folder runs in a separate network namespace that has only loopback
(needs `unshare`, and root or user namespaces), with an empty home and no cache of models. Prints, and writes to
results/edge.json: the interfaces there, the answer, size, memory, and times. Fails if another interface than loopback
is there, or the answer lacks the price.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
EXAMPLE = HERE.parent / "examples" / "first_national_bank"
QUESTION, PRICE = "What does a wire transfer cost?", "21.50"
SMALL = ['evaluation.arms=["base","rag"]', "evaluation.probes=0", "evaluation.tasks=[]",
         'guardrails.rails=["pii","links","injection","format"]']  # fmt: skip
GATE = ["release.arm=rag", "release.max_wrong=1", "release.no_worse=[]"]
ALONE = ["unshare", "-n" if os.geteuid() == 0 else "-rn", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
INTERFACES = ["ip", "-json", "link"]


def inhouse(*arguments, settings=(), alone=False, home=None):
    """What a command prints; `alone` runs it without a network, models, and settings of this machine."""
    command = [sys.executable, "-m", "inhouse.cli.main", *map(str, arguments)]
    command += [part for setting in settings for part in ("--set", setting)]
    environment = {**os.environ, "HOME": str(home), "INHOUSE_CACHE": str(home / "none")} if alone else None
    done = subprocess.run(
        [*(ALONE if alone else ()), *command], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


def released(scratch, questions):
    project = scratch / "bank"
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns(".inhouse"))
    inhouse("build", "--project", project, settings=[*SMALL, f"evaluation.max_questions={questions}"])
    inhouse("release", "--project", project, settings=GATE)
    inhouse("release", "promote", "--project", project)
    return project


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("project", type=Path, nargs="?", help="with a release in production; built if not given")
    parser.add_argument("--quick", action="store_true", help="build with 4 questions in place of 30")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        project = options.project or released(scratch, 4 if options.quick else 30)
        exported = json.loads(inhouse("export", scratch / "out", "--for", "edge", "--project", project, "--json"))
        device = shutil.move(scratch / "out", scratch / "device")
        home = scratch / "home"
        home.mkdir()
        alone = {"alone": True, "home": home}
        [reply] = json.loads(inhouse("ask", QUESTION, "--project", device, "--json", **alone)).values()
        measured = json.loads(inhouse("edge", "measure", "--project", device, "--json", **alone))
    there = subprocess.run([*ALONE, *INTERFACES], stdout=subprocess.PIPE, text=True, check=True).stdout
    found = {
        "interfaces": [row["ifname"] for row in json.loads(there)], "question": QUESTION, "answer": reply["text"],
        "exported_mb": sum(exported["files"].values()) / 2**20,
        "pss_mb": sum(p["pss_mb"] for p in measured["processes"]), "torch": "torch" in installed(), **measured,
    }  # fmt: skip
    print(f"{QUESTION}\n  {found['answer']}")
    print(f"interfaces: {', '.join(found['interfaces'])}")
    print(f"size {found['exported_mb']:.0f} MB, resident {found['pss_mb']:.0f} MB")
    print(f"answers: p50 {found['p50_s']:.2f} s, p95 {found['p95_s']:.2f} s")
    for process in found["processes"]:
        print(f"  {process['pss_mb']:.0f} MB {process['name']}")
    print(f"torch is {'' if found['torch'] else 'not '}installed here")
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "edge.json").write_text(json.dumps(found, indent=1))
    if found["interfaces"] != ["lo"] or PRICE not in found["answer"]:
        raise SystemExit(f"not alone, or the answer has no {PRICE}")


def installed():
    from importlib.metadata import distributions

    return {d.metadata["Name"] for d in distributions()}


if __name__ == "__main__":
    main()
