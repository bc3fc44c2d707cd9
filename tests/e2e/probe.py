"""A model that looks for a text in everything it can see, and prints where it found it."""

# A script for a container, where a path is text that may hold any byte.
# ruff: noqa: ANN001, ANN201, PTH113, PTH114, PTH115, PTH118, PTH208, T201

import json
import os
import sys
from pathlib import Path

# In two pieces, or the probe would find itself.
TEXT = "CAN" + "ARY"
FORMS = [TEXT.encode(code) for code in ("ascii", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")]
FORMS += [TEXT.lower().encode(), TEXT[::-1].encode(), TEXT.encode().hex().encode()]
PROC = ("environ", "cmdline", "mountinfo", "mounts", "mountstats", "maps", "cgroup", "status", "comm", "stat")
KERNEL = ("proc", "sys")


def look_at(name, content):
    """Note how often the text stands in some bytes."""
    count = sum(content.count(form) for form in FORMS)
    if count:
        found[name] = found.get(name, 0) + count


def walk(top):
    """Look at names, link targets, extended attributes and contents of everything below a folder."""
    for root, folders, files in os.walk(top):
        if root == "/":
            folders[:] = [name for name in folders if name not in KERNEL]
        for name in folders + files:
            path = os.path.join(root, name)
            look_at(f"name of {path}", os.fsencode(name))
            try:
                if os.path.islink(path):
                    look_at(f"target of {path}", os.fsencode(os.readlink(path)))
                    continue
                for key in os.listxattr(path):
                    look_at(f"attribute of {path}", os.fsencode(key) + os.getxattr(path, key))
                if os.path.isfile(path):
                    look_at(path, Path(path).read_bytes())
                    seen.append(path)
            except OSError as error:
                unread.append(f"{path}: {error.strerror}")


found, seen, unread = {}, [], []
job = json.loads(Path("/czrun/job.json").read_text())
walk("/")
for process in [name for name in os.listdir("/proc") if name.isdigit()] + ["self"]:
    for name in PROC:
        try:
            look_at(f"/proc/{process}/{name}", Path(f"/proc/{process}/{name}").read_bytes())
        except OSError:
            continue
for name in ("cmdline", "version", "mounts", "keys", "key-users", "sys/kernel/hostname", "net/unix"):
    try:
        look_at(f"/proc/{name}", Path(f"/proc/{name}").read_bytes())
    except OSError:
        continue
look_at("arguments", " ".join(sys.argv).encode())

classes = job["dataset"].pop("classes")
rest = json.dumps(job)
report = {
    "found": found,
    "in_classes": sum(name.count(TEXT) for name in classes),
    "in_the_rest_of_the_job": rest.count(TEXT) + rest.lower().count(TEXT.lower()),
    "unread": [line for line in unread if line.startswith("/czrun")],
    "seen": [path for path in seen if path.startswith("/czrun")],
}
print("REPORT " + json.dumps(report))
raise SystemExit(0 if job["verb"] == "fit" else 70)
