"""`geospace-monitor` with parts that stand still while a file is there: started by tests, never imported.

$TRICKS is the folder of these files; each has the name of a part.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

from monitor.cli import main
from monitor.daemon.recovery import Recovery
from monitor.daemon.worker import Worker
from monitor.io.mqtt import MqttLink

TRICKS = Path(os.environ["TRICKS"])
STEP_S = 0.02


def is_on(part: str) -> bool:
    return (TRICKS / part).exists()


def wait(part: str) -> None:
    while is_on(part):
        time.sleep(STEP_S)


def stop_worker() -> None:
    """The stages come to no end."""
    compute = Worker.compute

    def hanging(worker: Worker, items: Any) -> None:
        wait("worker")
        compute(worker, items)

    Worker.compute = hanging  # type: ignore[method-assign]


def stop_receiving() -> None:
    """The event loop stands, for something that blocks is called on it; or the intake waits, and all else goes round."""
    receive = MqttLink.receive

    async def hanging(link: MqttLink, limit: int, timeout_s: float) -> Any:
        wait("loop")
        while is_on("intake"):  # noqa: ASYNC110  (a file has no event)
            await asyncio.sleep(STEP_S)
        return await receive(link, limit, timeout_s)

    MqttLink.receive = hanging  # type: ignore[method-assign]


def slow_restore() -> None:
    """Every stored piece takes a while to take up."""
    batches = Recovery.batches

    def slow(recovery: Recovery, *arguments: Any) -> Any:
        for batch in batches(recovery, *arguments):
            if is_on("restore"):
                time.sleep(0.1)
            yield batch

    Recovery.batches = slow  # type: ignore[method-assign]


stop_worker()
stop_receiving()
slow_restore()
sys.exit(main())
