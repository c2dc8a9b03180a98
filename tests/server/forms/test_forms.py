"""Forms over HTTP: what fits an input, what is wrong with a value and what would do, what an empty field stands for, what the machine lacks."""

import shutil

from planted import publish

from cryoloom.data import Volume


def test_offers_are_of_the_right_kind_and_newest_first(client, project, micrographs, coordinates, particles):
    found = client.get("/api/projects/project/forms/particles.extract/offers/coordinates").json()
    assert [each["output"] for each in found] == [str(particles), str(coordinates)]
    assert found[1] == {"output": str(coordinates), "label": "", "kind": "coordinates", "state": "finished", "count": 36, "aside": False}
    assert [each["output"] for each in client.get("/api/projects/project/forms/ctf.estimate/offers/micrographs").json()] == [
        str(micrographs)
    ]


def test_maps_of_something_else_than_density_are_set_aside(client, project, volume):
    found = publish(
        project, Volume(volume.dataset.items, project.root, meta={"pixel_size": 1.5, "density": False}), "validate.local_resolution"
    )
    offers = client.get("/api/projects/project/forms/postprocess.mask/offers/volume").json()
    assert [(each["output"], each["aside"]) for each in offers] == [(str(found), True), (str(volume), False)]


def test_offers_of_what_is_no_input_are_refused(client):
    answer = client.get("/api/projects/project/forms/ctf.estimate/offers/window")
    assert answer.status_code == 422 and answer.json()["error"]["code"] == "CL-unknown-parameter"


def test_what_is_missing_is_told_apart_from_what_is_wrong(ask, micrographs):
    _, found = ask("pick.blob", "check", values={"micrographs": str(micrographs), "distance": "far"})
    problems = {each["field"]: each for each in found["errors"]}
    assert problems["diameter"]["missing"] and problems["diameter"]["message"] == "Particle diameter has to be given."
    assert not problems["distance"]["missing"] and "number" in problems["distance"]["message"]
    assert found["why"] == ""


def test_a_value_that_would_do_comes_with_the_finding(ask, micrographs):
    _, found = ask("ctf.estimate", "check", values={"micrographs": str(micrographs), "low_res": 30, "high_res": "50"})
    (error,) = found["errors"]
    assert (error["field"], error["fix"]) == ("high_res", 5.0) and error["message"].startswith("Fine limit ")
    _, mended = ask("ctf.estimate", "check", values={"micrographs": str(micrographs), "low_res": 30, "high_res": error["fix"]})
    assert mended["errors"] == []


def test_advice_does_not_stop_a_run(ask, micrographs, coordinates):
    given = {"micrographs": str(micrographs), "coordinates": str(coordinates), "box_size": 63}
    _, found = ask("particles.extract", "check", values=given)
    assert found["errors"] == [] and found["why"]
    assert [(each["field"], each["fix"]) for each in found["advice"]] == [("box_size", 64)]


def test_empty_fields_tell_what_they_stand_for_and_the_preview_agrees(ask, micrographs, coordinates):
    given = {"micrographs": str(micrographs), "coordinates": str(coordinates), "bin": "2"}
    _, found = ask("particles.extract", "check", values=given)
    # 1.5 diameters of 60 Å at 4 Å/px are 22.5 px; the smallest fast box has 32
    assert found["automatic"]["box_size"] == 32 and found["automatic"]["background_radius"] == 16
    assert found["preview"]["box"].startswith("32 px of 4 Å")
    _, found = ask("particles.extract", "check", values=given | {"box_unit": "angstrom"})
    assert found["automatic"]["box_size"] == 128


def test_an_empty_field_follows_the_one_it_hangs_on(ask, particles):
    given = {"particles": str(particles), "classes": 2, "mask_diameter": "80"}
    assert ask("classify2d.em", "check", values=given)[1]["automatic"] == {"outer_diameter": 96.0}


def test_the_machine_tells_its_cores_and_what_it_lacks(client, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    found = client.get("/api/projects/project/forms/pick.deep/machine").json()
    assert found["cores"] >= 1
    assert {each["name"]: each["reason"] for each in found["targets"]} == {
        "local": "",
        "slurm": "The command sbatch is not installed here.",
    }
    assert found["absent"] == {"engine": {"topaz": "The command topaz is not installed here."}}
    monkeypatch.setattr(shutil, "which", lambda name, *_, **__: f"/usr/bin/{name}")
    found = client.get("/api/projects/project/forms/pick.deep/machine").json()
    assert found["absent"] == {} and not any(each["reason"] for each in found["targets"])


def test_an_unknown_protocol_is_not_found(ask):
    assert ask("no.such", "check", values={})[0] == 404
