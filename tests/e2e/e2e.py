"""The whole system as it is deployed, on ministack: the template, the schedule, three functions that run as bootstraps.

What it publishes of the golden lake must be, cell by cell, what `cxroi run` publishes of the same files. A second firing
publishes nothing, a late file restates, a day that was lost is caught up, and a bad file ends with the error type that
the state machine knows.
"""

import argparse
import contextlib
import io
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import zipfile

import boto3
import pyarrow as pa
import pyarrow.parquet as pq

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
GOLDEN = ROOT / "tests" / "golden"
PASSWORD = "for-tests-on-this-machine"
PERIOD = "2024-12"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=pathlib.Path, required=True, help="the folder of cxroi, plan, rollup, report")
    parser.add_argument("--servers", type=pathlib.Path, required=True, help="the folder of ministack")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        work = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cloud = Cloud(stack.enter_context(server(arguments.servers, work)))
        lake = work / "lake"
        shutil.copytree(GOLDEN / "lake", lake / "lake")
        shutil.copy(GOLDEN / "cxroi.toml", lake / "cxroi.toml")
        cloud.deploy(arguments.programs)
        cloud.upload(lake)
        check_runs(cloud, lake, arguments.programs, work)
    print("end to end: all of it works")


def check_runs(cloud, lake, programs, work):
    status, _ = cloud.fired_by_the_schedule()
    assert status == "SUCCEEDED", cloud.log(work)
    cells = same_tables(cloud, local(programs, lake, work))
    print(f"the schedule published {PERIOD}: {cells:,} cells equal those of a local run")

    before = cloud.keys()
    status, output = cloud.run()
    assert (status, output["plan"]) == ("SUCCEEDED", None), output
    assert cloud.keys() == before, "a second firing wrote something"
    print("a second firing found nothing due and wrote nothing")

    late = pa.table({
        "customer_id": ["late"], "order_id": ["late"], "line_id": ["late"], "amount": pa.array(["1234.50"]).cast(pa.decimal128(20, 4)),
        "ordered_at": pa.array(["2024-11-05T12:00:00Z"]).cast(pa.timestamp("us", tz="UTC")),
    })
    (lake / "lake" / "sales" / "late").mkdir()
    pq.write_table(late, lake / "lake" / "sales" / "late" / "part-0.parquet")
    cloud.upload(lake)
    status, output = cloud.run()
    assert status == "SUCCEEDED" and output["periods"][-1]["seq"] == 2, output
    cells = same_tables(cloud, local(programs, lake, work))
    print(f"a late file restated {PERIOD} as number 2: {cells:,} cells equal those of a local run")
    moved = cloud.table("restatements").to_pylist()
    revenue = [row for row in moved if (row["metric"], row["window"], row["segment"]) == ("revenue", "T3M", "(all)")]
    assert {(row["seq"], *row["moved_by"]) for row in moved} == {(2, "sales")}, moved
    assert [round(row["after"] - row["before"], 4) for row in revenue] == [1234.5], revenue
    print(f"{len(moved)} numbers say what they were, and that sales moved them; revenue by 1,234.50")

    cloud.forget(f"published/{PERIOD}.json")
    status, output = cloud.run()
    assert status == "SUCCEEDED" and output["periods"][-1]["published"], output
    print("a period that no event came for was caught up")

    cloud.put("lake/sales/late/part-1.parquet", b"not Parquet")
    status, error = cloud.run()
    assert (status, error) == ("FAILED", "Input"), (status, error)
    assert pointer(cloud)["seq"] >= 2, "and what was published stays"
    print("a bad file ends with the error type Input, and what was published stays")


