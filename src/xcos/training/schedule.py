"""Learning rates as functions of time: nothing to store, nothing to restore."""

from __future__ import annotations

from xcos.training.config import ScheduleConfig


def rate_factor(schedule: ScheduleConfig, time: float) -> float:
    """What the rate of the networks is multiplied by at ``time``, in epochs from the start."""
    rising = min(1.0, time / schedule.warm_up) if schedule.warm_up else 1.0
    drops: float = schedule.factor ** sum(time >= drop for drop in schedule.drops)
    return rising * drops


def attention_factor(schedule: ScheduleConfig, time: float) -> float:
    """The same for the learned attention: × ``attention_factor`` every ``attention_every`` epochs."""
    if schedule.attention_every is None:
        return 1.0
    factor: float = schedule.attention_factor ** int(time / schedule.attention_every)
    return factor
