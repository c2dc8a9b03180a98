"""Runs from runs: again, with changes, whole branches; trash with what depends on it; tags, notes, comparison, cleaning."""

import io
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cryoloom.app.session import Project, open_project
from cryoloom.engine.state import State
from cryoloom.spec import Failure, WrongUse


@pytest.fixture(scope="module")
def made(empty: Project) -> Project:
    """Return a project with two sources and, below the first, a sum and its multiple, and a join of sum and source."""
    empty.run("toy.source", count=3, name="numbers")
    empty.run("toy.add", things="numbers.things", amount=2, name="sums", threads=1)
    empty.run("toy.scale", things="sums.things", factor=5, name="more", threads=1)
    empty.run("toy.join", things="sums.things", more=["numbers.things"], name="both")
    empty.run("toy.source", count=4, name="other")
    return empty


def values(project: Project, run: str) -> list[float]:
    return project.find(run).outputs.things.items["value"].to_list()


def test_a_run_is_done_again_as_a_new_one(project: Project) -> None:
    again = project.restart("sums")
    assert again.id == "r006" and again.state is State.DRAFT and again.label == "sums-2"
    again.start(threads=1).wait()
    assert values(project, "r006") == values(project, "r002")
    assert (again.folder.path / "calls").exists(), "nothing was taken over unseen"


def test_a_changed_parameter_makes_exactly_the_runs_below_anew(project: Project) -> None:
    done = project.copy_runs("sums", below=True, amount=3)
    assert {old: new.id for old, new in done.runs.items()} == {"r002": "r006", "r003": "r007", "r004": "r008"}
    assert all(new.state is State.DRAFT for new in done.runs.values())
    assert done.runs["r004"].inputs == {
        "things": {"run": "r006", "output": "things", "hash": None},
        "more": [{"run": "r001", "output": "things", "hash": project.find("numbers").outputs.things.hash}],
    }
    assert done.runs["r003"].parameters == project.find("more").parameters
    project.start_drafts(threads=1)
    for run in done.runs.values():
        run.wait()
    assert values(project, "r007") == [65.0, 115.0, 165.0] and len(project.runs()) == 8
    project.run("toy.add", things="numbers.things", amount=3)
    assert len(project.runs()) == 8, "the copy is what a run of these parameters would be"


def test_a_branch_goes_onto_another_input(project: Project) -> None:
    done = project.copy_runs("sums", "more", onto=["other.things"])
    project.start_drafts(*done.runs.values(), threads=1)
    done.runs["r003"].wait()
    assert values(project, done.runs["r003"].id) == [60.0, 110.0, 160.0, 210.0]
    assert done.runs["r002"].label == "sums-2"
    with pytest.raises(WrongUse) as caught:
        project.copy_runs("both", onto=["other.things"])
    assert caught.value.code == "which-input" and "r001.things" in str(caught.value) and "r002.things" in str(caught.value)
    chosen = project.run("toy.scale", things="sums.things", ids=[1], name="chosen", threads=1)
    noted = project.copy_runs("sums", chosen, onto=["other.things"])
    assert [note.startswith(f"{noted.runs[chosen.id].id} keeps what was chosen by hand in {chosen.id}") for note in noted.notes] == [True]
    one = project.copy_runs("both", onto={"numbers.things": "other.things"}).runs["r004"]
    assert one.inputs["things"]["run"] == "r002" and one.inputs["more"][0]["run"] == "r005"
    project.run("toy.pears", name="pears")
    with pytest.raises(WrongUse, match="no input from outside"):
        project.copy_runs("sums", onto=["pears.pears"])


def test_a_blocked_run_says_for_whom_it_waits_and_why_in_vain(project: Project, until) -> None:  # noqa: F811
    project.run("toy.fail", how="failure", name="broken", wait=False)
    until(lambda: project.find("broken").state is State.FAILED, "it failed")
    assert "The toy is broken at value 3" in project.find("broken").reason
    draft = project.prepare("toy.source", count=7, name="later")
    then = project.prepare("toy.scale", things="later.things")
    assert then.reason == f"waiting for {draft.id} (draft)"
    then.start(threads=1)
    until(lambda: then.state is State.BLOCKED, "it waits")
    assert then.reason == f"waiting for {draft.id} (draft)"
    draft.start(threads=1)
    assert then.wait().state is State.FINISHED


