//! `cxroi check`: what the store, the configuration and the lake are found to be, before anything is published.

use std::process::ExitCode;

use anyhow::Result;
use chrono::Utc;
use engine::{Check, Engine, Stores};

use crate::arguments::Lake;
use crate::{configuration, show};

/// Prints what every check finds, or that there was nothing to look at. The exit code says whether anything but warnings was
/// found.
pub(crate) async fn check(lake: &Lake) -> Result<ExitCode> {
    /// Rows shown of what a check finds.
    const SHOWN: usize = 10;
    let (stores, now) = (Stores::default(), Utc::now());
    let config = configuration(lake, None, &stores).await?;
    let mut sound = true;
    for (claim, found) in engine::prove_store(&config, &stores, now).await? {
        sound &= found.is_none();
        let state = if found.is_none() { "ok" } else { "found" };
        show::say(&format!(
            "{state:<10} store: {claim}{}\n",
            found.map(|found| format!(" {found}")).unwrap_or_default()
        ))?;
    }
    let engine = Engine::open(config, &stores).await?;
    let (analyst, plan) = engine.analyst(now).await?;
    match plan {
        Ok(plan) => show::say(&show::plan(&engine, &plan, now))?,
        Err(error) => {
            sound = false;
            show::say(&format!("found      {error}\n"))?;
        }
    }
    for Check { name, claim, rows, is_warning, about, nothing, more } in engine.checks(&analyst).await? {
        let (first, count) = engine.found(&name, rows, SHOWN).await?;
        let is_about_nothing = count == 0 && engine.found(&name, about.limit(0, Some(1))?, 1).await?.1 == 0;
        let state = match (count, is_warning) {
            (0, _) if is_about_nothing => "none",
            (0, _) => "ok",
            (_, true) => "warning",
            (_, false) => "found",
        };
        let why = if is_about_nothing { format!(" Nothing to compare: {nothing}.") } else { String::new() };
        show::say(&format!("{state:<10} {name}: {claim}{why}\n"))?;
        sound &= count == 0 || is_warning;
        if count > 0 {
            show::say(&format!("{}\n", arrow::util::pretty::pretty_format_batches(&first)?))?;
        }
        if count > SHOWN {
            show::say(&format!("           the first {SHOWN} of {count}\n"))?;
        }
        if let Some(more) = more {
            let (all, count) = engine.found(&name, more, usize::MAX).await?;
            if count > 0 {
                show::say(&format!(
                    "           of every month:\n{}\n",
                    arrow::util::pretty::pretty_format_batches(&all)?
                ))?;
            }
        }
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::from(2) })
}
