//! S3 on servers of this machine: SeaweedFS, which checks signatures and checksums, and ministack.
//!
//! The SDK finds its server in the environment. So each test that is not ignored starts a server and runs the ignored
//! ones, which need a bucket, in a process of their own.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::Stores;
use futures::future::join_all;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path as Key;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, integration};
use tests::{CONFIG, Lake, NOW, instant};
use url::Url;

const PASSWORD: &str = "for-tests-on-this-machine";

/// A server that ends with the test.
struct Server {
    process: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Ports that nobody listens on.
fn ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// Where the servers are installed, or `None` with a word about it. `tests/run` installs them and says where.
fn programs() -> Option<PathBuf> {
    let programs = std::env::var_os("CXROI_TEST_SERVERS").map(PathBuf::from);
    if programs.is_none() {
        eprintln!("skipped: CXROI_TEST_SERVERS does not say where ministack and weed are; `tests/run` does");
    }
    programs
}

impl Server {
    fn start(command: &mut Command, port: u16, folder: tempfile::TempDir) -> Self {
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let process = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        Self { process, port, folder }
    }

    fn seaweed(programs: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let identity = serde_json::json!({"identities": [{
            "name": "tests", "actions": ["Admin"],
            "credentials": [{"accessKey": "tests", "secretKey": PASSWORD}],
        }]});
        let identities = folder.path().join("identities.json");
        std::fs::write(&identities, identity.to_string()).unwrap();
        let [port, rpc, master, master_rpc, volume, volume_rpc, filer, filer_rpc] = ports();
        let mut command = Command::new(programs.join("weed"));
        command.arg("server").arg(format!("-dir={}", folder.path().display()));
        command.args(["-s3", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-volume.max=50", "-master.volumeSizeLimitMB=64"]);
        command.args(["-master.telemetry=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]);
        command.arg(format!("-s3.config={}", identities.display()));
        for (name, port) in [
            ("s3.port", port),
            ("s3.port.grpc", rpc),
            ("master.port", master),
            ("master.port.grpc", master_rpc),
            ("volume.port", volume),
            ("volume.port.grpc", volume_rpc),
            ("filer.port", filer),
            ("filer.port.grpc", filer_rpc),
        ] {
            command.arg(format!("-{name}={port}"));
        }
        Self::start(&mut command, port, folder)
    }

    fn ministack(programs: &Path) -> Self {
        let [port] = ports();
        let mut command = Command::new(programs.join("ministack"));
        command.env("BIND_HOST", "127.0.0.1").env("GATEWAY_PORT", port.to_string());
        Self::start(&mut command, port, tempfile::tempdir().unwrap())
    }

    /// What the server said last.
    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        log.lines().rev().take(20).collect::<Vec<_>>().join("\n")
    }

    /// Runs an ignored test of this file against the server; what it said.
    fn run(&self, test: &str) -> String {
        let said = std::panic::catch_unwind(|| run_at(self.port, test));
        said.unwrap_or_else(|_| panic!("{test}: the server's last words\n{}", self.log()))
    }
}

/// Runs an ignored test of this file, with its S3 at a port of this machine.
fn run_at(port: u16, test: &str) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", &format!("s3::{test}")])
        .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"))
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "tests")
        .env("AWS_SECRET_ACCESS_KEY", PASSWORD)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}\n{errors}");
    said.into_owned() + &errors
}

/// A new bucket on the server of the environment, as soon as it answers.
async fn bucket(name: &str) -> Url {
    let shared = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
    let config = aws_sdk_s3::config::Builder::from(&shared).force_path_style(true).build();
    let client = aws_sdk_s3::Client::from_conf(config);
    let begun = Instant::now();
    while let Err(error) = client.create_bucket().bucket(name).send().await {
        assert!(begun.elapsed() < Duration::from_secs(60), "no bucket after a minute: {error:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Url::parse(&format!("s3://{name}/")).unwrap()
}

fn store(url: &Url) -> Arc<dyn ObjectStore> {
    Arc::clone(Stores::default().locate(url).unwrap().store())
}

/// A store on a network that fails, once for each key, in the way that the key names.
fn failing_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut attempts: HashMap<String, Vec<String>> = HashMap::new();
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut lines = Vec::new();
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).unwrap_or(0) <= 2 {
                    break;
                }
                lines.push(line.trim_end().to_ascii_lowercase());
            }
            let Some(request) = lines.first().cloned() else { continue };
            let header = |name: &str| {
                let found = lines.iter().find_map(|line| line.strip_prefix(&format!("{name}: ")));
                found.map(str::to_owned)
            };
            let length = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            stream.read_exact(&mut vec![0; length]).unwrap();
            let words: Vec<&str> = request.split([' ', '?']).collect();
            let (method, key) = (words[0], words[1].rsplit('/').next().unwrap());
            let tries = attempts.entry(key.to_owned()).or_default();
            if let Some(attempt) = header("x-amz-meta-cxroi-attempt") {
                tries.push(attempt);
            }
            let head = |attempt: &str| {
                format!("200 OK\r\nETag: \"there\"\r\nContent-Length: 3\r\nx-amz-meta-cxroi-attempt: {attempt}\r\n\r\n")
            };
            let nothing = |status: &str| format!("{status}\r\nContent-Length: 0\r\n\r\n");
            let answer = match (method, key, header("range").as_deref()) {
                // The reply to the first write never comes.
                ("put", "lost", _) if tries.len() == 1 => continue,
                ("put", "lost" | "taken", _) => nothing("412 Precondition Failed"),
                ("head", "lost", _) => head(&tries[0]),
                ("head", "taken", _) => head("somebody-else"),
                ("put", "busy", _) if tries.len() == 1 => nothing("409 Conflict"),
                ("put", "busy", _) => "200 OK\r\nETag: \"mine\"\r\nContent-Length: 0\r\n\r\n".to_owned(),
                ("get", "cut", Some("bytes=5-9")) => {
                    "206 Partial Content\r\nContent-Range: bytes 5-9/10\r\nETag: \"v\"\r\nContent-Length: 5\r\n\r\n56789".to_owned()
                }
                // Broken off in the middle; and a store that does not know ranges begins anew.
                ("get", "cut" | "deaf", None) => "200 OK\r\nETag: \"v\"\r\nContent-Length: 10\r\n\r\n01234".to_owned(),
                ("get", "deaf", Some(_)) => "200 OK\r\nETag: \"v\"\r\nContent-Length: 10\r\n\r\n0123456789".to_owned(),
                _ => nothing("404 Not Found"),
            };
            let _ = stream.get_mut().write_all(format!("HTTP/1.1 {answer}").as_bytes());
        }
    });
    port
}