def test_what_depends_on_a_run_goes_to_the_trash_and_back_with_it(project: Project) -> None:
    with pytest.raises(WrongUse, match="r003, r004.*--with-dependents"):
        project.delete("sums")
    assert [run.id for run in project.delete("sums", with_dependents=True)] == ["r004", "r003", "r002"]
    assert [run.id for run in project.runs()] == ["r001", "r005"]
    with pytest.raises(WrongUse, match="Restore those first"):
        project.restore("r004")
    project.restore("r002", with_dependents=True)
    assert [run.id for run in project.runs()] == ["r001", "r002", "r003", "r004", "r005"]
    assert project.verify("both").ok


def test_tags_and_notes_are_kept_beside_a_run(project: Project) -> None:
    run = project.find("sums")
    run.tag("paper", "keep")
    run.untag("keep")
    run.note("# Too low\n\nsee **grid 3**")
    again = open_project(project.root).find("sums")
    assert again.tags == ["paper"] and [each["text"] for each in again.notes] == ["# Too low\n\nsee **grid 3**"]
    assert again.describe()["tags"] == ["paper"]
    with pytest.raises(WrongUse):
        run.tag("r003")
    assert project.verify("sums").ok, "what people write is no part of the result"


def test_two_runs_are_compared(project: Project) -> None:
    project.run("toy.add", things="other.things", amount=7, name="others", threads=1)
    found = project.compare("sums", "others")
    assert found["asked"] == ["amount is 7.0, was 2.0", "input things has other content"]
    assert found["parameters"] == {"amount": [2.0, 7.0]} and found["summary"]["sum"] == [66.0, 128.0]
    things = found["outputs"]["things"]
    assert things["count"] == [3, 4] and things["rows"] == {"both": 3, "only_first": 0, "only_second": 1}
    assert things["numbers"]["value"] == {"mean": 5.0, "largest": 5.0} and things["meta"]["sum"] == [66.0, 128.0]
    assert project.compare("sums", "more")["asked"][0] == "the protocol is toy.scale, was toy.add"
    sources = project.compare("numbers", "other")["outputs"]["things"]
    assert sources["rows"] == {"both": 3, "only_first": 0, "only_second": 1} and sources["numbers"] == {}
    assert project.compare("sums", "sums")["outputs"]["things"]["same"] and project.compare("sums", "sums")["asked"] == []


def test_curves_are_compared_shell_by_shell(project: Project) -> None:
    import polars as pl

    from cryoloom.app.comparison import _curves

    a = pl.DataFrame({"frequency": [n / 100 for n in range(13)], "fsc": [1 - n / 20 for n in range(13)]})
    b = pl.DataFrame({"frequency": [n / 50 for n in range(7)], "fsc": [1 - n / 10 for n in range(7)]})
    rows = _curves(a, b)
    assert [row["frequency"] for row in rows] == [0.02, 0.04, 0.06, 0.08, 0.1, 0.12]
    assert all(abs(row["first"] - row["second"]) < 1e-9 for row in rows)


def test_cleaning_by_purpose_is_no_damage(project: Project) -> None:
    before = {row["run"]: row for row in project.room()}["r003"]
    assert before["final"] == len("60.0\n110.0\n160.0\n") and before["intermediate"] > 0 and before["record"] > 0
    told = project.clean("more", keep="final", dry=True)
    assert told.size == before["intermediate"] and {row["run"]: row for row in project.room()}["r003"] == before
    project.clean("more", keep="final")
    after = {row["run"]: row for row in project.room()}["r003"]
    assert after["intermediate"] == 0 and after["final"] == before["final"]
    assert project.verify("more").ok and project.verify("more").cleaned == []
    assert project.run("toy.scale", things="sums.things", factor=5).id == "r003", "it is still what the same work gives"


