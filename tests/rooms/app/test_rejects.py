"""Files of rejected rows lose the rows of whoever is erased, and nothing else."""

import pytest

from gatepost.app.rejects import OUT_OF_REACH, forget

KEYS = {"anna@kund.example", "örjan@kund.example"}
TEXT = (
    "line,reason,email,note\r\n"
    '2,"the basis is unknown: ""x""",Anna@KUND.example,\r\n'
    '3,no address,bo@kund.example,"two\r\nlines, åäö"\r\n'
    "4,no time,ÖRJAN@kund.example,\r\n"
    "5,no time,cleo@kund.example,same as anna@kund.example\r\n"
)
LEFT = 'line,reason,email,note\r\n3,no address,bo@kund.example,"two\r\nlines, åäö"\r\n'


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "cp1252", "utf-16", "utf-16-le"])
def test_rows_that_name_a_person_go_in_every_encoding(tmp_path, encoding):
    path = tmp_path / "list.csv.rejects.csv"
    path.write_bytes(TEXT.encode(encoding))
    assert forget(path, KEYS) == 3
    assert path.read_bytes() == LEFT.encode(encoding)
    assert list(tmp_path.iterdir()) == [path]
    assert forget(path, KEYS) == 0
    assert path.read_bytes() == LEFT.encode(encoding)


def test_a_file_that_is_gone_is_told_from_one_out_of_reach(tmp_path):
    assert forget(tmp_path / "none.csv", KEYS) is None
    folder = tmp_path / "folder.csv"
    folder.mkdir()
    assert forget(folder, KEYS) == OUT_OF_REACH
    assert list(tmp_path.iterdir()) == [folder]
