import pytest

from inhouse.assembly.workspace import Workspace
from inhouse.config.load import load_project
from inhouse.errors import InputError
from inhouse.models.catalog import Catalog
from inhouse.pipeline.calibrate import calibration

pytestmark = pytest.mark.slow


def test_answers_are_recorded_behind_the_rails_and_too_few_are_refused(built, models_dir):
    workspace = Workspace(load_project(built), Catalog(models_dir.parent))
    with pytest.raises(InputError, match=r"^[1-9]\d* answers, \d+ of them right: too few to calibrate"):
        calibration(workspace)
