"""APIs that train, on loopback, as a program that prints its port: the shapes of OpenAI, Together, Fireworks, and Ray.

`POST /control` sets faults and weights; `GET /control` says which jobs were made. A fault is
`{"on": "POST /v1/fine_tuning/jobs", "do": ..., "times": 1}`, where `do` is a status such as "429"; "500 after" (the
job is made, then 500), "cut before", "cut after", "expired"; "kill before" or "kill after" with a "pid".
"""

import io
import json
import os
import shlex
import signal
import sys
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LOCK = threading.Lock()
JOBS, FILES, SEEN, FAULTS, ASKED = [], [], [], [], []
SET = {"adapter": "", "delay": 0.0, "page": 3, "varies": False}
NAMES = ("adapter_config.json", "adapter_model.safetensors")


def archive():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name in NAMES:
            tar.add(Path(SET["adapter"]) / name, f"checkpoint/{name}")
    return out.getvalue()


class Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.answer("GET")

    def do_POST(self):
        self.answer("POST")

    def answer(self, method):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        path, _, query = self.path.partition("?")
        if path == "/control":
            return self.control(method, body)
        with LOCK:
            SEEN.append([f"{method} {self.path}", self.headers.get("authorization", "")])
            fault = next((f for f in FAULTS if f["on"] == f"{method} {path}" and f["times"] > 0), None)
            if fault:
                fault["times"] -= 1
        do = fault["do"] if fault else ""
        if do == "kill before":
            os.kill(fault["pid"], signal.SIGKILL)
            time.sleep(SET["delay"])
        if do == "cut before":
            return self.cut()
        if do in ("429", "500", "401"):
            return self.send({"error": {"message": "no"}}, int(do), {"Retry-After": "0.01"})
        if do == "expired":
            return self.send({"error": {"message": "File 'file-1' has expired"}}, 400)
        with LOCK:
            status, data = self.handle_api(method, path, query, body)
        if do == "kill after":
            os.kill(fault["pid"], signal.SIGKILL)
        if do == "cut after":
            return self.cut()
        if do == "500 after":
            return self.send({"error": {"message": "no"}}, 500)
        return self.send(data, status)

    def cut(self):
        self.close_connection = True
        self.connection.close()

    def send(self, data, status=200, headers=()):
        payload = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def control(self, method, body):
        with LOCK:
            if method == "POST":
                wanted = json.loads(body)
                FAULTS[:] = [{"times": 1, **f} for f in wanted.pop("faults", FAULTS)]
                if wanted.pop("clear", False):
                    JOBS.clear(), FILES.clear(), SEEN.clear(), ASKED.clear()
                SET.update(wanted)
            self.send({"jobs": JOBS, "files": FILES, "seen": SEEN, "asked": ASKED})

    def handle_api(self, method, path, query, body):
        parts = path.strip("/").split("/")
        return getattr(self, parts[0])(method, parts[1:], query, body)

    def api(self, method, parts, query, body):
        """Ray's job server. A job is done at the second look, with a result that no worker made."""
        job_id = parts[1] if len(parts) > 1 else ""
        if method == "POST" and not job_id:
            asked = json.loads(body)
            if any(j["submission_id"] == asked["submission_id"] for j in JOBS):
                return 400, b"ValueError: Job with submission_id already exists."
            JOBS.append({"submission_id": asked["submission_id"], "status": "PENDING", "asked": asked, "seen": 0,
                         "metadata": asked["metadata"]})  # fmt: skip
            return 200, {"submission_id": asked["submission_id"]}
        job = next((j for j in JOBS if j["submission_id"] == job_id), None)
        if job is None:
            return 404, b"Job does not exist"
        job["seen"] += 1
        if parts[2:] == ["stop"]:
            job["status"] = "STOPPED"
        elif job["status"] != "STOPPED":
            job["status"] = "SUCCEEDED" if job["seen"] > 1 else "RUNNING"
            out = Path(shlex.split(job["asked"]["entrypoint"])[-1])
            if job["seen"] > 1 and not (out / "result.json").exists():
                (out / "adapter").mkdir(exist_ok=True)
                key = job["metadata"]["inhouse_key"]
                (out / "result.json").write_text(json.dumps({"key": key, "facts": {"steps": 1}, "seconds": 60}))
        return 200, job

    def v1(self, method, parts, query, body):
        if parts[0] == "files":
            return self.files(method, parts, body)
        if parts == ["chat", "completions"]:
            return 200, self.chat(json.loads(body))
        if method == "POST" and len(parts) == 2:
            asked = json.loads(body)
            job = {"id": f"ftjob-{len(JOBS) + 1}", "status": "queued", "created_at": 100, "asked": asked,
                   "metadata": asked.get("metadata", {}), "result_files": [], "seen": 0}  # fmt: skip
            JOBS.append(job)
            return 200, job
        if len(parts) == 2:
            after = query.partition("after=")[2]
            newest = JOBS[::-1]
            at = 1 + next((n for n, j in enumerate(newest) if j["id"] == after), -1)
            return 200, {"data": newest[at : at + SET["page"]], "has_more": len(newest) > at + SET["page"]}
        job = next((j for j in JOBS if j["id"] == parts[2]), None)
        if job is None:
            return 404, {"error": {"message": "no such job"}}
        if parts[3:] == ["events"]:
            return 200, {"data": [{"created_at": 1, "message": "old"}, {"created_at": 2, "message": "Step 9/10"}]}
        job["seen"] += 1
        if parts[3:] == ["cancel"]:
            job["status"] = "cancelled"
        elif job["status"] != "cancelled" and job["seen"] > 1:
            job["status"] = "succeeded" if job["seen"] > 2 else "running"
            job |= {"trained_tokens": 5000, "finished_at": 160, "result_files": list(NAMES)}
        if job["status"] == "succeeded":
            job["fine_tuned_model"] = "ft:theirs:me"
        return 200, job

    def chat(self, asked):
        """The trained model's answer; one that varies answers with the number of the request."""
        ASKED.append(asked)
        text = f"It is answer {len(ASKED)}." if SET["varies"] else "Plan 1 costs $4."
        said = {"choices": [{"delta": {"content": text}}]}
        end = {
            "choices": [{"delta": {}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 6},
        }
        return "".join(f"data: {json.dumps(part)}\n\n" for part in (said, end)).encode() + b"data: [DONE]\n\n"

    def files(self, method, parts, body):
        if method == "POST":
            name = body.split(b'filename="')[1].split(b'"')[0].decode()
            FILES.append(
                {
                    "id": f"file-{len(FILES) + 1}",
                    "filename": name,
                    "status": "processed",
                    "rows": body.count(b'"messages"'),
                }
            )
            return 200, FILES[-1]
        if len(parts) == 1:
            return 200, {"data": FILES}
        if len(parts) == 3:
            return 200, (Path(SET["adapter"]) / parts[1]).read_bytes()
        return 200, {"id": parts[1], "filename": parts[1]}

    def together(self, method, parts, query, body):
        if parts[0] == "files":
            if method == "POST" and (parts[1:] != ["upload"] or b'name="file_name"' not in body):
                return 404, {"error": {"message": "no such page"}}
            return self.files(method, parts, body)
        if parts[0] == "finetune":
            return 200, archive()
        if method == "POST" and len(parts) == 1:
            asked = json.loads(body)
            JOBS.append({"id": f"ft-{len(JOBS) + 1}", "status": "pending", "asked": asked, "seen": 0, "token_count": 7000,
                         "model_output_name": f"me/model-{asked['suffix']}-0a1b"})  # fmt: skip
            return 200, JOBS[-1]
        if len(parts) == 1:
            return 200, {"data": JOBS}
        job = next(j for j in JOBS if j["id"] == parts[1])
        if parts[2:] == ["events"]:
            return 200, {"data": []}
        job["seen"] += 1
        job["status"] = ("pending", "running", "completed")[min(job["seen"], 2)]
        return 200, job

    def fireworks(self, method, parts, query, body):
        kind, rest = parts[2], parts[3:]  # accounts/me/KIND/...
        if kind == "datasets":
            if rest and rest[0].endswith(":upload"):
                FILES.append({"id": rest[0].removesuffix(":upload"), "rows": body.count(b'"messages"')})
                return 200, {}
            if rest:
                there = any(f["id"] == rest[0] for f in FILES)
                return (200, {"state": "READY"}) if there else (404, {"message": "dataset not found"})
            return 200, {}
        if kind == "models":
            links = {n: f"http://127.0.0.1:{self.server.server_port}/signed/{n}?signature=1" for n in NAMES}
            return 200, {"filenameToSignedUrls": links}
        if method == "POST":
            wanted = query.partition("=")[2]
            if any(j["name"].endswith(f"/{wanted}") for j in JOBS):
                return 409, {"message": "already exists"}
            asked = json.loads(body)
            JOBS.append({"name": f"accounts/me/supervisedFineTuningJobs/{wanted}", "state": "JOB_STATE_CREATING",
                         "displayName": asked["displayName"], "asked": asked, "seen": 0})  # fmt: skip
            return 200, JOBS[-1]
        if not rest:
            return 200, {"supervisedFineTuningJobs": JOBS}
        job = next(j for j in JOBS if j["name"].endswith(f"/{rest[0]}"))
        job["seen"] += 1
        job["state"] = ("JOB_STATE_PENDING", "JOB_STATE_RUNNING", "JOB_STATE_COMPLETED")[min(job["seen"], 2)]
        return 200, job

    def signed(self, method, parts, query, body):
        return 200, (Path(SET["adapter"]) / parts[0]).read_bytes()


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # clients are killed


if __name__ == "__main__":
    server = Server(("127.0.0.1", 0), Api)
    print(server.server_port, flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()  # ends with the test
