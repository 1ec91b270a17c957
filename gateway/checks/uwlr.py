"""The results of one school in UWLR 2.2, joined to its pupils as they stream by; UWLR's own rules of integrity are held.

Only results of tests that the policy names go on. All others are counted and passed over, and so are results of a part of a test
(`toetsonderdeelcode`): the record is about the whole test.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from gateway.checks.edexml import check_school, into, put
from gateway.checks.strict_xml import Element, StrictXml, refuse
from policies.rules import Rules, TestMatch

NAMESPACE = "http://www.edustandaard.nl/leerresultaten/2/leerresultaten"
OSO = "http://www.edustandaard.nl/oso_gegevensset/1.2/dossier"
VERSION = "2.2"
#: of one school; a school of 1,000 has some 40,000 over seven years
MAX_RESULTS = 1_000_000
MAX_TESTS = 20_000
BATCH_RESULTS = 50_000


@dataclass
class Taken:
    """Results of one stretch of the file; `number` counts the file's `resultaat` elements from 1."""

    number: list[int] = field(default_factory=list)
    pupil: list[int] = field(default_factory=list)  # row of the school's pupils
    test: list[int] = field(default_factory=list)  # index of `Results.tests`
    day: list[str | None] = field(default_factory=list)
    score: list[str | None] = field(default_factory=list)
    refused: dict[str, list[int]] = field(default_factory=dict)  # rule → numbers
    others: int = 0  # results of tests that are not asked for
    last: int = 0  # number of the last `resultaat` read


