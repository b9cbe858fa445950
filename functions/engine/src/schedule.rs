//! What a schedule has to do: which periods are due, which months of facts they miss, and how that is handed over from
//! the function that plans to those that work.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::encoding::content_hash;
use crate::error::{Error, Result};
use crate::publish::{self, Pointer};
use crate::restatement::{Basis, VERSION_MOVED};
use crate::rollup::Record;
use crate::{Engine, Month, Plan, Progress};

/// What is due, as an object below `plans/` of the output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// The instant that the work is about, whenever it is done.
    pub now: DateTime<Utc>,
    /// Periods to publish, oldest first.
    pub periods: Vec<Month>,
    /// Published periods that keep their numbers, to be marked where inputs of theirs moved.
    pub keep: Vec<Month>,
    /// Months whose facts have to be made first.
    pub months: Vec<Month>,
}

/// What there is to do about the closed periods, oldest first.
#[derive(Debug, Default)]
pub struct Due {
    /// Those to publish: not published yet, or to be restated.
    pub publish: Vec<Plan>,
    /// Those whose numbers stay, whatever moved: closed by finance, or older than `restate_months`.
    pub keep: Vec<Plan>,
}

impl Due {
    /// The months whose facts are missing.
    pub fn months(&self) -> BTreeSet<Month> {
        self.publish.iter().chain(&self.keep).flat_map(Plan::to_read).map(|month| month.month).collect()
    }
}

impl Engine {
    /// What a schedule has to do at the instant `now`: publish every closed period after the first published one that
    /// never was published, and, of the newest `restate_months`, those whose numbers would change and that finance has
    /// not signed off. While the days after a published period are still coming in, only its own facts count, or it
    /// would be restated on each of these days. A new version alone restates nothing.
    ///
    /// # Errors
    /// As [`Engine::plan`].
    pub async fn due(&self, now: DateTime<Utc>) -> Result<Due> {
        let mut due = Due::default();
        let last = self.plan(None, now).await?;
        let published: Vec<Month> = self.pointers.keys().filter_map(|period| period.parse().ok()).collect();
        // If the lake no longer reaches the newest published month, planning that month says so; an earlier one is not
        // taken for the newest.
        if let Some(newest) = published.iter().max().filter(|newest| **newest > last.period) {
            self.plan(Some(*newest), now).await?;
        }
        let first = published.iter().min().copied().unwrap_or(last.period).max(last.history_start);
        for period in (first.0..=last.period.0).map(Month) {
            let plan = last.earlier(self, period, now).await?;
            let Some(found) = publish::published(&self.output, &period.to_string()).await? else {
                due.publish.push(plan);
                continue;
            };
            if found.pointer.closed || last.period.0 - period.0 >= self.config.restate_months {
                due.keep.push(plan);
            } else if self.would_change(&plan, &found.pointer).await? {
                due.publish.push(plan);
            } else if !found.pointer.stale.is_empty() {
                // It was marked while it was closed or too old to be restated, and its inputs are again what they were.
                due.keep.push(plan);
            }
        }
        Ok(due)
    }

