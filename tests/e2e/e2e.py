"""The whole system as it is deployed, on ministack: the template, the schedule, three functions that run as bootstraps.

What it publishes of the golden lake must be, cell by cell, what `cxroi run` publishes of the same files. A second firing
publishes nothing, a late file restates, an upgrade does not, a version rolled back to reads what the newer one published,
a day that was lost is caught up, and a bad file ends with the error type that the state machine knows, and is told of.
All that the functions asked of S3 meanwhile is what their roles allow, no more and no less.
"""

import argparse
import contextlib
import functools
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
import urllib.request
import zipfile

import boto3
import pyarrow as pa
import pyarrow.parquet as pq

import recorder

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
GOLDEN = ROOT / "tests" / "golden"
PASSWORD = "for-tests-on-this-machine"
PERIOD = "2024-12"
FUNCTIONS = ("plan", "rollup", "report")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=pathlib.Path, required=True, help="the folder of cxroi, plan, rollup, report")
    parser.add_argument("--servers", type=pathlib.Path, required=True, help="the folder of ministack")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        work = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        endpoint = stack.enter_context(server(arguments.servers, work))
        cloud = Cloud(endpoint, stack.enter_context(contextlib.closing(recorder.Recorder(endpoint))))
        lake = work / "lake"
        shutil.copytree(GOLDEN / "lake", lake / "lake")
        shutil.copy(GOLDEN / "cxroi.toml", lake / "cxroi.toml")
        cloud.deploy(arguments.programs)
        cloud.upload(lake)
        check_runs(cloud, lake, arguments.programs, work)
        check_readers(cloud, arguments.programs, work)
        check_calls(cloud)
        check_versions(cloud)
        check_other_inputs(cloud, lake, arguments.programs, work)
        check_failures(cloud)
        check_alarms(cloud)
        check_permissions(cloud)
        check_metrics(cloud)
    print("end to end: all of it works")


def check_runs(cloud, lake, programs, work):
    status, _ = cloud.fired_by_the_schedule()
    assert status == "SUCCEEDED", cloud.log(work)
    cells = same_tables(cloud, local(programs, lake, work))
    print(f"the schedule published {PERIOD}: {cells:,} cells equal those of a local run")

    columns = sum(same_columns(cloud, table) for table in ("estimates", "money", "restatements"))
    print(f"the catalogue's tables have the {columns} columns of the files, by name and type")

    query = f"select segment, value from {cloud.database}.estimates where period = '{PERIOD}' and metric = 'nrr'"
    answer = cloud.asked(query)
    here = [row for row in cloud.table("estimates").to_pylist() if row["metric"] == "nrr"]
    assert len(answer) == len(here) > 0, (answer, here)
    print(f"a query of Athena's finds the {len(answer)} numbers of a metric")

    nothing_due(cloud)
    print("a second firing found nothing due and wrote nothing")

    late = pa.table({
        "customer_id": ["late"], "order_id": ["late"], "line_id": ["late"], "amount": pa.array(["1234.50"]).cast(pa.decimal128(20, 4)),
        "ordered_at": instants("2024-11-05T12:00:00Z"),
    })
    write(late, lake / "lake" / "sales" / "late" / "part-0.parquet")
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


def check_readers(cloud, programs, work):
    """What people do with what is published, from a machine with keys and from one without."""
    told = cloud.command(programs, "runs").splitlines()
    assert [line.split()[:2] for line in told[:2]] == [[PERIOD, "2"], [PERIOD, "1"]] and "moved: sales" in told[0], told

    cloud.command(programs, "pull", "--to", str(work / "pulled"))
    pulled = {path.name: path.read_bytes() for path in (work / "pulled").iterdir()}
    # The emulator knows the signer of a link only as a user of its own.
    cloud.iam.create_user(UserName="analyst")
    key = cloud.iam.create_access_key(UserName="analyst")["AccessKey"]
    keys = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    links = cloud.command(programs, "share", "--period", PERIOD, "--expires-in", "1", **keys).splitlines()[1:]
    shared = dict(zip(links[::2], (link.strip() for link in links[1::2])))
    assert {*shared, "manifest.json"} == {*pulled} >= {"report.html", "roi.xlsx", "estimates.parquet"}, shared
    for name, link in shared.items():
        with urllib.request.urlopen(link) as answer:
            assert answer.read() == pulled[name], name
    assert pulled["report.html"] == cloud.get("summaries/latest/report.html")
    print(f"{len(pulled)} files were pulled; the same {len(shared)} came through links, without a key")

    try:
        told = cloud.command(programs, "check").splitlines()
    except subprocess.CalledProcessError as found:
        # The golden lake has rows that cannot be read.
        assert found.returncode == 2, found.stderr
        told = found.stdout.splitlines()
    tried = [line for line in told if " store: " in line]
    assert len(tried) == 6 and all(line.startswith("ok ") for line in tried), told
    print(f"the store keeps the {len(tried)} promises that publication stands on")


