import re

import pytest

from inhouse.config import reference
from inhouse.config.load import FILE, SIZES, load_project
from inhouse.config.sections import Project
from inhouse.errors import ConfigError


def write(tmp_path, text):
    (tmp_path / FILE).write_text(text, encoding="utf-8")
    return tmp_path


def test_defaults_and_the_dial(tmp_path):
    project = load_project(write(tmp_path, 'name = "x"\nsize = "medium"\n'))
    assert project.training.max_minutes == SIZES["medium"]["training"]["max_minutes"]
    assert project.root == tmp_path
    set_here = load_project(write(tmp_path, 'size = "medium"\n[training]\nmax_minutes = 3\n'))
    assert set_here.training.max_minutes == 3


@pytest.mark.parametrize(
    ("text", "where", "hint"),
    [
        ('name = "x"\n[training]\nrnak = 3\n', ":3: unknown key training.rnak", "did you mean 'rank'?"),
        ('name = "x"\n[trainin]\nrank = 3\n', ":2: unknown key trainin", "did you mean 'training'?"),
        ("nmae = 1\n", ":1: unknown key nmae", "did you mean 'name'?"),
        ('[training]\nrank = "many"\n', ":2: training.rank", "--explain training"),
        ('[[documents.access]]\nfoldr = "x"\n', "unknown key documents.access.foldr", "did you mean 'folder'?"),
        ('size = "huge"\n', ":1: size", ""),
        ("name = \n", "not valid TOML", "quotes"),
    ],
)
def test_a_wrong_key_or_value_names_file_line_and_the_nearest_key(tmp_path, text, where, hint):
    with pytest.raises(ConfigError) as error:
        load_project(write(tmp_path, text))
    assert where in str(error.value)
    assert str(tmp_path / FILE) in str(error.value)
    assert hint in error.value.hint


def test_a_missing_file_and_one_that_is_not_text(tmp_path):
    with pytest.raises(ConfigError, match="there is no project file") as error:
        load_project(tmp_path)
    assert "--project FOLDER" in error.value.hint
    (tmp_path / FILE).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_project(tmp_path)


def test_overrides_are_toml_values_and_checked_alike(tmp_path):
    write(tmp_path, 'name = "x"\n')
    project = load_project(tmp_path, {"training.rank": "4", "name": "plain words", "evaluation.arms": '["base"]'})
    assert (project.training.rank, project.name, project.evaluation.arms) == (4, "plain words", ("base",))
    with pytest.raises(ConfigError, match="^--set training.rnak: unknown key"):
        load_project(tmp_path, {"training.rnak": "4"})
    with pytest.raises(ConfigError, match="^--set training.rank: Input should be"):
        load_project(tmp_path, {"training.rank": "many"})
    with pytest.raises(ConfigError, match="not a section"):
        load_project(tmp_path, {"name.first": "4"})


def uncommented(text):
    return re.sub(r"^# (?=[a-z_]+ = |\[\[)", "", text, flags=re.MULTILINE)


def test_the_template_has_ten_keys():
    assert len(reference.COMMON) == 10


def test_the_template_as_written_is_a_project_of_defaults(tmp_path):
    project = load_project(write(tmp_path, reference.template("a bank")))
    assert project.model_dump() == load_project(write(tmp_path, 'name = "a bank"\nsize = "small"')).model_dump()


def test_the_template_with_every_key_uncommented_sets_each_of_them(tmp_path):
    text = uncommented(reference.template("a bank"))
    project = load_project(write(tmp_path, text))
    for dotted in reference.COMMON:
        section, _, key = dotted.rpartition(".")
        assert key in (getattr(project, section) if section else project).model_fields_set, dotted


def test_the_template_names_every_section():
    head = " ".join(reference.template("a bank").split("\n\n")[0].replace("#", " ").split())
    assert ", ".join(["project", *reference.sections()]) in head


def test_every_key_has_help():
    for title, model in {"project": Project, **reference.sections()}.items():
        for key, info in model.model_fields.items():
            assert info.description or {key, f"{title}.{key}"} & {*reference.sections()}, f"{title}.{key}"


def test_explain(tmp_path):
    assert "rank = 16" in reference.explain("training")
    with pytest.raises(ConfigError, match="not a section"):
        reference.explain("trainning")
