//! What the page says, part by part: which rows a chart, a table or a sentence is of.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type};

use super::charts::{self, Axis, Place, Point, Step};
use super::{Block, Figure, Section, Table};
use crate::estimates::{ALL, BANDS, Row};
use crate::glossary::{self, GRADES, TERMS};
use crate::measures::CONTACTS;
use crate::report::Ledger;
use crate::summary::{Number, Summary};
use crate::wording::{Report, figure, plural};

/// Programmes whose months are drawn; the others are in the tables and in the workbook.
const DRAWN_PROGRAMMES: usize = 6;

/// Programmes that the first part has a sentence on each; of more it has a table.
const SPOKEN_PROGRAMMES: usize = 3;

/// Segments of a table; the others are in the workbook.
const SEGMENTS: usize = 30;

/// Restated numbers of a table; the others are in `restatements.parquet`.
const RESTATED: usize = 60;

/// The indicators whose months are drawn.
const TRENDS: [(&str, &str, &str); 8] = [
    ("nps", "T3M", "cluster"),
    ("csat_top2", "T3M", "wilson"),
    ("revenue", "T3M", "census"),
    ("nrr", "T6M", "ratio"),
    ("retention", "T3M", "wilson"),
    ("aov", "T3M", "ratio"),
    ("cost_to_serve", "T3M", "mean"),
    ("first_contact_resolution", "T3M", "wilson_cluster"),
];

pub(super) fn sections(summary: &Summary) -> Vec<Section> {
    let page = Page { summary, report: Report { rows: summary.estimates, currency: summary.currency } };
    vec![
        page.worth(),
        page.indicators(),
        page.bridge(),
        page.association(),
        page.asymmetry(),
        page.drivers(),
        page.programmes(),
        page.value(),
        page.restated(),
        page.quality(),
        page.method(),
    ]
}

struct Page<'a> {
    summary: &'a Summary<'a>,
    report: Report<'a>,
}