#[test]
fn on_a_network_that_fails_a_writer_knows_its_own_and_a_reader_reads_on() {
    run_at(failing_server(), "lost_replies_conflicts_and_broken_bodies_are_told_apart");
}

#[tokio::test]
#[ignore = "needs a server"]
async fn lost_replies_conflicts_and_broken_bodies_are_told_apart() {
    let store = store(&Url::parse("s3://fails/").unwrap());
    let create = async |key: &str| store.put_opts(&Key::from(key), "new".into(), PutMode::Create.into()).await;
    assert_eq!(create("lost").await.unwrap().e_tag.as_deref(), Some("\"there\""), "the write that landed is ours");
    let taken = create("taken").await.unwrap_err();
    assert!(matches!(taken, Error::AlreadyExists { .. }), "{taken}");
    assert_eq!(create("busy").await.unwrap().e_tag.as_deref(), Some("\"mine\""), "and a conflict is tried again");
    let read = async |key: &str| store.get(&Key::from(key)).await.unwrap().bytes().await;
    assert_eq!(read("cut").await.unwrap(), "0123456789");
    let deaf = read("deaf").await.unwrap_err().to_string();
    assert!(deaf.contains("does not read on where asked to"), "{deaf}");
    let missing = store.get(&Key::from("missing")).await.unwrap_err();
    assert!(matches!(missing, Error::NotFound { .. }), "{missing}");
}

