"""Generates `decision_service/contract/pb` from `proto/`; `--check` fails if the committed code is out of step."""

from __future__ import annotations

import filecmp
import re
import sys
import tempfile
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
TARGET = ROOT / "decision_service" / "contract" / "pb"


def generate(into: Path) -> list[str]:
    """Write the modules into a flat package and return their names; protoc's absolute imports become relative."""
    sources = sorted(str(p.relative_to(PROTO)) for p in PROTO.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as scratch:
        includes = [f"-I{PROTO}", f"-I{Path(grpc_tools.__file__).parent / '_proto'}"]
        outputs = [f"--{kind}_out={scratch}" for kind in ("python", "pyi", "grpc_python")]
        if protoc.main(["protoc", *includes, *outputs, *sources]):
            sys.exit("protoc failed")
        names = []
        for path in sorted(Path(scratch).rglob("*_pb2*.py*")):
            if path.name.endswith("_pb2_grpc.py") and "Service" not in path.read_text():
                continue
            text = re.sub(
                r"^from nba\.v1 import", "from decision_service.contract.pb import", path.read_text(), flags=re.M
            )
            (into / path.name).write_text(text)
            names.append(path.name)
    return names


def main() -> None:
    """Generate, or with `--check` compare."""
    if "--check" not in sys.argv:
        for old in TARGET.glob("*_pb2*"):
            old.unlink()
        print(f"{len(generate(TARGET))} modules in {TARGET.relative_to(ROOT)}")
        return
    with tempfile.TemporaryDirectory() as fresh:
        names = generate(Path(fresh))
        _, differing, missing = filecmp.cmpfiles(fresh, TARGET, names, shallow=False)
        stale = {p.name for p in TARGET.glob("*_pb2*")} - set(names)
    if wrong := sorted({*differing, *missing, *stale}):
        sys.exit(f"generated code is out of step ({', '.join(wrong)}); run `make proto`")


if __name__ == "__main__":
    main()
