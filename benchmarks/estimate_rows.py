"""Records answers of the default model in several conditions, with features and scores, for `estimate.py`.

    python benchmarks/estimate_rows.py FOLDER

It copies the example bank and the concierge (../shared/data) into FOLDER, indexes them, and asks the arm `rag`. What is
real: documents, questions, retrieval, the answers of SmolLM2-135M, the features, and the scorers of the verdict. What
stands for something else: `worse` skips the two best passages, as an index does that was built with another embedder;
`new` hides two fifths of the documents, as if they were not indexed yet; `adapter` samples at temperature 1.3, which
damages the answers as the weights of another business would; `spanish` has questions that were translated for this.
Rows are appended to FOLDER/rows.jsonl; what is there is not asked again.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import itertools
import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path

from inhouse.assembly.guard import Parts
from inhouse.assembly.workspace import Workspace
from inhouse.chat import ChatRequest, collect
from inhouse.config.load import load_project
from inhouse.evaluation.scorers import Scorer, is_right
from inhouse.guardrails.rail import Turn
from inhouse.pipeline.ask import open_arms
from inhouse.pipeline.stages import index
from inhouse.retrieval.grounded import Grounded
from inhouse.types import Checks, Example, Grounder, Message, Passage

HERE = Path(__file__).parents[1]
DATA = HERE.parent / "shared" / "data"
CONCIERGE = 'name = "Concierge"\n[assistant]\nmax_tokens = 60\n'
HIDDEN = 0.4  # share of the documents that are not indexed in the condition `new`
PLAN = {
    "bank": (("good", 200), ("worse", 60), ("new", 60), ("adapter", 60), ("spanish", 60)),
    "concierge": (("good", 110), ("worse", 40), ("new", 40), ("adapter", 40)),
}
ROUNDS = 4  # each asks a share of every condition, so that an interrupted run has some of all
SPANISH = {
    "t01": "¿Cuánto pago al mes por Alder Checking?",
    "t02": "¿Cuánto tengo que depositar para abrir Alder Checking?",
    "t03": "¿Qué interés paga Ridge Checking?",
    "t04": "¿Cuántas transferencias al mes son gratis con Ridge Checking?",
    "t05": "¿Qué formulario firma el padre de un menor de 17 años para la Student Account?",
    "t06": "¿Cuál es la tasa anual de Falls Savings?",
    "t07": "¿Cuánto cuesta el sexto retiro del mes en Falls Savings?",
    "t08": "¿Cuál es el mínimo para un certificado de depósito?",
    "t09": "¿Cuánto pierdo si cobro antes de tiempo un certificado de tres años?",
    "t10": "¿Qué formulario firmamos para una cuenta conjunta?",
    "t11": "¿Cuánto pago por cerrar una cuenta que abrí hace dos meses?",
    "t12": "¿Después de cuántos meses sin movimientos queda inactiva una cuenta?",
    "t13": "¿Cuánto es la comisión por un sobregiro?",
    "t14": "¿En qué parte de Alder Mobile desactivo Overdraft Cover?",
    "t15": "¿Cuánto efectivo puedo sacar al día con mi tarjeta de débito?",
    "t16": "¿Cuántos días hábiles tarda en llegar una tarjeta de débito nueva?",
    "t17": "¿Qué interés pago por compras con la River Card?",
    "t18": "¿Qué porcentaje devuelve River en el supermercado?",
    "t19": "¿Cuál es la cuota anual de la Summit Card?",
    "t20": "¿Cuánto cobra la River Card por pagos en el extranjero?",
    "t21": "¿A qué número llamo de noche si me roban la tarjeta?",
    "t22": "¿En cuántos días desde el extracto tengo que reclamar un pago?",
    "t23": "¿Cuántos días vale un aviso de viaje?",
    "t24": "¿Cuánto cobran por enviar una transferencia nacional?",
    "t25": "¿Cuánto cuesta una transferencia a otro país?",
    "t26": "¿Hasta qué hora puedo pedir una transferencia para que salga hoy?",
    "t27": "¿Cuánto cuesta el servicio al día siguiente para una transferencia externa?",
    "t28": "¿Cuánto puedo depositar por teléfono al mes?",
    "t29": "¿Cuánto de un depósito móvil puedo usar el siguiente día hábil?",
    "t30": "¿Cuántos días hábiles tarda en llegar un cheque en papel de Bill Pay?",
    "t31": "¿Cuánto es lo máximo que puedo enviar a un amigo en un día?",
    "t32": "¿Hasta qué cantidad al día es gratis contar monedas?",
    "t33": "¿Cuántos minutos vale el código de la contraseña?",
    "t34": "¿Cuánto tiempo se bloquea la aplicación tras cuatro contraseñas incorrectas?",
    "t35": "¿Cuántos años se guardan los extractos electrónicos?",
    "t36": "¿A qué dirección reenvío un correo sospechoso?",
    "t37": "¿Qué formulario necesito para pedir un préstamo para empresas?",
    "t38": "¿Qué ingresos anuales necesita una empresa para un préstamo?",
    "t39": "¿Cuál es la comisión de apertura de un préstamo para empresas?",
    "t40": "¿Cuál es la puntuación de crédito mínima para un préstamo personal?",
    "t41": "¿A qué tasa financian coches nuevos?",
    "t42": "¿Cuál es la antigüedad máxima de un coche que financian?",
    "t43": "¿Qué entrada necesita quien compra su primera vivienda?",
    "t44": "¿Cuánto tiempo se mantiene la tasa de una hipoteca?",
    "t45": "¿Qué parte del valor de mi casa puedo retirar?",
    "t46": "¿Cuántos pagos del préstamo puedo aplazar en dos años?",
    "t48": "¿Cuánto tiempo vale una carta de liquidación?",
    "t50": "¿Cuánto cuesta cada operación adicional con Business Checking?",
    "t51": "¿Qué porcentaje de cada pago cuesta un lector de tarjetas?",
    "t52": "¿Cuánto cuesta la nómina por empleado?",
    "t53": "¿Cuánto cuesta al año una caja de seguridad grande?",
    "t54": "¿Qué días hay notario?",
    "t55": "¿Cuántos días hábiles tardan en contestar una queja?",
    "t56": "¿Cuántos días hábiles como máximo se retiene un depósito?",
    "t57": "¿Cuánto tarda la revisión de un poder notarial?",
    "t58": "¿Cuál es la extensión del departamento de sucesiones?",
    "t59": "¿Qué sucursal cierra los sábados?",
    "t60": "¿Cuántos años guardan los datos tras cerrar una cuenta?",
}


class Changed:
    """A Grounder whose passages are changed: the best ones skipped, or some documents hidden."""

    def __init__(self, grounder: Grounder, skip: int = 0, hidden: float = 0.0, most: int = 3) -> None:
        self._grounder, self._skip, self._hidden, self._most = grounder, skip, hidden, most

    def passages(self, messages: Sequence[Message], groups: frozenset[str]) -> Sequence[Passage]:
        found = [p for p in self._grounder.passages(messages, groups) if share_of(p.source) >= self._hidden]
        return found[self._skip :][: self._most]

    def ground(self, messages: Sequence[Message], passages: Sequence[Passage]) -> tuple[Message, ...]:
        return self._grounder.ground(messages, passages)


def share_of(text: str) -> float:
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 16**8


def bank(folder: Path) -> list[Example]:
    examples = []
    for name in ("tests", "conversations"):
        for line in (folder / f"{name}.jsonl").read_text(encoding="utf-8").strip().split("\n"):
            if not line.endswith("}"):
                continue  # the example has a line that was cut off
            row = json.loads(line)
            asked = [m for m in row["messages"] if m["role"] == "user"]
            if "JSON" in asked[-1]["content"] or len(row["messages"]) > 2:
                continue
            said = row.get("answer") or row["messages"][-1]["content"]
            checks = Checks(**row["checks"]) if row.get("checks") else Checks()
            topic = row.get("topic") or (row.get("tags") or [""])[0]
            if checks.must_not_answer:
                continue  # without rails the model has no way to decline
            messages = (Message(**asked[-1]),)
            examples.append(Example(id=row["id"], messages=messages, target=said, checks=checks, tags=(topic,)))
    return examples


def concierge(folder: Path) -> list[Example]:
    examples = []
    for line in (folder / "dev.jsonl").read_text(encoding="utf-8").strip().split("\n"):
        row = json.loads(line)
        if row["needs_knowledge"]:
            messages = tuple(Message(**m) for m in row["messages"][-4:])
            kind = row["sources"][0]["document"].partition("-")[0] if row.get("sources") else ""
            examples.append(Example(id=row["id"], messages=messages[:-1], target=messages[-1].content, tags=(kind,)))
    return examples


def project(folder: Path, name: str) -> Path:
    at = folder / name
    if not at.exists():
        origin = HERE / "examples" / "first_national_bank" if name == "bank" else DATA / "concierge"
        shutil.copytree(origin, at, ignore=shutil.ignore_patterns(".inhouse"))
    if name == "concierge":
        (at / "inhouse.toml").write_text(CONCIERGE)
    return at


async def ask(model: Grounded, name: str, condition: str, examples: list[Example], parts: Parts, scorer: Scorer,
              out: Path) -> None:  # fmt: skip
    extract, free = parts.features(), asyncio.Semaphore(2)
    with out.open("a", encoding="utf-8") as log:

        async def one(e: Example) -> None:
            sampling = {"temperature": 1.3, "seed": 7} if condition == "adapter" else {}
            request = ChatRequest(messages=e.messages, max_tokens=60, **sampling)
            async with free:
                reply = await collect(model, request)
            passages = tuple(Passage(**p) for p in reply.note("grounded", "passages") or [])
            turn = Turn(request, passages, certainty=reply.finish.confidence)
            evidence = [e.target, *(f"{p.heading}. {p.text}" for p in passages)]
            features = await asyncio.to_thread(extract, reply.text, turn)
            scores = scorer.score(e, reply.text, evidence, reply.finish.reason == "length")
            row = {
                "project": name, "condition": condition, "id": e.id, "topic": e.tags[0], "question": e.question,
                "text": reply.text, "right": is_right(scores), "features": features._asdict(), "scores": scores,
                "token_probability": reply.finish.confidence, "latency_s": reply.latency_s,
            }  # fmt: skip
            log.write(json.dumps(row) + "\n")
            log.flush()

        await asyncio.gather(*(one(e) for e in examples))


def record(folder: Path, name: str, plan: Sequence[tuple[str, int]], out: Path) -> None:
    at = project(folder, name)
    workspace = Workspace(load_project(at / "inhouse.toml"))
    parts = Parts(workspace, workspace.project)
    examples = (bank if name == "bank" else concierge)(at)
    random.Random(7).shuffle(examples)
    scorer = Scorer(workspace.embedder, workspace.support, [e.target for e in examples])
    arms = open_arms(workspace, bare=True)
    wide = workspace.project.model_copy(
        update={"retrieval": workspace.project.retrieval.model_copy(update={"passages": 8, "passage_tokens": 1600})}
    )
    grounder = workspace.grounding(workspace.index(index(workspace), None), wide)
    done = {(r["project"], r["condition"], r["id"]) for r in map(json.loads, out.open())} if out.exists() else set()
    try:
        for n, (condition, most) in itertools.product(range(1, ROUNDS + 1), plan):
            changed = Changed(grounder, 2 if condition == "worse" else 0, HIDDEN if condition == "new" else 0.0)
            model = Grounded(arms.base(), changed, workspace.support, "rag")
            own = examples[:most]
            if condition == "spanish":
                asked = {e.id: e for e in examples}
                own = [asked[k].model_copy(update={"messages": (Message(role="user", content=text),)})
                       for k, text in SPANISH.items() if k in asked]  # fmt: skip
            left = [e for e in own[: most * n // ROUNDS] if (name, condition, e.id) not in done]
            asyncio.run(ask(model, name, condition, left, parts, scorer, out))
            done |= {(name, condition, e.id) for e in left}
            print(name, condition, n, len(left), flush=True)
    finally:
        arms.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--projects", nargs="*", default=list(PLAN))
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    for name in given.projects:
        record(given.folder, name, PLAN[name], given.folder / "rows.jsonl")


if __name__ == "__main__":
    main()
