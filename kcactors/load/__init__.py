"""Makes payments with duplicates, sends them, watches what comes of them, and checks the promise afterwards.

`plan` and `pace` are pure: what is sent and when follows from a seed. `feeder` sends, `watchers` and `topic` look on
as a student's screen and as another service would, `verify` asks the database. `run` puts them together for the demo
and for the load test.
"""