def check_calls(cloud):
    event = json.dumps({"plan": "plans/none.json", "month": PERIOD})
    cloud.functions.invoke(FunctionName=cloud.names["rollup"], InvocationType="Event", Payload=event)
    told = json.loads(cloud.told("plans/none.json is no plan")["Message"])
    assert told["responsePayload"]["errorType"] == "Input", told
    print("a call of a function that nobody waits for tells its failure as well")


def check_versions(cloud):
    """Another build is deployed over what an earlier one published, publishes in its turn, and goes again."""
    publish_as_of(cloud, "0.0.9", {})
    cloud.deploy_build("next/")
    nothing_due(cloud)
    print("an upgrade restated nothing by itself")

    publish_as_of(cloud, "9.9.9", {"of_the_future": 1.0})
    cloud.deploy_build("")
    nothing_due(cloud)
    print("the version rolled back to reads what a newer one published, and restates nothing by itself")


def check_other_inputs(cloud, lake, programs, work):
    """What else moves a publication; each of these is something that the functions need permissions for."""
    initiatives = lake / "lake" / "initiatives.json"
    initiatives.write_text(initiatives.read_text().replace('"cost_per_month": 93.0', '"cost_per_month": 94.0'))
    contact = pa.table({
        "customer_id": ["c001"], "interaction_id": ["late"], "occurred_at": instants("2025-01-03T12:00:00Z").cast(pa.timestamp("us")),
        "service_cost": pa.array(["1.00"]).cast(pa.decimal128(14, 4)),
    })  # fmt: skip
    write(contact, lake / "lake" / "interactions" / "late" / "part-0.parquet")
    cloud.upload(lake)
    status, output = cloud.run()
    assert status == "SUCCEEDED" and output["periods"][-1]["seq"] == 3, (output, cloud.cause)
    cells = same_tables(cloud, local(programs, lake, work))
    movers = {mover for row in cloud.table("restatements").to_pylist() if row["seq"] == 3 for mover in row["moved_by"]}
    assert "initiatives" in movers, movers
    print(f"a dearer programme and a contact soon after the month restated what the newer version published: {cells:,} cells")

    cloud.forget(f"published/{PERIOD}.json")
    status, output = cloud.run()
    assert status == "SUCCEEDED" and output["periods"][-1]["published"], output
    print("a period that no event came for was caught up")

    cloud.command(programs, "forget", "c002")
    status, output = cloud.run()
    assert status == "SUCCEEDED" and output["periods"][-1]["published"], output
    assert not cloud.holds_in("snapshots/customers/", b"c002"), "a forgotten customer is in a snapshot"
    print("a customer was forgotten, and the period restated without")


def check_failures(cloud):
    # Its footer can be read, so that plan finds work, and its first page cannot.
    order = {"customer_id": ["late"], "order_id": ["damaged"], "line_id": ["1"], "ordered_at": instants("2024-11-06T12:00:00Z")}
    order["amount"] = pa.array(["1.00"]).cast(pa.decimal128(20, 4))
    written = io.BytesIO()
    pq.write_table(pa.table(order), written)
    damaged = bytearray(written.getvalue())
    damaged[4:60] = b"\xff" * 56
    for function, key, body in (("rollup", "part-1.parquet", bytes(damaged)), ("plan", "part-2.parquet", b"not Parquet")):
        cloud.put(f"lake/sales/late/{key}", body)
        status, error = cloud.run()
        assert status == "FAILED" and error == "Input", (status, error)
        assert pointer(cloud)["seq"] >= 2, "and what was published stays"
        print(f"a bad file ends {function} with the error type {error}, and what was published stays")

        notification = cloud.told("runbook")
        told = json.loads(notification["Message"])
        assert notification["Subject"] == f"cxroi failed with {error}", notification
        assert (told["error"], told["cause"], told["help"]) == (error, cloud.cause, f"infra/runbook.md, {error}"), told
        assert told["execution"].startswith("arn:aws:states:"), told
    assert error == "Input" and "late/part-2.parquet" in told["cause"], told
    print("whoever is subscribed was told the error, its cause, the execution and where help is")


