"""Files that the host named: which of them are taken."""

from __future__ import annotations

import os
import sys

import pytest

from sevlab.cases.locate import locate


@pytest.fixture
def images(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "OVMF.fd").write_bytes(b"F" * 5000)
    (tmp_path / "vmlinuz").write_bytes(b"K" * 100)
    return tmp_path


def test_candidates_are_found_below_a_folder(images):
    assert locate("/usr/share/OVMF.fd", str(images), 1 << 20) == (str(images / "deep" / "er" / "OVMF.fd"), "")
    assert locate("/usr/share/OVMF.fd", None, 1 << 20) == ("", "")
    assert locate("/usr/share/OVMF.fd", str(images), 4999)[0] == ""
    for odd in ("/", "..", "/x/.."):
        assert locate(odd, str(images), 1 << 20)[0] == ""


def test_links_out_of_the_candidates_are_not_followed(images, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "initrd").write_bytes(b"I")
    (images / "initrd").symlink_to(outside / "initrd")
    (images / "folder").symlink_to(outside)
    assert locate("/b/initrd", str(images), 1 << 20)[0] == ""
    (images / "initrd").unlink()
    (images / "initrd").symlink_to(images / "vmlinuz")
    assert locate("/b/initrd", str(images), 1 << 20)[0] == str(images / "initrd")


def test_two_files_of_one_name_are_taken_only_when_they_are_the_same(images):
    (images / "OVMF.fd").write_bytes(b"F" * 5000)
    assert locate("/x/OVMF.fd", str(images), 1 << 20)[0]
    (images / "OVMF.fd").write_bytes(b"G" * 5000)
    path, remark = locate("/x/OVMF.fd", str(images), 1 << 20)
    assert path == ""
    assert "2 different files" in remark


def test_no_key_device_or_pipe_is_taken_because_the_host_says_so(images):
    os.mkfifo(images / "pipe")
    key = str(images / "vmlinuz")
    for named in (key, str(images / "pipe"), "/dev/zero", "/proc/self/environ", str(images), "\0", "vmlinuz"):
        assert locate(named, None, 1 << 20, (key,))[0] == ""
    assert locate(key, None, 1 << 20)[0] == key


def test_the_search_has_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["sevlab.cases.locate"], "ENTRY_LIMIT", 3)
    for number in range(6):
        (tmp_path / f"d{number}").mkdir()
    assert "first 3 entries" in locate("/x/OVMF.fd", str(tmp_path), 1 << 20)[1]
