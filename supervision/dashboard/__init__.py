"""See every actor of a tree, and act on it: pages, JSON and metrics that mount into any Starlette application.

    dashboard = Dashboard(Deps(system=system, node="a:1", verify=verify, audit=audit, session_key=key))
    app = Starlette(routes=[*dashboard.pages("/supervision"), *dashboard.api("/api/v1/supervision")])

It needs nothing but a tree to look at; pages from outside join it as :class:`Page`. What it shows is gathered only
while somebody looks, costs as much as there is to notice rather than as there are actors, and that cost stands on each
page.
"""

from supervision.dashboard.access import Deed, Operator, Refused
from supervision.dashboard.app import Dashboard, Deps
from supervision.dashboard.census import Census
from supervision.dashboard.metrics import RuntimeCollector
from supervision.dashboard.page import Page, View, environment

__all__ = [
    "Census",
    "Dashboard",
    "Deed",
    "Deps",
    "Operator",
    "Page",
    "Refused",
    "RuntimeCollector",
    "View",
    "environment",
]
