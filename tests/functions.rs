//! The three functions, called as the state machine calls them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use chrono::{NaiveDate, NaiveTime, TimeDelta};
use engine::{Config, Error, Function};
use serde_json::Value;
use tests::{CONFIG, Lake, instant, setting};

const ESTIMATES: &str = "out/summaries/estimates/period=2024-12/estimates.parquet";

/// Plan, a rollup for each month, report: the months rolled up, and the periods with number and whether they are new.
async fn fire(lake: &Lake, time: &str) -> engine::Result<(Vec<String>, Vec<(String, u64, bool)>)> {
    fire_with(lake, CONFIG, time).await
}

async fn fire_with(lake: &Lake, config: &str, time: &str) -> engine::Result<(Vec<String>, Vec<(String, u64, bool)>)> {
    lake.put("cxroi.toml", config.to_owned()).await;
    let function = Function::new(lake.url.join("cxroi.toml").unwrap(), lake.stores.clone(), Some(4 << 30)).unwrap();
    let planned = plan::handle(plan::Request { time: Some(time.to_owned()) }, &function).await?;
    let Some(plan) = planned.plan else { return Ok((Vec::new(), Vec::new())) };
    let mut months = Vec::new();
    for month in planned.months {
        let made = rollup::handle(rollup::Request { plan: plan.clone(), month }, &function).await?;
        assert_eq!(made.rows, 10, "{month}");
        months.push(month.to_string());
    }
    let report = report::handle(report::Request { plan }, &function).await?;
    let periods = report.periods.into_iter();
    Ok((months, periods.map(|period| (period.period.to_string(), period.seq, period.published)).collect()))
}

async fn function(lake: &Lake) -> Function {
    lake.put("cxroi.toml", CONFIG).await;
    Function::new(lake.url.join("cxroi.toml").unwrap(), lake.stores.clone(), Some(4 << 30)).unwrap()
}

fn published(period: &str, seq: u64) -> (String, u64, bool) {
    (period.to_owned(), seq, true)
}

#[tokio::test]
async fn a_schedule_publishes_what_a_run_does_and_then_finds_nothing_due() {
    let lake = Lake::seven_months().await;
    let (months, periods) = fire(&lake, "2025-01-03T06:00:00Z").await.unwrap();
    assert_eq!((months.len(), periods), (7, vec![published("2024-12", 1)]));
    let here = Lake::seven_months().await;
    here.run_at("2025-01-03T06:00:00Z").await.unwrap();
    assert_eq!(lake.get(ESTIMATES).await, here.get(ESTIMATES).await);
    let keys = lake.keys("").await;
    assert_eq!(fire(&lake, "2025-01-04T06:00:00Z").await.unwrap(), (vec![], vec![]));
    assert_eq!(lake.keys("").await, keys, "and nothing was written");
}

#[tokio::test]
async fn a_late_row_restates_the_periods_that_see_it_and_other_customers_restate_nothing() {
    let lake = Lake::seven_months().await;
    fire(&lake, "2025-01-03T06:00:00Z").await.unwrap();
    lake.month(2025, 1).await;
    // December again, as the seven days after it are known now.
    let periods = fire(&lake, "2025-02-03T06:00:00Z").await.unwrap().1;
    assert_eq!(periods, [published("2024-12", 2), published("2025-01", 1)]);
    lake.customers("customers/all.parquet", &[("ann", "work"), ("bob", "work")]).await;
    assert_eq!(fire(&lake, "2025-02-04T06:00:00Z").await.unwrap(), (vec![], vec![]));
    // One more sale of December, beside nine rows that were there: both periods have December in them.
    lake.sales("sales/month=2024-12/late.parquet", &[(Some("ann"), "late", "2024-12-12T10:00:00Z", 5_000)]).await;
    let function = function(&lake).await;
    let planned =
        plan::handle(plan::Request { time: Some("2025-02-05T06:00:00Z".to_owned()) }, &function).await.unwrap();
    assert_eq!(planned.months.iter().map(ToString::to_string).collect::<Vec<_>>(), ["2024-12"]);
    let report = report::handle(report::Request { plan: planned.plan.unwrap() }, &function).await.unwrap();
    let seen: Vec<_> = report.periods.iter().map(|period| (period.period.to_string(), period.seq)).collect();
    assert_eq!(seen, [("2024-12".to_owned(), 3), ("2025-01".to_owned(), 2)]);
}

#[tokio::test]
async fn while_days_after_a_period_come_in_files_that_are_written_again_restate_nothing() {
    let lake = Lake::seven_months().await;
    fire(&lake, "2025-01-03T06:00:00Z").await.unwrap();
    let key = "interactions/month=2024-12/part-0.parquet";
    let again = lake.get(key).await.unwrap();
    lake.put(key, again).await;
    lake.interactions("interactions/new.parquet", &[(Some("ann"), "2025-01-03T10:00:00Z", Some(1), None)]).await;
    assert_eq!(fire(&lake, "2025-01-04T06:00:00Z").await.unwrap(), (vec!["2024-12".to_owned()], vec![]));
    assert_eq!(fire(&lake, "2025-01-05T06:00:00Z").await.unwrap(), (vec![], vec![]));
}

