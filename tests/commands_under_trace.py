"""The program that test_offline.py watches: it runs every command of the list in this process, one after another.

Standard input is a JSON list of [time-stamped name, arguments, input] rows; it prints one JSON line for each command,
with its name, exit code, and when it began. Signals and exits of a command end only that command.
"""

import io
import json
import sys
import time

from inhouse.cli.main import main

for name, arguments, typed in json.load(sys.stdin):
    began = time.time()
    sys.argv = ["inhouse", *arguments]
    out, sys.stdout, sys.stdin = sys.stdout, io.StringIO(), io.StringIO(typed)
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    printed, sys.stdout = sys.stdout.getvalue(), out
    print(json.dumps({"name": name, "code": code, "began": began, "printed": printed[-2000:]}), flush=True)
