import pytest

from inhouse.config.sections import Model
from inhouse.models.catalog import Catalog
from inhouse.models.engines import installed
from inhouse.models.llama import LlamaEngine
from inhouse.models.vllm import VllmEngine


@pytest.fixture(scope="session")
def vllm():
    return installed(Catalog()) or pytest.skip("vLLM is not installed: inhouse engines install vllm")


@pytest.fixture(scope="session")
def plain(vllm, weights, tmp_path_factory):
    """The default model as a Hugging Face folder."""
    from inhouse.training.folder import write_folder

    out = tmp_path_factory.mktemp("plain") / "model"
    write_folder(weights, out)
    return out


@pytest.fixture(scope="module", params=["embedded", "vllm"])
def engine(request, weights):
    """Each engine with the default model, which answers like the other."""
    settings = Model(context_tokens=512, parallel=2)
    if request.param == "vllm":
        vllm = request.getfixturevalue("vllm")
        engine = VllmEngine(request.getfixturevalue("plain"), settings, vllm)
    else:
        engine = LlamaEngine(weights / "model.gguf", settings)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def embedded(weights):
    """The engine that answers over TCP."""
    engine = LlamaEngine(weights / "model.gguf", Model(context_tokens=512, parallel=2))
    yield engine
    engine.close()
