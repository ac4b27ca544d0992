"""The list of public names is that of the code."""

import runpy

import snippets

INTERFACES = runpy.run_path(str(snippets.ROOT / "docs" / "interfaces.py"))


def test_the_page_is_what_the_code_has():
    page = INTERFACES["PAGE"].read_text(encoding="utf-8")
    assert page == INTERFACES["page"](), "run `python docs/interfaces.py`"


def test_parameters_are_shown_without_their_defaults():
    def example(a, b=1, *, c, d=None, **more):
        """Do."""

    assert INTERFACES["_signature"]("example", example) == "example(a, b=, *, c, d=, **more)"