impl<'a> Page<'a> {
    fn rows(&self) -> impl Iterator<Item = &'a Row> {
        self.summary.estimates.iter()
    }

    /// The rows of a section about everybody.
    fn all(&self, section: &'static str) -> impl Iterator<Item = &'a Row> {
        self.rows().filter(move |row| row.section == section && row.segment == ALL)
    }

    fn figure(&self, value: f64, unit: &str) -> String {
        figure(value, unit, self.summary.currency)
    }

    /// The value of a row, or why there is none.
    fn value_of(&self, row: &Row) -> String {
        row.estimate.map_or_else(|| glossary::status(row.status).to_owned(), |known| self.figure(known.value, row.unit))
    }

    fn interval_of(&self, row: &Row) -> String {
        let bounds = row.estimate.and_then(|known| known.lo.zip(known.hi));
        bounds.map_or_else(String::new, |(lo, hi)| {
            format!("{} to {}", self.figure(lo, row.unit), self.figure(hi, row.unit))
        })
    }

    fn axis(&self, unit: &str, points: &[Point]) -> Axis {
        let values = points.iter().flat_map(|point| {
            let (lo, hi) = point.interval.unwrap_or((point.value, point.value));
            [point.value, lo, hi]
        });
        Axis::new(unit, self.summary.currency, values.map(f64::abs).fold(0.0, f64::max))
    }

    /// Rows as a table: what each is about, its value with interval, what is behind it, and what to know beside it.
    fn table(&self, caption: &str, rows: &[&Row], about: impl Fn(&Row) -> String) -> Table {
        let cells = rows.iter().map(|row| {
            vec![
                about(row),
                self.value_of(row),
                self.interval_of(row),
                row.n.map_or_else(String::new, |n| self.figure(n as f64, "count")),
                row.customers.map_or_else(String::new, |customers| self.figure(customers as f64, "count")),
                row.grade.to_owned(),
                row.flags.iter().map(|flag| flag.replace('_', " ")).collect::<Vec<_>>().join(", "),
            ]
        });
        let head = ["", "Value", "95 % interval", "n", "Customers", "Grade", "Notes"];
        Table::new(caption, &head, 1..5, cells.collect())
    }

    /// What a figure without any value says in its place.
    fn nothing(&self, rows: &[&Row]) -> String {
        rows.first().map_or_else(
            || "This lake has nothing to draw here.".to_owned(),
            |row| format!("Nothing to draw: {}.", glossary::status(row.status)),
        )
    }

    /// What is behind the numbers of a figure.
    fn basis(&self, rows: &[&Row]) -> String {
        let known = || rows.iter().filter(|row| row.estimate.is_some());
        let most = |get: fn(&Row) -> Option<i64>| known().filter_map(|row| get(row)).max();
        let mut said = Vec::new();
        if let Some(n) = most(|row| row.n) {
            said.push(format!("n up to {}", self.figure(n as f64, "count")));
        }
        if let Some(customers) = most(|row| row.customers) {
            said.push(format!("customers up to {}", self.figure(customers as f64, "count")));
        }
        let worst = known().map(|row| row.grade).filter(|grade| *grade != "descriptive").max();
        let grade = worst.or_else(|| known().next().map(|row| row.grade));
        if let Some((grade, meaning)) = GRADES.iter().find(|(name, _)| Some(*name) == grade) {
            said.push(if grade.len() == 1 { format!("grade {grade}: {meaning}") } else { (*meaning).to_owned() });
        }
        said.join(" · ")
    }

    fn worth(&self) -> Section {
        let programmes = self.report.programmes();
        let mut sentences: Vec<String> = [self.report.point(), self.report.at_risk()].into_iter().flatten().collect();
        if sentences.is_empty() {
            sentences.push(
                "What customer experience is worth is not known: the lake has no answers of customers.".to_owned(),
            );
        }
        let mut blocks = vec![Block::Sentences(sentences)];
        if programmes.is_empty() {
            blocks.push(Block::Note(
                "No programme for customer experience is named, so nothing is said of what one returned.".to_owned(),
            ));
        } else if programmes.len() > SPOKEN_PROGRAMMES {
            blocks.push(Block::Table(self.returns()));
        } else {
            blocks.push(Block::Sentences(programmes));
        }
        blocks.push(self.changes());
        blocks.push(self.why());
        Section { id: "worth", title: "What it was worth", blocks }
    }

    /// What each programme returned, in as few columns as a page is wide.
    fn returns(&self) -> Table {
        let cells = self.named_programmes().into_iter().map(|(name, _)| {
            let value = |metric, method| {
                self.of_programme(name, metric, method).map_or_else(String::new, |row| self.value_of(row))
            };
            let roi = self.of_programme(name, "roi", "stratified");
            vec![
                name.to_owned(),
                roi.map_or_else(String::new, |row| row.grade.to_owned()),
                value("initiative_value", "stratified"),
                value("initiative_cost", "census"),
                value("roi", "stratified"),
                roi.map_or_else(String::new, |row| self.interval_of(row)),
            ]
        });
        let caption = "What went with each programme: only grade A shows a cause. A sentence on each is in Programmes";
        let head = ["Programme", "Grade", "Net value", "Cost", "ROI", "95 % interval of ROI"];
        Table::new(caption, &head, 2..6, cells.collect())
    }

    /// What each main indicator is, and what it was in the period that was published before.
    fn changes(&self) -> Block {
        let Some(before) = self.summary.earlier.last() else {
            return Block::Note(
                "This is the first month that was published: there is none to compare it with yet.".to_owned(),
            );
        };
        let rows = TRENDS.iter().filter_map(|named| self.indicator(*named)).filter_map(|row| {
            let (now, then) = (Number::of(row)?, before.number(row)?);
            Some(vec![
                format!("{} ({})", glossary::name(row.metric), row.window.unwrap_or_default()),
                self.figure(then.value, row.unit),
                self.figure(now.value, row.unit),
                match row.unit {
                    "share" => format!("{} points", self.figure((now.value - then.value) * 100.0, "points")),
                    unit => self.figure(now.value - then.value, unit),
                },
                self.interval_of(row),
            ])
        });
        let moved: Vec<&str> = before.stale.iter().map(String::as_str).collect();
        let stale = match moved.as_slice() {
            [] => String::new(),
            moved => format!("; the numbers of then are those published before {} moved", moved.join(", ")),
        };
        let caption = format!(
            "Since {}: the windows of two months that follow each other share most of their months{stale}",
            before.period
        );
        let head = ["", "Then", "Now", "Difference", "95 % interval of now"];
        Block::Table(Table::new(&caption, &head, 1..5, rows.collect()))
    }

    /// What revenue and the score are sums of, and how these parts moved.
    fn why(&self) -> Block {
        let mut sentences: Vec<String> = self.report.bridge().into_iter().collect();
        sentences.extend(self.answers_moved());
        if !sentences.is_empty() {
            sentences.push(
                "These are the parts that changed, and not what changed them: for that a programme has to be held against \
                 customers without it."
                    .to_owned(),
            );
        }
        Block::Sentences(sentences)
    }

    /// How shares of answers made the score another than in the period that was published before.
    fn answers_moved(&self) -> Option<String> {
        let before = self.summary.earlier.last()?;
        let share = |score: Number, detractors: Number| [score.value / 100.0 + detractors.value, detractors.value];
        let (score, detractors) = (
            self.indicator(("nps", "T3M", "cluster"))?,
            self.all("value").find(|row| row.metric == "detractor_share")?,
        );
        let now = share(Number::of(score)?, Number::of(detractors)?);
        let then = share(before.number(score)?, before.number(detractors)?);
        let moved =
            |part: usize| format!("from {} to {}", self.figure(then[part], "share"), self.figure(now[part], "share"));
        Some(format!(
            "Of the answers of three months, promoters went {} and detractors {} since {}: the score is what is between the two.",
            moved(0),
            moved(1),
            before.period
        ))
    }

    fn indicator(&self, (metric, window, method): (&str, &str, &str)) -> Option<&'a Row> {
        self.all("kpi").find(|row| (row.metric, row.window, row.method) == (metric, Some(window), method))
    }

    fn indicators(&self) -> Section {
        let sentences = [
            self.report.nps(),
            self.report.growth(),
            self.report.ledger(),
            self.report.copies(),
            self.report.retention(),
        ];
        let trends = TRENDS.iter().filter_map(|named| self.indicator(*named)).map(|row| {
            let earlier =
                self.summary.earlier.iter().filter_map(|then| Some((then.period.as_str(), then.number(row)?)));
            let months = earlier.chain(Number::of(row).map(|now| (self.summary.period, now)));
            let points: Vec<Point> = months
                .map(|(period, number)| Point {
                    place: period.to_owned(),
                    series: String::new(),
                    value: number.value,
                    interval: number.interval,
                })
                .collect();
            let axis = self.axis(row.unit, &points);
            Figure {
                title: format!("{}, {}", glossary::name(row.metric), self.value_of(row)),
                sentence: None,
                chart: (points.len() > 1).then(|| charts::trend(&points, &axis)),
                without: match (points.as_slice(), row.estimate) {
                    ([then], None) => format!("Of the months that are published only {} has a value.", then.place),
                    ([], _) => self.nothing(&[row]),
                    _ => "No earlier month has a value.".to_owned(),
                },
                basis: self.basis(&[row]),
                caution: "",
                table: None,
            }
        });
        // Of the two intervals of one share, that which knows that a customer has several contacts; the workbook has both.
        let plain = ("first_contact_resolution", "wilson");
        let rows: Vec<&Row> = self.all("kpi").filter(|row| (row.metric, row.method) != plain).collect();
        let table = self.table("Every indicator, about everybody", &rows, Self::named);
        let mut blocks = vec![Block::Sentences(sentences.into_iter().flatten().collect())];
        if self.summary.earlier.is_empty() {
            blocks.push(Block::Note("Trends are drawn from the second month on that is published.".to_owned()));
        } else {
            blocks.push(Block::Small(trends.collect()));
        }
        blocks.push(Block::Table(table));
        blocks.extend(self.segments());
        Section { id: "indicators", title: "Indicators", blocks }
    }

    /// An indicator with its window, and what tells it from others of its name.
    fn named(row: &Row) -> String {
        let window = row.window.unwrap_or_default();
        let months =
            if window.is_empty() { String::new() } else { format!(" ({})", window.replace("_prev", " before")) };
        format!("{}{months}", glossary::named(row.metric, window, row.method))
    }

    /// The main indicators by segment.
    fn segments(&self) -> Option<Block> {
        let mut segments: Vec<&str> = Vec::new();
        for row in self.rows().filter(|row| row.metric == "nps" && row.segment != ALL) {
            if !segments.contains(&row.segment.as_str()) {
                segments.push(&row.segment);
            }
        }
        if segments.len() < 2 {
            return None;
        }
        let more = segments.len().saturating_sub(SEGMENTS);
        segments.truncate(SEGMENTS);
        let named: Vec<&Row> = TRENDS.iter().filter_map(|named| self.indicator(*named)).collect();
        let cells = segments.iter().map(|segment| {
            let of = |all: &&Row| {
                let same = |row: &&Row| {
                    row.segment == *segment
                        && (row.metric, row.window, row.method) == (all.metric, all.window, all.method)
                };
                self.rows().find(same).map_or_else(String::new, |row| self.value_of(row))
            };
            std::iter::once((*segment).to_owned()).chain(named.iter().map(of)).collect()
        });
        let names: Vec<String> = named.iter().map(|row| Self::named(row)).collect();
        let head: Vec<&str> = std::iter::once("Segment").chain(names.iter().map(String::as_str)).collect();
        let caption = match more {
            0 => "By segment".to_owned(),
            more => format!("By segment; {more} more {} in the workbook", plural(more, "is", "are")),
        };
        Some(Block::Table(Table::new(&caption, &head, 1..head.len(), cells.collect())))
    }

    /// A waterfall of exact amounts: totals, and the steps between them with their sign. Parts that are withheld are left out;
    /// what they come to together is a part of its own.
    fn steps(&self, section: &'static str, parts: &[(&str, &str, f64)]) -> (Vec<Step>, Vec<&'a Row>) {
        let (mut steps, mut rows) = (Vec::new(), Vec::new());
        let mut height = 0.0;
        for (metric, name, sign) in parts {
            let Some(row) = self.all(section).find(|row| row.metric == *metric) else { continue };
            rows.push(row);
            let Some(known) = row.estimate else { continue };
            let (from, to) = match *sign {
                0.0 => (0.0, known.value),
                sign => (height, height + sign * known.value),
            };
            height = to;
            steps.push(Step { name: (*name).to_owned(), from, to, is_total: *sign == 0.0 });
        }
        (steps, rows)
    }

    /// Whether the steps lead to the last total: if not, too much is withheld to draw them.
    fn add_up(steps: &[Step]) -> bool {
        let Some([before, last]) = steps.last_chunk::<2>() else { return false };
        last.is_total && (before.to - last.to).abs() < 0.005
    }

    fn waterfall(
        &self,
        title: &str,
        sentence: Option<String>,
        section: &'static str,
        parts: &[(&str, &str, f64)],
    ) -> Figure {
        let (steps, rows) = self.steps(section, parts);
        let largest = steps.iter().map(|step| step.from.abs().max(step.to.abs())).fold(0.0, f64::max);
        let axis = Axis::new("money", self.summary.currency, largest);
        let unknown: Vec<&Row> = rows.iter().copied().filter(|row| row.estimate.is_none()).collect();
        let lacks_categories =
            section == "retained_revenue" && unknown.iter().any(|row| row.status == crate::Status::NotApplicable);
        Figure {
            title: title.to_owned(),
            sentence,
            chart: Self::add_up(&steps).then(|| charts::waterfall(&steps, &axis)),
            without: if lacks_categories {
                "Nothing to draw: no order line of these customers has a category (a column of sales).".to_owned()
            } else {
                self.nothing(&unknown)
            },
            basis: self.basis(&rows),
            caution: "Says where revenue went and came from, and nothing of why. Bars begin at zero.",
            table: Some(self.table("In figures", &rows, |row| glossary::name(row.metric))),
        }
    }

    fn bridge(&self) -> Section {
        let bridge = [
            ("base", "Before", 0.0),
            ("churned", "Customers who left", -1.0),
            ("contraction", "Who spend less", -1.0),
            ("expansion", "Who spend more", 1.0),
            ("new", "New customers", 1.0),
            ("reactivated", "Who came back", 1.0),
            ("residual", "Refunds, the rest", 1.0),
            ("merged", "Parts of few", 1.0),
            ("current", "Now", 0.0),
        ];
        let retained = [
            ("cross_sell", "Cross-sell", 1.0),
            ("category_return", "Categories back", 1.0),
            ("category_lapse", "Categories lapsed", -1.0),
            ("up_sell", "Up-sell", 1.0),
            ("down_sell", "Down-sell", -1.0),
            ("frequency", "Frequency", 1.0),
            ("residual", "Refunds, the rest", 1.0),
            ("merged", "Parts of few", 1.0),
            ("delta", "In all", 0.0),
        ];
        let blocks = vec![
            Block::Figure(self.waterfall("Revenue bridge of six months", self.report.bridge(), "bridge", &bridge)),
            Block::Figure(self.waterfall(
                "Why the revenue of customers who stayed changed",
                None,
                "retained_revenue",
                &retained,
            )),
        ];
        Section { id: "bridge", title: "Where revenue came from", blocks }
    }

    fn score_name(score: Option<&str>) -> &'static str {
        match score {
            Some("csat") => "CSAT",
            Some("ces") => "CES",
            _ => "NPS",
        }
    }

    fn association(&self) -> Section {
        let mut blocks = Vec::new();
        for score in ["nps", "csat", "ces", CONTACTS] {
            let slopes = || self.all("association").filter(|row| row.metric == "slope" && row.score == Some(score));
            let rows: Vec<&Row> = slopes()
                .filter(|row| {
                    row.method == "ancova"
                        && matches!(row.outcome, Some("placebo" | "revenue" | "revenue_6m" | "excess"))
                })
                .collect();
            if rows.is_empty() || rows.iter().all(|row| row.status == crate::Status::NotApplicable) {
                continue;
            }
            let (more, sentence, caution) = match score {
                CONTACTS => (
                    "service contact".to_owned(),
                    Some("Over the same months with an answer as scores: what goes with one more service contact in the month. Who was in touch and never answered is not in it.".to_owned()),
                    "Does not show what a contact brings, or what sparing one would: customers are in touch because something \
                     happened, and who buys more has more reason to be. The placebo is what differed before.",
                ),
                _ => (
                    format!("point of {}", Self::score_name(Some(score))),
                    if score == "nps" { self.report.association() } else { None },
                    "Does not show what a better score would bring: customers who answer higher differ in more than the answer. \
                     The placebo is what differed before they answered.",
                ),
            };
            let place = |row: &Row| match (row.outcome, row.lag) {
                (Some("placebo"), _) => Some(("before".to_owned(), "placebo: four to six months before the answer")),
                (Some("revenue"), Some(lag)) => Some((lag.to_string(), "months after the answer")),
                _ => None,
            };
            let point = |row: &&Row| {
                let ((place, series), known) = place(row).zip(Number::of(row))?;
                Some(Point { place, series: series.to_owned(), value: known.value, interval: known.interval })
            };
            let mut points: Vec<Point> = rows.iter().filter_map(point).collect();
            points.sort_by_key(|point| point.place.parse().unwrap_or(-1));
            let axis = self.axis("money/customer-month", &points);
            let about = |row: &Row| match (row.outcome, row.lag) {
                (Some("placebo"), _) => "placebo: before the answer".to_owned(),
                (Some("excess"), _) => "six months after it, beyond the placebo".to_owned(),
                (Some("revenue_6m"), _) if row.metric == "slope_raw" => "the same mean, without caps".to_owned(),
                (Some("revenue_6m"), _) => "mean of the six months after it".to_owned(),
                (_, Some(lag)) => format!("{lag} {} after it", plural(lag, "month", "months")),
                _ => String::new(),
            };
            let raw = self.all("association").filter(|row| row.metric == "slope_raw" && row.score == Some(score));
            let figures: Vec<&Row> = rows.iter().copied().chain(raw).collect();
            blocks.push(Block::Figure(Figure {
                title: format!("Revenue that goes with one more {more}"),
                sentence,
                chart: (!points.is_empty())
                    .then(|| charts::intervals(&points, &axis, "months from the answer", false, true)),
                without: self.nothing(&rows),
                basis: self.basis(&rows),
                caution,
                table: Some(self.table("In figures", &figures, about)),
            }));
            let changes: Vec<&Row> = slopes().filter(|row| row.method == "first_difference_gap5").collect();
            let mut points: Vec<(i32, Point)> = changes
                .iter()
                .filter_map(|row| {
                    let (lag, known) = row.lag.zip(Number::of(row))?;
                    let point = Point {
                        place: lag.to_string(),
                        series: String::new(),
                        value: known.value,
                        interval: known.interval,
                    };
                    Some((lag, point))
                })
                .collect();
            points.sort_by_key(|(lag, _)| *lag);
            let points: Vec<Point> = points.into_iter().map(|(_, point)| point).collect();
            let first = match score {
                "nps" => Some(("NPS", self.report.order())),
                CONTACTS => Some(("service contacts", self.report.order_of_contacts())),
                _ => None,
            };
            if let Some((name, sentence)) = first {
                let axis = self.axis("money/customer-month", &points);
                blocks.push(Block::Figure(Figure {
                    title: format!("Which changes first, {name} or revenue"),
                    sentence,
                    chart: (!points.is_empty()).then(|| {
                        charts::intervals(&points, &axis, "months from the answer (below 0: before it)", false, true)
                    }),
                    without: self.nothing(&changes),
                    basis: self.basis(&changes),
                    caution: "Changes of one customer from answer to answer. An order in time is no cause.",
                    table: Some(
                        self.table("In figures", &changes, |row| format!("month {}", row.lag.unwrap_or_default())),
                    ),
                }));
            }
        }
        if blocks.is_empty() {
            blocks.push(Block::Note("Nothing to draw: this lake has no answers of customers.".to_owned()));
        }
        Section { id: "association", title: "What goes with scores", blocks }
    }

    fn asymmetry(&self) -> Section {
        let rows: Vec<&Row> = self.all("asymmetry").filter(|row| matches!(row.metric, "penalty" | "reward")).collect();
        let points: Vec<Point> = rows
            .iter()
            .filter_map(|row| {
                let known = Number::of(row)?;
                let series = if row.metric == "penalty" {
                    "penalty: detractors spend less"
                } else {
                    "reward: promoters spend more"
                };
                let place = format!("{} {}", Self::score_name(row.score), row.metric);
                Some(Point { place, series: series.to_owned(), value: known.value, interval: known.interval })
            })
            .collect();
        let axis = self.axis("money/customer-month", &points);
        let others: Vec<&Row> = self.all("asymmetry").filter(|row| row.metric != "slope_cov").collect();
        let figure = Figure {
            title: "Penalty of missed and reward of exceeded expectations".to_owned(),
            sentence: self.report.asymmetry(),
            chart: (!points.is_empty()).then(|| charts::forest(&points, &axis)),
            without: self.nothing(&rows),
            basis: self.basis(&rows),
            caution: "Against passives, all else equal. Does not show that turning a detractor would save as much.",
            table: Some(self.table("In figures", &others, |row| {
                format!("{}, {}", Self::score_name(row.score), glossary::name(row.metric))
            })),
        };
        Section { id: "asymmetry", title: "Losses against gains", blocks: vec![Block::Figure(figure)] }
    }

    fn drivers(&self) -> Section {
        let mut blocks = Vec::new();
        let all = || self.all("driver").filter(|row| row.score == Some("nps"));
        for (kind, plural) in
            [("channel", "channels"), ("touchpoint", "touchpoints"), ("stage", "stages of the journey")]
        {
            let prefix = format!("{kind}:");
            let is_it = |row: &&Row| {
                row.driver.as_deref().is_some_and(|driver| driver.starts_with(&prefix) && !driver.contains('+'))
            };
            let means: Vec<&Row> = all().filter(|row| row.metric == "driver_mean").filter(is_it).collect();
            let shares: Vec<&Row> =
                all().filter(|row| row.metric == "lmg" && row.outcome == Some("revenue")).filter(is_it).collect();
            if means.is_empty() {
                continue;
            }
            let places: Vec<Place> = shares
                .iter()
                .filter_map(|share| {
                    let mean = means.iter().find(|mean| mean.driver == share.driver)?;
                    let name = share.driver.as_deref()?.strip_prefix(&prefix)?.to_owned();
                    Some(Place { name, x: Number::of(mean)?, y: Number::of(share)? })
                })
                .collect();
            let known: Vec<&Row> = shares.iter().chain(&means).copied().collect();
            let axes = [Axis::new("score", "", 0.0), Axis::new("share", "", 0.0)];
            let titles = ["mean NPS answer, of 0 to 10", "importance: % of differences in revenue"];
            blocks.push(Block::Figure(Figure {
                title: format!("Importance against performance of {plural}"),
                sentence: if blocks.is_empty() { self.report.driver() } else { None },
                chart: (!places.is_empty()).then(|| charts::plane(&places, [&axes[0], &axes[1]], titles)),
                without: "Nothing to draw: importance needs two or more that enough customers scored, and that explain revenue.".to_owned(),
                basis: self.basis(&known),
                caution: "Up: the answers there go with more of the differences in revenue between customers. Right: customers answer \
                          higher there, on a part of the scale of 0 to 10. Lines are 95 % intervals: dots whose lines overlap \
                          may stand the other way round. Does not show what a change would bring, nor how many customers are behind a dot.",
                table: Some(self.table("In figures", &known, |row| {
                    let driver = row.driver.as_deref().unwrap_or_default().replace(':', " ");
                    format!("{driver}, {}", if row.metric == "lmg" { "importance" } else { "mean answer" })
                })),
            }));
        }
        if blocks.is_empty() {
            blocks
                .push(Block::Note("Nothing to draw: no scores are known by channel, touchpoint or stage.".to_owned()));
        }
        Section { id: "drivers", title: "Drivers", blocks }
    }

    /// The rows of programmes that have a metric.
    fn of_programmes(&self, metric: &'static str, method: &'static str) -> impl Iterator<Item = &'a Row> {
        self.rows().filter(move |row| row.section == "initiative" && (row.metric, row.method) == (metric, method))
    }

    fn of_programme(&self, name: &str, metric: &'static str, method: &'static str) -> Option<&'a Row> {
        self.of_programmes(metric, method).find(|row| row.initiative.as_deref() == Some(name))
    }

    /// The programmes, and what each cost.
    fn named_programmes(&self) -> Vec<(&'a str, f64)> {
        let values = self.of_programmes("initiative_value", "stratified");
        let named = values.map(|row| {
            let mut costs = self.of_programmes("initiative_cost", "census");
            let cost = costs.find(|cost| cost.initiative == row.initiative).and_then(|cost| cost.estimate);
            (row.initiative.as_deref().unwrap_or_default(), cost.map_or(0.0, |cost| cost.value))
        });
        named.collect()
    }

    fn programmes(&self) -> Section {
        let mut names = self.named_programmes();
        if names.is_empty() {
            let note =
                "No programme for customer experience is named: list them as `initiatives`, with what they cost."
                    .to_owned();
            return Section { id: "programmes", title: "Programmes", blocks: vec![Block::Note(note)] };
        }
        let returns: Vec<&Row> = self.of_programmes("roi", "stratified").collect();
        let points: Vec<Point> = returns
            .iter()
            .filter_map(|row| {
                let known = Number::of(row)?;
                let place = format!("{} ({})", row.initiative.as_deref()?, row.grade);
                Some(Point { place, series: String::new(), value: known.value, interval: known.interval })
            })
            .collect();
        let axis = self.axis("ratio", &points);
        let mut blocks = vec![Block::Figure(Figure {
            title: "Return on investment by programme, with the grade of its evidence".to_owned(),
            sentence: Some("Value less cost, by cost: at 0 it paid its cost, at 1 twice its cost.".to_owned()),
            chart: (!points.is_empty()).then(|| charts::forest(&points, &axis)),
            without: self.nothing(&returns),
            basis: self.basis(&returns),
            caution: "Only programmes of grade A show a cause. An interval that holds 0 does not show that a programme pays.",
            table: Some(self.summary_of(&names)),
        })];
        let sentences = self.report.programmes();
        if sentences.len() > SPOKEN_PROGRAMMES {
            blocks.push(Block::Sentences(sentences));
        }
        names.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        let not_drawn = names.len().saturating_sub(DRAWN_PROGRAMMES);
        for (name, _) in names.into_iter().take(DRAWN_PROGRAMMES) {
            blocks.extend(self.programme(name));
        }
        if not_drawn > 0 {
            let programmes = plural(not_drawn, "programme", "programmes");
            blocks.push(Block::Note(format!("The months of {not_drawn} more {programmes} are in the workbook; drawn are the {DRAWN_PROGRAMMES} that cost most.")));
        }
        Section { id: "programmes", title: "Programmes", blocks }
    }

    /// A line a programme.
    fn summary_of(&self, names: &[(&str, f64)]) -> Table {
        let cells = names.iter().map(|(name, _)| {
            let row = |metric, method| self.of_programme(name, metric, method);
            let value = |metric, method| row(metric, method).map_or_else(String::new, |row| self.value_of(row));
            vec![
                (*name).to_owned(),
                row("initiative_value", "stratified").map_or_else(String::new, |row| row.grade.to_owned()),
                value("treated_customers", "census"),
                value("initiative_cost", "census"),
                value("initiative_value", "stratified"),
                value("initiative_net", "stratified"),
                value("roi", "stratified"),
                row("roi", "stratified").map_or_else(String::new, |row| self.interval_of(row)),
                value("payback_month", "stratified"),
            ]
        });
        let head =
            ["Programme", "Grade", "Treated", "Cost", "Value", "Net", "ROI", "95 % interval of ROI", "Payback month"];
        Table::new("In figures", &head, 2..9, cells.collect())
    }

    /// The months of a programme: its effect, and what it has earned and cost so far.
    fn programme(&self, name: &str) -> Vec<Block> {
        let of = |metric: &'static str| {
            let is_it = move |row: &&Row| row.metric == metric && row.initiative.as_deref() == Some(name);
            let mut rows: Vec<&Row> = self.rows().filter(is_it).filter(|row| row.method != "staggered").collect();
            rows.sort_by_key(|row| row.lag);
            rows
        };
        let points = |rows: &[&Row], series: fn(i32) -> &'static str| -> Vec<Point> {
            let point = |row: &&Row| {
                let (lag, known) = row.lag.zip(Number::of(row))?;
                Some(Point {
                    place: lag.to_string(),
                    series: series(lag).to_owned(),
                    value: known.value,
                    interval: known.interval,
                })
            };
            rows.iter().filter_map(point).collect()
        };
        let months = of("event_study");
        let drawn = points(&months, |lag| if lag < 0 { "before the start" } else { "from the start on" });
        let axis = self.axis("money/customer-month", &drawn);
        let net = of("cumulative_net");
        let earned = points(&net, |_| "");
        let money = self.axis("money", &earned);
        let month = |row: &Row| format!("month {}", row.lag.unwrap_or_default());
        let mut blocks = Vec::new();
        if !months.is_empty() {
            blocks.push(Block::Figure(Figure {
                title: format!("Programme {name}: effect on net value by month"),
                sentence: Some("Against the last month before the start, and against customers who were not in it. Before the start there should be none.".to_owned()),
                chart: (!drawn.is_empty()).then(|| charts::intervals(&drawn, &axis, "months from the start", false, true)),
                without: self.nothing(&months),
                basis: self.basis(&months),
                caution: "Months before the start that differ from 0 say that the two groups were not alike.",
                table: Some(self.table("In figures", &months, month)),
            }));
        }
        if !net.is_empty() {
            blocks.push(Block::Figure(Figure {
                title: format!("Programme {name}: value less cost so far"),
                sentence: None,
                chart: (!earned.is_empty())
                    .then(|| charts::intervals(&earned, &money, "months of the programme", true, true)),
                without: self.nothing(&net),
                basis: self.basis(&net),
                caution: "Above 0 it has paid for itself so far; an interval that holds 0 leaves that open.",
                table: Some(self.table("In figures", &net, month)),
            }));
        }
        blocks
    }

    fn value(&self) -> Section {
        let clv: Vec<&Row> = self.all("clv").filter(|row| row.metric == "clv_12m").collect();
        let mut points: Vec<Point> = clv
            .iter()
            .filter_map(|row| {
                let known = Number::of(row)?;
                let series = if row.method == "crude" { "as they are" } else { "with the same mix of customers" };
                Some(Point {
                    place: row.band?.to_owned(),
                    series: series.to_owned(),
                    value: known.value,
                    interval: known.interval,
                })
            })
            .collect();
        points.sort_by_key(|point| BANDS.iter().position(|band| *band == point.place));
        let axis = self.axis("money/customer", &points);
        let computed = |row: &Row| glossary::apart(row.metric, "", row.method).unwrap_or_default();
        let band = |row: &Row| format!("{}, {}", row.band.unwrap_or_default(), computed(row));
        let km: Vec<&Row> = self.all("survival").filter(|row| row.metric == "km").collect();
        let curve: Vec<(i32, Point)> = km
            .iter()
            .filter_map(|row| {
                let (lag, known) = row.lag.zip(Number::of(row))?;
                let point = Point {
                    place: String::new(),
                    series: row.band?.to_owned(),
                    value: known.value,
                    interval: known.interval,
                };
                Some((lag, point))
            })
            .collect();
        let values: Vec<&Row> =
            self.all("value").chain(self.all("clv").filter(|row| row.metric == "clv_coverage")).collect();
        let some: Vec<&Row> = km.iter().copied().filter(|row| matches!(row.lag, Some(1 | 3 | 6 | 9 | 12))).collect();
        let mut blocks = vec![
            Block::Figure(Figure {
                title: "Lifetime value of twelve months by first NPS answer".to_owned(),
                sentence: self.report.point(),
                chart: (!points.is_empty()).then(|| charts::intervals(&points, &axis, "", false, true)),
                without: self.nothing(&clv),
                basis: self.basis(&clv),
                caution: "Customers of the bands differ in more than their answer. Does not show what moving a customer from band to band would bring.",
                table: Some(self.table("In figures", &clv, band)),
            }),
            Block::Figure(Figure {
                title: "Customers who still buy, by first NPS answer".to_owned(),
                sentence: self.report.stay(),
                chart: (!curve.is_empty())
                    .then(|| charts::curves(&curve, &Axis::new("share", "", 1.0), "months since the first answer")),
                without: self.nothing(&km),
                basis: self.basis(&km),
                caution: "Gone is who orders nothing for as many months as finance has set (inactivity_months); some of them come back.",
                table: Some(self.table("In figures, some months", &some, |row| {
                    format!("{}, month {}", row.band.unwrap_or_default(), row.lag.unwrap_or_default())
                })),
            }),
            Block::Table(self.table("Value of a point of NPS, and value at risk", &values, |row| match row.metric {
                "detractor_share" | "clv_coverage" | "gross_exposure" => glossary::name(row.metric),
                metric => {
                    let of = if row.unit == "money/10000 customers" { " for 10,000 customers" } else { "" };
                    format!("{}{of}, {}", glossary::name(metric), computed(row))
                }
            })),
        ];
        let exposure = values.iter().any(|row| row.metric == "gross_exposure" && row.estimate.is_some());
        blocks.extend(exposure.then(|| {
            Block::Note(
                "Gross exposure is all that customers who answered as detractors in three months spent in twelve. It is a plain sum, and not \
                 what would be lost: it says nothing of what they would spend had they answered otherwise. Net value at risk is what \
                 detractors are worth less than passives."
                    .to_owned(),
            )
        }));
        Section { id: "value", title: "Value by band", blocks }
    }

    /// The name of a restated number with all that tells it from others of its metric.
    fn restated_name(table: &RecordBatch, row: usize) -> String {
        let text = |name: &str| {
            let column = table.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
            column.filter(|column| column.is_valid(row)).map_or("", |column| column.value(row))
        };
        let lag = table.column_by_name("lag").and_then(|column| column.as_primitive_opt::<Int32Type>());
        let lag = lag.filter(|lag| lag.is_valid(row));
        let metric = text("metric");
        let score = match text("score") {
            score if metric.contains(score) => "",
            CONTACTS => "service contacts",
            score => Self::score_name(Some(score)),
        };
        let outcome = match text("outcome") {
            outcome if metric.contains(outcome) => String::new(),
            outcome => outcome.replace("_6m", " in six months").replace('_', " "),
        };
        // The bridge has a rest and parts of few, too.
        let stayed = if text("section") == "retained_revenue" { "customers who stayed" } else { "" };
        let about = [
            stayed.to_owned(),
            text("window").replace("_prev", " before"),
            text("initiative").to_owned(),
            score.to_owned(),
            text("band").to_owned(),
            text("driver").replace(':', " "),
            outcome,
            lag.map_or_else(String::new, |lag| format!("month {}", lag.value(row))),
        ];
        let about: Vec<String> = about.into_iter().filter(|word| !word.is_empty()).collect();
        let name = glossary::named_apart(metric, text("window"), text("method"));
        if about.is_empty() { name } else { format!("{name} ({})", about.join(", ")) }
    }

    fn restated(&self) -> Section {
        let table = self.summary.restatements;
        let numbers = self.summary.restated.numbers;
        let note = match numbers {
            0 if self.summary.seq == 1 => {
                "This is the first publication of the month: nothing was restated.".to_owned()
            }
            0 => "This publication changed no number.".to_owned(),
            _ => {
                let moved: Vec<&str> = self.summary.restated.moved_by.iter().map(String::as_str).collect();
                let differ = plural(numbers, "number differs", "numbers differ");
                format!("{numbers} {differ} from the publication before. Moved: {}.", moved.join(", "))
            }
        };
        let mut blocks = vec![Block::Note(note)];
        let text = |name: &str| table.column_by_name(name).filter(|column| *column.data_type() == DataType::Utf8);
        let number = |name: &str| table.column_by_name(name).filter(|column| *column.data_type() == DataType::Float64);
        let columns = (["segment", "unit", "status_before", "status_after"].map(text), ["before", "after"].map(number));
        let seq = table.column_by_name("seq").and_then(|column| column.as_primitive_opt::<Int64Type>());
        if let ([Some(segment), Some(unit), Some(was), Some(is)], [Some(before), Some(after)]) = columns
            && let Some(seq) = seq
            && numbers > 0
        {
            let word = |column: &dyn Array, row: usize| {
                if column.is_valid(row) { column.as_string::<i32>().value(row).to_owned() } else { String::new() }
            };
            let said = |column: &dyn Array, status: &dyn Array, row: usize| {
                if column.is_valid(row) {
                    self.figure(column.as_primitive::<Float64Type>().value(row), &word(unit, row))
                } else {
                    word(status, row).replace('_', " ")
                }
            };
            let mine = (0..table.num_rows()).filter(|row| u64::try_from(seq.value(*row)) == Ok(self.summary.seq));
            let of_everybody = mine.filter(|row| word(segment, *row) == ALL);
            let cells = |row| vec![Self::restated_name(table, row), said(before, was, row), said(after, is, row)];
            let (mut cells, same): (Vec<_>, Vec<_>) = of_everybody.map(cells).partition(|cells| cells[1] != cells[2]);
            cells.truncate(RESTATED);
            let caption = format!("About everybody, the first {RESTATED} at most; all are in restatements.parquet");
            blocks.push(Block::Table(Table::new(&caption, &["", "Before", "Now"], 1..3, cells)));
            if !same.is_empty() {
                let (left, numbers) = (same.len(), plural(same.len(), "number", "numbers"));
                blocks.push(Block::Note(format!("{left} more {numbers} about everybody moved by less than is shown.")));
            }
        }
        let late: Vec<String> = self
            .summary
            .late_rows
            .iter()
            .filter(|(_, rows)| **rows > 0)
            .map(|(source, rows)| {
                let late = self.figure(*rows as f64, "rows");
                let (rows, period) = (plural(*rows, "row", "rows"), self.summary.period);
                format!("{late} {rows} of {source} came after the first publication, in all months up to {period}.")
            })
            .collect();
        blocks.push(Block::Sentences(late));
        Section { id: "restated", title: "What was restated", blocks }
    }

    fn quality(&self) -> Section {
        let count = |rows: u64| self.figure(rows as f64, "rows");
        let fates: Vec<[(&str, u64); 9]> = self.summary.ledgers.values().map(Ledger::fates).collect();
        // Of the rarer ones, only what there is.
        let shown = |at: &usize| *at < 3 || fates.iter().any(|fates| fates[*at].1 > 0);
        let shown: Vec<usize> = (0..9).filter(shown).collect();
        let names = Ledger::default().fates().map(|(name, _)| name);
        let head: Vec<&str> = ["Source", "Read"].into_iter().chain(shown.iter().map(|at| names[*at])).collect();
        let cells = self.summary.ledgers.iter().zip(&fates).map(|((source, ledger), fates)| {
            let own = shown.iter().map(|at| count(fates[*at].1));
            [source.clone(), count(ledger.read)].into_iter().chain(own).collect()
        });
        let numbers = 1..head.len();
        let rows = Table::new("What became of every row that was read", &head, numbers, cells.collect());
        let quality: Vec<&Row> = self.all("quality").collect();
        let about = |row: &Row| match row.outcome {
            Some(outcome) => format!("{}, {}", glossary::name(row.metric), outcome.replace('_', " ")),
            None => glossary::name(row.metric),
        };
        let mut blocks =
            vec![Block::Table(rows), Block::Table(self.table("Coverage, reconciliation and quality", &quality, about))];
        if self.summary.rejected.listed > 0 {
            let listed = self.summary.rejected.listed;
            // Not the file's own place: that depends on when it was written.
            blocks.push(Block::Note(format!(
                "{} {} on rows that were set aside, and on ids of several rows, {} in rejected.parquet; `cxroi show` says where.",
                self.figure(listed as f64, "rows"),
                plural(listed, "line", "lines"),
                plural(listed, "is", "are"),
            )));
        }
        Section { id: "quality", title: "Data quality", blocks }
    }

    fn method(&self) -> Section {
        let mut used: BTreeMap<&str, ()> = BTreeMap::new();
        for row in self.rows() {
            used.insert(row.metric.strip_suffix("_raw").unwrap_or(row.metric), ());
        }
        let terms: Vec<(String, String)> = TERMS
            .iter()
            .filter(|term| used.contains_key(term.metric))
            .map(|term| (term.name.to_owned(), format!("{} ({})", term.meaning, term.metric)))
            .collect();
        let grades = GRADES.map(|(grade, meaning)| {
            (if grade.len() == 1 { format!("Grade {grade}") } else { grade.to_owned() }, meaning.to_owned())
        });
        let words = [
            (
                "95 % interval",
                "if months like this one came again and again, 95 of 100 such intervals would hold what is estimated. It knows of chance alone, not of what the comparison gets wrong",
            ),
            ("n, customers", "rows behind a number, and different customers behind it"),
            (
                "T3M, T6M, T12M, MONTH, ALL",
                "the last three, six or twelve whole months up to the reported one; that month; all of history",
            ),
            ("Net value", "margin less service cost"),
            (
                "With caps",
                "amounts of one customer in one month are cut at the 99th percentile where a number has an interval, so that few large ones do not decide; `without caps` stands beside it",
            ),
            (
                "Placebo",
                "the same calculation for months that an answer cannot have moved. What it finds there is no effect",
            ),
            ("No value", "what cannot be known is said in words, and is never 0"),
        ];
        let words = words.map(|(term, meaning)| (term.to_owned(), meaning.to_owned()));
        let blocks = vec![
            Block::Terms("How to read it".to_owned(), words.to_vec()),
            Block::Terms("Grades of evidence".to_owned(), grades.to_vec()),
            Block::Terms("Names".to_owned(), terms),
        ];
        Section { id: "method", title: "Method and glossary", blocks }
    }
}
