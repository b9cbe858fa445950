//! What is visible while everything fails: schedules of faults through plan, rollup, report and publication, and through what
//! people do between two days: `run`, `pull`, `runs`, `verify`, `close`, `gc`.
//!
//! `CXROI_FAULT_SCHEDULES=1000 CXROI_FAULT_SEED=1 cargo test --workspace --test all -- schedules_of_faults` runs many; a
//! failure names its seed, and `CXROI_FAULT_SCHEDULES=1 CXROI_FAULT_SEED=<seed>` is that schedule again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use chrono::{Duration, Utc};
use engine::{Config, Engine, Function, Month, Pointer};
use futures::future::join_all;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tests::faulty::Faulty;
use tests::{CONFIG, Lake, instant, setting};

const TIME: &str = "2025-01-10T06:00:00Z";
const PERIOD: &str = "2024-12";

/// A small lake, before and after a late file, and the estimates that are right for each.
struct World {
    lakes: [Vec<(Path, Bytes)>; 2],
    estimates: [Bytes; 2],
}

impl World {
    async fn new() -> Self {
        let mut made = Vec::new();
        for late in [false, true] {
            let lake = Lake::default();
            lake.put("cxroi.toml", CONFIG).await;
            lake.customers("customers/all.parquet", &[("ann", "home"), ("cas", "work")]).await;
            for month in 11..=12 {
                lake.month(2024, month).await;
            }
            // The days after the month are known, so that nothing but the late file can restate it.
            lake.interactions("interactions/later.parquet", &[(Some("ann"), "2025-01-09T10:00:00Z", None, None)]).await;
            if late {
                let line = (Some("ann"), "late", "2024-11-20T10:00:00Z", 5_000);
                lake.sales("sales/late.parquet", &[line]).await;
            }
            let mut objects = Vec::new();
            for key in lake.keys("").await {
                objects.push((Path::from(key.as_str()), lake.get(&key).await.unwrap()));
            }
            fire(&lake).await.unwrap();
            let key = format!("out/summaries/estimates/period={PERIOD}/estimates.parquet");
            made.push((objects, lake.get(&key).await.unwrap()));
        }
        let (after, before) = (made.pop().unwrap(), made.pop().unwrap());
        Self { lakes: [before.0, after.0], estimates: [before.1, after.1] }
    }

    async fn upload(&self, store: &dyn ObjectStore, late: usize) {
        for (path, bytes) in &self.lakes[late] {
            // What is there stays: a second copy would be another version.
            if store.head(path).await.is_err() {
                store.put(path, bytes.clone().into()).await.unwrap();
            }
        }
    }
}

/// The work of one day, as the state machine does it; the numbers of the periods that it reports on.
async fn fire(lake: &Lake) -> engine::Result<Vec<u64>> {
    let function = Function::new(lake.url.join("cxroi.toml").unwrap(), lake.stores.clone(), None)?;
    let planned = plan::handle(plan::Request { time: Some(TIME.to_owned()) }, &function).await?;
    let Some(plan) = planned.plan else { return Ok(Vec::new()) };
    let rollups = planned.months.into_iter().map(|month| {
        let request = rollup::Request { plan: plan.clone(), month };
        rollup::handle(request, &function)
    });
    for made in join_all(rollups).await {
        made?;
    }
    let report = report::handle(report::Request { plan: plan.clone() }, &function).await?;
    Ok(report.periods.into_iter().map(|period| period.seq).collect())
}

/// What a reader sees who starts at the pointer: nothing, or all of one of the right publications.
async fn look(store: &dyn ObjectStore, world: &World) -> Option<(Pointer, usize)> {
    let get = async |key: String| Some(store.get(&Path::from(key)).await.ok()?.bytes().await.unwrap());
    let pointer = get(format!("out/published/{PERIOD}.json")).await?;
    let pointer: Pointer = serde_json::from_slice(&pointer).expect("a whole pointer");
    let run = format!("out/runs/{PERIOD}/{}/{}", pointer.run_id, pointer.attempt);
    let estimates = get(format!("{run}/estimates.parquet")).await.expect("what a pointer names is there");
    let state =
        world.estimates.iter().position(|right| *right == estimates).expect("the estimates are right and whole");
    for file in ["money.parquet", "rejected.parquet", "manifest.json"] {
        assert!(get(format!("{run}/{file}")).await.is_some(), "{file} of the run is there");
    }
    let publication = format!("out/publications/{PERIOD}/{}", pointer.seq);
    assert!(get(format!("{publication}/restatements.parquet")).await.is_some(), "its restatements are there");
    let summary = get(format!("{publication}/summary.json")).await.expect("a summary");
    let summary: serde_json::Value = serde_json::from_slice(&summary).expect("a whole summary");
    assert_eq!(summary["run_id"], pointer.run_id.as_str());
    Some((pointer, state))
}

