import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from report_demo import CLASSES, invented

from segkit.report import Overlay, ReportData, write_eda, write_report
from segkit.rle import Runs

VOID = {"meta", "link", "br", "hr", "img", "input", "col"}


class Reader(HTMLParser):
    """Checks that tags close in order; keeps text, ids and everything that a browser would load."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.ids, self.loads, self.tags = [], [], [], [], set()

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href", "srcset", "data", "action", "poster"):
                self.loads.append(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text.append(data)


def read(path):
    reader = Reader()
    page = path.read_text(encoding="utf-8")
    reader.feed(page)
    reader.close()
    assert reader.open == []
    assert len(set(reader.ids)) == len(reader.ids)
    assert all(value.startswith(("#", "data:")) for value in reader.loads)
    assert all(value[1:] in reader.ids for value in reader.loads if value.startswith("#"))
    assert set(re.findall(r"url\((.)", page)) <= {"#"}
    assert "@import" not in page
    assert "http" not in page
    assert "nan" not in " ".join(reader.text).lower().split()
    return page, " ".join(reader.text), reader


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return invented(tmp_path_factory.mktemp("invented"), groups=6, size=128)


@pytest.fixture(scope="module")
def full(run, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_report(path, run)
    return read(path)


def test_everything_is_there_and_nothing_is_loaded(full, run):
    page, text, reader = full
    assert len(page) < 6_000_000
    for part in ("score", "classes", "images", "overlays", "thresholds", "training", "cost", "data", "problems"):
        assert part in reader.ids
        assert f'href="#{part}"' in page
    for number in ("score", "score_low", "score_high", "score_tuned", "score_untuned", "score_test"):
        assert f"{run.summary[number]:.4f}" in text
    for cls in CLASSES:
        assert cls in text
        assert f"{run.summary['per_class'][cls]:.4f}" in text
    for overlay in run.overlays:
        assert overlay.id in text
        assert f"{overlay.score:.4f}" in text
    assert "8 findings in 2 images of the submission" in text
    assert "and 2 more" in text  # of one image's seven
    for words in (
        "pose: tilted",
        "At the test's pose",
        "Pisiform",
        "absent, unlike in every",
        "train.lr",
        "0.0003",
        "3 min 21 s",
        "1,480 MB",
        "filename",
        "tiny-polygon",
        "0.5 stays",
    ):
        assert words in text


def test_every_table_row_has_as_many_cells_as_its_head(full):
    page, _, _ = full
    for table in re.findall(r"<table.*?</table>", page, flags=re.DOTALL):
        head, *rows = re.findall(r"<tr.*?</tr>", table, flags=re.DOTALL)
        count = len(re.findall(r"<th[ >]", head))
        for row in rows:
            if 'class="axis"' not in row:
                assert len(re.findall(r"<td[ >]", row)) == count


def test_the_bars_of_a_score_stay_inside_their_track(full):
    page, _, _ = full
    places = [float(v) for v in re.findall(r'style="left:(-?[\d.]+)%', page)]
    assert len(places) > 2 * len(CLASSES)
    assert 0 <= min(places) <= max(places) <= 100
    for left, width in re.findall(r"left:([\d.]+)%;width:(-?[\d.]+)%", page):
        assert float(width) >= 0
        assert float(left) + float(width) <= 100.01


def smaller(run, **changes):
    """The run with four classes and without its largest parts: a page in a second."""
    return dataclasses.replace(run, **{"classes": CLASSES[-4:], "eda": None, "curves": None, **changes})


def test_the_same_run_writes_the_same_page(run, tmp_path):
    for name in ("one", "two"):
        write_report(tmp_path / name, smaller(run))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


NASTY = "<b>&\"'</script>"


def nasty():
    table = pd.DataFrame([[0.5, 0.25], [1.0, 0.75]], index=["<i>.png", "j.png"], columns=[NASTY, "b"])
    square = Runs([[0, 30]], (20, 20))
    return ReportData(
        title=NASTY,
        classes=(NASTY, "b"),
        summary={"notes": [NASTY], "config": {NASTY: NASTY}},
        oof=table,
        groups={"<i>.png": NASTY, "j.png": "p"},
        strata={NASTY: {"<i>.png": NASTY}},
        history={NASTY: [{"epoch": 1, "loss": 0.0, "val_dice": 0.5}]},
        overlays=[Overlay("<i>.png", NASTY, np.zeros((20, 20, 1), np.uint8), {NASTY: square}, {}, 0.5)],
        problems=[],
    )


def test_names_are_escaped_everywhere(tmp_path):
    write_report(tmp_path / "r.html", nasty())
    page, text, _ = read(tmp_path / "r.html")
    assert "<b>&" not in page
    assert page.count("</script>") == 1
    assert "<i>.png" in text
    assert NASTY in text


def thin(run):
    """A run of which nothing but the table is known, and that is one image."""
    return ReportData("t", run.classes, {}, run.oof.iloc[:1], run.groups)


VARIANTS = {
    "one image alone": thin,
    "no test": lambda run: dataclasses.replace(run, test=None),
    "a test score without its table": lambda run: dataclasses.replace(run, test=None, summary={"score_test": 0.123456}),
    "no curves": lambda run: dataclasses.replace(run, curves=None, thresholds={}),
    "no history": lambda run: dataclasses.replace(run, history={}),
    "a history without validation": lambda run: dataclasses.replace(
        run, history={"0": [{"epoch": 1, "loss": 2.0, "val_dice": None}]}
    ),
    "no overlays, data, problems": lambda run: dataclasses.replace(run, overlays=(), eda=None, problems=()),
    "a class of NaN": lambda run: dataclasses.replace(run, oof=run.oof.assign(Ulna=np.nan), summary={}),
    "nothing but NaN": lambda run: dataclasses.replace(
        run, oof=run.oof * np.nan, test=run.test * np.nan, summary={}, curves=None
    ),
    "perfect": lambda run: dataclasses.replace(run, oof=run.oof * 0 + 1.0, summary={}),
    "worst possible": lambda run: dataclasses.replace(run, oof=run.oof * 0, summary={}),
    "empty predictions": lambda run: dataclasses.replace(
        run, overlays=[dataclasses.replace(o, pred={c: Runs([]) for c in o.pred}) for o in run.overlays]
    ),
    "nothing labelled": lambda run: dataclasses.replace(
        run, overlays=[dataclasses.replace(run.overlays[0], truth={}, score=np.nan)]
    ),
    "no strata": lambda run: dataclasses.replace(run, strata={}),
    "many images": lambda run: dataclasses.replace(
        run,
        oof=pd.concat([run.oof.set_axis([f"{k}-{i}" for i in run.oof.index]) for k in range(12)]),
        groups={**run.groups, **{f"{k}-{i}": f"{k}{p}" for i, p in run.groups.items() for k in range(12)}},
        curves=None,
        overlays=(),
        eda=None,
    ),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_page_of_less_is_still_a_page(run, tmp_path, name):
    changed = VARIANTS[name](smaller(run, overlays=run.overlays[:1]))
    write_report(tmp_path / "r.html", changed)
    _, text, reader = read(tmp_path / "r.html")
    assert "Held-out Dice" in text
    for part, there in (
        ("overlays", changed.overlays),
        ("training", changed.history),
        ("data", changed.eda),
        ("problems", changed.problems),
        ("cost", changed.summary.get("seconds")),
    ):
        assert (part in reader.ids) == bool(there)
    if changed.summary.get("score_test") == 0.123456:
        assert "0.1235" in text


def test_the_data_page_alone(run, tmp_path):
    write_eda(tmp_path / "eda.html", run.eda, title="<hands>")
    _, text, reader = read(tmp_path / "eda.html")
    assert "<hands>" in text
    for part in ("data", "samples", "places", "areas", "overlap", "groups"):
        assert part in reader.ids
    first = run.eda.overlaps.iloc[0]
    assert f"{first['iou']:.3f}" in text
    assert "'thirty' cannot be read" in text
    assert "6 upright" in text or "8 upright" in text


def test_present_is_shown_where_it_is_another_number(run, full, tmp_path):
    assert "where present" not in full[1]
    present = run.present.copy()
    present.loc[present.index[:4], "Ulna"] = False
    write_report(tmp_path / "r.html", smaller(run, present=present, overlays=()))
    _, text, _ = read(tmp_path / "r.html")
    assert "Held-out, where present" in text
    assert f"{run.oof['Ulna'].iloc[4:].mean():.4f}" in text


def test_confusion_is_shown_in_shares_of_the_true_class(run, tmp_path):
    write_report(tmp_path / "r.html", smaller(run, overlays=()))
    page, _, reader = read(tmp_path / "r.html")
    assert "confusion" in reader.ids
    section = re.findall(r'<section id="confusion">.*?</section>', page, flags=re.DOTALL)[0]
    rows = [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in re.findall(r"<tr>.*?</tr>", section, flags=re.DOTALL)]
    assert rows[1][:3] == ["finger-1", "90.0 %", "7.50 %"]
    assert rows[1][-2:] == ["2.50 %", "1,000"]
    assert set(rows[-1][1:-1]) == {"–"}
    write_report(tmp_path / "r.html", smaller(run, overlays=(), confusion=None))
    assert "confusion" not in read(tmp_path / "r.html")[2].ids


def test_what_empty_and_full_submissions_score_is_said(run, tmp_path):
    write_report(tmp_path / "r.html", smaller(run, overlays=()))
    _, text, _ = read(tmp_path / "r.html")
    for words in ("Nothing predicted", "0.0000", "Everything predicted", "0.0312", "Ulna is predicted in no image"):
        assert words in text
