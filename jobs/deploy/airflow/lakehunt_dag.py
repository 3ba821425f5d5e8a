"""lakehunt under Airflow 3 (tested with 3.3): the nightly run, and a retrospective one that is started by hand.

Workers need `lakehunt` on their PATH and, in their environment, LAKEHUNT_HOME (the folder of jobs/ and sql/),
LAKEHUNT_SOURCE, LAKEHUNT_OUTPUT, LAKEHUNT_LAYOUT and the store's credentials. No secret passes through Airflow.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from functools import cached_property

from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.sdk import DAG, BaseOperator, Param, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

INVALID = 2
HITS_FOUND = 10

# lakehunt itself knows which windows are missing, so no run of the DAG stands for one day: catchup and backfills are
# not needed. --as-of is the instant that this run was due, so that a retry hours later does the same windows.
NIGHTLY = [
    "run", "signin-success-then-fail",
    "--as-of", "{{ dag_run.run_after.isoformat() }}",
    "--lookback", "7d",
    "--fail-on-hits",
    "--log-format", "json",
]  # fmt: skip

RETROSPECTIVE = [
    "run", "signin-success-then-fail",
    "--from", "{{ params['from'] }}",
    "--to", "{{ params['to'] }}",
    "--newest-first",
    "--log-format", "json",
]  # fmt: skip

SHARDS = 8


class Lakehunt(BaseOperator):
    """Runs lakehunt; gives true if it found hits (with --fail-on-hits).

    A BashOperator would retry whatever ends with another code than 0. Here 2 (a flag or the job is not valid) is final,
    and 10 (hits) is no failure. All else is tried again: 3 (some windows failed), 4 (another run was first), 5 (the
    store cannot be reached). Windows that are done stay done, so a retry goes on where the last try stopped.
    """

    template_fields = ("arguments",)

    def __init__(self, *, arguments: list[str], **kwargs) -> None:
        super().__init__(**kwargs)
        self.arguments = arguments

    @cached_property
    def hook(self) -> SubprocessHook:
        return SubprocessHook()

    def execute(self, context) -> bool:
        code = self.hook.run_command(["lakehunt", *self.arguments]).exit_code
        if code == INVALID:
            raise AirflowFailException("a flag or the job is not valid")
        if code not in (0, HITS_FOUND):
            raise AirflowException(f"lakehunt ended with code {code}")
        return code == HITS_FOUND

    def on_kill(self) -> None:
        # It commits what is under way and releases its claim.
        self.hook.send_sigterm()


DEFAULTS = {
    "retries": 4,
    "retry_delay": timedelta(minutes=5),
    # About 5, 10, 20, 40 minutes: a store that is down for an hour costs no night.
    "retry_exponential_backoff": 2,
    "execution_timeout": timedelta(hours=10),
}

with DAG(
    "lakehunt_nightly",
    # UTC, as the days are. By then the last sign-ins of a day have arrived.
    schedule="30 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    # A second run would only wait for the windows that the first has claimed.
    max_active_runs=1,
    default_args=DEFAULTS,
    tags=["security"],
):

    @task(retries=0)
    def tell(hits: bool) -> None:
        """Where hits go: a ticket, a message. The rows are in the hit table; `lakehunt hits` prints them.

        This is quick notice, no account: a try that committed windows with hits and then failed (3, 5) is followed by
        one that finds nothing new. Who must not miss a hit reads the hit table, where each one has its hit_id.
        """
        if not hits:
            raise AirflowSkipException("no hits")

    tell(Lakehunt(task_id="hunt", arguments=NIGHTLY).output)

with DAG(
    "lakehunt_retrospective",
    schedule=None,
    # How many shards at once: what the store and the workers can bear.
    max_active_tasks=4,
    default_args=DEFAULTS,
    params={
        "from": Param("2023-01-01", type="string", format="date", description="the first day, UTC"),
        "to": Param("2026-01-01", type="string", format="date", description="the first day after the range"),
    },
    tags=["security"],
):
    # Each does its part of the windows; one that fails is retried alone.
    for index in range(SHARDS):
        Lakehunt(task_id=f"shard_{index}", arguments=[*RETROSPECTIVE, "--shard", f"{index}/{SHARDS}"])
