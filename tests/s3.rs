//! S3 on servers of this machine: SeaweedFS, which checks signatures and checksums, and ministack.
//!
//! The SDK finds its server in the environment. So each test that is not ignored starts a server and runs the ignored
//! ones, which need a bucket, in a process of their own.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::Stores;
use futures::future::join_all;
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

    /// Runs an ignored test of this file against the server.
    fn run(&self, test: &str) {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", &format!("s3::{test}")])
            .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.port))
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "tests")
            .env("AWS_SECRET_ACCESS_KEY", PASSWORD)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("1 passed"), "{said}\n{errors}\n{}", self.log());
    }
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
    for table in ["estimates", "money"] {
        let key = format!("out/summaries/{table}/period=2024-12/{table}.parquet");
        let (there, here) = (lake.get(&key).await, memory.get(&key).await);
        assert!(here.is_some() && there == here, "{table} differs");
    }
    let again = lake.open(CONFIG).await.unwrap().run(None, instant(NOW), &|_| {}).await.unwrap();
    assert!(!again.published && again.months_read.is_empty() && again.repaired == 0, "{again:?}");
    lake.month(2025, 1).await;
    assert_eq!(lake.run_at("2025-02-03T06:00:00Z").await.unwrap().months_read.len(), 1);
}
