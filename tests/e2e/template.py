"""What cfn-lint does not see in the template.

The state machine is a valid one (statelint) and catches exactly the errors that there are, no role may do more than its
name says, and whatever wakes somebody up has a section in the runbook.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile

from cfnlint.decode.cfn_yaml import load

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TEMPLATE = ROOT / "infra" / "template.yaml"
RUNBOOK = ROOT / "infra" / "runbook.md"
ERRORS = ROOT / "functions" / "engine" / "src" / "error.rs"

# How Lambda and Step Functions name what goes wrong before or around a program of ours.
TRANSIENT = {
    "Lambda.ServiceException", "Lambda.AWSLambdaException", "Lambda.SdkClientException",
    "Lambda.ClientExecutionTimeoutException", "Lambda.TooManyRequestsException",
}  # fmt: skip
LAMBDA = TRANSIENT | {"Lambda.Unknown", "Runtime.ExitError", "Sandbox.Timedout", "States.Timeout"}


def main():
    resources = load(str(TEMPLATE))["Resources"]
    machine = resources["StateMachine"]["Properties"]["Definition"]
    found = [*lint(machine), *errors(machine, kinds()), *permissions(resources), *runbook(resources, kinds())]
    if found:
        sys.exit("infra/template.yaml:\n  - " + "\n  - ".join(found))
    print(f"the template: {len(kinds())} kinds of errors are caught, roles name what they may do, the runbook knows all alarms")


def kinds():
    """The words of `Error::kind`."""
    body = re.search(r"fn kind\(.*?\n    }\n", ERRORS.read_text(), re.DOTALL)[0]
    return set(re.findall(r'=> "(\w+)"', body))


def lint(machine):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(machine, file)
        file.flush()
        # Its functions are still to be filled in.
        command = [sys.executable, "-m", "statelint", "--ignore", "URI", file.name]
        done = subprocess.run(command, capture_output=True, text=True)
    return [] if done.returncode == 0 else [f"the state machine: {line.strip()}" for line in done.stdout.splitlines()[1:]]


def named(rules):
    return [name for rule in rules for name in rule["ErrorEquals"]]


def errors(machine, kinds):
    """Each state that calls a function catches every error there is, and tries again only those among them."""
    states = machine["States"]
    rollup = states["Rollups"]["ItemProcessor"]["States"]["Rollup"]
    for name, task in {"Plan": states["Plan"], "Rollup": rollup, "Report": states["Report"]}.items():
        catches = named((states["Rollups"] if task is rollup else task)["Catch"])
        yield from (f"{name} does not catch {error}" for error in sorted((kinds | LAMBDA) - set(catches)))
        yield from (f"{name} catches {error}, which there is not" for error in sorted(set(catches) - kinds - LAMBDA))
        yield from (f"{name} catches {error} twice" for error in sorted(set(catches)) if catches.count(error) > 1)
        retries = named(task["Retry"])
        yield from (f"{name} tries {error} again, which there is not" for error in sorted(set(retries) - kinds - LAMBDA))
        yield from (f"{name} does not try {error} again" for error in sorted((TRANSIENT | {"Store"}) - set(retries)))


def permissions(resources):
    """What no reviewer would let through: wildcards for actions or as a whole resource, deletion, other people's policies."""
    for name, resource in resources.items():
        if resource["Type"] != "AWS::IAM::Role":
            continue
        if "ManagedPolicyArns" in resource["Properties"]:
            yield f"{name} has policies that AWS manages"
        statements = [it for policy in resource["Properties"]["Policies"] for it in policy["PolicyDocument"]["Statement"]]
        for statement in statements:
            actions, places = (it if isinstance(it, list) else [it] for it in (statement["Action"], statement["Resource"]))
            yield from (f"{name} may {action}" for action in actions if "*" in action or "Delete" in action)
            yield from (f"{name} may do it anywhere" for place in places if place == "*")


def runbook(resources, kinds):
    text = RUNBOOK.read_text()
    sections = set(re.findall(r"^## (.+)$", text, re.MULTILINE))
    yield from (f"infra/runbook.md has no section {kind}" for kind in sorted(kinds - sections))
    yield from (f"infra/runbook.md does not mention {error}" for error in sorted(LAMBDA) if error not in text)
    for name, resource in resources.items():
        if resource["Type"] == "AWS::CloudWatch::Alarm":
            description = json.dumps(resource["Properties"]["AlarmDescription"])
            section = re.search(r"See infra/runbook.md, (\w+)\.", description)
            if not section or section[1] not in sections:
                yield f"the alarm {name} names no section of infra/runbook.md"


if __name__ == "__main__":
    main()
