"""One recipe trained in several places, to compare losses and parity: `one_recipe.py FOLDER [PYTHON_WITH_RAY]`.

The project is the small one of the tests, its base the tiny random Llama. The launcher is a script that queues jobs,
the service a recorded API on loopback that gives the weights which `local` made; the Ray cluster has two nodes on this
machine. Prints JSON, a row for each place.
"""

import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path

from inhouse.assembly.workspace import Workspace
from inhouse.config.load import load_project
from inhouse.models.catalog import Catalog
from inhouse.pipeline import stages

HERE = Path(__file__).parent
LOSSES = ("validation_loss_first", "validation_loss", "loss")


def places(queue, service, ray=""):
    """Settings of [training] by place; `ray` is the address of a cluster and the Python there, "" for none."""
    slurm, python_path = HERE / "fake_slurm", ":".join(p for p in sys.path if p)
    run = f"env PYTHONPATH={python_path} {sys.executable} -m inhouse.training.parcel"
    both = {"processes": 2, "poll_s": 0.1, "precision": "fp32"}
    made = {
        "local": {"precision": "fp32"},
        "torchrun": both | {"backend": "torchrun"},
        "torchrun, fsdp": both | {"backend": "torchrun", "sharding": "fsdp"},
        "command": {
            "backend": "command", "poll_s": 0.1, "precision": "fp32",
            "command.submit": f"{slurm} submit {queue} {{key}} {run} {{job}} {{out}}",
            "command.find": f"{slurm} find {queue} {{key}}", "command.poll": f"{slurm} state {queue} {{id}}",
        },
        "hosted": {
            "backend": "hosted", "poll_s": 0.05, "max_minutes": 0, "hosted.url": f"{service}/together",
            "hosted.provider": "together", "hosted.model": "theirs",
        },
    }  # fmt: skip
    if ray:
        cluster = both | {"backend": "ray", "ray.address": ray[0], "ray.python": ray[1]}
        made |= {"ray": cluster, "ray, fsdp": cluster | {"sharding": "fsdp"}}
    return made


def trained(folder, models, settings):
    """The custom model of a project whose training has these settings, and its parity."""
    overrides = {f"training.{key}": json.dumps(value) for key, value in settings.items()}
    workspace = Workspace(load_project(folder, overrides), Catalog(models))
    return stages.train(workspace), stages.parity(workspace)


@contextmanager
def service():
    """Yields its URL, and a function that tells it what to do."""
    with subprocess.Popen(
        [sys.executable, HERE / "fine_tuning_api.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        url = f"http://127.0.0.1:{int(child.stdout.readline())}"

        def control(**values):
            request = urllib.request.Request(f"{url}/control", json.dumps(values).encode() if values else None)
            with urllib.request.urlopen(request) as answer:
                return json.load(answer)

        yield url, control
        child.stdin.close()


FAULTS = [{"on": "POST /together/fine-tunes", "do": "500 after"}, {"on": "GET /together/fine-tunes/ft-1", "do": "cut before", "times": 2},
          {"on": "POST /together/files/upload", "do": "429"}]  # fmt: skip
"""What goes wrong at the service: a job is made and the answer lost, looks that fail, an upload that is refused once."""


def main(folder, python_with_ray):
    sys.path.insert(0, str(HERE.parent))
    from conftest import small_project, write_tiny
    from ray_nodes import cluster

    from inhouse.training.convert import convert

    models = Catalog().folder
    (folder / "queue").mkdir()
    convert(write_tiny(models / "smollm2-135m-instruct", folder / "tiny"), folder / "tiny.gguf", "f16")
    project = small_project(folder / "project", folder / "tiny.gguf")
    rows, losses = [], {}
    with ExitStack() as stack:
        url, control = stack.enter_context(service())
        ray = ""
        if python_with_ray:
            short = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ray")))
            ray = (stack.enter_context(cluster(short, python_with_ray)), python_with_ray)
        for name, settings in places(folder / "queue", url, ray).items():
            started = time.monotonic()
            custom, parity = trained(project, models.parent, settings)
            if name == "local":
                control(adapter=f"{custom.path}/adapter", faults=FAULTS)
            facts = custom.facts
            losses[name] = [facts[key] for key in LOSSES if key in facts]
            pairs = list(zip(losses[name], losses["local"], strict=False))
            rows.append({
                "place": name, "processes": facts["processes"] or None, "steps": facts["steps"] or None,
                "validation loss": facts.get("validation_loss"),
                "loss differs by": max((abs(a - b) / b for a, b in pairs), default=None),
                "parity": "passed" if parity.facts["passed"] else parity.facts["moved"],
                "divergence, nats": parity.facts["max_divergence_nats"],
                "seconds": round(time.monotonic() - started, 1),
            })  # fmt: skip
            print(rows[-1], file=sys.stderr, flush=True)
        made = len(control()["jobs"])
    print(json.dumps({"rows": rows, "jobs at the service": made}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "")
