//! What a run will read, take and cost, told before it runs from footers, the facts that are there, and measured rates.

use std::collections::BTreeMap;

use crate::Engine;
use crate::function::{GIGABYTE_SECOND, MEMORY_OF_A_CORE};
use crate::plan::Plan;

/// Rows of the lake that a core turns into facts in a second, and rows of `customer_month` that it measures in one; what a
/// report takes whatever its size, in seconds of a core. Measured by `tests/bench/run` and on the demo; a month with more columns than
/// these lakes have takes longer.
const ROLLED_UP: f64 = 480_000.0;
const MEASURED: f64 = 145_000.0;
const REPORT: f64 = 3.0;

/// Rows of `customer_month` for each row of the lake, where there are no facts to tell.
const FACTS: f64 = 0.32;

/// Bytes of a row, where no footer tells how many rows there are.
const ROW: f64 = 60.0;

/// What a run is expected to need.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expected {
    /// Rows of the lake that are read.
    pub rows: f64,
    /// Bytes of the objects that hold them.
    pub bytes: f64,
    /// Rows of a customer in a month that the report is computed from.
    pub facts: f64,
    /// Seconds of a core for the months that are read, and for the report.
    pub seconds: (f64, f64),
    /// Cores that it would run on here.
    pub cores: usize,
}

impl Expected {
    /// Seconds on the cores of this machine.
    pub fn here(&self) -> f64 {
        (self.seconds.0 + self.seconds.1) / self.cores as f64
    }

    /// US dollars of Lambda for it, at the list price of us-east-1, with the memory that comes with the cores.
    pub fn dollars(&self) -> f64 {
        let gigabytes = MEMORY_OF_A_CORE as f64 / f64::from(1 << 30);
        (self.seconds.0 + self.seconds.1) * gigabytes * GIGABYTE_SECOND
    }
}

/// What a run of a plan is expected to need.
pub(crate) fn of(engine: &Engine, plan: &Plan) -> Expected {
    let mut months_of: BTreeMap<&(String, usize), f64> = BTreeMap::new();
    for object in plan.months.iter().flat_map(|month| &month.objects) {
        *months_of.entry(object).or_default() += 1.0;
    }
    let (mut rows, mut bytes) = (0.0, 0.0);
    for object in plan.to_read().flat_map(|month| &month.objects) {
        let input = &engine.lake.sources[&object.0].objects[object.1];
        let size = input.meta.size as f64;
        // A month takes the row groups of a Parquet file that may hold it, and the whole of any other.
        let share = if input.rows.is_some() { 1.0 / months_of[object] } else { 1.0 };
        rows += input.rows.map_or(size / ROW, |rows| rows as f64) * share;
        bytes += size * share;
    }
    let of_record =
        |month: &crate::plan::MonthPlan| Some(month.record.as_ref()?.tables.get("customer_month")?.rows as f64);
    let known: f64 = plan.months.iter().filter_map(of_record).sum();
    let facts = known + rows * FACTS;
    Expected { rows, bytes, facts, seconds: (rows / ROLLED_UP, REPORT + facts / MEASURED), cores: engine.cores }
}
