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
    return Table(
        name="table",
        title=f"by {evil}",
        columns=["model", evil],
        rows=[[evil, "1.0"]],
        lead=[evil],
        notes=[evil],
        records=[{"model": evil, "value": -0.5}],
    )


def of_rows(rows, *, grouped=False):
    columns = ["model", "value"][: len(rows[0])]
    return Table(name="table", title="t", columns=columns, rows=rows, notes=[], records=[], grouped=grouped)


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
    head = ["html", "head", "meta", "title", "style", "body", "h1", "p"]
    assert [tag for tag, _ in tags] == [
        *head,
        *("table", "thead", "tr", "th", "th", "tbody", "tr", "td", "td", "ul", "li"),
    ]
    attributes = {attribute for tag, several in tags if tag in {"th", "td"} for attribute in several}
    assert attributes == {("class", "number"), ("class", "text")}
    assert printable(evil) in words


@pytest.mark.parametrize("evil", HOSTILE)
def test_markdown_keeps_a_row_a_line_and_a_cell_a_cell(evil):
    lines = render(table(evil), "md").rstrip("\n").split("\n")
    assert [line[:1] for line in [*lines[:2], *lines[3:]]] == ["#", "", "", "|", "|", "|", "", "-"]
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
    own = {
        "begin",
        "caption",
        "label",
        "toprule",
        "midrule",
        "bottomrule",
        "end",
        "centering",
        "scriptsize",
        "raggedright",
    }
    own |= {"resizebox", "ifdim", "width", "linewidth", "else", "fi", "setlength", "tabcolsep", "vspace", "star"}
    words = {"textbackslash", "textasciitilde", "ensuremath", "textbar"}
    assert set(re.findall(r"\\([A-Za-z]+)", text)) <= own | words
    assert not re.search(r"\\\\\s*[\[*]", text)
    text = text.replace("{!}{%\n", "{!}{\n").replace("$-$", "").replace(r"\\", "")
    assert not re.search(r"(?<!\\)[%$#~^]", text)
    body = text.replace(r"\{", "").replace(r"\}", "")
    assert body.count("{") == body.count("}")


@pytest.mark.parametrize("how", ["tex", "html"])
def test_numbers_stand_right_and_words_left(how):
    numbers = ["-", "85.1 (80.0 to 90.2)", "+3.5, p 0.010", "< 0.001"]
    shown = render(of_rows([["densenet", value] for value in numbers]), how)
    assert ("{lr}" if how == "tex" else '<td class="text">densenet</td><td class="number">') in shown
    mixed = render(of_rows([["densenet", "1"], ["probe", "one"]]), how)
    assert ("{ll}" if how == "tex" else '<td class="text">densenet</td><td class="text">1</td>') in mixed


def test_what_a_group_shares_stands_once():
    rows = [["AUC", "80.1"], ["AUC", "79.0"], ["P_img", "70.0"], ["", "(60.0 to 80.0)"], ["P_img", "71.0"]]
    assert [row[0] for row in of_rows(rows, grouped=True).shown] == ["AUC", "", "P_img", "", ""]
    assert of_rows(rows).shown == rows
    assert render(of_rows(rows, grouped=True), "tex").count(r"\addlinespace") == 1


def test_a_long_table_goes_over_several_pages_and_keeps_rows_together():
    rows = [row for number in range(60) for row in ([f"m{number}", "1.0"], ["", ""])]
    text = render(of_rows(rows), "tex")
    assert text.count(r"\begin{table*}") == 3
    assert text.count(r"\label{tab:table}") == 1
    for page in text.split(r"\midrule")[1:]:
        assert page.lstrip().startswith("m")


def test_latex_has_minus_signs_and_math():
    text = render(of_rows([["P_arp", "-1.5 (-3.0 to +2.0)"], ["densenet-se", "70.1★"]]), "tex")
    assert r"$P_{\mathrm{arp}}$" in text
    assert "$-$1.5 ($-$3.0 to +2.0)" in text
    assert "densenet-se" in text
    assert r"70.1$^{\star}$" in text


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
