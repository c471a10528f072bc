"""The middleware: what it writes about requests, and that it fails none of them."""

import sys

import pytest

from microworkflows_xray.facts import Observed
from microworkflows_xray.observed import load_all
from tests.xray import processes
from tests.xray.looking import REPOSITORY
from tests.xray.observed.test_recorder import PLACING
from tests.xray.observed.workshop import Workshop, unit, written


def serve(workshop: Workshop, sample: str, *arguments: str, **variables: str) -> Observed:
    directory = workshop.folder / "recordings"
    recorded = {"WORKSHOP_MIDDLEWARE": "1", "XRAY_SAMPLE": sample, "XRAY_DIRECTORY": str(directory)}
    ended = workshop.run("serve.py", *arguments, **recorded, **variables)
    assert ended.stdout == "served\n", ended.stdout + ended.stderr
    return load_all([directory])


def test_each_request_is_recorded_when_the_share_is_one(workshop: Workshop) -> None:
    observed = serve(workshop, "1")

    assert written(unit(observed, "request", "POST place").accesses) >= PLACING
    assert unit(observed, "atomic", "sales.services.place_order", "request POST place").on_commit == (
        "sales.services.tell",
        "sales.services.count",
    )
    assert unit(observed, "request", "GET look").count == 4  # in threads
    assert written(unit(observed, "request", "POST broken").accesses) == {
        ("insert", "sales_order", "sales.views.fail")
    }
    assert written(unit(observed, "request", "POST later").accesses) == {
        ("insert", "sales_order", "sales.views.place_later")
    }
    assert unit(observed, "request", "GET (unresolved)").count == 1
    assert (observed.source, observed.units, observed.sampled) == ("middleware", 8, 1.0)


def test_no_value_and_no_path_is_written(workshop: Workshop) -> None:
    serve(workshop, "1")

    (file,) = (workshop.folder / "recordings").iterdir()
    assert "secret" not in file.read_text()


def test_share_of_the_requests_is_recorded(workshop: Workshop) -> None:
    observed = serve(workshop, "0.5", "60")

    # Less than 1 in 10 billion that all or none are chosen.
    assert 0 < observed.units < 67
    assert observed.sampled == 0.5


def test_processes_that_were_forked_write_files_of_their_own(workshop: Workshop) -> None:
    observed = serve(workshop, "1", WORKSHOP_FORK="1")

    assert len(list((workshop.folder / "recordings").iterdir())) == 2
    assert unit(observed, "request", "POST place").count == 2


def test_recorder_that_cannot_write_fails_no_request(workshop: Workshop) -> None:
    (workshop.folder / "file").write_text("no folder")

    ended = workshop.run(
        "serve.py", WORKSHOP_MIDDLEWARE="1", XRAY_SAMPLE="1", XRAY_DIRECTORY=str(workshop.folder / "file")
    )

    assert ended.stdout == "served\n"
    assert "The X-ray could not record a request" in ended.stderr


@pytest.mark.parametrize(
    ("variables", "error"),
    [
        ({"XRAY_SAMPLE": "often"}, "XRAY_SAMPLE is 'often'"),
        ({"XRAY_SAMPLE": "1.5"}, "XRAY_SAMPLE is '1.5'"),
        ({"XRAY_SAMPLE": "nan"}, "XRAY_SAMPLE is 'nan'"),
        ({"XRAY_SAMPLE": "1"}, "XRAY_DIRECTORY is not"),
    ],
)
def test_wrong_variable_is_named(workshop: Workshop, variables: dict[str, str], error: str) -> None:
    ended = workshop.run("serve.py", WORKSHOP_MIDDLEWARE="1", **variables)

    assert error in ended.stderr


def test_middleware_is_left_out_without_a_share(workshop: Workshop) -> None:
    ended = workshop.run("serve.py", WORKSHOP_MIDDLEWARE="1")

    assert ended.stdout == "served\n"
    assert not (workshop.folder / "recordings").exists()


def test_production_loads_nothing_of_what_reads_code() -> None:
    loaded = "import sys; import microworkflows_xray.middleware; print(*sys.modules, sep='\\n')"

    ended = processes.run(sys.executable, "-c", loaded, cwd=REPOSITORY, PYTHONPATH=str(REPOSITORY / "xray"))

    modules = ended.stdout.split()
    assert "microworkflows_xray.middleware" in modules, ended.stderr
    assert not {each for each in modules if each.partition(".")[0] in {"grimp", "networkx"}}
    assert not {each for each in modules if each.startswith("microworkflows_xray.static")}