#[test]
fn on_seaweedfs_it_is_an_object_store_where_one_writer_wins_and_runs_are_as_in_memory() {
    let Some(programs) = programs() else { return };
    let server = Server::seaweed(&programs);
    server.run("it_passes_the_suite_of_object_store");
    server.run("of_eight_writers_one_wins_in_20_rounds");
    server.run("a_run_publishes_what_a_run_in_memory_does");
}

#[test]
fn on_ministack_it_is_an_object_store_where_one_writer_wins_and_runs_are_as_in_memory() {
    let Some(programs) = programs() else { return };
    let server = Server::ministack(&programs);
    server.run("it_passes_the_suite_of_object_store");
    server.run("of_eight_writers_one_wins_in_200_rounds");
    server.run("a_run_publishes_what_a_run_in_memory_does");
}

#[tokio::test]
#[ignore = "needs a server"]
async fn it_passes_the_suite_of_object_store() {
    let store = store(&bucket("suite").await);
    integration::put_get_delete_list(&store).await;
    integration::get_opts(&store).await;
    integration::put_opts(&store, true).await;
    integration::put_get_attributes(&store).await;
    integration::list_uses_directories_correctly(&store).await;
    integration::list_with_delimiter(&store).await;
    integration::list_with_offset_exclusivity(&store).await;
    integration::rename_and_copy(&store).await;
    integration::copy_if_not_exists(&store).await;
    integration::copy_rename_nonexistent_object(&store).await;
    integration::stream_get(&store).await;
    integration::multipart_race_condition(&store, true).await;
    integration::multipart_out_of_order(&store).await;
}

#[tokio::test]
#[ignore = "needs a server"]
async fn of_eight_writers_one_wins_in_20_rounds() {
    one_wins(20).await;
}

#[tokio::test]
#[ignore = "needs a server"]
async fn of_eight_writers_one_wins_in_200_rounds() {
    one_wins(200).await;
}

/// Eight writers, each with a client of its own, by turns swap one pointer and create one object.
async fn one_wins(rounds: usize) {
    let url = bucket("races").await;
    let writers: Vec<Arc<dyn ObjectStore>> = (0..8).map(|_| store(&url)).collect();
    let pointer = Key::from("published/2024-12.json");
    let mut version = writers[0].put(&pointer, "0".into()).await.unwrap();
    for round in 0..rounds {
        let (key, mode) = match round % 2 {
            0 => (pointer.clone(), PutMode::Update(version.clone().into())),
            _ => (Key::from(format!("publications/2024-12/{round}/publication.json")), PutMode::Create),
        };
        let puts = writers.iter().enumerate().map(|(writer, store)| {
            let (store, key, mode) = (Arc::clone(store), key.clone(), mode.clone());
            tokio::spawn(async move {
                match store.put_opts(&key, format!("{round} {writer}").into(), mode.into()).await {
                    Ok(put) => Some((writer, put)),
                    Err(Error::Precondition { .. } | Error::AlreadyExists { .. }) => None,
                    Err(error) => panic!("{error}"),
                }
            })
        });
        let mut won: Vec<_> = join_all(puts).await.into_iter().filter_map(Result::unwrap).collect();
        assert_eq!(won.len(), 1, "round {round}: the winners of {key} are {won:?}");
        let (winner, put) = won.remove(0);
        let found = writers[7].get(&key).await.unwrap().bytes().await.unwrap();
        assert_eq!(found, format!("{round} {winner}"), "the winner's object is there");
        if round % 2 == 0 {
            version = put;
        }
    }
}