async fn copy(store: &dyn ObjectStore) -> Option<Bytes> {
    let key = format!("out/summaries/estimates/period={PERIOD}/estimates.parquet");
    store.get(&Path::from(key)).await.ok()?.bytes().await.ok()
}

/// What somebody does between two days, when no other writer is there. Whatever says that it worked did; a closed period is not
/// left behind.
async fn command(lake: &Lake, world: &World, which: u8) -> engine::Result<()> {
    let config = Config::load(&lake.url.join("cxroi.toml").unwrap(), &lake.stores).await?;
    let period: Month = PERIOD.parse().unwrap();
    match which {
        0 => drop(Engine::open(config, &lake.stores).await?.run(Some(period), instant(TIME), &|_| {}).await?),
        1 => {
            let (_, _, files) = engine::pull(&config, &lake.stores, Some(period)).await?;
            let (_, estimates) = files.iter().find(|(name, _)| name == "estimates.parquet").expect("it is published");
            assert!(world.estimates.contains(estimates), "other numbers are pulled");
        }
        2 => {
            let listed = engine::publications(&config, &lake.stores, None).await?;
            let numbers: Vec<u64> = listed.iter().map(|listed| listed.publication.pointer.seq).collect();
            assert!(numbers.is_sorted_by(|newer, older| newer > older), "listed are {numbers:?}");
        }
        3 => {
            let verified = engine::verify(&config, &lake.stores, None).await?;
            // Who died before the last copy left that to the next run.
            let is_of_a_copy = |problem: &String| problem.ends_with("; the next run writes it again");
            let problems =
                verified.values().flat_map(|(_, problems)| problems).filter(|problem| !is_of_a_copy(problem));
            assert_eq!(problems.collect::<Vec<_>>(), Vec::<&String>::new());
        }
        4 => {
            // All that nothing published stands on is old enough.
            let tomorrow = Utc::now() + Duration::days(1);
            engine::collect_garbage(&config, &lake.stores, Duration::hours(1), tomorrow, false).await?;
        }
        _ => {
            let closed = engine::close(&config, &lake.stores, period, true, instant(TIME)).await?;
            assert!(closed.closed, "it says that the period is closed");
        }
    }
    Ok(())
}

