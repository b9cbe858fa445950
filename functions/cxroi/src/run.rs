//! `cxroi run`: one month, or everything that is due.

use std::io::IsTerminal;
use std::sync::Mutex;

use anyhow::Result;
use chrono::Utc;
use engine::{Config, Engine, Error, Month, Outcome, Progress, Stores, plural};
use indicatif::{ProgressBar, ProgressStyle};

use crate::arguments::Lake;
use crate::{configuration, show};

/// What a period that is already published takes from today, and not from its first publication.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Refresh {
    pub(crate) dimensions: bool,
    pub(crate) version: bool,
}

/// Runs one month, or, without one, everything that is due, as a schedule does. Says what became of each.
pub(crate) async fn run(lake: &Lake, output: Option<&str>, period: Option<Month>, refresh: Refresh) -> Result<()> {
    let stores = Stores::default();
    let config = configuration(lake, output, &stores).await?;
    let now = Utc::now();
    let one = async |period: Option<Month>| {
        let outcome = run_one(&config, &stores, period, refresh).await?;
        show::say(&format!("{}\n", show::outcome(&outcome)))
    };
    if period.is_some() || refresh.dimensions || refresh.version {
        return one(period).await;
    }
    let engine = Engine::open(config.clone(), &stores).await?;
    let due = engine.due(now).await?;
    // First, as months that are published say it of an earlier one that they compare with.
    watch(async |progress| engine.make_facts_of_kept(&due, progress).await).await?;
    let keep: Vec<Month> = due.keep.iter().map(|plan| plan.period).collect();
    engine.mark_stale(&keep, now).await?;
    let mut published = false;
    for plan in &due.publish {
        // Only once its facts are made can anybody see whether they differ.
        if plan.to_read().next().is_some()
            && !watch(async |progress| engine.is_due(plan.period, now, progress).await).await?
        {
            continue;
        }
        published = true;
        match one(Some(plan.period)).await {
            // Somebody closed it meanwhile: that is no failure of the others.
            Err(error) if matches!(error.downcast_ref(), Some(Error::Closed { .. })) => eprintln!("{error:#}"),
            result => result?,
        }
    }
    if !published {
        let (period, pointer) = engine::newest(&config, &stores).await?;
        show::say(&format!("{}\n", show::nothing_due(&period, &pointer)))?;
    }
    Ok(())
}

/// Runs a month; where another writer publishes meanwhile, looks at the lake again, a few times.
async fn run_one(config: &Config, stores: &Stores, period: Option<Month>, refresh: Refresh) -> Result<Outcome> {
    const TRIES: usize = 3;
    let open = async || {
        let engine = Engine::open(config.clone(), stores).await?;
        let engine = if refresh.dimensions { engine.refreshing_dimensions() } else { engine };
        Ok::<_, Error>(if refresh.version { engine.refreshing_version() } else { engine })
    };
    for _ in 1..TRIES {
        let engine = open().await?;
        match watch(async |progress| engine.run(period, Utc::now(), progress).await).await {
            Err(Error::Conflict(period)) => eprintln!("another writer published {period} meanwhile: planning again"),
            result => return Ok(result?),
        }
    }
    let engine = open().await?;
    Ok(watch(async |progress| engine.run(period, Utc::now(), progress).await).await?)
}

/// Works with a progress bar on a terminal and plain lines elsewhere.
async fn watch<T>(work: impl AsyncFnOnce(&(dyn Fn(Progress) + Sync)) -> engine::Result<T>) -> engine::Result<T> {
    let bar = Mutex::new(ProgressBar::hidden());
    let terminal = std::io::stderr().is_terminal();
    let watch = |progress: Progress| {
        let mut bar = bar.lock().expect("no holder of this lock panics");
        match progress {
            Progress::Planned { period, read, months } => {
                eprintln!("{period}: {read} of {months} {} to read", plural(months, "month", "months"));
                if terminal && read > 0 {
                    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} months, {msg}, {elapsed}");
                    *bar = ProgressBar::new(read as u64).with_style(style.expect("a fixed template"));
                }
            }
            Progress::RolledUp { month, rows } if terminal => {
                bar.set_message(format!("{month}: {rows} {}", plural(rows, "row", "rows")));
                bar.inc(1);
            }
            Progress::RolledUp { month, rows } => eprintln!("  {month}: {rows} {}", plural(rows, "row", "rows")),
            Progress::Measuring => bar.finish_and_clear(),
        }
    };
    let outcome = work(&watch).await;
    bar.lock().expect("no holder of this lock panics").finish_and_clear();
    outcome
}
