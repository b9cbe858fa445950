#!/usr/bin/env python3
"""Fails on a relative link in a Markdown file that leads nowhere."""
import pathlib
import re
import subprocess
import sys

files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.md"], capture_output=True, text=True, check=True)
broken = []
for name in files.stdout.split():
    text = re.sub(r"```.*?```", "", pathlib.Path(name).read_text(), flags=re.S)
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in target and not (pathlib.Path(name).parent / target).exists():
            broken.append(f"{name}: {target}")
print("\n".join(broken) or f"{len(files.stdout.split())} files, every link leads somewhere")
sys.exit(bool(broken))