def test_images_that_others_rest_on_are_not_removed_unsaid(project: Project) -> None:
    with pytest.raises(WrongUse, match=r"r003, r004 rest on r002") as caught:
        project.clean("sums", keep="record")
    assert caught.value.code == "files-needed" and project.verify("sums").ok
    found = project.clean("sums", keep="record", also_needed=True)
    assert found.needed == {"r002": ["r003", "r004"]} and found.runs["r002"].count > 3
    verified = project.verify("both")
    assert verified.ok and len(verified.cleaned) == 3 and verified.missing == []
    assert values(project, "sums") == [12.0, 22.0, 32.0], "tables stay"
    with pytest.raises(WrongUse) as caught:
        project.prepare("toy.scale", things="sums.things", factor=9)
    assert caught.value.code == "input-cleaned" and "restart" in str(caught.value)
    again = project.run("toy.add", things="numbers.things", amount=2, threads=1)
    assert again.id == "r006" and again.why == "same as r002, whose files were cleaned away"
    assert again.outputs.things.items["value"].to_list() == [12.0, 22.0, 32.0]
    lost = next((project.root / "runs/r003/items").iterdir())
    lost.unlink()
    assert project.verify("more").missing == [lost.relative_to(project.root).as_posix()], "what nobody cleaned is damage"


def test_files_that_an_earlier_step_lost_are_missed_in_later_sets(project: Project) -> None:
    project.run("toy.keep", things="more.things", name="kept")
    project.run("toy.join", things="more.things", more=["kept.things"], name="numbers-only")
    project.clean("more", keep="record", also_needed=True)
    with pytest.raises(WrongUse, match="made by r003, were cleaned away.*restart PROJECT r003") as caught:
        project.prepare("toy.scale", things="kept.things", factor=9)
    assert caught.value.code == "input-cleaned"
    project.prepare("toy.join", things="numbers-only.things", more=["sums.things"])


def test_unfinished_runs_are_not_cleaned(project: Project) -> None:
    draft = project.prepare("toy.source", count=9)
    with pytest.raises(WrongUse, match="is draft"):
        project.clean(draft)
    with pytest.raises(WrongUse, match="diagnostic, final, record"):
        project.clean(keep="nothing")


def test_outputs_that_an_input_takes_are_listed_last_first(project: Project) -> None:
    project.run("toy.pears")
    draft = project.prepare("toy.source", count=9, name="later")
    found = [str(output) for output in project.compatible("toy.scale", "things")]
    assert found == [f"{draft.id}.things", "r005.things", "r004.things", "r003.things", "r002.things", "r001.things"]
    project.clean("more", keep="record")
    with pytest.raises(Failure):
        project.run("toy.fail", how="failure")
    found.remove("r003.things")
    assert [str(output) for output in project.compatible("toy.join", "input-more")] == found
    with pytest.raises(WrongUse, match="no input 'factor'"):
        project.compatible("toy.scale", "factor")


def test_many_runs_are_listed_with_few_reads(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    source = project.root / "runs/r001"
    for number in range(6, 106):
        target = source.with_name(f"r{number:03d}")
        target.mkdir()
        for name in ("run.json", "outputs.json", "claim.1.json", "exit.1.json", "events.1.jsonl"):
            (target / name).write_text((source / name).read_text().replace("r001", target.name))
    read: list[str] = []
    plainly = io.open

    def noted(file: Any, *arguments: Any, **named: Any) -> Any:
        read.append(str(file))
        return plainly(file, *arguments, **named)

    monkeypatch.setattr(io, "open", noted)
    monkeypatch.setattr("builtins.open", noted)
    assert len([run.brief() for run in project.runs()]) == 105
    counts = Counter(Path(path).parent.name for path in read)
    assert {f"r{number:03d}" for number in range(6, 106)} <= set(counts) and max(counts.values()) <= 6, counts
    assert len(project.compatible("toy.scale", "things")) == 105
    read.clear()
    assert len(project.compatible("toy.scale", "things")) == 105
    assert len(read) <= 1, f"a second look opens what has not changed: {read[:5]}"
