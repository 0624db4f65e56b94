"""What a run has used is free once it has ended: a worker with thousands of streams cannot afford to look for garbage."""

from __future__ import annotations

import gc

from tests.engine.workers import Workers, begin, ended
from tests.support.waiting import wait_until


def test_a_run_that_has_ended_leaves_nothing_to_the_collector(sqlite_workers: Workers) -> None:
    engine = sqlite_workers()

    def answer(script: str) -> None:
        run = begin(engine, script)
        reader = engine.read(run)
        for _ in reader:
            pass
        reader.close()
        ended(engine, run)
        wait_until(lambda: not engine.produces(run.id), what="the producer's end")

    scripts = ("sim-n20-d0", "sim-n3-d0-cut2", "sim-n3-d0-error2", "sim-503")
    for script in scripts:
        answer(script)
    gc.collect()
    gc.disable()
    try:
        for script in scripts * 5:
            answer(script)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = [thing for thing in gc.garbage if type(thing).__module__.startswith("sora")]
        assert left == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