    /// Whether a period is still due once its facts are made: files that were written again may hold what they held.
    ///
    /// # Errors
    /// As [`Engine::plan`] and [`Engine::make_facts`].
    pub async fn is_due(
        &self,
        period: Month,
        now: DateTime<Utc>,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<bool> {
        let Some(found) = publish::published(&self.output, &period.to_string()).await? else { return Ok(true) };
        let mut plan = self.plan(Some(period), now).await?;
        if plan.to_read().next().is_some() {
            self.facts(&plan, progress).await?;
            plan = self.plan(Some(period), now).await?;
        }
        self.would_change(&plan, &found.pointer).await
    }

    /// Makes the missing facts of the periods that keep their numbers: without them nobody can tell whether these are
    /// stale.
    ///
    /// # Errors
    /// As [`Engine::make_facts`].
    pub async fn make_facts_of_kept(&self, due: &Due, progress: &(dyn Fn(Progress) + Sync)) -> Result<()> {
        // The months of the newest period include those of all periods before it.
        let newest = due.keep.iter().max_by_key(|plan| plan.period);
        if let Some(newest) = newest.filter(|plan| plan.to_read().next().is_some()) {
            self.facts(newest, progress).await?;
        }
        Ok(())
    }

    /// Whether a run would publish other numbers than those that are out, or copies of them that an earlier one left behind.
    async fn would_change(&self, plan: &Plan, pointer: &Pointer) -> Result<bool> {
        let period = plan.period.to_string();
        if plan.to_read().next().is_some() || publish::copies_are_behind(self, &period, pointer).await? {
            return Ok(true);
        }
        let manifest = publish::manifest(&self.output, &period, pointer).await?;
        let mut moved = self.moved_since(plan, &manifest.basis, plan.has_looked_ahead(self)).await?.unwrap_or_default();
        moved.remove(VERSION_MOVED);
        Ok(!moved.is_empty())
    }

    /// What moved since a period was published, with or without days after it that came in since; `None` where facts are
    /// missing.
    async fn moved_since(&self, plan: &Plan, then: &Basis, days_after: bool) -> Result<Option<BTreeSet<String>>> {
        let facts: Option<Vec<Record>> = plan.months.iter().map(|month| month.record.clone()).collect();
        let Some(facts) = facts else { return Ok(None) };
        let now = match days_after {
            true => self.basis(plan, facts, self.look_ahead(plan).await?).await?,
            false => self.basis(plan, facts, then.look_ahead.clone()).await?.known_as(then),
        };
        Ok(Some(now.moved_since(then)))
    }

    /// Marks those of these periods as stale whose inputs moved since they were published, and takes the mark from
    /// those whose inputs are again what they were. Where facts are missing, the mark stays as it is.
    ///
    /// # Errors
    /// As [`Engine::due`].
    pub async fn mark_stale(&self, keep: &[Month], now: DateTime<Utc>) -> Result<()> {
        for (period, stale) in self.other_marks(keep, now).await? {
            tracing::warn!(period, moved = ?stale, "the period keeps its numbers, though inputs moved since");
            match publish::mark(&self.output, &period, |pointer| pointer.stale = stale).await {
                // Whoever moved the pointer has the mark looked at again.
                Err(Error::Conflict(_)) => {}
                marked => drop(marked?),
            }
        }
        Ok(())
    }

    /// The periods whose mark is not what it should be, with what moved.
    async fn other_marks(&self, keep: &[Month], now: DateTime<Utc>) -> Result<Vec<(String, BTreeSet<String>)>> {
        let mut marks = Vec::new();
        if keep.is_empty() {
            return Ok(marks);
        }
        let last = self.plan(None, now).await?;
        for period in keep {
            let plan = last.earlier(self, *period, now).await?;
            let period = period.to_string();
            let Some(found) = publish::published(&self.output, &period).await? else { continue };
            let then = publish::manifest(&self.output, &period, &found.pointer).await?.basis;
            // Days after the period are no reason to call it stale: most periods are published before all of these have
            // come in.
            let Some(mut stale) = self.moved_since(&plan, &then, false).await? else { continue };
            stale.remove(VERSION_MOVED);
            if stale != found.pointer.stale {
                marks.push((period, stale));
            }
        }
        Ok(marks)
    }

    /// Writes down what is due at the instant `now`; the key below the output, or `None` if nothing is. The periods that
    /// keep their numbers are marked by whoever does the work, once there are facts to tell by.
    ///
    /// # Errors
    /// As [`Engine::due`], except that it is no error if no month is closed yet.
    pub async fn schedule(&self, now: DateTime<Utc>) -> Result<Option<(String, Work)>> {
        let due = match self.due(now).await {
            Err(Error::NotReady(reason)) => {
                tracing::info!("nothing is due: {reason}");
                return Ok(None);
            }
            due => due?,
        };
        let periods = |plans: &[Plan]| plans.iter().map(|plan| plan.period).collect::<Vec<Month>>();
        let (periods, keep, months) = (periods(&due.publish), periods(&due.keep), Vec::from_iter(due.months()));
        if periods.is_empty() && months.is_empty() && self.other_marks(&keep, now).await?.is_empty() {
            return Ok(None);
        }
        let work = Work { now, periods, keep, months };
        let text = serde_json::to_vec_pretty(&work).expect("plain data");
        let key = format!("plans/{}.json", content_hash(&text));
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

    /// Days since the end of the oldest month that is over, comes after the first published one, and is not published;
    /// if nothing is published, since the end of the last month. A late feed is no excuse: somebody should know.
    pub fn days_overdue(&self, now: DateTime<Utc>) -> i64 {
        let published: BTreeSet<Month> = self.pointers.keys().filter_map(|period| period.parse().ok()).collect();
        let zone = self.config.timezone;
        let this = Month::of(now, zone);
        let first = published.first().map_or(this.0 - 1, |first| first.0);
        let missing = (first..this.0).map(Month).find(|month| !published.contains(month));
        missing.map_or(0, |month| (now - month.end(zone)).num_days())
    }

    /// Makes the facts of one month of history unless they are there already. Gives them with the bytes of the files
    /// that were read for that.
    ///
    /// # Errors
    /// [`Error::Input`] for a month outside the history up to the last closed month.
    pub async fn make_facts(&self, month: Month, now: DateTime<Utc>) -> Result<(Record, u64)> {
        let plan = self.plan(None, now).await?;
        let planned = plan.months.into_iter().find(|planned| planned.month == month);
        let planned = planned.ok_or_else(|| {
            Error::Input(format!("{month} is not a month from {} to {}", plan.history_start, plan.period))
        })?;
        match planned.record {
            Some(record) => Ok((record, 0)),
            None => {
                let bytes = planned.bytes(self);
                Ok((self.roll_up(planned, self.cores).await?, bytes))
            }
        }
    }
}
