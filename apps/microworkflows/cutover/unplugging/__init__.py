"""Unplugging: is a context apart from the others, so that its tables may go to a database of their own?

A run of the project's own tests, or of a scenario, is watched (:mod:`.watching`): each statement is held against the tables that the
process which sends it would find after the move, each import against the code that it would find. A table need not have rows: a read
of an empty one, and an update that changes nothing, count. Nothing is refused during the run, so that one run tells everything that
has to be mended; where nothing is left to mend, nothing would have been refused. That is the proof (:mod:`.proof`), without which
``split_database`` moves nothing.
"""
