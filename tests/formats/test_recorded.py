import pytest

from cryoloom.formats.epu import read_epu
from cryoloom.formats.recorded import recorded_with
from cryoloom.formats.serialem import read_mdoc, read_sections
from cryoloom.spec import Failure


def test_real_epu(test_data):
    said = read_epu(test_data / "epu-xml" / "FoilHole_19513699_Data_19508496_19508498_20230919_154056.xml")
    assert said.pixel_size == pytest.approx(1.05588, abs=1e-5)
    assert (said.voltage, said.magnification, said.frames, said.width) == (300.0, 165000.0, 50, 2880)
    assert said.total_dose == pytest.approx(44.5097 / 1.05588**2, rel=1e-4), "as the dose on the camera says too"
    assert said.pixel_size_at(5760) == pytest.approx(0.52794, abs=1e-5), "unbinned"


def test_real_mdoc(test_data):
    folder = test_data / "serialem-mdoc"
    said = read_mdoc(folder / "frame_set_multiple.mdoc")
    assert (said.pixel_size, said.voltage, said.total_dose, said.frames) == (1.2827, 300.0, 291.302, 243)
    assert said.gain == "SuperRef_s_mmm_00000_-15.0_Oct08_01.59.24.dm4"
    assert read_mdoc(folder / "montage_section.mdoc").total_dose == 0
    sections = read_sections(folder / "tilt_series.mdoc")
    assert len(sections) > 1 and all(section["PixelSpacing"] == "5.4" for section in sections)


def test_the_section_of_the_movie(tmp_path):
    text = "Voltage = 200\n[FrameSet = 0]\nSubFramePath = D:\\x\\a.tif\nPixelSpacing = 1\n[FrameSet = 1]\nSubFramePath = D:\\x\\b.tif\nPixelSpacing = 2\n"
    for name, size in (("a.tif.mdoc", 1.0), ("b.mdoc", 2.0), ("c.tif.mdoc", 1.0)):
        (tmp_path / name).write_text(text)
        assert read_mdoc(tmp_path / name).pixel_size == size
        assert read_mdoc(tmp_path / name).voltage == 200.0


def test_what_lies_beside(tmp_path):
    (tmp_path / "hole.xml").write_text("<MicroscopeImage/>")
    (tmp_path / "b.tif.mdoc").write_text("Voltage = 300\n")
    for movie in ("hole_fractions.tiff", "hole_Fractions.mrc", "hole_EER.eer", "hole.tif"):
        assert recorded_with(tmp_path / movie).source.name == "hole.xml"
    assert recorded_with(tmp_path / "b.tif").voltage == 300
    assert recorded_with(tmp_path / "other.tif") is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<MicroscopeImage>", "not XML"),
        ("<EpuSessionXml/>", "<EpuSessionXml>, not EPU"),
        ('<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><MicroscopeImage>&b;</MicroscopeImage>', "document type of its own"),
    ],
)
def test_files_that_are_something_else(tmp_path, content, message):
    (tmp_path / "a.xml").write_text(content)
    with pytest.raises(Failure, match=message):
        read_epu(tmp_path / "a.xml")
    (tmp_path / "a.mdoc").write_text("nothing here\n")
    with pytest.raises(Failure, match="no lines of the form"):
        read_mdoc(tmp_path / "a.mdoc")


def test_numbers_that_are_none_are_unknown(tmp_path):
    camera = "<microscopeData><gun><AccelerationVoltage>nan</AccelerationVoltage></gun></microscopeData>"
    (tmp_path / "a.xml").write_text(f"<MicroscopeImage>{camera}</MicroscopeImage>")
    assert read_epu(tmp_path / "a.xml").voltage == 0
