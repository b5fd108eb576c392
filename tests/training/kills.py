"""Kills clients of the training back-ends with SIGKILL, and counts jobs: `kills.py hosted|command|ray CASES FOLDER [blind]`.

Each case has its own job. A client is killed at one line of the back-end's code, the lines spread evenly over a whole
run; of the hosted and ray cases, a fifth is killed while the request that makes the job is under way. Then clients run until one
ends. Prints JSON: the cases, lines, kills, and the jobs that were submitted twice or never.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from inhouse.config.sections import Training
from inhouse.training import anywhere, api, hosted
from inhouse.training.job import TrainingJob
from inhouse.training.rows import Row
from inhouse.types import Message, Silent

HERE = Path(__file__).parent
TRACED = ("training/trainer.py", "training/hosted.py", "training/api.py", "training/command.py", "training/parcel.py", "training/locks.py",
          "training/ray_cluster.py", "inhouse/files.py")  # fmt: skip
hosted.SETTLE_S, api.PAUSE_S = 0.1, 0.01
CREATES = {"hosted": "POST /v1/fine_tuning/jobs", "ray": "POST /api/jobs/"}


def job_of(number, settings):
    row = Row(messages=(Message(role="user", content=f"Question {number}?"),), target="Yes.", kind="grounded")
    return TrainingJob(
        rows=(row,), validation=(row,), base=Path("/nowhere"), name="tiny", settings=settings, seed=number
    )


def client(number, settings, work, kill_at=0, count=None):
    """Runs a client in a fork; returns its exit status."""
    pid = os.fork()
    if pid:
        return pid
    seen = 0

    def local(frame, event, arg):
        nonlocal seen
        if event == "line":
            seen += 1
            if seen == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
        return local

    def trace(frame, event, arg):
        return local if frame.f_code.co_filename.endswith(TRACED) else None

    code = 1
    try:
        sys.settrace(trace if kill_at or count else None)
        anywhere.train(job_of(number, settings), work, work, Silent())
        sys.settrace(None)
        if count:
            count.write_text(str(seen))
        code = 0
    except Exception as error:
        print(f"case {number}: {type(error).__name__}: {error}", file=sys.stderr)
    finally:
        os._exit(code)


def finish(number, settings, work):
    for _ in range(5):
        if os.waitstatus_to_exitcode(os.waitpid(client(number, settings, work), 0)[1]) == 0:
            return
    raise SystemExit(f"case {number} does not end")


def main(backend, cases, folder):
    control = None
    if backend != "command":
        server = subprocess.Popen(
            [sys.executable, HERE / "fine_tuning_api.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        url = f"http://127.0.0.1:{int(server.stdout.readline())}"

        def control(**values):
            request = urllib.request.Request(f"{url}/control", json.dumps(values).encode() if values else None)
            with urllib.request.urlopen(request) as answer:
                return json.load(answer)

        adapter = folder / "weights"
        adapter.mkdir()
        (adapter / "adapter_config.json").write_text("{}")
        (adapter / "adapter_model.safetensors").write_bytes(b"0" * 100)
        control(adapter=str(adapter), delay=0.03, page=40)
        places = {"hosted": {"url": f"{url}/v1", "model": "tiny"}, "ray": {"address": url}}
        settings = Training.model_validate({"backend": backend, "poll_s": 0.005, backend: places[backend]})
    else:
        queue = folder / "queue"
        queue.mkdir()
        slurm = f"{HERE / 'fake_slurm'}"
        run = f"{HERE / 'pretends_to_train'} {{job}} {{out}} {{key}}"
        settings = Training(
            backend="command", poll_s=0.01,
            command={"submit": f"{slurm} submit {queue} {{key}} {run}", "find": f"{slurm} find {queue} {{key}}",
                     "poll": f"{slurm} state {queue} {{id}}"},
        )  # fmt: skip
    (folder / "0").mkdir()
    os.waitpid(client(0, settings, folder / "0", count=folder / "count"), 0)
    lines = int((folder / "count").read_text())
    killed = 0
    for number in range(1, cases + 1):
        work = folder / str(number)
        work.mkdir()
        while_asked = control is not None and number % 5 == 0
        at = 0 if while_asked else 1 + number * (lines - 1) // cases
        if while_asked:
            control(faults=[{"on": CREATES[backend], "do": "429", "times": 0}])
            pid_known = folder / "go"
            pid_known.unlink(missing_ok=True)
            pid = os.fork()
            if not pid:
                while not pid_known.exists():
                    time.sleep(0.001)
                anywhere.train(job_of(number, settings), work, work, Silent())
                os._exit(0)
            control(faults=[{"on": CREATES[backend], "do": ("kill before", "kill after")[number // 5 % 2], "pid": pid}])
            pid_known.touch()
        else:
            pid = client(number, settings, work, kill_at=at)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        killed += code == -signal.SIGKILL
        finish(number, settings, work)
    if control:
        keys = [job["metadata"]["inhouse_key"] for job in control()["jobs"]]
    else:
        keys = [(d / "key").read_text().strip() for d in (folder / "queue").iterdir()]
    keys = [key.partition("-")[0] for key in keys]
    twice = len(keys) - len(set(keys))
    print(json.dumps({"backend": " ".join([backend, *sys.argv[4:]]), "cases": cases, "lines": lines, "killed": killed, "twice": twice,
                      "never": cases + 1 - len(set(keys))}))  # fmt: skip


if __name__ == "__main__":
    if sys.argv[4:] == ["blind"]:  # what the search for the job is good for
        hosted.Hosted.find = lambda self, key, interrupted: None
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
