import pytest

from inhouse.config.sections import Model
from inhouse.models.llama import LlamaEngine


@pytest.fixture(scope="module")
def engine(weights):
    engine = LlamaEngine(weights / "model.gguf", Model(context_tokens=512, parallel=2))
    yield engine
    engine.close()
