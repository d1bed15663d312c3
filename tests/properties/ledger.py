"""What the database says, read past the service: every step that was ever committed, and what must hold of it."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from studio.states import CallStatus, CloneStatus

# Two steps in one transaction: who hung up on a good take has it kept, and is never asked.
_AT_ONCE = {(CloneStatus.RECORDING, CloneStatus.RECORDED)}
_HISTORY = """
CREATE TABLE history (number INTEGER PRIMARY KEY, kind TEXT, row_id TEXT, old TEXT, new TEXT);
CREATE TRIGGER clones_begin AFTER INSERT ON clones
  BEGIN INSERT INTO history (kind, row_id, old, new) VALUES ('clone', NEW.id, '', NEW.status); END;
CREATE TRIGGER clones_move AFTER UPDATE OF status, failure_code, voice_id ON clones
  WHEN (OLD.status, OLD.failure_code, OLD.voice_id) IS NOT (NEW.status, NEW.failure_code, NEW.voice_id)
  BEGIN INSERT INTO history (kind, row_id, old, new) VALUES ('clone', NEW.id, OLD.status, NEW.status); END;
CREATE TRIGGER calls_move AFTER UPDATE OF status ON calls WHEN OLD.status IS NOT NEW.status
  BEGIN INSERT INTO history (kind, row_id, old, new) VALUES ('call', NEW.id, OLD.status, NEW.status); END;
CREATE TRIGGER consents_begin AFTER INSERT ON consents
  BEGIN INSERT INTO history (kind, row_id, old, new) VALUES ('consent', NEW.clone_id, '', ''); END;
CREATE TRIGGER recordings_begin AFTER INSERT ON recordings
  BEGIN INSERT INTO history (kind, row_id, old, new) VALUES ('recording', NEW.clone_id, '', ''); END;
"""


class Ledger:
    """One SQLite file. The triggers that write `history` are part of each transaction: what was rolled back is not in
    it, and nothing that was committed is missing."""

    def __init__(self, file: Path) -> None:
        self._connection = sqlite3.connect(file, isolation_level=None, timeout=10)
        self._connection.row_factory = sqlite3.Row

    def begin(self) -> None:
        self._connection.executescript(_HISTORY)

    def close(self) -> None:
        self._connection.close()

    def rows(self, statement: str, *values: Any) -> list[sqlite3.Row]:
        return self._connection.execute(statement, values).fetchall()

    def one(self, statement: str, *values: Any) -> Any:
        """The first column of the only row, or None."""
        found = self.rows(statement, *values)
        return found[0][0] if found else None

    def blobs(self) -> set[str]:
        columns = self.rows("SELECT blob, cleaned_blob FROM recordings")
        return {blob for row in columns for blob in row if blob is not None}

    # ── what must hold ───────────────────────────────────────────────────────

    def check(self) -> None:
        """After every transaction."""
        self._check_steps()
        self._check_consent()
        self._check_ready()

    def _check_steps(self) -> None:
        for kind, old, new in self.rows("SELECT DISTINCT kind, old, new FROM history WHERE old <> ''"):
            if kind == "call":
                assert CallStatus(old).may_become(CallStatus(new)), f"a call went from {old} to {new}"
            else:
                was, became = CloneStatus(old), CloneStatus(new)
                assert was.may_become(became) or (was, became) in _AT_ONCE, f"a clone went from {old} to {new}"

    def _check_consent(self) -> None:
        """Nothing is recorded of somebody who has not agreed, and no voice made."""
        unasked = self.rows(
            "SELECT row_id FROM history WHERE (kind = 'recording' OR (kind = 'clone' AND new IN"
            " ('RECORDING', 'REVIEWING', 'RECORDED', 'ANALYZING', 'CLONING', 'READY')))"
            " AND row_id NOT IN (SELECT row_id FROM history WHERE kind = 'consent')"
        )
        assert unasked == [], "somebody is recorded who has not agreed"

    def _check_ready(self) -> None:
        """Who has a voice has agreed to it, and the recording that it was made of was kept."""
        missing = self.rows(
            "SELECT clones.id FROM clones WHERE status = 'READY' AND NOT ("
            " EXISTS (SELECT 1 FROM consents WHERE clone_id = clones.id)"
            " AND EXISTS (SELECT 1 FROM recordings WHERE clone_id = clones.id AND kept AND problem IS NULL))"
            " OR (status = 'READY') <> (voice_id IS NOT NULL)"
        )
        assert missing == [], "a clone is ready and has not what belongs to it"
        unwanted = self.rows(
            "SELECT voices.id FROM voices JOIN clones ON clones.id = clone_id"
            " WHERE deleted_at IS NULL AND clones.status <> 'READY'"
        )
        assert unwanted == [], "there is a voice that nobody wants"

    def unfinished(self) -> list[str]:
        """What still wants to become something else, in words."""
        found = [
            f"{table} {row['id']} is {row['status']}"
            for table in ("clones", "calls")
            for row in self.rows(f"SELECT id, status FROM {table}")
            if not (CloneStatus if table == "clones" else CallStatus)(row["status"]).over
        ]
        found += [f"voice {row['id']} is not deleted" for row in self.rows("SELECT id FROM voices WHERE deleted_at")]
        found += [f"user {row['id']} is not deleted" for row in self.rows("SELECT id FROM users WHERE deleted_at")]
        return found
