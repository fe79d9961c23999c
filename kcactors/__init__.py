"""The roof: what the process is.

`settings` reads the environment and nothing else does; `cli` reads words and chooses the verb; `node` puts the rooms
below together into one process; `embedded` and `child` run real servers and nodes beside a developer; `demo`,
`loadtest` and `load` push payments through all of it and judge the outcome by the database.
"""
