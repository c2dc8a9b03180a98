"""One thread through the whole engine: project, run folder, supervised process, map, outputs, state."""

from cryoloom.app.session import Project
from cryoloom.engine.state import State


def test_source_and_map_from_start_to_outputs(project: Project) -> None:
    source = project.run("toy.source", count=3)
    events: list[str] = []
    run = project.run("toy.add", things=source.outputs.things, amount="2", on_event=lambda run, event: events.append(event["kind"]))
    assert run.state is State.FINISHED
    things = run.outputs.things
    assert things.items["value"].to_list() == [12.0, 22.0, 32.0]
    assert things.items["scaled"].to_list() == [5.0, 10.0, 15.0]  # a column of the optics group
    assert things.items["data_path"][1] == "runs/r002/items/000002_value.txt"
    assert things.file(things.items["data_path"][1]).read_text() == "22.0\n"
    assert run.summary == {"sum": 66.0, "count": 3}
    assert run.warnings == ["the sum is not checked"]
    assert {"state", "progress", "warning"} <= set(events)
