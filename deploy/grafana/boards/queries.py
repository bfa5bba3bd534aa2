"""What the panels ask of Prometheus. `$instance`, `$chain`, `$pair` and `$craft` are the dashboards' variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from boards.palette import STALE_WORD, State, codes

HERE: Final = 'instance="$instance"'
PAIRS: Final = f'geospace_pair_info{{{HERE}, chain=~"$chain"}}'
"""The configured pairs; injected ones are not among them."""
CRAFT: Final = f"geospace_craft_info{{{HERE}}}"
THIS_PAIR: Final = f'{HERE}, pair="$pair"'
THIS_CRAFT: Final = f'{HERE}, craft="$craft"'
_DAY_S: Final = 86_400
_HOUR_S: Final = 3600


def of_pairs(expression: str) -> str:
    """Of a vector with the label `pair`, the configured pairs of the chosen chains."""
    return f"({expression}) and on (pair) {PAIRS}"


def of_craft(expression: str) -> str:
    """Of a vector with the label `craft`, the configured spacecraft."""
    return f"({expression}) and on (craft) {CRAFT}"


def by(label: str, metric: str, selector: str = HERE) -> str:
    """A gauge with no label but one."""
    return f"max by ({label}) ({metric}{{{selector}}})"


def state_code(
    metric: str, state_label: str, states: Mapping[str, State], label: str, selector: str = HERE
) -> str:
    """A state set as one number for each value of `label`, as `codes` counts; nothing where no state is said."""
    return " or ".join(
        f'{number} * max by ({label}) ({metric}{{{selector}, {state_label}="{name}"}} == 1)'
        for name, number in codes(states).items()
    )


def stated(metric: str, state_label: str, label: str, configured: str) -> str:
    """The state that is said of each configured subject, as a label of rows; the word `stale` where none is said."""
    said = f"max by ({label}, {state_label}) ({metric}{{{HERE}}} == 1) and on ({label}) {configured}"
    unsaid = f"max by ({label}) ({configured} unless on ({label}) {metric}{{{HERE}}})"
    return f'{said} or label_replace({unsaid}, "{state_label}", "{STALE_WORD}", "", "")'


def hours(seconds: str) -> str:
    """Seconds as hours: local time is read in hours."""
    return f"{seconds} / {_HOUR_S}"


def dial(l_shell: str, local_time: str, label: str) -> tuple[str, str]:
    """Right and up on the equatorial plane seen from the north: the Sun is up, dawn is right.

    Parameters
    ----------
    l_shell, local_time : str
        Expressions of L and of magnetic local time (s), with no label but `label`.
    """
    angle = f"(2 * pi() / {_DAY_S} * {local_time})"
    return (
        f"({l_shell}) * on ({label}) sin{angle}",
        f"({l_shell}) * on ({label}) (-1 * cos{angle})",
    )


def rings(*l_shells: float) -> tuple[str, str]:
    """Circles, a point a step of the query: whole ones whatever the range is."""
    angle = "(2 * pi() * vector(time()) / $__range_s)"
    right, up = (
        " or ".join(
            f'label_replace({l_shell:g} * {turned}{angle}, "of", "L = {l_shell:g}", "", "")'
            for l_shell in l_shells
        )
        for turned in ("sin", "cos")
    )
    return right, up


def renamed(expression: str, label: str, to: str = "of") -> str:
    """A vector whose label is called otherwise, so that tables of pairs and chains merge row by row."""
    return f'max by ({to}) (label_replace({expression}, "{to}", "$1", "{label}", "(.*)"))'


OPEN_EVENTS: Final = f"geospace_event_active{{{HERE}}} == 1"
