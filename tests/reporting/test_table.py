"""Tables in five formats, with labels and file names that are written to do harm."""

import csv
import html.parser
import io
import json
import re

import pytest

from harness.reporting.table import FORMATS, Table, render
from harness.text import markdown, printable

HOSTILE = [
    'x|<script>alert(1)</script>&_\x1b[31m"',
    "a | b\n| c | d |\n\n# heading",
    "\x1b]8;;http://evil\x07click\x1b]8;;\x07",
    "invoice\u202egnp.exe \u2066x\u2069",
    "<img src=x onerror=alert(1)>",
    "![x](http://evil/x.png) [y](javascript:z) `code` *b* __init__ ~~gone~~ $x^2$ &lt;b&gt;",
    r"\input{/etc/passwd} \write18{id} $x$ %gone ~ ^ # {",
    "[2cm]row",
    "*star",
    '=cmd|"/C calc"!A0',
    " +1+1",
    "-2+3",
    "@SUM(A1)",
    "carriage\rreturn\ttab\0nul\x85nel\u2028sep",
    "модель 模型 نموذج",
]


def table(evil):
    return Table(None, f"by {evil}", ["model", evil], [[evil, "1.0"]], [evil], [{"model": evil, "value": -0.5}])


@pytest.mark.parametrize("how", FORMATS)
@pytest.mark.parametrize("evil", HOSTILE)
def test_nothing_steers_the_terminal(how, evil):
    text = render(table(evil), how)
    assert all(c == "\n" or c.isprintable() for c in text)


@pytest.mark.parametrize("evil", HOSTILE)
def test_html_holds_the_text_and_no_other_tag(evil):
    tags, words = [], []
    parser = html.parser.HTMLParser()
    parser.handle_starttag = lambda tag, attributes: tags.append((tag, attributes))
    parser.handle_data = words.append
    parser.feed(render(table(evil), "html"))
    own = ["section", "h2", "table", "thead", "tr", "th", "th", "tbody", "tr", "td", "td", "ul", "li"]
    assert [tag for tag, _ in tags] == own
    assert {attribute for _, attributes in tags for attribute in attributes} <= {("align", "right")}
    assert printable(evil) in words


@pytest.mark.parametrize("evil", HOSTILE)
def test_markdown_keeps_a_row_a_line_and_a_cell_a_cell(evil):
    lines = render(table(evil), "md").rstrip("\n").split("\n")
    assert [line[:1] for line in lines] == ["#", "", "|", "|", "|", "", "-"]
    rows = [re.findall(r"(?<!\\)(?:\\\\)*\|", line) for line in lines if line.startswith("|")]
    assert {len(bars) for bars in rows} == {3}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("P_img < 0.001, R&D, a_b_c", "P_img < 0.001, R&D, a_b_c"),
        ("__init__", r"\_\_init\_\_"),
        ("&lt;b&gt; &#60;", r"\&lt;b\&gt; \&#60;"),
        ("<b> ~~x~~ $y$", r"\<b\> \~\~x\~\~ \$y\$"),
    ],
)
def test_markdown_escapes_what_is_markup_only(text, shown):
    assert markdown(text) == shown


@pytest.mark.parametrize("evil", HOSTILE)
def test_latex_has_no_command_but_its_own(evil):
    text = render(table(evil), "tex")
    own = {"begin", "caption", "toprule", "midrule", "bottomrule", "end", "footnotesize"}
    words = {"textbackslash", "textasciitilde", "ensuremath", "textbar"}
    assert set(re.findall(r"\\([A-Za-z]+)", text)) <= own | words
    assert not re.search(r"\\\\\s*[\[*]", text)
    assert not re.search(r"(?<!\\)[%$#~^]", text.replace(r"\\", ""))
    body = text.replace(r"\{", "").replace(r"\}", "")
    assert body.count("{") == body.count("}")


@pytest.mark.parametrize("how", ["tex", "html"])
def test_numbers_stand_right_and_words_left(how):
    numbers = ["-", "85.1 (80.0 to 90.2)", "+3.5, p 0.010", "< 0.001"]
    shown = render(Table(None, "t", ["model", "value"], [["densenet", value] for value in numbers], [], []), how)
    assert ("{lr}" if how == "tex" else '<td>densenet</td><td align="right">') in shown
    mixed = render(Table(None, "t", ["model", "value"], [["densenet", "1"], ["probe", "one"]], [], []), how)
    assert ("{ll}" if how == "tex" else "<td>densenet</td><td>1</td>") in mixed


@pytest.mark.parametrize("evil", HOSTILE)
def test_csv_computes_nothing_and_numbers_stay_numbers(evil):
    (head, row) = csv.reader(io.StringIO(render(table(evil), "csv")))
    assert head == ["model", "value"]
    assert row[0].removeprefix("'") == printable(evil)
    assert not row[0].lstrip().startswith(("=", "+", "-", "@"))
    assert row[1] == "-0.5"


@pytest.mark.parametrize("evil", HOSTILE)
def test_json_holds_it_to_the_letter(evil):
    assert json.loads(render(table(evil), "json"))["records"] == [{"model": evil, "value": -0.5}]