def check_alarms(cloud):
    alarms = {name: cloud.alarm(name) for name in ("Failed", "Overdue", "Unstarted")}
    assert all(alarm["AlarmActions"] == [cloud.alerts] for alarm in alarms.values()), alarms
    overdue = alarms["Overdue"]
    assert (overdue["MetricName"], overdue["Threshold"], overdue["TreatMissingData"]) == ("DaysOverdue", 5, "breaching")
    print("an overdue month is an alarm, and so is no word of it")


def check_permissions(cloud):
    calls, roles, policies = cloud.recording.calls, cloud.roles(), cloud.bucket_policies()
    found = recorder.problems(calls, roles, policies)
    assert not found, "\n".join(found)

    # The comparison notices a permission too few, one too many, and a pointer that is written without a look.
    for name in FUNCTIONS:
        less = recorder.problems(calls, {**roles, name: roles[name][1:]}, policies)
        assert any(problem.startswith(f"{name} may not") for problem in less), name
        more = {"Effect": "Allow", "Action": "s3:DeleteObject", "Resource": f"arn:aws:s3:::{cloud.output}/*"}
        more = recorder.problems(calls, {**roles, name: [*roles[name], more]}, policies)
        assert any(problem.startswith(f"{name} never needed s3:DeleteObject") for problem in more), name
    blind = recorder.Call("report", "s3:PutObject", f"arn:aws:s3:::{cloud.output}/published/{PERIOD}.json")
    assert any("PointersByCompareAndSwap" in problem for problem in recorder.problems({*calls, blind}, roles, policies))
    print(f"{len(cloud.recording.calls):,} different requests to S3 are what the roles allow, and all that they allow was needed")


def check_metrics(cloud):
    watched, written = cloud.watched(), {metric for name in FUNCTIONS for metric in metrics(cloud.logged(name))}
    assert ("cxroi/cxroi", "plan", "DaysOverdue") in watched
    assert watched <= written, f"nobody writes {sorted(watched - written)}"
    print(f"the {len(watched)} metrics that alarms and the dashboard watch are in the functions' logs")


def metrics(lines):
    """The metrics in lines of a log that are in CloudWatch's embedded format: namespace, function, name."""
    for line in lines:
        if '"_aws"' not in line:
            continue
        entry = json.loads(line)
        for directive in entry["_aws"]["CloudWatchMetrics"]:
            assert directive["Dimensions"] == [["function"]], line
            for metric in directive["Metrics"]:
                assert isinstance(entry[metric["Name"]], (int, float)), line
                yield directive["Namespace"], entry["function"], metric["Name"]


def nothing_due(cloud):
    before = cloud.keys()
    status, output = cloud.run()
    assert (status, output["plan"]) == ("SUCCEEDED", None), output
    assert cloud.keys() == before, "something was written"


def publish_as_of(cloud, version, more):
    """What is published says it is of another version, which writes more than this one knows."""
    now = pointer(cloud)
    run, publication = f"runs/{PERIOD}/{now['run_id']}/{now['attempt']}", f"publications/{PERIOD}/{now['seq']}"
    for key in (f"{run}/manifest.json", f"{publication}/publication.json", f"{publication}/summary.json"):
        content = json.loads(cloud.get(key))
        assert content["version"], key
        content |= {"version": version, **more}
        if "version_hash" in content:
            content["version_hash"] = version
        cloud.replace(key, json.dumps(content).encode())
    table = cloud.table("estimates")
    for name, value in more.items():
        table = table.append_column(name, pa.array([value] * table.num_rows))
    written = io.BytesIO()
    pq.write_table(table, written)
    cloud.replace(f"{run}/estimates.parquet", written.getvalue())
    cloud.replace(f"summaries/estimates/period={PERIOD}/estimates.parquet", written.getvalue())
    for copy in (f"summaries/files/{PERIOD}/summary.json", "summaries/latest/summary.json"):
        cloud.replace(copy, cloud.get(f"{publication}/summary.json"))
    cloud.replace(f"published/{PERIOD}.json", json.dumps(now | more).encode())


def instants(*texts):
    return pa.array(texts).cast(pa.timestamp("us", tz="UTC"))