#[tokio::test]
async fn a_lake_that_lost_a_published_month_says_so() {
    let lake = Lake::seven_months().await;
    lake.month(2025, 1).await;
    assert_eq!(fire(&lake, "2025-02-03T06:00:00Z").await.unwrap().1, [published("2025-01", 1)]);
    lake.delete("sales/month=2025-01/part-0.parquet").await;
    let error = lake.open(CONFIG).await.unwrap().due("2025-02-04T06:00:00Z".parse().unwrap()).await.unwrap_err();
    assert!(error.to_string().starts_with("2025-01 is not closed: the last row of sales is of"), "{error}");
}

#[tokio::test]
async fn months_that_no_event_came_for_are_caught_up() {
    let lake = Lake::seven_months().await;
    fire(&lake, "2025-01-03T06:00:00Z").await.unwrap();
    lake.month(2025, 1).await;
    lake.month(2025, 2).await;
    lake.month(2025, 3).await;
    let (months, periods) = fire(&lake, "2025-04-03T06:00:00Z").await.unwrap();
    assert_eq!(months, ["2025-01", "2025-02", "2025-03"]);
    assert_eq!(periods, [published("2025-01", 1), published("2025-02", 1), published("2025-03", 1)]);
}

/// Some events are lost, some come twice at once, some after a later one; most are around midnight of a month's end, on both sides of
/// the change of clocks, while files come before or after. `CXROI_SCHEDULE_MONTHS=36` is three years.
#[tokio::test]
async fn every_closed_month_is_published_once_whatever_becomes_of_the_events() {
    let months = i32::try_from(setting("CXROI_SCHEDULE_MONTHS", 8)).unwrap();
    // Days after a month that come in later restate it otherwise.
    let config = format!("{CONFIG}run.restate_months = 0\n");
    let mut random = fastrand::Rng::with_seed(36);
    let lake = Lake::default();
    lake.customers("customers/all.parquet", &[("ann", "home"), ("cas", "work")]).await;
    let mut published = BTreeMap::<String, u64>::new();
    let mut closed = BTreeSet::new();
    for (year, month) in (0..months).map(|at: i32| (2022 + (8 + at) / 12, ((8 + at) % 12 + 1).cast_unsigned())) {
        let next = if month == 12 {
            NaiveDate::from_ymd_opt(year + 1, 1, 1)
        } else {
            NaiveDate::from_ymd_opt(year, month + 1, 1)
        };
        let next = next.unwrap().and_time(NaiveTime::MIN).and_utc();
        // Rome is two hours ahead at the ends of March to September, and one at the others.
        let midnight = next - TimeDelta::hours(if (3..=9).contains(&month) { 2 } else { 1 });
        let arrives = midnight + TimeDelta::hours(*random.choice(&[-30, -1, 20, 60]).unwrap());
        let mut events = vec![midnight - TimeDelta::minutes(30), midnight + TimeDelta::minutes(30)];
        events.extend((1..=3).map(|day| midnight + TimeDelta::hours(24 * day)));
        events.retain(|time| *time < midnight || random.f64() > 0.3);
        if random.bool() && events.len() > 1 {
            let late = random.usize(1..events.len());
            events.swap(late - 1, late);
        }
        let mut has_arrived = false;
        for (at, time) in events.iter().enumerate() {
            // What comes late is looked at with the files of its time of coming.
            let now = events[..=at].iter().max().unwrap();
            if !has_arrived && *now >= arrives {
                lake.month(year, month).await;
                has_arrived = true;
            }
            if has_arrived && *time >= midnight {
                closed.insert(format!("{year}-{month:02}"));
            }
            let text = time.to_rfc3339();
            let done = match random.bool() {
                true => vec![fire_with(&lake, &config, &text).await],
                false => {
                    <[_; 2]>::from(tokio::join!(fire_with(&lake, &config, &text), fire_with(&lake, &config, &text)))
                        .into()
                }
            };
            for done in done {
                match done {
                    Ok((_, periods)) => {
                        for (period, seq, is_new) in periods {
                            assert_eq!(seq, 1, "{period} at {text}");
                            *published.entry(period).or_default() += u64::from(is_new);
                        }
                    }
                    // An event of before the month's end finds that it was published meanwhile, or that nothing is there yet.
                    Err(error) => assert!(closed.len() < 2 || *time < *now, "{text}: {error}"),
                }
            }
            assert!(
                published.keys().all(|period| closed.contains(period)),
                "{published:?} at {text}, closed {closed:?}"
            );
        }
        if !has_arrived {
            lake.month(year, month).await;
        }
        closed.insert(format!("{year}-{month:02}"));
    }
    let end = "2030-01-03T06:00:00Z";
    for (period, seq, is_new) in fire_with(&lake, &config, end).await.unwrap().1 {
        assert_eq!(seq, 1, "{period}");
        *published.entry(period).or_default() += u64::from(is_new);
    }
    assert_eq!(published.keys().collect::<Vec<_>>(), closed.iter().collect::<Vec<_>>());
    assert!(published.values().all(|times| *times == 1), "{published:?}");
}

