//! What a schedule has to do: which periods are due, which months of facts they miss, and how that is handed over from
//! the function that plans to those that work.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::publish;
use crate::rollup::{Record, content};
use crate::{Engine, Month, Plan};

/// What is due, as an object below `plans/` of the output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// The instant that the work is about, whenever it is done.
    pub now: DateTime<Utc>,
    /// Periods to publish, oldest first.
    pub periods: Vec<Month>,
    /// Months whose facts have to be made first.
    pub months: Vec<Month>,
}

impl Engine {
    /// The periods that a schedule has to publish at the instant `now`, oldest first: every closed one that never was since
    /// the first publication, and of the newest `restate_months` those whose numbers would be others and that nobody closed. While the days after
    /// a published period are still coming in, only its own facts count: else it would be restated on each of them.
    ///
    /// # Errors
    /// [`Error::Input`] for a lake that the contract cannot read. That no month is closed yet is none.
    pub async fn due(&self, now: DateTime<Utc>) -> Result<Vec<Plan>> {
        let last = match self.plan(None, now).await {
            Ok(last) => last,
            Err(Error::NotReady(reason)) => {
                tracing::info!("nothing is due: {reason}");
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        let published: Vec<Month> = self.pointers.keys().filter_map(|period| period.parse().ok()).collect();
        let newest = last.period;
        let first = published.iter().min().copied().unwrap_or(newest);
        let mut last = Some(last);
        let mut due = Vec::new();
        for period in (first.0..=newest.0).map(Month) {
            let restated = newest.0 - period.0 < self.config.restate_months;
            if published.contains(&period) && !restated {
                continue;
            }
            let plan = match last.take_if(|last| last.period == period) {
                Some(last) => last,
                None => self.plan(Some(period), now).await?,
            };
            if !published.contains(&period) || self.would_change(&plan, now).await? {
                due.push(plan);
            }
        }
        Ok(due)
    }

    /// Whether a run would publish other numbers than those that are out, or copies of them that an earlier one left behind.
    async fn would_change(&self, plan: &Plan, now: DateTime<Utc>) -> Result<bool> {
        let period = plan.period.to_string();
        let Some(found) = publish::published(&self.output, &period).await? else { return Ok(true) };
        if found.pointer.closed {
            return Ok(false);
        }
        if plan.to_read().next().is_some() || publish::copies_are_behind(self, &period, &found.pointer).await? {
            return Ok(true);
        }
        if !plan.has_looked_ahead(self) {
            let manifest = publish::manifest(&self.output, &period, &found.pointer).await?;
            return Ok(!plan.months.iter().filter_map(|month| month.record.as_ref()).eq(&manifest.facts));
        }
        Ok(self.prepare(plan, now, &|_| {}).await?.run_id != found.pointer.run_id)
    }

    /// Writes down what is due at the instant `now`; the key below the output, or `None` if nothing is.
    ///
    /// # Errors
    /// As [`Engine::due`].
    pub async fn schedule(&self, now: DateTime<Utc>) -> Result<Option<(String, Work)>> {
        let due = self.due(now).await?;
        if due.is_empty() {
            return Ok(None);
        }
        let months: BTreeSet<Month> = due.iter().flat_map(Plan::to_read).map(|month| month.month).collect();
        let work = Work { now, periods: due.iter().map(|plan| plan.period).collect(), months: Vec::from_iter(months) };
        let text = serde_json::to_vec_pretty(&work).expect("plain data");
        let key = format!("plans/{}.json", content(&text));
        self.output.join(&key).put(text).await?;
        Ok(Some((key, work)))
    }

    /// The work that was written down under a key.
    ///
    /// # Errors
    /// [`Error::Input`] if there is none.
    pub async fn work(&self, key: &str) -> Result<Work> {
        let place = self.output.join(key);
        let missing = || Error::Input(format!("{place} is no plan; start with the plan function"));
        let (text, _) = place.get().await?.filter(|_| key.starts_with("plans/")).ok_or_else(missing)?;
        serde_json::from_slice(&text).map_err(|error| Error::Input(format!("{place} is damaged: {error}")))
    }

    /// Makes the facts of one month of history, unless they are there.
    ///
    /// # Errors
    /// [`Error::Input`] for a month outside the history up to the last closed month.
    pub async fn make_facts(&self, month: Month, now: DateTime<Utc>) -> Result<Record> {
        let plan = self.plan(None, now).await?;
        let planned = plan.months.into_iter().find(|planned| planned.month == month);
        let planned = planned.ok_or_else(|| {
            Error::Input(format!("{month} is not a month from {} to {}", plan.history_start, plan.period))
        })?;
        match planned.record {
            Some(record) => Ok(record),
            None => self.roll_up(planned, self.cores).await,
        }
    }
}
