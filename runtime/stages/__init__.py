"""One module per kind of stage; each has ``run(session, stage, part, folder, tell)``."""