#[tokio::test]
async fn before_a_month_is_closed_nothing_is_due() {
    let lake = Lake::default();
    lake.customers("customers/all.parquet", &[("ann", "home")]).await;
    lake.month(2024, 12).await;
    assert_eq!(fire(&lake, "2024-12-31T06:00:00Z").await.unwrap(), (vec![], vec![]));
}

#[tokio::test]
async fn each_error_has_the_word_that_the_state_machine_knows() {
    let lake = Lake::seven_months().await;
    let function = function(&lake).await;
    let plan = "plans/none.json".to_owned();
    let error = report::handle(report::Request { plan }, &function).await.unwrap_err();
    assert_eq!((error.kind(), error.to_string().contains("plans/none.json is no plan")), ("Input", true), "{error}");
    lake.put("sales/month=2024-12/broken.parquet", "not Parquet").await;
    let error = fire(&lake, "2025-01-03T06:00:00Z").await.unwrap_err();
    assert_eq!((error.kind(), error.to_string().contains("broken.parquet")), ("Input", true), "{error}");
    lake.put("cxroi.toml", "currency = 1").await;
    let request = plan::Request { time: None };
    assert_eq!(plan::handle(request, &function).await.unwrap_err().kind(), "Configuration");
}

#[test]
fn the_manual_knows_the_words_that_there_are() {
    let manual = include_str!("../infra/README.md");
    let (_, list) = manual.split_once("says one of ").unwrap();
    let (list, _) = list.split_once(". `").unwrap();
    let mut words: Vec<&str> = list.split(',').map(|word| word.trim().trim_matches('`')).collect();
    words.sort_unstable();
    let mut kinds = Error::KINDS;
    kinds.sort_unstable();
    assert_eq!(words, kinds);
}

#[tokio::test]
async fn a_function_without_memory_does_not_start_and_one_without_time_stops() {
    let lake = Lake::default();
    let small = Function::new(lake.url.clone(), lake.stores.clone(), Some(256 << 20)).unwrap_err();
    assert_eq!(small.to_string(), "the function has 256 MB of memory; give it at least 512 MB");
    let endless = std::future::pending::<engine::Result<()>>();
    let error = Function::before(SystemTime::now() + Duration::from_millis(5_010), endless).await.unwrap_err();
    assert!(matches!(error, Error::Deadline(_)), "{error}");
    let no_deadline = SystemTime::UNIX_EPOCH;
    assert_eq!(Function::before(no_deadline, async { Ok(7) }).await.unwrap(), 7);
}

#[tokio::test]
async fn a_closed_period_keeps_its_numbers_until_it_is_opened_again() {
    let lake = Lake::seven_months().await;
    fire(&lake, "2025-01-03T06:00:00Z").await.unwrap();
    let config = Config::load(&lake.url.join("cxroi.toml").unwrap(), &lake.stores).await.unwrap();
    let period = "2024-12".parse().unwrap();
    let signed = instant("2025-01-03T09:30:00Z");
    for at in ["2025-01-03T09:30:00Z", "2025-01-04T09:30:00Z"] {
        let pointer = engine::close(&config, &lake.stores, period, true, instant(at)).await.unwrap();
        assert_eq!((pointer.closed, pointer.closed_at), (true, Some(signed)), "the first sign-off counts");
    }
    let pointer: Value = serde_json::from_slice(&lake.get("out/published/2024-12.json").await.unwrap()).unwrap();
    assert_eq!(pointer["closed_at"], "2025-01-03T09:30:00Z");
    let before = lake.get(ESTIMATES).await;
    lake.sales("sales/late.parquet", &[(Some("ann"), "late", "2024-12-12T10:00:00Z", 5_000)]).await;
    let function = function(&lake).await;
    let request = plan::Request { time: Some("2025-01-04T06:00:00Z".to_owned()) };
    let plan = plan::handle(request, &function).await.unwrap().plan.unwrap();
    assert!(report::handle(report::Request { plan }, &function).await.unwrap().periods.is_empty());
    let error = lake.run().await.unwrap_err();
    assert!(matches!(error, Error::Closed { seq: 1, .. }), "{error}");
    assert_eq!(lake.get(ESTIMATES).await, before);
    let open = engine::close(&config, &lake.stores, period, false, signed).await.unwrap();
    assert_eq!((open.closed, open.closed_at), (false, None));
    assert_eq!(lake.run().await.unwrap().pointer.seq, 2);
    let unpublished = engine::close(&config, &lake.stores, "2024-11".parse().unwrap(), true, signed).await.unwrap_err();
    assert!(unpublished.to_string().contains("2024-11 is not published"), "{unpublished}");
}
