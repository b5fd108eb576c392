"""lm-eval: a small custom task over local-chat-completions and local-completions, both asked for text.

Tasks that compare log-probabilities of given answers need those of the prompt, which no chat model has: the server
refuses `echo` by name.
"""

import json
import os
import tempfile
from pathlib import Path

import features as f

os.environ["OPENAI_API_KEY"] = f.KEY
os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"

import lm_eval
from lm_eval.tasks import TaskManager

TASK = """
task: wires
dataset_path: json
dataset_kwargs: {data_files: {test: %s}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["zzz"], max_gen_toks: 80}
metric_list:
  - metric: exact_match
"""


def evaluated(kind, path):
    """The answers that the harness got."""
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "wires.json"
        rows.write_text(json.dumps({"question": f.ASK, "answer": "$21.50"}))
        (Path(folder) / "wires.yaml").write_text(TASK % rows)
        arguments = {"model": f.MODEL, "base_url": f"{f.URL}/{path}", "num_concurrent": 1, "max_retries": 1,
                     "tokenizer_backend": None, "tokenized_requests": False}  # fmt: skip
        results = lm_eval.simple_evaluate(
            model=kind, model_args=arguments, tasks=["wires"], task_manager=TaskManager(include_path=folder),
            apply_chat_template=kind == "local-chat-completions", log_samples=True,
        )  # fmt: skip
        for sample in results["samples"]["wires"]:
            f.right(sample["resps"][0][0])


f.run(
    {
        "default": lambda: evaluated("local-completions", "completions"),
        "chat": lambda: evaluated("local-chat-completions", "chat/completions"),
    }
)