def write(table, path):
    path.parent.mkdir(exist_ok=True)
    pq.write_table(table, path)


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
    def __init__(self, endpoint, recording):
        session = boto3.Session("tests", PASSWORD, region_name="us-east-1")
        self.endpoint, self.recording = endpoint, recording
        self.proxies = {name: recording.proxy(name) for name in FUNCTIONS}
        client = functools.partial(session.client, endpoint_url=endpoint)
        self.s3, self.functions, self.stacks = client("s3"), client("lambda"), client("cloudformation")
        self.states, self.scheduler, self.iam = client("stepfunctions"), client("scheduler"), client("iam")
        self.sns, self.sqs, self.watch = client("sns"), client("sqs"), client("cloudwatch")
        self.glue, self.athena, self.logs = client("glue"), client("athena"), client("logs")
        for _ in range(300):
            with contextlib.suppress(Exception):
                self.s3.create_bucket(Bucket="code")
                return
            time.sleep(0.1)
        sys.exit("ministack did not start")

    def deploy(self, programs):
        for name in FUNCTIONS:
            code = io.BytesIO()
            with zipfile.ZipFile(code, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                info = zipfile.ZipInfo("bootstrap")
                info.external_attr = 0o755 << 16
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, (programs / name).read_bytes())
            for prefix in ("", "next/"):
                self.s3.put_object(Bucket="code", Key=f"{prefix}{name}.zip", Body=code.getvalue())
        self.deploy_build("")
        outputs = self.stacks.describe_stacks(StackName="cxroi")["Stacks"][0]["Outputs"]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in outputs}
        self.lake, self.output, self.machine = (outputs[name] for name in ("LakeBucket", "OutputBucket", "StateMachine"))
        self.database = outputs["Database"]
        self.alerts, self.cause = outputs["Alerts"], None
        self.inbox = self.sqs.create_queue(QueueName="inbox")["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.inbox, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        self.sns.subscribe(TopicArn=self.alerts, Protocol="sqs", Endpoint=arn)

    def deploy_build(self, prefix):
        """Deploys the template with the programs below a prefix of the bucket of code."""
        settings = {"CodeBucket": "code", "CodePrefix": prefix, "Architecture": "x86_64", "Schedule": "rate(1 minute)"}
        stack = {
            "StackName": "cxroi",
            "TemplateBody": (ROOT / "infra" / "template.yaml").read_text(),
            "Capabilities": ["CAPABILITY_IAM"],
            "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in settings.items()],
        }
        exists = any(it["StackName"] == "cxroi" for it in self.stacks.describe_stacks()["Stacks"])
        (self.stacks.update_stack if exists else self.stacks.create_stack)(**stack)
        done = "stack_update_complete" if exists else "stack_create_complete"
        self.stacks.get_waiter(done).wait(StackName="cxroi", WaiterConfig={"Delay": 1})
        if exists:
            self.stop_schedule()
        self.names = {name: self.physical(f"{name.capitalize()}Function") for name in FUNCTIONS}
        # On AWS a function finds S3 by itself.
        for name, function in self.names.items():
            found = self.functions.get_function_configuration(FunctionName=function)
            variables = {**found["Environment"]["Variables"], "AWS_ENDPOINT_URL": self.proxies[name]}
            self.functions.update_function_configuration(FunctionName=function, Environment={"Variables": variables})

    def physical(self, logical):
        resource = self.stacks.describe_stack_resource(StackName="cxroi", LogicalResourceId=logical)
        return resource["StackResourceDetail"]["PhysicalResourceId"]

    def alarm(self, logical):
        return self.watch.describe_alarms(AlarmNames=[self.physical(logical)])["MetricAlarms"][0]

    def watched(self):
        """The metrics of the functions' own that alarms and the dashboard are about: namespace, function, name."""
        alarms = self.watch.describe_alarms()["MetricAlarms"]
        found = {
            (alarm["Namespace"], dimension["Value"], alarm["MetricName"])
            for alarm in alarms
            for dimension in alarm["Dimensions"]
            if dimension["Name"] == "function"
        }
        body = json.loads(self.watch.get_dashboard(DashboardName=self.physical("Dashboard"))["DashboardBody"])
        shown = [metric for widget in body["widgets"] for metric in widget["properties"].get("metrics", [])]
        return found | {(space, value, name) for space, name, dimension, value, *_ in shown if dimension == "function"}

    def logged(self, name):
        """The lines of a function's log."""
        group = self.functions.get_function_configuration(FunctionName=self.names[name])["LoggingConfig"]["LogGroup"]
        pages = self.logs.get_paginator("filter_log_events").paginate(logGroupName=group)
        return [event["message"] for page in pages for event in page["events"]]

    def stop_schedule(self):
        """So that from here on only the test starts anything."""
        found = self.scheduler.get_schedule(Name=self.physical("DailySchedule"))
        kept = ("Name", "ScheduleExpression", "FlexibleTimeWindow", "Target")
        self.scheduler.update_schedule(**{name: found[name] for name in kept}, State="DISABLED")

    def roles(self):
        """What each function may do, as it is deployed."""
        roles = {}
        for name, function in self.names.items():
            role = self.functions.get_function_configuration(FunctionName=function)["Role"].rpartition("/")[2]
            policies = self.iam.list_role_policies(RoleName=role)["PolicyNames"]
            documents = (self.iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"] for policy in policies)
            roles[name] = [statement for document in documents for statement in document["Statement"]]
        return roles

    def bucket_policies(self):
        policies = (json.loads(self.s3.get_bucket_policy(Bucket=bucket)["Policy"]) for bucket in (self.lake, self.output))
        return [statement for policy in policies for statement in policy["Statement"]]

    def command(self, programs, *arguments, **settings):
        """A command of `cxroi`, as an operator runs it."""
        environment = {
            **os.environ, "AWS_ENDPOINT_URL": self.endpoint, "AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": PASSWORD,
            "AWS_REGION": "us-east-1", "CXROI_CONFIG": f"s3://{self.lake}/cxroi.toml",
            **settings,
        }  # fmt: skip
        done = subprocess.run([programs / "cxroi", *arguments], check=True, capture_output=True, text=True, env=environment)
        return done.stdout

    def told(self, text):
        """What the topic tells next that holds a text."""
        for _ in range(60):
            for message in self.sqs.receive_message(QueueUrl=self.inbox, WaitTimeSeconds=1).get("Messages", []):
                self.sqs.delete_message(QueueUrl=self.inbox, ReceiptHandle=message["ReceiptHandle"])
                notification = json.loads(message["Body"])
                if text in notification["Message"]:
                    return notification
        sys.exit(f"nobody was told of {text}")

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

    def replace(self, key, body):
        self.s3.put_object(Bucket=self.output, Key=key, Body=body)

    def forget(self, key):
        self.s3.delete_object(Bucket=self.output, Key=key)

    def holds_in(self, prefix, text):
        return any(text in self.get(key) for key in self.keys() if key.startswith(prefix))

    def asked(self, query):
        """The rows that Athena answers with, as text."""
        place = {"OutputLocation": "s3://code/athena/"}
        asked = self.athena.start_query_execution(QueryString=query, ResultConfiguration=place)["QueryExecutionId"]
        for _ in range(60):
            status = self.athena.get_query_execution(QueryExecutionId=asked)["QueryExecution"]["Status"]
            if status["State"] == "SUCCEEDED":
                rows = self.athena.get_query_results(QueryExecutionId=asked)["ResultSet"]["Rows"]
                return [[cell.get("VarCharValue") for cell in row["Data"]] for row in rows[1:]]
            assert status["State"] in ("QUEUED", "RUNNING"), status
            time.sleep(0.5)
        sys.exit("a query did not end in half a minute")

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
                self.stop_schedule()
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
                self.cause = found.get("cause")
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


def same_columns(cloud, name):
    """Holds a table of the catalogue against the file that it is about: how many columns there are."""
    table = cloud.glue.get_table(DatabaseName=cloud.database, Name=name)["Table"]
    there = {column["Name"]: column["Type"] for column in table["StorageDescriptor"]["Columns"] + table["PartitionKeys"]}
    kinds = {"int32": "int", "int64": "bigint", "decimal128(38, 4)": "decimal(38,4)"}
    here = {}
    for field in cloud.table(name).schema:
        kind = str(field.type)
        here[field.name] = "array<string>" if pa.types.is_list(field.type) else kinds.get(kind, kind)
    assert there == here, f"{name}: {set(there.items()) ^ set(here.items())}"
    place = table["Parameters"]["storage.location.template"].replace("${period}", PERIOD)
    assert f"{place}{name}.parquet" == f"s3://{cloud.output}/summaries/{name}/period={PERIOD}/{name}.parquet", place
    return len(here)


def pointer(cloud):
    return json.loads(cloud.get(f"published/{PERIOD}.json"))


if __name__ == "__main__":
    main()
