"""Reading the texts of a plan as templates, and noting references that lead nowhere."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ensemble.plan.faults import Faults, suggestion
from ensemble.plan.reading.fields import at
from ensemble.plan.templates import START, TASK, BareWords, BrokenTemplate, Reference, Template, parse, references

__all__ = ["Texts"]


@dataclass(frozen=True, slots=True)
class Texts:
    """Reads texts that came one way (typed, or as an object) and may refer to the same steps."""

    words: BareWords
    """The plan's steps and the run's inputs."""
    faults: Faults
    warnings: list[str]
    typed: bool = False
    """Whether Dify's template pass went over the texts, so that braces may have been stripped."""
    braces: bool = True
    """Whether anything that came the same way still has braces; then bare words are words."""
    refusal: str = ""
    """Why no step may be referred to here; empty where steps may be."""
    local: frozenset[str] = frozenset()
    """Words that mean something here only, such as ``item``."""
    _seen: set[str] = field(default_factory=set)

    def within(self, local: Collection[str]) -> Texts:
        """Return the reader of texts in which the words *local* mean something as well."""
        return replace(self, local=self.local.union(local))

    def with_steps(self, steps: Collection[str]) -> Texts:
        """Return the reader of texts that may refer to *steps* as well."""
        words = BareWords(dict.fromkeys((*self.words.steps, *steps)), self.words.inputs)
        return replace(self, words=words)

    def value(self, value: Any, path: str) -> Any:
        """Return *value* with every text in its maps and lists read as a template."""
        if isinstance(value, Mapping):
            return {key: self.value(item, at(path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item, at(path, index)) for index, item in enumerate(value)]
        return self.text(value, path) if isinstance(value, str) else value

    def text(self, text: str, path: str) -> Template | str:
        """Return *text* read as a template."""
        bare = self.words if self.typed and not self.braces else None
        try:
            template = parse(text, bare)
        except BrokenTemplate as error:
            self.faults.add(path, str(error), "")
            return ""
        if isinstance(template, str):
            self._warn_of_words(template, path)
            return template
        for reference in template.references:
            self._check(reference, path)
            if bare:
                self._warn(
                    f"{path}: '{reference}' was read as {{{{ {reference} }}}}, because Dify strips the braces of "
                    f"{{{{#{reference}#}}}}. Write {{{{ {reference} }}}}."
                )
        for part in template.parts:
            if isinstance(part, str):
                self._warn_of_words(part, path)
        return template

    def answer(self, data: Any, path: str, ids: Collection[str]) -> Any:
        """Return the template of an answer: a step's id, or a text, map or list that refers to at least one step."""
        if isinstance(data, str) and data.strip() in ids:
            return Template((Reference(data.strip()),))
        found = len(self.faults.found)
        output = self.value(data, path)
        if not references(output) and len(self.faults.found) == found:
            self.faults.add(path, "It refers to no step.", 'Write such as output: "{{ step.output }}".')
        return output

    def _check(self, reference: Reference, path: str) -> None:
        if reference.head in {START, TASK} or reference.head in self.local:
            return
        if self.refusal:
            self.faults.add(path, f"{{{{ {reference} }}}} refers to a step.", self.refusal)
        elif reference.head not in self.words.steps:
            fix = suggestion(reference.head, tuple(self.words.steps)) or "Refer to a step of the plan."
            self.faults.add(path, f"{{{{ {reference} }}}} refers to no step of the plan.", fix)

    def _warn_of_words(self, text: str, path: str) -> None:
        """Say that words which look like a stripped reference stay words, where the rule for them is off."""
        if not self.typed or not self.braces:
            return
        template = parse(text, self.words)
        for reference in template.references if isinstance(template, Template) else ():
            self._warn(
                f"{path}: '{reference}' stays as it is, because other references here have braces. "
                f"If it was {{{{#{reference}#}}}}, which Dify strips, write {{{{ {reference} }}}}."
            )

    def _warn(self, warning: str) -> None:
        if warning not in self._seen:
            self._seen.add(warning)
            self.warnings.append(warning)
