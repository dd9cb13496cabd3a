"""Superset's settings for one database of the sandbox, named by the environment."""

import os
from pathlib import Path

SECRET_KEY = Path(os.environ["KEY_FILE"]).read_text().rstrip("\n")
_password = Path(os.environ["PASSWORD_FILE"]).read_text().rstrip("\n")
SQLALCHEMY_DATABASE_URI = (
    f"mysql+pymysql://{os.environ['ACCOUNT']}:{_password}@localhost/{os.environ['DATABASE']}"
    f"?unix_socket={os.environ['SOCKET']}&charset=utf8mb4"
)
# Looking must change nothing.
SQLALCHEMY_ENGINE_OPTIONS = {"connect_args": {"init_command": "SET SESSION TRANSACTION READ ONLY"}}
