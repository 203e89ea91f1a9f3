#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""usage: test_hvctl.py HVCTL COMPLETION

hvctl against a machine that says what the test wants: what it asks for, what it prints, and what it
makes of answers that are wrong.
"""

import base64
import json
import os
import pty
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
from fakemanager import Error, FakeManager  # noqa: E402

HVCTL = ""
COMPLETION = ""
OK = {"code": 2, "name": "OK"}
HEARTBEAT = {"service": "heartbeat", "name": "Heartbeat", "enabled": True, "primary": OK,
             "secondary": None, "version": "3.0"}
INFO = {"name": "web1", "uuid": "0b5f3c1e-6d0a-4f7e-9a53-5f2f6f0d8c11", "state": "running",
        "vmbus": "5.3", "guest_os": {"name": "Linux", "version": "6.1"}, "os": None,
        "addresses": {"ipv4": ["192.0.2.7"], "ipv6": []},
        "heartbeat": {"primary": OK, "up_ms": 81000}}
DEVICES = {"disks": [{"disk": "disk0", "file": "/a.img", "controller": 0, "lun": 1, "optical": False,
                      "read-only": True, "bytes": 1 << 30, "backup": True}],
           "nets": [{"net": "net0", "backend": "tap", "target": "vm0", "mac": "00:15:5d:00:00:01",
                     "link-up": True, "channels": 2,
                     "counters": {"from-bytes": 2048, "to-bytes": 10}}]}
HERE = os.getcwd()

# Command line, method, parameters, answer, and what is printed.
COMMANDS = [
    ("info", "info", None, INFO,
     "Name            web1\n"
     "UUID            0b5f3c1e-6d0a-4f7e-9a53-5f2f6f0d8c11\n"
     "State           running\n"
     "VMBus           5.3\n"
     "Kernel          Linux 6.1\n"
     "IPv4 addresses  192.0.2.7\n"
     "Heartbeat       OK\n"
     "Guest up for    00:01:21\n"),
    ("version", "version", None, {"protocol": 1, "server": "hvrun 1", "role": "operator"},
     "Protocol   1\nServer     hvrun 1\nYour role  operator\n"),
    ("methods", "methods", None, {"methods": [{"name": "info", "allowed": True},
                                              {"name": "freeze", "allowed": False}]},
     "Method  Allowed\ninfo    yes\nfreeze  no\n"),
    ("metrics", "metrics", None, {"text": "# HELP a\na 1\n# EOF\n"}, "# HELP a\na 1\n# EOF\n"),
    ("services", "services", None, {"services": [HEARTBEAT, {"name": "Guest Service Interface",
     "service": "file-copy", "enabled": False, "primary": {"code": 32896, "name": "Disabled"}}]},
     "Name                     Service    Enabled  Primary status  Secondary status  Version\n"
     "Heartbeat                heartbeat  True     OK              -                 3.0\n"
     "Guest Service Interface  file-copy  False    Disabled        -                 -\n"),
    ("service enable kvp", "service-enable", {"service": "kvp", "enabled": True}, {}, ""),
    ("service disable kvp", "service-enable", {"service": "kvp", "enabled": False}, {}, ""),
    ("heartbeat", "heartbeat", None,
     {**HEARTBEAT, "application": "healthy", "beats": 40, "missed": 1, "last_beat_ms": 1500,
      "up_ms": 90061000},
     "Primary status  OK\nApplications    healthy\nBeats           40\nMissed          1\n"
     "Last beat       1.5 s ago\nGuest up for    1 days 01:01:01\n"),
    ("time-sync --timeout 0.5", "time-sync", {"timeout_ms": 500}, {}, ""),
    ("shutdown", "shutdown", {"action": "power-off"}, {}, ""),
    ("restart --force --reason now --grace 30 --timeout 5", "shutdown",
     {"action": "restart", "force": True, "reason": "now", "guest_timeout_s": 30,
      "timeout_ms": 5000}, {}, ""),
    ("hibernate", "shutdown", {"action": "hibernate"}, {}, ""),
    ("kvp list", "kvp-list", {"pool": "auto"},
     {"items": [{"key": "OSName", "value": "Debian"}, {"key": "K", "value": ""}],
      "complete": True, "age_ms": 10}, "Key     Value\nOSName  Debian\nK       \n"),
    ("kvp list --pool guest --refresh", "kvp-list", {"pool": "guest", "refresh": True},
     {"items": [], "complete": True, "age_ms": 10}, "Key  Value\n"),
    ("kvp get OSName", "kvp-get", {"pool": "auto", "key": "OSName"}, {"value": "Debian"},
     "Debian\n"),
    ("kvp set color blue", "kvp-set", {"key": "color", "value": "blue"}, {"delivered": True}, ""),
    ("kvp set --pool auto-external a -- -b", "kvp-set",
     {"pool": "auto-external", "key": "a", "value": "-b"}, {"delivered": True}, ""),
    ("kvp delete color", "kvp-delete", {"key": "color"}, {"delivered": True}, ""),
    ("ip get net0", "ip-get", {"net": "net0"},
     {"dhcp": True, "addresses": ["192.0.2.7/24", "fe80::1/64"], "gateways": ["192.0.2.1"],
      "dns": []},
     "DHCP       yes\nAddresses  192.0.2.7/24\n           fe80::1/64\nGateways   192.0.2.1\n"),
    ("ip get 00:15:5D:00:00:01 --timeout 9", "ip-get",
     {"mac": "00:15:5D:00:00:01", "timeout_ms": 9000}, {"dhcp": False}, "DHCP  no\n"),
    ("ip set net0 --dhcp", "ip-set", {"net": "net0", "dhcp": True}, {}, ""),
    ("ip set net0 --address 192.0.2.7/24 --address fe80::1/64 --gateway 192.0.2.1 --dns 192.0.2.2",
     "ip-set", {"net": "net0", "addresses": ["192.0.2.7/24", "fe80::1/64"],
                "gateways": ["192.0.2.1"], "dns": ["192.0.2.2"]}, {}, ""),
    ("thaw", "thaw", None, {"frozen_ms": 38}, "The guest was frozen for 38 ms.\n"),
    ("backup status", "backup-status", None,
     {"active": True, "id": "x", "phase": "copying", "done_bytes": 1024, "total_bytes": 2048},
     "Active  yes\nBackup  x\nPhase   copying\nCopied  1.0 KiB\nOf      2.0 KiB\n"),
    ("backup cancel", "backup-cancel", None, {}, ""),
    ("backup check", "backup-check", None, {"application": False, "reason": "no daemon"},
     "The guest can't be frozen: no daemon. Backups are crash-consistent.\n"),
    ("disk list", "devices", None, DEVICES,
     "Disk   Kind  Place  Size     Mode       Can back up  File\n"
     "disk0  disk  0:1    1.0 GiB  read-only  yes          /a.img\n"),
    ("disk add a.img,id=a", "disk-add", {"disk": f"{HERE}/a.img,id=a"}, {"disk": "a"}, "a\n"),
    ("disk add /a.img", "disk-add", {"disk": "/a.img"}, {"disk": "a"}, "a\n"),
    ("disk add nbd://host/x", "disk-add", {"disk": "nbd://host/x"}, {"disk": "a"}, "a\n"),
    ("disk remove a", "disk-remove", {"disk": "a"}, {}, ""),
    ("disk resize a 2G", "disk-resize", {"disk": "a", "size": "2G"}, {}, ""),
    ("disk resize a", "disk-resize", {"disk": "a"}, {}, ""),
    ("disk read-only a", "disk-read-only", {"disk": "a", "on": True}, {}, ""),
    ("disk read-only --off a", "disk-read-only", {"disk": "a", "on": False}, {}, ""),
    ("disk limit a --iops 1K --bps 2M", "disk-limit",
     {"disk": "a", "iops": 1024, "bps": 2 << 20}, {}, ""),
    ("disk fault a error=io", "disk-fault", {"disk": "a", "rules": "error=io"}, {}, ""),
    ("disk insert cd /x.iso", "medium-insert", {"disk": "cd", "file": "/x.iso"}, {}, ""),
    ("disk insert cd x.iso", "medium-insert", {"disk": "cd", "file": f"{HERE}/x.iso"}, {}, ""),
    ("disk eject cd", "medium-eject", {"disk": "cd"}, {}, ""),
    ("disk eject --force cd", "medium-eject", {"disk": "cd", "force": True}, {}, ""),
    ("net list", "devices", None, DEVICES,
     "Adapter  MAC                Link  Backend  Channels  Sent     Received\n"
     "net0     00:15:5d:00:00:01  up    tap:vm0  2         2.0 KiB  10 B\n"),
    ("net add user,id=n", "net-add", {"net": "user,id=n"}, {"net": "n"}, "n\n"),
    ("net remove n", "net-remove", {"net": "n"}, {}, ""),
    ("net link n down", "net-link", {"net": "n", "up": False}, {}, ""),
    ("net link n up", "net-link", {"net": "n", "up": True}, {}, ""),
    ("net policy n", "net-policy", {"net": "n", "policy": None}, {}, ""),
    ("net capture n /c.pcapng --max-bytes 1M", "net-capture",
     {"net": "n", "file": "/c.pcapng", "max-bytes": 1 << 20}, {}, ""),
    ("net capture n", "net-capture", {"net": "n"}, {}, ""),
    ("net mirror n m", "net-mirror", {"net": "n", "to": "m"}, {}, ""),
    ("net mirror n", "net-mirror", {"net": "n"}, {}, ""),
    ("net forward n tcp:22:22", "net-forward", {"net": "n", "forward": "tcp:22:22"}, {}, ""),
    ("net unforward n tcp:22:22", "net-unforward", {"net": "n", "forward": "tcp:22:22"}, {}, ""),
]

# Command lines that are wrong, and what is said.
WRONG = [
    ("", "no command given"),
    ("nonsense", "there is no command 'nonsense'"),
    ("--nonsense", "unrecognized option"),
    ("kvp", "hvctl kvp list"),
    ("kvp nonsense", "hvctl kvp set"),
    ("info extra", "too many arguments"),
    ("info -f", "invalid option"),
    ("kvp get", "something is missing: usage: hvctl kvp get"),
    ("kvp set a", "something is missing"),
    ("kvp set --refresh a b", "unrecognized option"),
    ("time-sync --timeout x", "give a number of seconds"),
    ("time-sync --timeout -1", "give a number of seconds"),
    ("time-sync --timeout nan", "give a number of seconds"),
    ("shutdown --wait=x", "give a number of seconds"),
    ("ip set net0", "give --dhcp, or an --address"),
    ("net link n sideways", "give up or down"),
    ("net policy n /nonexistent", "can't be read, or is not a JSON object"),
    ("disk limit a --bps 1X", "give a number of bytes"),
    ("disk limit a --bps 99999999999T", "give a number of bytes"),
    ("call info [1]", "must be a JSON object"),
    ("call info {", "must be a JSON object"),
    ("copy-file /nonexistent relative", "give a full path in the guest"),
    ("copy-file - /tmp/", "needs a name"),
    ("copy-file / /tmp/x", "this is a directory"),
    ("backup restore /x", "--output"),
    ("backup create", "something is missing"),
    ("backup create --disk a/b /x", "no file can be called so"),
    ("backup create --disk a --disk a /x", "named twice"),
]

# Errors of the machine, and the exit status.
ERRORS = [
    (-32700, 1), (-32600, 1), (-32601, 1), (-32602, 2), (-32603, 1), (1, 4), (2, 1), (3, 1), (4, 1),
    (5, 5), (6, 6), (7, 5), (8, 5), (9, 1), (10, 1), (11, 1), (12, 1), (99, 1),
]

# What is no answer: the machine says this, and closes the connection.
RUBBISH = [
    (b"", "closed"),
    (b"HTTP/1.1 400 Bad Request\r\n\r\n", "not JSON"),
    (b"\xff\xfe\0\0\n", "not JSON"),
    (b"[]\n", "not JSON"),
    (b"{\n", "not JSON"),
    (b"{} {}\n", "not JSON"),
    (b"\n", "not JSON"),
    (b"[" * 100000 + b"\n", "not JSON"),
    (b'{"jsonrpc":"2.0","id":1}\n', "without a result"),
    (b'{"jsonrpc":"2.0","id":1,"result":[]}\n', "without a result"),
    (b'{"jsonrpc":"2.0","id":1,"result":7}\n', "without a result"),
    (b'{"jsonrpc":"2.0","id":7,"result":{}}\n', "closed"),
    (b'{"jsonrpc":"2.0","id":1,"res', "closed"),
    (b'{"jsonrpc":"2.0","id":1,"error":{}}\n', "not why"),
    (b'{"jsonrpc":"2.0","id":1,"error":{"code":"x","message":7}}\n', "not why"),
    (b'{"jsonrpc":"2.0","method":"event"}\n{"jsonrpc":"2.0","method":"event","params":3}\n',
     "closed"),
]

# Results that have nothing, or the wrong things, in them.
ODD = [{}, {"services": 1}, {"services": [1, None, {"name": 7}]}, {"items": [[]]}, {"disks": {}},
       {"nets": [3]}, {"methods": [None]}, {"value": 1}, {"text": []}, {"heartbeat": []},
       {"addresses": {"ipv4": [1, None]}}, {"items": [{"key": None, "value": {}}]},
       {"disks": [{"lun": -3, "bytes": -1}]}, {"frozen_ms": "x"}, {"up_ms": 1e300}]


def run(*arguments, stdin=None, env=None):
    environment = {k: v for k, v in os.environ.items() if k != "XDG_RUNTIME_DIR"}
    environment.update(LC_ALL="C.UTF-8", **(env or {}))
    done = subprocess.run([HVCTL, *map(str, arguments)], input=stdin, capture_output=True,
                          timeout=60, env=environment, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dir = Path(folder.name)
        self.path = str(self.dir / "socket")

    def serve(self, answers, **options):
        server = FakeManager(self.path, answers, **options)
        self.enterContext(server)
        return server

    def run_ok(self, *arguments, **options):
        status, out, err = run("--socket", self.path, *arguments, **options)
        self.assertEqual((status, err), (0, ""))
        return out


class Commands(Case):
    def test_each_command_asks_for_the_right_thing_and_shows_the_answer(self):
        answers = {}
        server = self.serve(answers)
        for line, method, params, result, out in COMMANDS:
            with self.subTest(line):
                answers.clear()
                answers[method] = result
                server.asked.clear()
                self.assertEqual(self.run_ok(*line.split()), out)
                self.assertEqual(server.asked, [(method, params)])

    def test_json_is_the_answer(self):
        answers = {}
        self.serve(answers)
        for line, method, _, result, _ in COMMANDS:
            with self.subTest(line):
                answers.clear()
                answers[method] = result
                for arguments in ["--json", *line.split()], [*line.split(), "--json"]:
                    if "--" not in arguments or arguments[0] == "--json":
                        self.assertEqual(json.loads(self.run_ok(*arguments)), result)

    def test_each_command_explains_itself(self):
        for line, *_ in COMMANDS:
            words = [w for w in line.split()[:2] if w.isalpha() or "-" in w[1:]]
            status, out, err = run(*words[:1], *(words[1:2] if line.split()[0] in GROUPS else []),
                                   "--help")
            self.assertEqual((status, err), (0, ""), line)
            self.assertIn("Usage: hvctl", out)

    def test_wrong_command_lines_are_refused_before_anything_is_asked(self):
        server = self.serve({})
        for line, message in WRONG:
            with self.subTest(line):
                status, out, err = run("--socket", self.path, *line.split(), stdin=b"")
                self.assertEqual((status, out), (2, ""))
                self.assertIn(message, err)
        self.assertEqual(server.asked, [])

    def test_any_method_can_be_called(self):
        server = self.serve({"x": {"y": [1]}})
        self.assertEqual(json.loads(self.run_ok("call", "x", '{"a": 1}')), {"y": [1]})
        self.assertEqual(server.asked, [("x", {"a": 1})])

    def test_a_policy_comes_from_a_file(self):
        server = self.serve({"net-policy": {}})
        (self.dir / "policy").write_text('{"vlan": 7}')
        self.run_ok("net", "policy", "n", self.dir / "policy")
        self.run_ok("net", "policy", "n", "-", stdin=b'{"vlan": 8}')
        self.assertEqual([p["policy"]["vlan"] for _, p in server.asked], [7, 8])

    def test_who_sets_a_pair_hears_that_the_guest_is_not_there(self):
        self.serve({"kvp-set": {"delivered": False}})
        status, out, err = run("-s", self.path, "kvp", "set", "a", "b")
        self.assertEqual((status, out), (0, ""))
        self.assertIn("the guest is not there", err)

    def test_what_is_old_or_not_all_is_said(self):
        answer = {"items": [], "complete": False, "age_ms": 1}
        self.serve({"kvp-list": lambda *_: answer})
        for change, message in (({}, "not all"), ({"age_ms": None}, "never said"),
                                ({"complete": True, "age_ms": 100000}, "00:01:40 ago")):
            answer.update(change)
            self.assertIn(message, run("-s", self.path, "kvp", "list")[2])


GROUPS = {line.split()[0] for line, *_ in COMMANDS} & {"service", "kvp", "ip", "disk", "net",
                                                       "backup"}


class Errors(Case):
    def test_errors_have_an_exit_status_of_their_kind(self):
        def fail(code):
            raise Error(code, "because\x1b[31m")
        answers = {}
        self.serve(answers)
        for code, want in ERRORS:
            with self.subTest(code):
                answers["info"] = lambda *_, code=code: fail(code)
                status, out, err = run("--socket", self.path, "info")
                self.assertEqual((status, out), (want, ""))
                if code != -32601:
                    self.assertEqual(err, "hvctl: because\\u001b[31m\n")

    def test_who_is_denied_hears_which_role_is_needed(self):
        def deny(*_):
            raise Error(1, "access denied", {"needs": ["operator", "administrator"]})
        self.serve({"thaw": deny})
        status, _, err = run("--socket", self.path, "thaw")
        self.assertEqual(status, 4)
        self.assertIn("access denied; this needs the role of: operator, administrator", err)

    def test_who_is_turned_away_at_the_door_hears_why(self):
        self.serve({}, greeting=b'{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":'
                                b'"access denied"}}\n')
        status, _, err = run("--socket", self.path, "info")
        self.assertEqual((status, err), (4, "hvctl: access denied\n"))

    def test_a_method_that_is_not_there_is_named(self):
        self.serve({})
        self.assertIn("does not know 'metrics'", run("-s", self.path, "metrics")[2])

    def test_no_connection(self):
        for path, message in ((self.path, "no such socket"), ("/dev/null", "nobody listens"),
                              ("/" + "x" * 200, "too long")):
            status, _, err = run("--socket", path, "info")
            self.assertEqual(status, 2 if message == "too long" else 3)
            self.assertIn(message, err)

    def test_rubbish_is_called_so(self):
        for i, (raw, message) in enumerate(RUBBISH):
            with self.subTest(raw[:60]):
                path = f"{self.path}{i}"
                with FakeManager(path, {}, raw=raw):
                    status, out, err = run("--socket", path, "info")
                self.assertIn(status, (1, 3))
                self.assertEqual(out, "")
                self.assertIn(message, err)

    def test_odd_results_break_nothing(self):
        answers = {}
        self.serve(answers)
        for line, method, _, _, out in COMMANDS:
            for odd in ODD if out else ():
                answers.clear()
                answers[method] = odd
                status, _, err = run("--socket", self.path, *line.split())
                self.assertEqual(status, 0, (line, odd, err))

    def test_a_huge_answer_is_shown(self):
        items = [{"key": f"k{i}", "value": "v" * 1000} for i in range(20000)]
        self.serve({"kvp-list": {"items": items, "complete": True, "age_ms": 0}})
        self.assertEqual(len(self.run_ok("kvp", "list").splitlines()), 20001)

    def test_an_answer_without_end_is_not_read_to_the_end(self):
        self.serve({}, raw=b"x" * (80 << 20))
        status, _, err = run("--socket", self.path, "info")
        self.assertEqual(status, 3)
        self.assertIn("too long", err)

    def test_output_that_cannot_be_written_is_an_error(self):
        self.serve({"info": INFO})
        with open("/dev/full", "w", encoding="ascii") as full:
            done = subprocess.run([HVCTL, "-s", self.path, "info"], stdout=full,
                                  stderr=subprocess.PIPE, check=False, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"can't write", done.stderr)


class HostileText(Case):
    TEXTS = [("\x1b[2J\x07", "\\u001b[2J\\u0007"), ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
             ("\x9b31m", "\\u009b31m"), ("\x7f", "\\u007f"), ("\u202eabc", "\\u202eabc"),
             ("\u2066x", "\\u2066x"), ("\u200b", "\\u200b"), ("caf\u00e9 \U0001f600",) * 2]

    def test_control_characters_of_guests_do_not_reach_the_terminal(self):
        item = {}
        self.serve({"kvp-list": {"items": [item], "complete": True, "age_ms": 0},
                    "kvp-get": item, "info": {"os": {"name": item}}})
        for text, shown in self.TEXTS:
            item.update(key=text, value=text)
            self.assertEqual(self.run_ok("kvp", "list").splitlines()[1].split("  ")[0], shown)
            self.assertEqual(self.run_ok("kvp", "get", "x"), shown + "\n")

    def test_json_has_them_escaped_and_still_says_the_same(self):
        answer = {}
        self.serve({"kvp-get": answer})
        for text, _ in self.TEXTS:
            answer["value"] = text
            out = self.run_ok("--json", "kvp", "get", "x")
            self.assertEqual(json.loads(out), answer)
            self.assertFalse(set(out) & set("\x1b\x07\x9b\x7f\r\u202e\u2066\u200b"), out)

    def test_columns_are_as_wide_as_they_look(self):
        self.serve({"kvp-list": {"items": [{"key": "\u65e5\u672c", "value": "1"},
                                           {"key": "e\u0301", "value": "2"},
                                           {"key": "wide", "value": "3"}],
                                 "complete": True, "age_ms": 0}})
        self.assertEqual(self.run_ok("kvp", "list"),
                         "Key   Value\n\u65e5\u672c  1\ne\u0301     2\nwide  3\n")

    def test_bytes_that_are_not_utf8_are_shown_as_such(self):
        self.serve({}, raw=b'{"jsonrpc":"2.0","id":1,"result":{"value":"a\xff\xc3"}}\n')
        self.assertEqual(self.run_ok("kvp", "get", "x"), "a\\xff\\xc3\n")


class Machines(Case):
    def setUp(self):
        super().setUp()
        (self.dir / "hvstack").mkdir()
        self.env = {"XDG_RUNTIME_DIR": str(self.dir)}

    def machine(self, name, **info):
        path = str(self.dir / "hvstack" / f"{name}.sock")
        return self.enterContext(FakeManager(path, {"info": {**INFO, "name": name, **info}}))

    def test_all_are_listed(self):
        self.machine("web1")
        self.machine("web2", os={"name": "Debian"}, state="paused")
        (self.dir / "hvstack" / "no-socket").write_text("")
        status, out, err = run("list", env=self.env)
        self.assertEqual((status, err), (0, ""))
        folder = self.dir / "hvstack"
        rows = [line.split("  ") for line in out.splitlines()]
        rows = [[cell.strip() for cell in row if cell] for row in rows]
        self.assertEqual(rows, [["Name", "State", "Guest", "Heartbeat", "Socket"],
                                ["web1", "running", "Linux 6.1", "OK", f"{folder}/web1.sock"],
                                ["web2", "paused", "Debian", "OK", f"{folder}/web2.sock"]])
        machines = json.loads(run("list", "--json", env=self.env)[1])["machines"]
        self.assertEqual([m["info"]["name"] for m in machines], ["web1", "web2"])

    def test_one_alone_need_not_be_named(self):
        server = self.machine("web1")
        self.assertEqual(run("info", env=self.env)[0], 0)
        self.assertEqual([m for m, _ in server.asked], ["info", "info"])

    def test_of_several_one_has_to_be_named(self):
        self.machine("web1")
        self.machine("web2", uuid="11111111-6d0a-4f7e-9a53-5f2f6f0d8c11")
        self.assertEqual(run("info", env=self.env)[0], 2)
        for name in "web2", "11111111-6d0a-4f7e-9a53-5f2f6f0d8c11", "web2.sock":
            status, out, _ = run("-m", name, "info", env=self.env)
            self.assertEqual(status, 0)
            self.assertIn("web2", out)
        status, _, err = run("info", "--machine", "web3", env=self.env)
        self.assertEqual(status, 3)
        self.assertIn("no machine 'web3'", err)

    def test_no_machine_at_all(self):
        status, _, err = run("info", env=self.env)
        self.assertEqual(status, 3)
        self.assertIn("no machine is running", err)
        self.assertEqual(run("list", env=self.env)[0], 0)

    def test_one_that_has_ended_is_shown_and_not_taken(self):
        self.machine("web1")
        left = FakeManager(str(self.dir / "hvstack" / "old.sock"), {})
        left.__exit__()
        self.assertIn("not running", run("list", env=self.env)[1])
        self.assertEqual(run("info", env=self.env)[0], 0)


class Waiting(Case):
    def test_shutdown_waits_until_the_machine_has_ended(self):
        def shutdown(_, connection):
            connection.hang_up = True
            return {}
        self.serve({"shutdown": shutdown})
        self.run_ok("shutdown", "--wait")

    def test_shutdown_waits_no_longer_than_told(self):
        self.serve({"shutdown": {}})
        status, _, err = run("-s", self.path, "shutdown", "--wait=0.1")
        self.assertEqual(status, 5)
        self.assertIn("still running", err)

    def test_events_are_printed_until_the_end(self):
        def events(params, connection):
            self.assertIsNone(params)
            connection.event(event="service-status", time="T1", **HEARTBEAT)
            connection.event(event="kvp-changed", time="T2", pool="auto",
                             changed=[{"key": "a\x1b", "value": None}])
            connection.event(event="medium-ejected", disk="cd\n")
            connection.hang_up = True
            return {}
        self.serve({"events": events})
        self.assertEqual(self.run_ok("events", "-f").splitlines(), [
            "T1 service-status Heartbeat: OK",
            'T2 kvp-changed pool=auto changed=[{"key":"a\\u001b","value":null}]',
            "- medium-ejected disk=cd\\n"])
        lines = self.run_ok("--json", "events").splitlines()
        self.assertEqual([json.loads(line)["event"] for line in lines],
                         ["service-status", "kvp-changed", "medium-ejected"])

    def test_events_between_question_and_answer_do_no_harm(self):
        def info(_, connection):
            connection.event(event="x")
            connection.send({"jsonrpc": "2.0", "id": 99, "result": {"name": "wrong"}})
            return INFO
        self.serve({"info": info})
        self.assertIn("web1", self.run_ok("info"))


class Freeze(Case):
    def setUp(self):
        super().setUp()
        self.server = self.serve({"freeze": {"hold_ms": 10000}, "thaw": {"frozen_ms": 5}})

    def methods(self):
        return [m for m, _ in self.server.asked]

    def test_a_program_runs_while_the_guest_is_frozen(self):
        out = self.run_ok("freeze", "--hold", "9", "--timeout", "3", "--", "sh", "-c", "echo in -x")
        self.assertEqual(out, "in -x\nThe guest was frozen for 5 ms.\n")
        self.assertEqual(self.server.asked[0], ("freeze", {"hold_ms": 9000, "timeout_ms": 3000}))
        self.assertEqual(self.methods(), ["freeze", "thaw"])

    def test_the_guest_is_thawed_when_the_program_fails(self):
        for program in (["false"], ["/nonexistent"]):
            self.server.asked.clear()
            self.assertEqual(run("-s", self.path, "freeze", "--", *program)[0], 1)
            self.assertEqual(self.methods(), ["freeze", "thaw"])

    def test_enter_thaws(self):
        status, out, _ = run("-s", self.path, "freeze", stdin=b"\n")
        self.assertEqual((status, out), (0, "The guest was frozen for 5 ms.\n"))

    def test_what_cannot_be_frozen_runs_no_program(self):
        def refuse(*_):
            raise Error(5, "no daemon")
        self.server.answers["freeze"] = refuse
        self.assertEqual(run("-s", self.path, "freeze", "--", "touch", self.dir / "x")[0], 5)
        self.assertFalse((self.dir / "x").exists())


class CopyFile(Case):
    PIECE = 6144

    def setUp(self):
        super().setUp()
        self.data = b""
        self.refuse = 0
        self.server = self.serve({"copy-file-start": self.start, "copy-file-write": self.write,
                                  "copy-file-finish": {}})

    def start(self, _params, _connection):
        return {"piece": self.PIECE}

    def write(self, params, _connection):
        if self.refuse:
            self.refuse -= 1
            raise Error(11, "too many")
        piece = base64.b64decode(params["data"], validate=True)
        self.assertLessEqual(len(piece), self.PIECE)
        self.data += piece
        return {"written": len(self.data)}

    def test_the_guest_gets_what_the_file_has(self):
        for size in 0, 1, self.PIECE - 1, self.PIECE, self.PIECE + 1, 100000:
            self.data = b""
            content = os.urandom(size)
            (self.dir / "file").write_bytes(content)
            self.run_ok("copy-file", self.dir / "file", "/tmp/")
            self.assertEqual(self.data, content)
            self.assertEqual(self.server.asked[-1], ("copy-file-finish", None))

    def test_names_in_the_guest(self):
        (self.dir / "file").write_bytes(b"x")
        for target, directory, name in (("/tmp/", "/tmp", "file"), ("/tmp/b", "/tmp", "b"),
                                        ("/b", "/", "b"), ("/", "/", "file"),
                                        ("C:\\", "C:\\", "file"), ("C:\\d\\b", "C:\\d", "b")):
            self.server.asked.clear()
            self.run_ok("copy-file", self.dir / "file", target)
            self.assertEqual(self.server.asked[0],
                             ("copy-file-start", {"directory": directory, "name": name,
                                                  "bytes": 1}))

    def test_options_are_passed_on(self):
        (self.dir / "file").write_bytes(b"x")
        self.run_ok("copy-file", "--overwrite", "--create-path", "--timeout", "7",
                    self.dir / "file", "/d/f")
        self.assertEqual(self.server.asked[0][1],
                         {"directory": "/d", "name": "f", "bytes": 1, "overwrite": True,
                          "create_path": True, "timeout_ms": 7000})

    def test_standard_input_may_be_a_pipe(self):
        self.run_ok("copy-file", "-", "/tmp/x", stdin=b"abc" * 10000)
        self.assertEqual(self.data, b"abc" * 10000)
        self.assertEqual(self.server.asked[0][1]["bytes"], 30000)

    def test_who_is_too_fast_goes_on_later(self):
        self.refuse = 3
        self.run_ok("copy-file", "-", "/tmp/x", stdin=b"abc")
        self.assertEqual(self.data, b"abc")

    def test_an_error_in_the_middle_ends_it(self):
        def full(*_):
            raise Error(6, "no space left in the guest", {"guest_status": 0x80070070})
        self.server.answers["copy-file-write"] = full
        status, _, err = run("-s", self.path, "copy-file", "-", "/tmp/x", stdin=b"abc")
        self.assertEqual((status, err), (6, "hvctl: no space left in the guest\n"))
        self.assertNotIn("copy-file-finish", [m for m, _ in self.server.asked])

    def test_pieces_that_make_no_sense_are_not_taken(self):
        self.server.answers["copy-file-start"] = {"piece": 0}
        self.assertEqual(run("-s", self.path, "copy-file", "-", "/x", stdin=b"a")[0], 3)
        self.server.answers["copy-file-start"] = {"piece": 1 << 62}
        self.PIECE = 1 << 20
        self.run_ok("copy-file", "-", "/tmp/x", stdin=b"a" * 300000)
        self.assertEqual(len(self.data), 300000)

    def test_a_file_that_is_not_there(self):
        status, _, err = run("-s", self.path, "copy-file", self.dir / "none", "/x")
        self.assertEqual(status, 1)
        self.assertIn("No such file", err)
        self.assertEqual(self.server.asked, [])

    def test_progress_is_shown_on_a_terminal(self):
        ours, theirs = pty.openpty()
        done = subprocess.Popen([HVCTL, "-s", self.path, "copy-file", "-", "/tmp/name"],
                                stdin=subprocess.PIPE, stderr=theirs)
        done.communicate(b"a" * 20000, timeout=60)
        os.close(theirs)
        text = os.read(ours, 65536).decode()
        os.close(ours)
        self.assertEqual(done.returncode, 0)
        self.assertIn("name [##############################] 100 %  19.5 KiB of 19.5 KiB", text)


class Completion(unittest.TestCase):
    def complete(self, *words):
        script = ('. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _hvctl; '
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        done = subprocess.run(["bash", "-c", script, "bash", COMPLETION, "hvctl", *words],
                              capture_output=True, timeout=60, check=True)
        self.assertEqual(done.stderr, b"")
        return done.stdout.decode().split()

    def test_it_is_a_script(self):
        subprocess.run(["bash", "-n", COMPLETION], check=True, timeout=60)

    def test_it_knows_all_commands(self):
        names = [line.split("  ")[1].strip() for line in run("--help")[1].splitlines()
                 if line.startswith("  ") and line[2].isalpha()]
        self.assertGreater(len(names), 40)
        for name in names:
            words = name.split()
            self.assertIn(words[0], self.complete(words[0][:2]))
            if len(words) > 1:
                self.assertIn(words[1], self.complete(words[0], ""))

    def test_it_knows_options(self):
        self.assertIn("--json", self.complete("--js"))
        self.assertIn("--wait", self.complete("shutdown", "--w"))
        self.assertIn("--refresh", self.complete("kvp", "list", "--r"))
        self.assertIn("heartbeat", self.complete("service", "enable", "he"))
        self.assertIn("auto-external", self.complete("kvp", "list", "--pool", "auto-"))


if __name__ == "__main__":
    HVCTL, COMPLETION = sys.argv[1:3]
    program = unittest.main(argv=sys.argv[:1], verbosity=1, exit=False)
    if not program.result.wasSuccessful() or program.result.testsRun < 40:
        sys.exit(1)
