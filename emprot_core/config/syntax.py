"""Errors of gin's parser in words that a user can act on."""

import re

from emprot_core.config.cut import CLOSES
from emprot_core.config.faults import Fault, Location

_PYTHON_SPELLING = {"true": "True", "false": "False", "none": "None", "null": "None"}
_FORMS = ("statements are Name.parameter = value, MACRO = value, include 'file.gin' and import module",)


def explain(error: SyntaxError, location: Location) -> Fault:
    """The fault for an error that the parser raised at `location`."""
    message = str(error.msg)
    include = re.match(r"\s*include\s+([^'\"#]*)", location.text)
    if include:
        name = include[1].strip() or "file.gin"
        return Fault("syntax", "include takes a file name in quotes", location, (f"include '{name}'",))
    token = re.search(r"Failed to parse token '(.*)'$", message, re.DOTALL)
    if token:
        return _no_value(token[1].strip(), location)
    value = location.text.split("=", 1)[-1].split("#")[0].strip()
    if "Unable to parse value" in message:
        if "=" in location.text and not value:
            return Fault("syntax", "there is no value after =", location, ("write None for no value",))
        return _no_value(value or location.text.strip(), location)
    if "Expected newline" in message and re.fullmatch(r"[-+*/%. ()\deE]+", value):
        return Fault("syntax", f"{value!r} is not a gin value", location, ("gin does no arithmetic: write the number",))
    if re.search("Couldn't parse statement|Unexpected token|Malformatted|Expected newline", message):
        return Fault("syntax", "this is no statement", location, _FORMS)
    return Fault("syntax", " ".join(message.rstrip(".").split()), location)


def unclosed_fault(character: str, location: Location) -> Fault:
    """The fault for a bracket or quote that has no partner."""
    if character in CLOSES:
        return Fault("syntax", f"{character!r} closes nothing", location, ("remove it, or open the bracket before",))
    if character[0] in "'\"":
        message = f"the string that {character} opens is never closed"
        return Fault("syntax", message, location, (f"end it with {character}",))
    closing = next(close for close, opening in CLOSES.items() if opening == character)
    return Fault("syntax", f"{character!r} is never closed", location, (f"close it with {closing!r}",))


def _no_value(text: str, location: Location) -> Fault:
    if text.lower() in _PYTHON_SPELLING:
        advice: tuple[str, ...] = (f"Python spells it {_PYTHON_SPELLING[text.lower()]}",)
    else:
        word = text if re.fullmatch(r"[A-Za-z_]\w*", text) else "cuda"
        advice = (f'a string needs quotes: "{word}"; a component is @{word} or @{word}(); a macro is %{word}',)
    if location.file.startswith("--"):
        advice += ("the shell removes one pair of quotes: --gin_bindings='Name.parameter=\"text\"'",)
    return Fault("syntax", f"{text!r} is not a gin value", location, advice)
