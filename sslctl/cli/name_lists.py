"""Lists of domains: the names of a command line and of a file, plain or CSV, with every problem of them."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

import click

from sslctl.cli.output.stdout import restored_cell
from sslctl.errors import BadInput, NotManaged, Problem
from sslctl.rules import names
from sslctl.rules.model import Domain
from sslctl.rules.remarks import read_customer
from sslctl.store.interface.domains import Domains
from sslctl.text import clean, decode_text

_MOST_PRINTED = 100
_LARGEST_LIST = 1 << 26
_LONGEST_QUOTED = 30
# No other white space: a control character inside a name must not split it into two good ones.
_SEPARATORS = re.compile(r"[ \t,;]+")
_DELIMITERS = ",;\t"
_DOMAIN, _SANS, _CUSTOMER = "domain", "sans", "customer"

from_file_option = click.option(
    "--from-file",
    type=click.File("rb"),
    metavar="FILE",
    help="Read domains from FILE: one on each line with its other names behind it, or CSV with the columns domain, sans and "
    "customer; # begins a comment; - is standard input.",
)


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a CSV beside the domain and its other names, each with a function that reads a cell; it may raise `BadInput`.

    Other columns are ignored and named. If `also_ignored` is given, only those are, without a word: any other one is an error, and so is a
    file without a header. The cells are then read as `csv_texts` writes them.
    """

    readers: Mapping[str, Callable[[str], str]]
    also_ignored: frozenset[str] | None = None

    @property
    def used(self) -> tuple[str, ...]:
        """The names of all columns that are read."""
        return (_DOMAIN, _SANS, *self.readers)


_OF_LISTS = Columns({_CUSTOMER: read_customer})


