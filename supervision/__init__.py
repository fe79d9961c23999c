"""Supervision for Pykka: many actors on few threads, restarted behind their refs. See the README beside this file."""

from supervision.account import Account
from supervision.actor import Actor
from supervision.backoff import NO_BACKOFF, Backoff
from supervision.budget import Budget
from supervision.clock import Clock, ManualClock, SystemClock
from supervision.collector import Collector
from supervision.context import Context, PipedFailure, Terminated
from supervision.deadletters import DeadLetter, DeadLetters
from supervision.deterministic import Simulation
from supervision.directory import Directory, Router
from supervision.errors import (
    ActorDeadError,
    ActorStartFailed,
    AskDeadlock,
    BlockingAskRefused,
    BudgetExhausted,
    DependencyUnavailable,
    MailboxFull,
    PoisonMessage,
    PoolFull,
    SupervisionError,
    Timeout,
    UnknownChild,
)
from supervision.failure import Failure, FailureKind, PoisonPolicy
from supervision.future import Future, as_asyncio
from supervision.pool import Pool, ThreadPool
from supervision.ref import ActorRef
from supervision.snapshot import Node
from supervision.spec import ChildSpec, SupervisorSpec
from supervision.supervisor import Supervisor, supervisor
from supervision.system import System, default_system
from supervision.timers import Timer, Timers
from supervision.vitals import Histogram, Incident, Vitals

__all__ = [
    "NO_BACKOFF",
    "Account",
    "Actor",
    "ActorDeadError",
    "ActorRef",
    "ActorStartFailed",
    "AskDeadlock",
    "Backoff",
    "BlockingAskRefused",
    "Budget",
    "BudgetExhausted",
    "ChildSpec",
    "Clock",
    "Collector",
    "Context",
    "DeadLetter",
    "DeadLetters",
    "DependencyUnavailable",
    "Directory",
    "Failure",
    "FailureKind",
    "Future",
    "Histogram",
    "Incident",
    "MailboxFull",
    "ManualClock",
    "Node",
    "PipedFailure",
    "PoisonMessage",
    "PoisonPolicy",
    "Pool",
    "PoolFull",
    "Router",
    "Simulation",
    "SupervisionError",
    "Supervisor",
    "SupervisorSpec",
    "System",
    "SystemClock",
    "Terminated",
    "ThreadPool",
    "Timeout",
    "Timer",
    "Timers",
    "UnknownChild",
    "Vitals",
    "as_asyncio",
    "default_system",
    "supervisor",
]
