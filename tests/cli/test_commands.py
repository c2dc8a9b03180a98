"""The command line as a user meets it: help with examples, JSON on the last line, errors in one paragraph, never a traceback."""

import json
import resource

import pytest

COMMANDS = [
    *("process", "demo", "simulate", "run", "status", "log", "stop", "resume", "show", "select", "delete", "restore", "trace", "verify"),
    *("workflow", "import-workflow"),
    *(
        "restart",
        "copy",
        "start",
        "compatible",
        "compare",
        "disk",
        "clean",
        "label",
        "tag",
        "note",
        "replay",
        "environment",
        "methods",
        "crate",
    ),
    *("export", "report", "doctor", "protocols", "protocols,show"),
    *("project,new", "project,list", "project,info", "project,copy", "project,delete", "project,rename", "project,note"),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command, cryoloom):
    done = cryoloom(*command.split(","), "--help")
    assert done.returncode == 0
    assert "Example: cryoloom" in done.stdout


def test_help_is_quick(cryoloom):
    def seconds():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        cryoloom("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 0.5


def test_a_project_from_birth_to_death(tmp_path, cryoloom):
    project = tmp_path / "p"
    assert json.loads(cryoloom("project", "new", project, "--name", "Ribosome", "--json").stdout)["name"] == "Ribosome"
    assert cryoloom("project", "note", project, "thick ice").returncode == 0
    info = json.loads(cryoloom("project", "info", project, "--json").stdout.splitlines()[-1])
    assert info["notes"][0]["text"] == "thick ice" and info["runs"] == 0
    assert cryoloom("project", "copy", project, tmp_path / "q").returncode == 0
    assert len(json.loads(cryoloom("project", "list", tmp_path, "--json").stdout)) == 2
    assert cryoloom("project", "delete", tmp_path / "q", "--yes").returncode == 0
    assert not (tmp_path / "q").exists()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["run", "{p}", "ctf.estimat"], 2, "ctf.estimate"),
        (["run", "{p}", "ctf.estimate", "--input-micrograhs", "r001.x"], 2, "micrographs"),
        (["run", "{p}", "ctf.estimate"], 2, "--input-micrographs"),
        (["run", "{p}", "import.movies", "--pattern", "{p}/no/*.mrc", "--pixel-size", "1", "--voltage", "300", "--cs", "2"], 2, "no file"),
        (["run", "{p}", "import.movies", "--pattern", "x", "--pixel-size", "-1", "--voltage", "300", "--cs", "2"], 2, "pixel_size"),
        (["run", "{p}/none", "ctf.estimate"], 2, "not a project"),
        (["project", "new", "{p}"], 2, "project already"),
        (["show", "{p}", "r009"], 2, "r009"),
        (["export", "{p}", "all", "{p}/out", "--format", "spider"], 2, "relion"),
        (["status"], 2, "PROJECT"),
        (["simulate", "{p}", "--preset", "tiny"], 2, "empty"),
    ],
)
def test_wrong_use_is_one_paragraph_with_a_cure(tmp_path, words, code, says, cryoloom):
    project = tmp_path / "p"
    assert cryoloom("project", "new", project).returncode == 0
    done = cryoloom(*(word.format(p=project) for word in words))
    assert done.returncode == code
    assert says in done.stderr and "Traceback" not in done.stderr


def test_debug_shows_the_traceback(tmp_path, cryoloom):
    done = cryoloom("status", tmp_path, "--debug")
    assert done.returncode != 0 and "Traceback" in done.stderr


def test_json_of_the_catalogue_and_a_schema(cryoloom):
    listed = json.loads(cryoloom("protocols", "--json").stdout)
    assert {"import.movies", "postprocess.sharpen"} <= {entry["id"] for entry in listed}
    schema = json.loads(cryoloom("protocols", "show", "import.movies", "--json").stdout)
    assert schema["properties"]["pixel_size"]["x-unit"] == "Å/px" and "pattern" in schema["required"]
    assert "filesPattern" in schema["properties"]["pattern"]["x-aliases"]
