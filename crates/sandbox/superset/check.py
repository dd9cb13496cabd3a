"""Reads a metadata database by Superset's own models: every connection as an engine, every
secret decrypted, every dashboard with its charts. Prints what it found, never a secret; ends
with 1 when something could not be read."""

import logging
import sys

import pymysql

# The connections' mysql:// means the driver that has to be compiled.
pymysql.install_as_MySQLdb()
logging.disable(logging.WARNING)

from alembic.script import ScriptDirectory
from superset.app import create_app

problems = []


def read(what, give):
    """What a model gives, or a problem: a wrong key shows when the value is read."""
    try:
        return give()
    except Exception as error:
        problems.append(f"{what}: {type(error).__name__}: {error}")
        return None


def principal(engine_params, encrypted):
    """Whom a connection acts as."""
    arguments = engine_params.get("connect_args", {})
    return arguments.get("KerberosPrincipal") or encrypted.get("auth_params", {}).get("principal", "")


def rows(model, *names):
    """Each row's id, and how many of the secret columns hold something. One at a time: a query
    for all would end at the first row that cannot be read."""
    from superset import db

    secrets = 0
    for (key,) in db.session.query(model.id).order_by(model.id):
        for name in names:
            column = getattr(model, name)
            query = db.session.query(column).filter(model.id == key)
            value = read(f"{model.__tablename__}.{name} of row {key}", query.scalar)
            secrets += value is not None
    return secrets


def main():
    from superset import db
    from superset.databases.ssh_tunnel.models import SSHTunnel
    from superset.models.core import Database, DatabaseUserOAuth2Tokens
    from superset.models.dashboard import Dashboard
    from superset.reports.models import ReportSchedule
    from superset.utils import json

    version = db.session.execute("SELECT version_num FROM alembic_version").scalar()
    head = ScriptDirectory(app.root_path + "/migrations").get_current_head()
    print(f"schema {version}, this Superset's is {head}")
    if version != head:
        problems.append("superset db upgrade is needed")

    secrets = rows(Database, "password", "encrypted_extra", "server_cert")
    secrets += rows(SSHTunnel, "username", "password", "private_key", "private_key_password")
    secrets += rows(DatabaseUserOAuth2Tokens, "access_token", "refresh_token")
    if not problems:
        for database in db.session.query(Database).order_by(Database.database_name):
            name = database.database_name
            # Given its URI it opens no tunnel.
            uri = database.sqlalchemy_uri_decrypted
            engine = read(name, lambda: database._get_sqla_engine(sqlalchemy_uri=uri))
            parameters = (read(name, database.get_extra) or {}).get("engine_params", {})
            encrypted = json.loads(database.encrypted_extra or "{}")
            print(f"connection {name}: {engine!r} {principal(parameters, encrypted)}".rstrip())
    print(f"secrets {secrets} decrypted")

    dashboards = db.session.query(Dashboard).order_by(Dashboard.id).all()
    for dashboard in dashboards:
        print(f"dashboard {dashboard.id}: {dashboard.dashboard_title}, {len(dashboard.slices)} charts")
    active = db.session.query(ReportSchedule).filter(ReportSchedule.active).count()
    print(f"reports {active} active")


app = create_app()
with app.app_context():
    main()
for problem in problems:
    print(f"problem: {problem}", file=sys.stderr)
sys.exit(bool(problems))