async fn schedule(seed: u64, world: &Arc<World>) {
    let mut random = fastrand::Rng::with_seed(seed);
    let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let pointers = Arc::new(Mutex::new(Vec::new()));
    world.upload(&memory, 0).await;
    let late_from = random.usize(0..6);

    let done = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn({
        let (memory, world, done) = (Arc::clone(&memory), Arc::clone(world), Arc::clone(&done));
        async move {
            let mut last = 0;
            while !done.load(Ordering::Relaxed) {
                if let Some((pointer, _)) = look(&memory, &world).await {
                    assert!(pointer.seq >= last, "number {} came after {last}", pointer.seq);
                    last = pointer.seq;
                }
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
            }
        }
    });

    let process = |number: u64, rates: (f64, f64), lives: usize| {
        let store = Faulty::new(Arc::clone(&memory), seed * 100 + number, rates, lives, Arc::clone(&pointers));
        Lake::over(Arc::new(store))
    };
    let whole = process(99, (0.0, 0.0), usize::MAX);
    for day in 0..4 {
        // The late file comes between two days, or while the work is being done.
        let comes_during = random.bool();
        if day == late_from && !comes_during {
            world.upload(&memory, 1).await;
        }
        let rates = ([0.0, 0.001, 0.004][random.usize(0..3)], [0.0, 0.01, 0.03][random.usize(0..3)]);
        let mut fired = Vec::new();
        for twin in 0..random.u64(1..=2) {
            let lives = if random.bool() { random.usize(1..45) } else { usize::MAX };
            let lake = process(day as u64 * 10 + twin, rates, lives);
            fired.push(async move { fire(&lake).await });
        }
        let comes = async {
            if day == late_from && comes_during {
                for _ in 0..300 {
                    tokio::task::yield_now().await;
                }
                world.upload(&memory, 1).await;
            }
        };
        let alone = fired.len() == 1;
        let (outcomes, ()) = futures::join!(join_all(fired), comes);
        // Whoever says that all is done must find it so.
        if outcomes.iter().any(Result::is_ok) {
            let (_, state) = look(&memory, world).await.expect("done, and nothing is published");
            if day != late_from || !comes_during {
                assert_eq!(state, usize::from(day >= late_from), "done, and the late file is not in it");
            }
            // A twin that lives on may be about to copy.
            if alone || outcomes.iter().all(Result::is_ok) {
                assert_eq!(copy(&memory).await, Some(world.estimates[state].clone()), "done, and the copy is behind");
            }
        }
        for number in 0..random.u64(0..3) {
            let before = look(&memory, world).await;
            let lives = if random.bool() { random.usize(1..12) } else { usize::MAX };
            let lake = process(50 + day as u64 * 10 + number, rates, lives);
            let _ = command(&lake, world, random.u8(0..6)).await;
            let after = look(&memory, world).await;
            assert!(before.is_none() || after.is_some(), "a command took the publication away");
            if after.is_some_and(|(pointer, _)| pointer.closed) {
                let config = Config::load(&whole.url.join("cxroi.toml").unwrap(), &whole.stores).await.unwrap();
                engine::close(&config, &whole.stores, PERIOD.parse().unwrap(), false, instant(TIME))
                    .await
                    .expect("without faults it works");
            }
        }
    }
    world.upload(&memory, 1).await;
    fire(&process(90, (0.0, 0.0), usize::MAX)).await.expect("without faults it works");
    let (pointer, state) = look(&memory, world).await.expect("published");
    assert_eq!(state, 1, "the late file is in it");
    assert_eq!(
        fire(&process(91, (0.0, 0.0), usize::MAX)).await.expect("without faults it works"),
        [0; 0],
        "nothing is due"
    );
    done.store(true, Ordering::Relaxed);
    reader.await.expect("the reader saw nothing wrong");

    let pointers: Vec<Pointer> =
        pointers.lock().unwrap().iter().map(|bytes| serde_json::from_slice(bytes).unwrap()).collect();
    assert_eq!(pointers.last(), Some(&pointer), "the last pointer is the one that is there");
    for pair in pointers.windows(2) {
        // Closing a period writes its pointer again.
        if pair[0].seq != pair[1].seq {
            assert!(pair[0].seq < pair[1].seq, "numbers grow: {pointers:?}");
            assert_ne!(pair[0].run_id, pair[1].run_id, "the same numbers were published twice: {pointers:?}");
        } else {
            assert_eq!(pair[0].run_id, pair[1].run_id, "two publications have one number: {pointers:?}");
            assert_ne!(pair[0].closed, pair[1].closed, "a number was published twice: {pointers:?}");
        }
    }
    assert_eq!(copy(&memory).await, Some(world.estimates[1].clone()), "the stable copy follows");
}

#[tokio::test]
async fn schedules_of_faults_leave_one_right_publication_and_never_a_part() {
    let (schedules, first) = (setting("CXROI_FAULT_SCHEDULES", 15), setting("CXROI_FAULT_SEED", 1));
    let world = Arc::new(World::new().await);
    for seed in first..first + schedules {
        let world = Arc::clone(&world);
        let outcome = tokio::spawn(async move { schedule(seed, &world).await }).await;
        assert!(outcome.is_ok(), "schedule {seed} failed; CXROI_FAULT_SCHEDULES=1 CXROI_FAULT_SEED={seed} is it again");
    }
}
