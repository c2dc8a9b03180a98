from toy_project import _toys, project, until  # noqa: F401
