"""Makes docs/reference/options.md of the table of options; a test holds the page to it."""

from pathlib import Path

from nettool.options.pages import reference_page

if __name__ == "__main__":
    Path(__file__).with_name("reference").joinpath("options.md").write_text(reference_page(), encoding="utf-8")