@contextlib.contextmanager
def server(programs, work):
    """ministack on a free port, until the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "TMPDIR": str(work)}
    with open(work / "server.log", "wb") as log:
        process = subprocess.Popen([programs / "ministack"], env=environment, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


class Cloud:
    def __init__(self, endpoint):
        session = boto3.Session("tests", PASSWORD, region_name="us-east-1")
        self.endpoint = endpoint
        self.s3, self.functions, self.stacks, self.states = (
            session.client(name, endpoint_url=endpoint) for name in ("s3", "lambda", "cloudformation", "stepfunctions")
        )
        for _ in range(300):
            with contextlib.suppress(Exception):
                self.s3.create_bucket(Bucket="code")
                return
            time.sleep(0.1)
        sys.exit("ministack did not start")

    def deploy(self, programs):
        for name in ("plan", "rollup", "report"):
            code = io.BytesIO()
            with zipfile.ZipFile(code, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                info = zipfile.ZipInfo("bootstrap")
                info.external_attr = 0o755 << 16
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, (programs / name).read_bytes())
            self.s3.put_object(Bucket="code", Key=f"{name}.zip", Body=code.getvalue())
        settings = {"CodeBucket": "code", "Architecture": "x86_64", "Schedule": "rate(1 minute)"}
        self.stacks.create_stack(
            StackName="cxroi",
            TemplateBody=(ROOT / "infra" / "template.yaml").read_text(),
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in settings.items()],
        )
        self.stacks.get_waiter("stack_create_complete").wait(StackName="cxroi", WaiterConfig={"Delay": 1})
        outputs = self.stacks.describe_stacks(StackName="cxroi")["Stacks"][0]["Outputs"]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in outputs}
        self.lake, self.output, self.machine = (outputs[name] for name in ("LakeBucket", "OutputBucket", "StateMachine"))
        # On AWS a function finds S3 by itself.
        for function in self.functions.list_functions()["Functions"]:
            variables = {**function["Environment"]["Variables"], "AWS_ENDPOINT_URL": self.endpoint}
            self.functions.update_function_configuration(
                FunctionName=function["FunctionName"], Environment={"Variables": variables}
            )

    def upload(self, folder):
        """The lake, and its configuration with the output in the other bucket."""
        for path in sorted(folder.rglob("*")):
            key = path.relative_to(folder).as_posix()
            if key == "cxroi.toml":
                config = path.read_text().replace('url = "out/"', f'url = "s3://{self.output}/"')
                self.put(key, config.encode())
            elif path.is_file() and key.startswith("lake/"):
                self.put(key, path.read_bytes())

    def put(self, key, body):
        with contextlib.suppress(self.s3.exceptions.ClientError):
            if self.s3.get_object(Bucket=self.lake, Key=key)["Body"].read() == body:
                return
        self.s3.put_object(Bucket=self.lake, Key=key, Body=body)

    def get(self, key):
        return self.s3.get_object(Bucket=self.output, Key=key)["Body"].read()

    def forget(self, key):
        self.s3.delete_object(Bucket=self.output, Key=key)

    def table(self, name):
        return pq.ParquetFile(io.BytesIO(self.get(f"summaries/{name}/period={PERIOD}/{name}.parquet"))).read()

    def keys(self):
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.output)
        return {item["Key"]: item["ETag"] for page in pages for item in page.get("Contents", [])}

    def fired_by_the_schedule(self):
        """How the first execution that the schedule started ended."""
        for _ in range(180):
            found = self.states.list_executions(stateMachineArn=self.machine)["executions"]
            if found:
                return self.ended(found[-1]["executionArn"])
            time.sleep(1)
        sys.exit("the schedule started nothing in three minutes")

    def run(self):
        """Starts the machine as the schedule does: its status, and its output or error."""
        event = json.dumps({"time": "<aws.scheduler.scheduled-time>"})
        return self.ended(self.states.start_execution(stateMachineArn=self.machine, input=event)["executionArn"])

    def ended(self, execution):
        for _ in range(600):
            found = self.states.describe_execution(executionArn=execution)
            if found["status"] != "RUNNING":
                output = json.loads(found.get("output") or "{}")
                return found["status"], output if found["status"] == "SUCCEEDED" else found.get("error", output.get("Error"))
            time.sleep(0.5)
        sys.exit("an execution did not end in five minutes")

    def log(self, work):
        return (work / "server.log").read_text()[-4000:]


def local(programs, lake, work):
    """The tables of a run on this machine."""
    out = work / "local"
    shutil.rmtree(out, ignore_errors=True)
    command = [programs / "cxroi", "run", "--config", lake / "cxroi.toml", "--period", PERIOD, "--output", out]
    subprocess.run(command, check=True, capture_output=True)
    return out


def same_tables(cloud, out):
    cells = 0
    for table in ("estimates", "money"):
        key = f"summaries/{table}/period={PERIOD}/{table}.parquet"
        there = cloud.table(table)
        here = pq.ParquetFile(out / key).read()
        assert there.num_rows > 0 and there.equals(here), f"{key} differs from the local run's"
        cells += there.num_rows * there.num_columns
    return cells


def pointer(cloud):
    return json.loads(cloud.get(f"published/{PERIOD}.json"))


if __name__ == "__main__":
    main()