@dataclass(frozen=True, slots=True)
class NameList:
    """The domains of a command, each with its place ("" on the command line).

    `sans` has the other names, and `values` the cells of each further column, of those domains for which the list has some.
    """

    places: Mapping[str, str]
    sans: Mapping[str, tuple[str, ...]]
    values: Mapping[str, Mapping[str, str]]

    @property
    def customers(self) -> Mapping[str, str]:
        """The customers of those domains for which the list has some."""
        return self.values.get(_CUSTOMER, {})

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains, in the order in which they were given."""
        return tuple(self.places)


@dataclass(frozen=True, slots=True)
class _Line:
    place: str
    texts: Sequence[str]
    problem: str = ""
    cells: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Reader:
    """The names that were read so far, and what is to be said about them."""

    columns: Columns
    places: dict[str, str] = field(default_factory=dict)
    sans: dict[str, dict[str, str]] = field(default_factory=dict)
    values: dict[str, dict[str, str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    cause: Problem | None = None
    notes: list[str] = field(default_factory=list)

    def add(self, line: _Line) -> None:
        """Add the names of `line`, or why they cannot be used."""
        found: list[str] = []
        problems = [line.problem] if line.problem else []
        for text in line.texts:
            if line.place and len(text) > _LONGEST_QUOTED and "." not in text:
                # It may be a secret from a wrong file.
                problems.append(f"{len(text)} characters without a dot are no domain name")
                continue
            try:
                found.append(names.normalise(text))
            except BadInput as error:
                problems.append(error.message)
                self.cause = self.cause or error.problem
        values = self._read_cells(line, problems)
        self.problems += (_at(line.place, problem) for problem in problems)
        if problems or not found:
            return
        domain, *others = found
        if domain in self.places:
            self._merge(line, domain)
        self.places.setdefault(domain, line.place)
        self._keep(line, domain, values)
        for other in others:
            if other == domain or other in self.sans.get(domain, ()):
                self.notes.append(_at(line.place, f"{other} is given twice for {domain}; it is used once"))
            else:
                self.sans.setdefault(domain, {})[other] = line.place

    def _read_cells(self, line: _Line, problems: list[str]) -> dict[str, str]:
        """Return the values in the cells of `line` that have one, and add to `problems` those that cannot be used."""
        values: dict[str, str] = {}
        for column, read in self.columns.readers.items():
            try:
                value = read(line.cells.get(column, ""))
            except BadInput as error:
                problems.append(error.message)
            else:
                values |= {column: value} if value else {}
        return values

    def _keep(self, line: _Line, domain: str, values: Mapping[str, str]) -> None:
        for column, value in values.items():
            kept = self.values.setdefault(column, {}).setdefault(domain, value)
            if value != kept:
                both = f'"{kept}" and "{value}"'
                what = column.replace("_", " ")
                self.problems.append(_at(line.place, f"{domain} is listed with two {what}s, {both}"))

    def _merge(self, line: _Line, domain: str) -> None:
        """Note that `domain` was given before. Two times on the command line are a mistake, because no list was merged."""
        twice = f'"{clean(line.texts[0], 100)}" is given twice'
        if not line.place:
            self.problems.append(twice)
            return
        earlier = self.places[domain] or "the command line"
        self.notes.append(_at(line.place, f"{twice}, first in {earlier}; the two are merged"))

    def find_conflicts(self) -> None:
        """Add a problem for each name that is a domain and another name of a different domain."""
        for domain, others in self.sans.items():
            for other, place in others.items():
                if other in self.places:
                    where = self.places[other] or "the command line"
                    self.problems.append(
                        _at(
                            place,
                            f"{other} cannot be another name of {domain} and a domain of its own ({where}); "
                            "leave one of them out",
                        )
                    )


def read_names(
    given: Iterable[str], file: BinaryIO | None, *, required: bool = True, columns: Columns = _OF_LISTS
) -> NameList:
    """Return the normalised names of the command line, `given`, and of `file`.

    Print a note for each name that is given twice, and for what is ignored. Raise `BadInput` if a name cannot be used, after
    each such line was printed, or if the file holds no name: a command without names may mean all domains. If names are
    `required` and neither names nor file are given, raise `click.UsageError`.
    """
    reader = _Reader(columns)
    for text in given:
        reader.add(_Line("", [text]))
    if file is not None:
        for line in _read_file(file, columns, reader.notes):
            reader.add(line)
    reader.find_conflicts()
    print_some([f"note: {note}" for note in reader.notes])
    if reader.problems:
        raise _collect(reader.problems, reader.cause)
    if file is not None and not reader.places:
        raise BadInput(f"{clean(file.name)} contains no domain names")
    if required and not reader.places:
        raise click.UsageError("name a domain, or give --from-file FILE")
    sans = {domain: tuple(others) for domain, others in reader.sans.items()}
    return NameList(reader.places, sans, reader.values)


def read_managed(
    store: Domains, given: Iterable[str], file: BinaryIO | None, *, required: bool = True
) -> list[Domain]:
    """Return the managed domains that are named by the command line, `given`, and by `file`; see `read_names`.

    Print a note if the file has other names or customers, which only other commands use. Raise `NotManaged` if one is not
    managed, after each such line was printed.
    """
    listed = read_names(given, file, required=required)
    if listed.customers:
        click.echo(
            "sslctl: note: only `add` and `customer` use the customers in the list; they are ignored",
            err=True,
        )
    return _require_managed(store, listed)


def read_managed_customers(
    store: Domains, given: Iterable[str], file: BinaryIO
) -> tuple[list[Domain], Mapping[str, str]]:
    """Do the same, and return also the customer of each domain. Raise `BadInput` if a domain has none in the list."""
    listed = read_names(given, file)
    missing = [name for name in listed.domains if name not in listed.customers]
    if missing:
        raise _collect([_at(listed.places[name], f"{name} has no customer in the list") for name in missing])
    return _require_managed(store, listed), listed.customers


def _require_managed(store: Domains, listed: NameList) -> list[Domain]:
    if listed.sans:
        click.echo("sslctl: note: only `add` uses the other names in the list; they are ignored", err=True)
    found = {one.name: one for one in store.domains_named(listed.domains) if one.deleted_at is None}
    missing = [name for name in listed.domains if name not in found]
    if not missing:
        return list(found.values())
    # To know why a name is not managed takes a look at all other names; only the first ones are printed.
    problems = [(listed.places[name], _why_not_managed(store, name)) for name in missing[:_MOST_PRINTED]]
    if len(missing) == 1:
        place, first = problems[0]
        message = _at(place, first.message)
        raise NotManaged(
            message if len(listed.places) == 1 else f"{message}; nothing was done",
            hint=first.hint,
            problem=first.problem,
        )
    print_some([f"error: {_at(where, error.message)}" for where, error in problems], len(missing))
    raise NotManaged(
        f"{len(missing)} of {len(listed.places)} domains are not managed; nothing was done",
        problem=problems[0][1].problem,
    )


def _why_not_managed(store: Domains, name: str) -> NotManaged:
    try:
        store.domain(name)
    except NotManaged as error:
        return error
    return NotManaged(f"{name} was not managed when the list was read")


def _at(place: str, message: str) -> str:
    return f"{place}: {message}" if place else message


def _collect(problems: Sequence[str], cause: Problem | None = None) -> BadInput:
    """Return the error about `problems`, of which `cause` is the first of a name. If there are several, print them first, a line each."""
    if len(problems) == 1:
        return BadInput(problems[0], problem=cause)
    print_some([f"error: {problem}" for problem in problems])
    return BadInput(f"{len(problems)} names or lines cannot be used; nothing was done", problem=cause)


def print_some(messages: Sequence[str], number: int | None = None) -> None:
    """Print the first of `messages`, and how many others there are of `number`, by default of `messages`.

    Thousands of lines would hide what matters.
    """
    for message in messages[:_MOST_PRINTED]:
        click.echo(f"sslctl: {message}", err=True)
    left = (len(messages) if number is None else number) - _MOST_PRINTED
    if left > 0:
        click.echo(f"sslctl: and {left} more like these", err=True)


def _read_file(file: BinaryIO, columns: Columns, notes: list[str]) -> Iterator[_Line]:
    """Yield the lines of `file` that hold names, and add to `notes` what is ignored."""
    shown = clean(file.name)
    content = file.read(_LARGEST_LIST + 1)
    if len(content) > _LARGEST_LIST:
        # The file is never cut: nobody would notice the domains left out.
        raise BadInput(f"{shown} is larger than {_LARGEST_LIST} bytes")
    try:
        text = decode_text(content)
    except UnicodeDecodeError as error:
        raise BadInput(f"{shown} is not text in UTF-8 or UTF-16") from error
    if "-----BEGIN " in text:
        # A key that was taken for a list must not be printed line by line.
        raise BadInput(
            f"{shown} is a PEM file and no list of domains", hint="--cert and --key take PEM files"
        )
    lines = text.split("\n")
    first = next((at for at, line in enumerate(lines) if line.partition("#")[0].strip()), len(lines))
    delimiter = _find_delimiter(lines[first]) if first < len(lines) else None
    if delimiter is not None:
        yield from _read_csv(shown, lines, first, delimiter, columns, notes)
        return
    if columns.also_ignored is not None:
        raise BadInput(
            f"{shown} has no header with the column {_DOMAIN}, so nothing was done",
            hint=f"the first line names the columns: {', '.join(columns.used)}",
        )
    for number, line in enumerate(lines, 1):
        stripped = line.partition("#")[0].strip()
        texts = [part for part in _SEPARATORS.split(stripped) if part]
        if texts:
            yield _Line(f"{shown}, line {number}", texts)
        elif stripped:
            yield _Line(f"{shown}, line {number}", (), "it has separators and no name")


def _find_delimiter(line: str) -> str | None:
    """Return the delimiter of the CSV whose header is `line`, or None if the line is no header.

    A header has a column "domain", which is no domain name itself. Spreadsheets write commas, semicolons or tabs.
    """
    for delimiter in _DELIMITERS:
        try:
            columns = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
        except csv.Error:
            continue
        if _DOMAIN in _clean_columns(columns):
            return delimiter
    return None


def _clean_columns(columns: Iterable[str]) -> list[str]:
    return [column.strip().lower() for column in columns]


def _read_csv(
    shown: str, lines: Sequence[str], first: int, delimiter: str, known: Columns, notes: list[str]
) -> Iterator[_Line]:
    """Yield the rows of the CSV `lines`, whose header is the line at the index `first`. A quoted field may span lines."""
    rows = csv.reader(
        (f"{line}\n" for line in lines[first:]), delimiter=delimiter, skipinitialspace=True, strict=True
    )
    place = f"{shown}, line {first + 1}"
    try:
        columns = _clean_columns(next(rows))
    except csv.Error as error:
        raise BadInput(f"{place}: the header is not valid CSV ({clean(error, 100)})") from error
    _check_columns(place, columns, known, notes)
    is_exported = known.also_ignored is not None
    while True:
        place = f"{shown}, line {first + rows.line_num + 1}"
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield _Line(
                place, (), f"it is not valid CSV ({clean(error, 100)}), so the lines after it were not read"
            )
            return
        if any(cell.strip() for cell in row) and not row[0].lstrip().startswith("#"):
            if is_exported and any(
                cell.strip() for column, cell in zip(columns, row, strict=False) if not column
            ):
                yield _Line(place, (), "it has a field in a column without a name")
                continue
            yield _read_row(place, columns, [restored_cell(cell) for cell in row] if is_exported else row)


def _check_columns(place: str, columns: Sequence[str], known: Columns, notes: list[str]) -> None:
    """Raise `BadInput` for a header that cannot be used, and add to `notes` which columns are ignored."""
    for column in known.used:
        if columns.count(column) > 1:
            raise BadInput(f'{place}: the header has the column "{column}" more than once')
    others = [column for column in columns if column not in known.used]
    if known.also_ignored is not None:
        # A spreadsheet may write empty columns behind the last one.
        others = [column for column in others if column and column not in known.also_ignored]
        if others:
            raise BadInput(
                f"{place}: unknown column {clean(', '.join(others))}; nothing was done",
                hint=f"the columns are {', '.join(known.used)}; those of `sslctl export inventory` are ignored",
            )
    elif others:
        shown = ", ".join(clean(column, 40) or "(no name)" for column in others)
        notes.append(f"{place}: ignored columns: {clean(shown)}")


def _read_row(place: str, columns: Sequence[str], row: Sequence[str]) -> _Line:
    if any(cell.strip() for cell in row[len(columns) :]):
        problem = f"it has {len(row)} fields, and the header {len(columns)}; put quotes around a field with a delimiter"
        return _Line(place, (), problem)
    cells = dict(zip(columns, row, strict=False))
    domain = cells.get(_DOMAIN, "").strip()
    if not domain:
        return _Line(place, (), "it has no domain")
    sans = [part for part in _SEPARATORS.split(cells.get(_SANS, "").strip()) if part]
    return _Line(place, [domain, *sans], cells=cells)
