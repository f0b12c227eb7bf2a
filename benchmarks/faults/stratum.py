"""The strata of faults: the kinds of mistakes that real bugs are sorted into, and which kind a rule's faults are by default."""

from __future__ import annotations

from typing import Literal, get_args

Stratum = Literal["contract", "graph", "hyper-parameter", "initialisation-evaluation", "data-dimension"]
STRATA: tuple[Stratum, ...] = get_args(Stratum)

# Share of each stratum among real bugs, by the surveys of faults in deep learning programs that the zoo is built after.
SHARE: dict[Stratum, float] = {
    "contract": 1 / 3,
    "graph": 1 / 8,
    "hyper-parameter": 1 / 9,
    "initialisation-evaluation": 1 / 7,
    "data-dimension": 1 - 1 / 3 - 1 / 8 - 1 / 9 - 1 / 7,
}

_OF_FAMILY: dict[str, Stratum] = {
    "0": "graph",
    "1": "data-dimension",
    "2": "graph",
    "3": "initialisation-evaluation",
    "4": "graph",
    "5": "hyper-parameter",
    "6": "initialisation-evaluation",
    "7": "contract",
    "8": "data-dimension",
    "9": "graph",
}

_OF_CODE: dict[str, Stratum] = {
    # data that are wired to the wrong place
    "NNG116": "contract",
    "NNG118": "contract",
    # wiring: output, loss and target
    **dict.fromkeys(
        ("NNG208", "NNG209", "NNG210", "NNG211", "NNG212", "NNG228", "NNG229", "NNG234", "NNG239", "NNG240"), "contract"
    ),
    # wiring: how weights begin, what is restored, how a metric is kept
    **dict.fromkeys(("NNG213", "NNG218", "NNG223", "NNG224", "NNG225"), "initialisation-evaluation"),
    # wiring: sizes that somebody chose
    **dict.fromkeys(("NNG217", "NNG219"), "hyper-parameter"),
    "NNG220": "data-dimension",
    # numbers that a rate or a precision makes
    "NNG305": "hyper-parameter",
    "NNG307": "hyper-parameter",
    "NNG403": "hyper-parameter",
    "NNG404": "hyper-parameter",
    # updates that never come
    **dict.fromkeys(("NNG503", "NNG511", "NNG512", "NNG513"), "graph"),
    # learning
    **dict.fromkeys(("NNG704", "NNG705", "NNG712", "NNG713"), "hyper-parameter"),
    **dict.fromkeys(("NNG701",), "initialisation-evaluation"),
    **dict.fromkeys(("NNG703", "NNG707", "NNG708", "NNG709", "NNG710", "NNG711"), "data-dimension"),
    "NNG509": "hyper-parameter",
}


def stratum_of(code: str) -> Stratum:
    """Return the stratum of a rule's faults, if a fault does not say another one.

    Args:
        code: Code of the rule, such as "NNG208".
    """
    return _OF_CODE.get(code) or _OF_FAMILY[code.removeprefix("NNG")[0]]