#[tokio::test]
#[ignore = "needs a server"]
async fn a_run_publishes_what_a_run_in_memory_does() {
    let memory = Lake::seven_months().await;
    memory.run().await.unwrap();
    let lake = Lake::at(&bucket("company").await);
    lake.fill().await;
    let outcome = lake.run().await.unwrap();
    assert!(outcome.published && outcome.months_read.len() == 7, "{outcome:?}");
    let same = async |out: &str| {
        for table in ["estimates", "money"] {
            let key = format!("summaries/{table}/period=2024-12/{table}.parquet");
            let (there, here) = (lake.get(&format!("{out}/{key}")).await, memory.get(&format!("out/{key}")).await);
            assert!(here.is_some() && there == here, "{table} of {out} differs");
        }
    };
    same("out").await;
    for (number, (cores, batch_rows)) in [(1, 7), (2, 1_000), (3, 32_768), (6, 7), (6, 32_768)].into_iter().enumerate()
    {
        let (out, memory) = (format!("out-{number}"), if number % 2 == 0 { "auto" } else { "1 GB" });
        let config = CONFIG.replace("\"out/\"", &format!("\"{out}/\"")) + &format!("run.memory_limit = \"{memory}\"\n");
        let engine = lake.open(&config).await.unwrap().with_parallelism(cores, batch_rows);
        engine.run(None, instant(NOW), &|_| {}).await.unwrap();
        same(&out).await;
    }
    let again = lake.open(CONFIG).await.unwrap().run(None, instant(NOW), &|_| {}).await.unwrap();
    assert!(!again.published && again.months_read.is_empty() && again.repaired == 0, "{again:?}");
    lake.month(2025, 1).await;
    assert_eq!(lake.run_at("2025-02-03T06:00:00Z").await.unwrap().months_read.len(), 1);
}

/// `CXROI_TEST_SERVERS=... cargo test --workspace --test all -- --ignored --nocapture s3::measured`
#[test]
#[ignore = "a measurement, for people to run"]
fn measured_beside_object_stores_own_client() {
    let programs = programs().expect("servers to measure on");
    for (name, server) in [("SeaweedFS", Server::seaweed(&programs)), ("ministack", Server::ministack(&programs))] {
        let said = server.run("range_reads_beside_object_stores_own_client");
        eprintln!("{name}: {}", said.lines().find(|line| line.contains("MB/s")).expect("figures"));
    }
}

/// 64 range reads at once of a megabyte each, by turns with either client; the medians of 21 rounds.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server"]
async fn range_reads_beside_object_stores_own_client() {
    const READS: u64 = 64;
    const BYTES: u64 = 1 << 20;
    let ours = store(&bucket("ranges").await);
    let endpoint = std::env::var("AWS_ENDPOINT_URL").unwrap();
    let own = AmazonS3Builder::from_env().with_endpoint(endpoint).with_allow_http(true).with_bucket_name("ranges");
    let own: Arc<dyn ObjectStore> = Arc::new(own.build().unwrap());
    let key = Key::from("facts.parquet");
    let mut random = fastrand::Rng::with_seed(1);
    let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take((READS * BYTES) as usize).collect();
    ours.put(&key, bytes.clone().into()).await.unwrap();
    let mut seconds = [Vec::new(), Vec::new()];
    for _ in 0..21 {
        for (store, seconds) in [&ours, &own].into_iter().zip(&mut seconds) {
            let begun = Instant::now();
            let reads = (0..READS).map(|read| {
                let (store, key) = (Arc::clone(store), key.clone());
                tokio::spawn(async move { store.get_range(&key, read * BYTES..(read + 1) * BYTES).await.unwrap() })
            });
            let read: Vec<Bytes> = join_all(reads).await.into_iter().map(Result::unwrap).collect();
            seconds.push(begun.elapsed().as_secs_f64());
            assert!(read.concat() == bytes);
        }
    }
    let [ours, own] = seconds.map(|mut seconds| {
        seconds.sort_by(f64::total_cmp);
        (READS * BYTES) as f64 / 1e6 / seconds[seconds.len() / 2]
    });
    eprintln!("{ours:.0} MB/s, object_store's own client {own:.0} MB/s: {:.2}", ours / own);
}
