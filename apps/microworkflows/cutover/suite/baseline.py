"""The baseline: how each test ended while all was inline, in a file, so that tests that fail anyway are told apart."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from microworkflows.errors import MicroworkflowsError

Outcome = Literal["passed", "failed", "skipped"]


class BaselineError(MicroworkflowsError):
    """There is no baseline to compare with."""


class Baseline(BaseModel):
    """The file."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: Literal[1] = 1
    kind: Literal["baseline"] = "baseline"
    written_at: datetime
    outcomes: dict[str, Outcome]
    """Outcome of each test by its id."""


def write(path: Path, outcomes: Mapping[str, Outcome]) -> None:
    """Write the file.

    Raises:
        BaselineError: it cannot be written.
    """
    baseline = Baseline(written_at=datetime.now(UTC), outcomes=dict(outcomes))
    try:
        path.write_text(baseline.model_dump_json(indent=1) + "\n")
    except OSError as error:
        raise BaselineError(f"The baseline {path} cannot be written: {error.strerror}.") from error


def read(path: Path) -> Baseline:
    """Read the file.

    Raises:
        BaselineError: it is not there, cannot be read, or is no baseline.
    """
    try:
        return Baseline.model_validate(json.loads(path.read_bytes()))
    except FileNotFoundError:
        raise BaselineError(
            f"There is no baseline {path}. Write it first, by a run with --mode CONTEXT=inline and the same --baseline."
        ) from None
    except OSError as error:
        raise BaselineError(f"The baseline {path} cannot be read: {error.strerror}.") from error
    except (ValidationError, ValueError, RecursionError) as error:
        raise BaselineError(f"{path} is no baseline: {str(error).splitlines()[0]}. Write it anew.") from error
