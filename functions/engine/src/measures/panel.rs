//! What the regressions share: cells, as of segment, tenure and month, fitted once for everybody and once for each segment.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, RecordBatch, StringArray};
use stats::Undefined;
use stats::regression::{Cell, Fit, Shape, fit};

use crate::error::{Context, Result};
use crate::estimates::ALL;
use crate::rows::{Money, Rows};

/// Customers, and rows a column, below which a regression is not shown.
const CUSTOMERS: i64 = 100;
const ROWS_A_COLUMN: f64 = 10.0;
/// Six months before the answer and six after it.
pub(super) const HISTORY: i32 = 13;

/// What the cells of a model are made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Factors {
    /// Whether segments differ, beside the columns.
    pub(super) segments: bool,
    /// The two columns of the sums whose levels are held equal.
    pub(super) columns: [&'static str; 2],
}

/// Of answers and the months around them.
pub(super) const ANSWERS: Factors = Factors { segments: true, columns: ["tenure_band", "month"] };

/// Segment and levels of cells, each with its row of the sums.
type Cells = Vec<((String, i64, i64), usize)>;

/// The cells of one score, of everybody or of a segment.
pub(super) struct Panel {
    cells: Cells,
    /// The levels of each cell; a segment alone has one level of segment.
    levels: Vec<Vec<i64>>,
}

impl Panel {
    /// The panels of the sums, by score and scope.
    pub(super) fn all(sums: &Rows, factors: Factors) -> Result<BTreeMap<(String, String), Self>> {
        let mut panels: BTreeMap<(String, String), Cells> = BTreeMap::new();
        for row in 0..sums.len() {
            let text = |name| Ok::<_, crate::Error>(sums.text(name, row)?.unwrap_or_default());
            let (score, segment) = (text("score")?, text("segment")?);
            let [one, other] = factors.columns;
            let key = (segment.clone(), sums.integer(one, row)?, sums.integer(other, row)?);
            for scope in [ALL.to_owned(), segment] {
                panels.entry((score.clone(), scope)).or_default().push((key.clone(), row));
            }
        }
        let panel = |cells: Cells| {
            let mut segments: Vec<&String> = cells.iter().map(|((segment, ..), _)| segment).collect();
            segments.dedup();
            let place = |segment: &String| segments.iter().position(|other| *other == segment).unwrap_or(0) as i64;
            let levels = cells.iter().map(|((segment, one, other), _)| {
                let segment = Some(place(segment)).filter(|_| factors.segments);
                segment.into_iter().chain([*one, *other]).collect()
            });
            Self { levels: levels.collect(), cells }
        };
        Ok(panels.into_iter().map(|(name, cells)| (name, panel(cells))).collect())
    }

    /// The first row of the sums that the panel is made of.
    pub(super) fn row(&self) -> usize {
        self.cells[0].1
    }

    /// The sum of a column of counts.
    pub(super) fn total(&self, sums: &Rows, name: &str) -> Result<i64> {
        self.cells.iter().map(|(_, row)| sums.integer(name, *row)).sum()
    }

    /// Fits the model whose sums of products are in this column.
    pub(super) fn fit(&self, sums: &Rows, column: &str, shape: Shape) -> Result<Result<Fit, Undefined>> {
        let cells = self
            .levels
            .iter()
            .zip(&self.cells)
            .map(|(levels, (_, row))| Ok(Cell { levels: levels.clone(), products: sums.numbers(column, *row)? }));
        Ok(fit(&cells.collect::<Result<Vec<_>>>()?, shape))
    }
}

/// Whether there are as many customers and rows as a regression needs.
pub(super) fn is_large(guards: bool, fit: &Fit, customers: i64) -> bool {
    let enough = customers >= CUSTOMERS && fit.rows >= ROWS_A_COLUMN * fit.columns as f64;
    fit.rows > fit.rank as f64 && customers >= 2 && (enough || !guards)
}

/// The cap of an amount, in whose unit errors are summed; 1 where nothing was ever positive.
pub(super) fn unit(sums: &Rows, column: &str, row: usize) -> Result<f64> {
    let cap = sums.money(column, row)?;
    Ok(if cap > Money::default() { cap.to_f64() } else { 1.0 })
}

/// The unit in which errors are summed of a score, or of how it changed: 1 but where there are far more service contacts than points.
pub(super) fn unit_of_score(sums: &Rows, column: &str, row: usize) -> Result<f64> {
    Ok(sums.number(column, row)?.unwrap_or(1.0))
}

/// A table `fitted.*`: a row for each cell of each panel, with these coefficients.
pub(super) struct Fitted {
    factors: Factors,
    columns: Vec<String>,
    keys: Vec<(String, String, String, i64, i64)>,
    numbers: Vec<Vec<f64>>,
}

impl Fitted {
    pub(super) fn new(factors: Factors, columns: impl IntoIterator<Item = String>) -> Self {
        Self { factors, columns: columns.into_iter().collect(), keys: Vec::new(), numbers: Vec::new() }
    }

    /// Adds the cells of a panel; `numbers` gives a cell's coefficients in the order of the columns.
    pub(super) fn add(
        &mut self,
        (score, scope): &(String, String),
        panel: &Panel,
        numbers: impl Fn(&[i64]) -> Vec<f64>,
    ) {
        for (((segment, one, other), _), levels) in panel.cells.iter().zip(&panel.levels) {
            self.keys.push((score.clone(), scope.clone(), segment.clone(), *one, *other));
            self.numbers.push(numbers(levels));
        }
    }

    pub(super) fn table(&self) -> Result<RecordBatch> {
        type Key = (String, String, String, i64, i64);
        let text = |get: fn(&Key) -> &String| -> ArrayRef {
            Arc::new(self.keys.iter().map(|key| Some(get(key))).collect::<StringArray>())
        };
        let whole = |get: fn(&Key) -> i64| -> ArrayRef {
            Arc::new(self.keys.iter().map(|key| i32::try_from(get(key)).ok()).collect::<Int32Array>())
        };
        let mut columns: Vec<(&str, ArrayRef)> = vec![
            ("score", text(|key| &key.0)),
            ("scope", text(|key| &key.1)),
            ("segment", text(|key| &key.2)),
            (self.factors.columns[0], whole(|key| key.3)),
            (self.factors.columns[1], whole(|key| key.4)),
        ];
        for (at, name) in self.columns.iter().enumerate() {
            let numbers: Float64Array = self.numbers.iter().map(|numbers| Some(numbers[at])).collect();
            columns.push((name, Arc::new(numbers)));
        }
        RecordBatch::try_from_iter(columns).context(|| "the table of what was fitted".to_owned())
    }
}
