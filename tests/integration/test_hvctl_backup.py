#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""usage: test_hvctl_backup.py HVCTL

Backups with hvctl: what it makes of a machine's answers, and of files that are damaged.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
from fakemanager import Error, FakeManager, close_all  # noqa: E402

HVCTL = ""
MIB = 1 << 20
SIZE = 4 * MIB
IDS = [f"{n:08}-0000-4000-8000-000000000000" for n in range(9)]


def run(*arguments):
    done = subprocess.run([HVCTL, *map(str, arguments)], capture_output=True, timeout=60,
                          check=False, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def map_of(ranges):
    """(offset, data), or (offset, length) of zeros."""
    lines = []
    for offset, what in ranges:
        zero = isinstance(what, int)
        lines.append(f"{offset} {what if zero else len(what)} "
                     f"{'zero' if zero else hashlib.sha256(what).hexdigest()}\n")
    return "".join(lines).encode()


def manifest_of(number, disks, parent=None, named=True):
    """disks: {id: ranges}."""
    entries = []
    for disk, ranges in disks.items():
        text = map_of(ranges)
        entry = {"id": disk, "type": "incremental" if parent else "full", "bytes": SIZE,
                 "block_size": 512, "map_bytes": len(text),
                 "stored_bytes": sum(len(w) for _, w in ranges if not isinstance(w, int)),
                 "map_sha256": hashlib.sha256(text).hexdigest()}
        if named:
            entry.update(image=f"{disk}.{'inc' if parent else 'img'}", map=f"{disk}.map")
        entries.append(entry)
    return {"format": "hvstack-backup", "version": 1, "id": IDS[number], "parent": parent,
            "time": "2026-11-23T16:20:11.482Z", "machine": {"uuid": IDS[8], "name": "web1"},
            "guest_os": "Linux", "consistency": "application", "frozen_ms": 38, "disks": entries}


def write_image(file, ranges):
    file.truncate(SIZE)
    for offset, what in ranges:
        if not isinstance(what, int):
            file.seek(offset)
            file.write(what)
    file.flush()


def make_backup(folder, number, disks, parent=None):
    folder.mkdir()
    manifest = manifest_of(number, disks, parent)
    for entry in manifest["disks"]:
        ranges = disks[entry["id"]]
        (folder / entry["map"]).write_bytes(map_of(ranges))
        with open(folder / entry["image"], "wb") as file:
            write_image(file, ranges)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def data(seed, length=65536):
    return hashlib.shake_128(str(seed).encode()).digest(length)


FULL = {"disk0": [(0, data(1)), (MIB, data(2, MIB)), (3 * MIB + 512, data(3, 512))],
        "disk1": []}


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dir = Path(folder.name)

    def full(self):
        return make_backup(self.dir / "full", 1, FULL)

    def bad(self, message, *arguments):
        status, out, err = run(*arguments)
        self.assertEqual((status, out), (1, ""), err)
        self.assertIn(message, err)
        return err

    def change_manifest(self, folder, change):
        path = folder / "manifest.json"
        manifest = json.loads(path.read_text())
        change(manifest)
        path.write_text(json.dumps(manifest))


class Verify(Case):
    def test_what_is_intact_is_said_to_be(self):
        full = self.full()
        self.assertEqual(run("backup", "verify", full), (0, f"{full}: intact\n", ""))
        status, out, _ = run("--json", "backup", "verify", full)
        self.assertEqual((status, json.loads(out)),
                         (0, {"backups": [{"folder": str(full), "id": IDS[1], "intact": True}]}))

    def test_a_flipped_byte_is_found(self):
        full = self.full()
        for offset in 0, 65535, 2 * MIB - 1, 3 * MIB + 512:
            with open(full / "disk0.img", "r+b") as file:
                file.seek(offset)
                byte = file.read(1)
                file.seek(offset)
                file.write(bytes([byte[0] ^ 1]))
                file.flush()
                self.bad("disk0.img: damaged", "backup", "verify", full)
                file.seek(offset)
                file.write(byte)
        self.assertEqual(run("backup", "verify", full)[0], 0)

    def test_all_that_is_damaged_is_named(self):
        full = self.full()
        with open(full / "disk0.img", "r+b") as file:
            file.write(b"xx")
            file.seek(MIB)
            file.write(b"xx")
        self.assertEqual(self.bad("at 0 ", "backup", "verify", full).count("damaged"), 2)

    def test_a_truncated_image_is_found(self):
        full = self.full()
        os.truncate(full / "disk0.img", SIZE - 512)
        self.bad(f"it has {SIZE - 512} bytes instead of {SIZE}", "backup", "verify", full)

    def test_files_that_are_missing_or_no_files(self):
        for name in "disk1.img", "disk0.map", "manifest.json":
            full = make_backup(self.dir / name, 1, FULL)
            (full / name).unlink()
            self.bad(name, "backup", "verify", full)
            (full / name).symlink_to("/dev/zero")
            self.bad(name, "backup", "verify", full)
            (full / name).unlink()
            os.mkfifo(full / name)
            self.bad(name, "backup", "verify", full)

    def test_a_map_that_was_changed_is_found(self):
        full = self.full()
        text = (full / "disk0.map").read_bytes()
        for wrong in (text[:-1], text + b"\n", b"", text.replace(b"0 ", b"512 ", 1)):
            (full / "disk0.map").write_bytes(wrong)
            self.bad("disk0.map: damaged: it is not what the manifest says", "backup", "verify",
                     full)

    def test_maps_that_make_no_sense_are_refused(self):
        good = hashlib.sha256(data(1, 512)).hexdigest()
        maps = ["nonsense\n", "\n", "0 512\n", f"0 0 {good}\n", f"1 512 {good}\n",
                f"0 511 {good}\n", f"-512 512 {good}\n", f"0 512 {good}", f"0 512 {good} \n",
                f"0 512 {good[:-1]}\n", f"0 512 {good[:-1]}G\n", f"0 512 {good.upper()}\n",
                f"0 512 {good}\n0 512 {good}\n", f"512 512 {good}\n0 512 {good}\n",
                f"{SIZE} 512 {good}\n", f"{SIZE - 512} 1024 {good}\n",
                f"0 {MIB + 512} {good}\n", f"512 {MIB} {good}\n", "0 512 zero\n",
                f"99999999999999999999 512 {good}\n", f"0 18446744073709551104 {good}\n",
                "0 512 " + "x" * 500 + "\n", "0 512 \0\n"]
        full = self.full()
        for text in maps:
            with self.subTest(text[:80]):
                (full / "disk0.map").write_text(text)

                def describe(manifest):
                    manifest["disks"][0].update(
                        map_bytes=len(text), stored_bytes=512,
                        map_sha256=hashlib.sha256(text.encode()).hexdigest())
                self.change_manifest(full, describe)
                with open(full / "disk0.img", "r+b") as file:
                    file.write(data(1, 512) * 2)
                self.bad("disk0.map: damaged", "backup", "verify", full)

    def test_manifests_that_make_no_sense_are_refused(self):
        def disk(**changes):
            return lambda m: m["disks"][0].update(changes)
        changes = [
            lambda m: m.update(format="other"), lambda m: m.pop("format"),
            lambda m: m.update(version=2), lambda m: m.update(version="1"),
            lambda m: m.pop("version"), lambda m: m.pop("id"), lambda m: m.update(id=7),
            lambda m: m.update(parent=7), lambda m: m.update(parent=IDS[3]),
            lambda m: m.update(disks=[]), lambda m: m.update(disks={}), lambda m: m.pop("disks"),
            lambda m: m.update(disks=[1]), lambda m: m.update(disks=m["disks"] * 2),
            lambda m: m.update(disks=m["disks"] * 200),
            disk(id="../x"), disk(id=""), disk(id=None), disk(id=".x"), disk(id="a\u0000b"),
            disk(image="/etc/passwd"), disk(image="../disk0.img"), disk(image=3), disk(image=None),
            disk(map="a/b"), disk(map=".."), disk(map="\x1b"), disk(type="other"), disk(type=1),
            disk(type="incremental"), disk(bytes=0), disk(bytes=-512), disk(bytes=513),
            disk(bytes="1"), disk(bytes=1 << 63), disk(stored_bytes=SIZE + 1),
            disk(stored_bytes=None), disk(map_bytes=-1), disk(map_sha256="0"),
            disk(map_sha256="G" * 64), disk(map_sha256=None), disk(stored_bytes=512),
        ]
        for i, change in enumerate(changes):
            with self.subTest(i):
                full = make_backup(self.dir / f"full{i}", 1, FULL)
                self.change_manifest(full, change)
                self.bad(str(full), "backup", "verify", full)

    def test_manifests_that_are_no_json_are_refused(self):
        full = self.full()
        text = (full / "manifest.json").read_text()
        for wrong in ("", "{", "[]", "null", text[:-1], text + "x", "\0", "\xff", "[" * 100000,
                      " " * (2 << 20)):
            (full / "manifest.json").write_text(wrong)
            self.bad("manifest.json", "backup", "verify", full)


class Restore(Case):
    def image(self, folder, disk="disk0"):
        return (folder / f"{disk}.img").read_bytes()

    def expected(self, *backups):
        image = bytearray(SIZE)
        for ranges in backups:
            for offset, what in ranges:
                new = bytes(what) if isinstance(what, int) else what
                image[offset:offset + len(new)] = new
        return bytes(image)

    def chain(self):
        second = {"disk0": [(0, 65536), (MIB, data(4))], "disk1": [(512, data(5, 512))]}
        third = {"disk0": [(MIB, 2 * MIB), (3 * MIB, data(6, 512))], "disk1": []}
        folders = [self.full(), make_backup(self.dir / "second", 2, second, IDS[1]),
                   make_backup(self.dir / "third", 3, third, IDS[2])]
        return folders, {disk: self.expected(FULL[disk], second[disk], third[disk])
                         for disk in FULL}

    def test_a_full_backup(self):
        out = self.dir / "out"
        self.assertEqual(run("backup", "restore", "--output", out, self.full()),
                         (0, f"{out}/disk0.img\n{out}/disk1.img\n", ""))
        self.assertEqual(self.image(out), self.expected(FULL["disk0"]))
        self.assertEqual(self.image(out, "disk1"), bytes(SIZE))

    def test_a_chain_in_any_order(self):
        folders, images = self.chain()
        for i, order in enumerate(([0, 1, 2], [2, 1, 0], [1, 2, 0])):
            out = self.dir / f"out{i}"
            status, _, err = run("backup", "restore", "--output", out,
                                 *[folders[k] for k in order])
            self.assertEqual((status, err), (0, ""))
            for disk, image in images.items():
                self.assertEqual(self.image(out, disk), image)

    def test_a_parent_that_is_missing_is_named(self):
        folders, _ = self.chain()
        out = self.dir / "out"
        self.bad(IDS[1], "backup", "restore", "--output", out, *folders[1:])
        self.bad(IDS[2], "backup", "restore", "--output", out, folders[0], folders[2])
        self.bad("each once", "backup", "restore", "--output", out, folders[0], folders[0])
        self.assertFalse(out.exists())

    def test_backups_of_other_disks_do_not_fit(self):
        full = self.full()
        other = make_backup(self.dir / "other", 2, {"disk7": []}, IDS[1])
        self.bad("no disk 'disk7'", "backup", "restore", "--output", self.dir / "out", full, other)

    def test_nothing_is_left_of_what_is_damaged(self):
        folders, _ = self.chain()
        with open(folders[1] / "disk1.inc", "r+b") as file:
            file.seek(600)
            file.write(b"x")
        out = self.dir / "out"
        self.bad("disk1.inc: damaged", "backup", "restore", "--output", out, *folders)
        self.assertFalse(out.exists())

    def test_no_image_is_overwritten(self):
        out = self.dir / "out"
        out.mkdir()
        (out / "disk1.img").write_text("precious")
        self.bad("File exists", "backup", "restore", "--output", out, self.full())
        self.assertEqual([p.name for p in out.iterdir()], ["disk1.img"])
        self.assertEqual((out / "disk1.img").read_text(), "precious")


class List(Case):
    def test_backups_of_a_folder_are_listed(self):
        self.full()
        make_backup(self.dir / "second", 2, {"disk0": [(0, data(4))], "disk1": []}, IDS[1])
        (self.dir / "other").mkdir()
        status, out, err = run("backup", "list", self.dir)
        self.assertEqual((status, err), (0, ""))
        rows = [[c.strip() for c in line.split("  ") if c.strip()] for line in out.splitlines()]
        self.assertEqual(rows[1][:7], ["2026-11-23T16:20:11.482Z", "web1", "full", "application",
                                       "38 ms", "2", "1.1 MiB"])
        self.assertEqual(rows[2][2], "incremental")
        listed = json.loads(run("--json", "backup", "list", self.dir)[1])["backups"]
        self.assertEqual([b["id"] for b in listed], [IDS[1], IDS[2]])

    def test_a_folder_that_is_not_there(self):
        self.bad("No such file", "backup", "list", self.dir / "none")


class Create(Case):
    def setUp(self):
        super().setUp()
        self.path = str(self.dir / "socket")
        self.disks = FULL
        self.manifest = None
        self.server = self.enterContext(FakeManager(self.path, {
            "devices": {"disks": [{"id": "disk0", "backup": True}, {"id": "cd", "backup": False},
                                  {"disk": "disk1", "backup": True}]},
            "events": {}, "backup-start": self.back_up}))

    def back_up(self, params, connection):
        fds = self.server.fds
        try:
            self.assertEqual(len(fds), 2 * len(params["disks"]))
            for i, disk in enumerate(params["disks"]):
                self.assertEqual([os.fstat(fd).st_size for fd in fds[2 * i:2 * i + 2]], [0, 0])
                with os.fdopen(os.dup(fds[2 * i]), "wb") as image:
                    write_image(image, self.disks[disk])
                os.write(fds[2 * i + 1], map_of(self.disks[disk]))
                connection.event(event="backup-progress", phase="copying", disk=disk,
                                 done_bytes=1, total_bytes=2)
        finally:
            close_all(fds)
        manifest = manifest_of(3, {d: self.disks[d] for d in params["disks"]},
                               params.get("parent"), named=False)
        return {"manifest": manifest if self.manifest is None else self.manifest}

    def create(self, *arguments):
        return run("--socket", self.path, "backup", "create", *arguments)

    def asked(self):
        return [params for method, params in self.server.asked if method == "backup-start"]

    def test_a_full_backup_is_intact_and_can_be_restored(self):
        folder = self.dir / "new"
        status, out, err = self.create(folder)
        self.assertEqual((status, err), (0, ""))
        self.assertIn("full", out)
        self.assertEqual(self.asked(), [{"disks": ["disk0", "disk1"]}])
        self.assertEqual(sorted(p.name for p in folder.iterdir()),
                         ["disk0.img", "disk0.map", "disk1.img", "disk1.map", "manifest.json"])
        self.assertEqual(run("backup", "verify", folder)[0], 0)
        self.assertEqual(run("backup", "restore", "--output", self.dir / "out", folder)[0], 0)
        self.assertEqual(folder.stat().st_mode & 0o777, 0o700)

    def test_an_incremental_one(self):
        full = self.full()
        folder = self.dir / "new"
        status, out, err = self.create("--parent", full, "--consistency", "crash", "--rate", "1M",
                                       folder)
        self.assertEqual((status, err), (0, ""))
        self.assertIn("incremental", out)
        self.assertEqual(self.asked(), [{"disks": ["disk0", "disk1"], "parent": IDS[1],
                                         "consistency": "crash", "max_bytes_per_s": MIB}])
        self.assertTrue((folder / "disk0.inc").exists())
        self.assertEqual(run("backup", "verify", folder)[0], 0)
        self.assertEqual(run("backup", "restore", "--output", self.dir / "out", full, folder)[0],
                         0)

    def test_single_disks(self):
        status, out, _ = run("--json", "--socket", self.path, "backup", "create", "--disk", "disk1",
                             self.dir / "new")
        self.assertEqual(status, 0)
        self.assertEqual(json.loads(out)["disks"][0]["image"], "disk1.img")
        self.assertEqual(self.asked(), [{"disks": ["disk1"]}])

    def test_nothing_is_left_of_what_has_failed(self):
        def fail(*_):
            close_all(self.server.fds)
            raise Error(10, "no room")
        folder = self.dir / "new"
        self.server.answers["backup-start"] = fail
        self.assertEqual(self.create(folder), (1, "", "hvctl: no room\n"))
        self.assertFalse(folder.exists())

    def test_a_manifest_that_makes_no_sense_is_none(self):
        folder = self.dir / "new"
        other = manifest_of(3, {"disk1": [], "disk0": []}, named=False)
        for manifest in ({}, 7, [], {"disks": []}, other, {**other, "disks": None}):
            self.manifest = manifest
            status, _, err = self.create(folder)
            self.assertEqual(status, 1)
            self.assertIn("makes no sense", err)
            self.assertFalse(folder.exists())

    def test_no_file_is_overwritten(self):
        full = self.full()
        before = {p.name: p.read_bytes() for p in full.iterdir()}
        status, _, err = self.create(full)
        self.assertEqual(status, 1)
        self.assertIn("File exists", err)
        self.assertEqual({p.name: p.read_bytes() for p in full.iterdir()}, before)
        self.assertEqual(self.asked(), [])

    def test_a_parent_that_is_no_backup_is_refused(self):
        self.assertEqual(self.create("--parent", self.dir, self.dir / "new")[0], 1)
        self.assertEqual(self.server.asked, [])

    def test_a_machine_without_disks_to_back_up(self):
        self.server.answers["devices"] = {"disks": [{"id": "cd", "backup": False}]}
        status, _, err = self.create(self.dir / "new")
        self.assertEqual(status, 1)
        self.assertIn("no disk that can be backed up", err)

    def test_names_of_disks_lead_to_no_other_folder(self):
        self.server.answers["devices"] = {"disks": [{"id": "../x", "backup": True}]}
        self.assertEqual(self.create(self.dir / "new")[0], 2)
        self.assertEqual([p.name for p in self.dir.iterdir()], ["socket"])


if __name__ == "__main__":
    HVCTL = sys.argv[1]
    program = unittest.main(argv=sys.argv[:1], exit=False)
    if not program.result.wasSuccessful() or program.result.testsRun < 25:
        sys.exit(1)
