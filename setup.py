"""How nettool is built and what it needs.  Settings of the tools are in pyproject.toml, commands in tox.ini."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def version() -> str:
    """The version, read as text: importing the package would need what is about to be installed."""
    source = (HERE / "nettool" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__(?:: \w+)? = "([^"]+)"$', source, re.MULTILINE)
    if found is None:
        raise RuntimeError('nettool/__init__.py has no line __version__ = "..."')
    return found.group(1)


setup(
    name="nettool",
    version=version(),
    description="A node that routes lines of text between named peers, on Twisted",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="the nettool authors",
    license="MIT",
    license_files=["LICENSE"],
    classifiers=[
        "Framework :: Twisted",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Typing :: Typed",
    ],
    python_requires=">=3.11",
    # Lower bounds only, and each is tested: `tox -e lowest` installs exactly these (tests/lowest.txt).
    install_requires=[
        "Twisted[tls,conch]>=26.10.0",
        "click>=8.2",
        "prometheus_client>=0.22",
        "wsproto>=1.3",
        "zope.interface>=8.0",
    ],
    entry_points={"console_scripts": ["nettool = nettool.commands.main:main"]},
    # twisted.plugins is not a package of ours: there must never be an __init__.py under twisted/.  package_dir makes an
    # editable install put this directory itself on sys.path; without it `twistd nettool` would silently not exist.
    packages=[*find_packages(include=["nettool", "nettool.*"]), "twisted.plugins"],
    package_dir={"": "."},
    package_data={"nettool": ["py.typed", "**/*.html", "**/*.css", "**/*.js", "**/*.svg", "**/*.toml"]},
    zip_safe=False,
)