class Results:
    """Reads one `resultaten.xml`. `pupils`: leerling/@key → row. Raises DropRefused as StrictXml does, and with `xml-version`,
    `xml-school`, `xml-message`, `uwlr-tests` and `uwlr-norm`.
    """

    def __init__(self, school: str, pupils: dict[str, int], rules: Rules, unknown: Callable[[str], None]) -> None:
        self.tests: list[TestMatch] = []
        self._folder = school
        self._pupils = pupils
        self._rules = rules
        self._taken = Taken()
        self._codes: dict[str, int] = {}  # toetscode of a result → index of `tests`, -1 for one that is not asked for
        self._defined: set[str] = set()
        self._keys: set[int] = set()  # hashes: keys may be as long as they like
        self._sitting: dict[str, str] = {}
        self._at: int | None = None
        self._result: dict[str, str] = {}
        self._norm: dict[str, str] = {}
        self._school = {"schooljaar": "", "brincode": "", "dependancecode": "", "schoolkey": "", "xsdversie": ""}
        self._unknown = unknown

    @property
    def schooljaar(self) -> str:
        """The school year that the file says it is of, once it was read."""
        return self._school["schooljaar"]

    def read(self, chunks: Iterable[bytes]) -> Iterator[Taken]:
        """The results, some BATCH_RESULTS at a time."""
        for _ in StrictXml(self._tree(), self._unknown).read(chunks):
            if len(self._taken.number) >= BATCH_RESULTS:
                yield self._next()
        if self._school["xsdversie"] != VERSION:
            refuse("xml-version")
        check_school(self._folder, self._school, required=not self._school["schoolkey"])
        if not self._codes.keys() <= self._defined:
            refuse("uwlr-tests")
        yield self._next()

    def _next(self) -> Taken:
        taken, self._taken = self._taken, Taken(last=self._taken.last)
        return taken

    def _tree(self) -> Element:
        score = _element("vaardigheidsscore", _once(self._result, "vaardigheidsscore"), OSO)
        result = Element(
            {
                **_element("afnamedatum", into(self._result, "afnamedatum")),
                **_element("toetscode", into(self._result, "toetscode")),
                **_element("toetsonderdeelcode", into(self._result, "toetsonderdeelcode")),
                **_element("score", _once(self._result, "score")),
                f"{NAMESPACE} osoresultaat": Element({f"{OSO} toetsscore": Element(score)}),
            },
            begins=self._begin_result,
            ends=self._end_result,
        )
        sitting = Element(
            {
                **_element("leerlingid", self._begin_pupil),
                f"{NAMESPACE} resultaten": Element({f"{NAMESPACE} resultaat": result}),
            },
            begins=self._begin_sitting,
        )
        norm = Element(
            {
                **_element("beginnormwaarde", into(self._norm, "begin")),
                **_element("eindnormwaarde", into(self._norm, "end")),
            },
            begins=lambda _: self._norm.clear(),
            ends=self._end_norm,
        )
        norms = Element({f"{NAMESPACE} norm": norm})
        part = Element({f"{NAMESPACE} toetsonderdeelnormering": norms})
        test = Element(
            {
                **_element("toetscode", self._define),
                f"{NAMESPACE} toetsnormering": norms,
                f"{NAMESPACE} toetsonderdelen": Element({f"{NAMESPACE} toetsonderdeel": part}),
            }
        )
        school: dict[str, Element] = {}
        for name in self._school:
            school |= _element(name, into(self._school, name))
        return Element(
            {
                f"{NAMESPACE} leerresultaten_verzoek": Element(
                    {
                        f"{NAMESPACE} school": Element(school),
                        f"{NAMESPACE} toetsafnames": Element({f"{NAMESPACE} toetsafname": sitting}),
                        f"{NAMESPACE} toetsen": Element({f"{NAMESPACE} toets": test}),
                    }
                )
            }
        )

    def _begin_sitting(self, _: dict[str, str]) -> None:
        self._sitting.clear()
        self._at = None  # one without a leerlingid is nobody's, and not the pupil's before it

    def _begin_pupil(self, key: str) -> None:
        put(self._sitting, "leerlingid", key)
        self._at = self._pupils.get(self._sitting["leerlingid"])

    def _begin_result(self, attributes: dict[str, str]) -> None:
        self._result.clear()
        self._taken.last += 1
        if self._taken.last > MAX_RESULTS:
            refuse("xml-limits")
        self._result["key"] = attributes.get("key", "")

    def _end_result(self) -> None:
        given, taken = self._result, self._taken
        code = given.get("toetscode")
        if not code:
            refuse("xml-message")
        test = self._codes.get(code)
        if test is None:
            test = self._new_test(code)
        # the key is proved before anything else: it must be unique over results that are passed over, too
        key = given["key"]
        known = len(self._keys)
        self._keys.add(hash(key))
        if not key or len(self._keys) == known:
            return self._refuse("uwlr-key")
        if test < 0 or given.get("toetsonderdeelcode", code) != code:
            taken.others += 1
            return None
        if self._at is None:
            return self._refuse("uwlr-pupil")
        scores = [given[name] for name in ("vaardigheidsscore", "score") if name in given]
        if len(scores) != 1 or not scores[0]:
            return self._refuse("uwlr-score")
        taken.number.append(taken.last)
        taken.pupil.append(self._at)
        taken.test.append(test)
        taken.day.append(given.get("afnamedatum") or None)
        taken.score.append(scores[0])
        return None

    def _refuse(self, rule: str) -> None:
        self._taken.refused.setdefault(rule, []).append(self._taken.last)

    def _new_test(self, code: str) -> int:
        if len(self._codes) >= MAX_TESTS:
            refuse("xml-limits")
        match = self._rules.test(code)
        if match is not None:
            self.tests.append(match)
        self._codes[code] = -1 if match is None else len(self.tests) - 1
        return self._codes[code]

    def _define(self, code: str) -> None:
        if code in self._defined:
            refuse("uwlr-tests")
        if len(self._defined) >= MAX_TESTS:
            refuse("xml-limits")
        self._defined.add(code)

    def _end_norm(self) -> None:
        low, high = self._norm.get("begin", ""), self._norm.get("end", "")
        sound = False
        with suppress(ValueError):
            sound = 0 <= int(low) <= int(high)
        if not sound:
            refuse("uwlr-norm")


def _once(target: dict[str, str], name: str) -> Callable[[str], None]:
    """Writes an element's text into `target`; more than one of them is as none."""

    def take(text: str) -> None:
        target[name] = "" if name in target else text

    return take


def _element(name: str, text: Callable[[str], None], namespace: str = NAMESPACE) -> dict[str, Element]:
    return {f"{namespace} {name}": Element(text=text)}
