"""An app of echo's that wants the questions of the past."""
