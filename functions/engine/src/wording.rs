//! What the headlines say, in sentences. The verb follows the grade of the evidence, and whatever has no value says why.

use stats::Estimate;

use crate::estimates::{ALL, Row, Status};
use crate::measures::{CONTACTS, MAY_BE_TWICE, NOT_RECONCILED};
use crate::suppression::MERGED;

/// What a grade allows to say of a value and its reason.
fn verb(grade: &str) -> &'static str {
    match grade {
        "A" => "caused",
        "B" => "is evidence of",
        "C" => "suggests",
        "D" => "coincided with",
        _ => "is associated with",
    }
}

/// Why a number is not known, in words.
fn reason(status: Status) -> &'static str {
    match status {
        Status::Ok => "it is known",
        Status::InsufficientN => "there are too few rows or customers",
        Status::InsufficientHistory => "history is too short",
        Status::Suppressed => "it is withheld, as it would tell of few customers",
        Status::Degenerate => "it is not defined for these sums",
        Status::Collinear => "what is asked about cannot be told from what is held equal",
        Status::Unbounded => "every value is possible",
        Status::NotApplicable => "the lake lacks what it needs",
    }
}

/// A number as a person writes it in its unit.
pub fn figure(value: f64, unit: &str, currency: &str) -> String {
    match unit {
        "share" => format!("{} %", grouped(value * 100.0, 1)),
        "points" => grouped(value, 1),
        _ if unit.starts_with("money") => format!("{} {currency}", grouped(value, 2)),
        "count" | "months" | "rows" => grouped(value, 0),
        _ => grouped(value, 2),
    }
}

/// The word for so many: one row, two rows.
pub fn plural<'a, N: PartialEq + From<u8>>(count: N, one: &'a str, many: &'a str) -> &'a str {
    if count == N::from(1_u8) { one } else { many }
}

/// 1234567.891 as 1,234,567.89.
pub(crate) fn grouped(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let (whole, rest) =
        text.split_once('.').map_or((text.as_str(), String::new()), |(whole, rest)| (whole, format!(".{rest}")));
    let mut groups = Vec::new();
    let mut end = whole.len();
    while end > 3 {
        groups.push(&whole[end - 3..end]);
        end -= 3;
    }
    groups.push(&whole[..end]);
    groups.reverse();
    let sign = if value < 0.0 && text.bytes().any(|digit| (b'1'..=b'9').contains(&digit)) { "-" } else { "" };
    format!("{sign}{}{rest}", groups.join(","))
}

/// The headlines about everybody, in the order of the report.
pub(crate) fn headlines(rows: &[Row], currency: &str) -> Vec<String> {
    let report = Report { rows, currency };
    [
        report.nps(),
        report.growth(),
        report.ledger(),
        report.copies(),
        report.retention(),
        report.association(),
        report.order(),
        report.asymmetry(),
        report.bands(),
        report.point(),
        report.at_risk(),
        report.driver(),
        report.stay(),
    ]
    .into_iter()
    .flatten()
    .chain(report.programmes())
    .collect()
}

/// The rows of a report, to speak of.
#[derive(Clone, Copy)]
pub(crate) struct Report<'a> {
    pub(crate) rows: &'a [Row],
    pub(crate) currency: &'a str,
}

impl Report<'_> {
    /// The rows of a metric about everybody; of scores, NPS.
    fn all(&self, section: &str, metric: &str, method: &str) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| {
            let about = row.segment == ALL && row.score.is_none_or(|score| score == "nps");
            about && (row.section, row.metric, row.method) == (section, metric, method)
        })
    }

    fn one(&self, section: &str, metric: &str, method: &str, window: Option<&str>) -> Option<&Row> {
        self.all(section, metric, method).find(|row| row.window == window)
    }

    fn outcome(&self, outcome: &str) -> Option<&Row> {
        self.all("association", "slope", "ancova").find(|row| row.outcome == Some(outcome))
    }

    /// A value with its interval.
    fn value(&self, row: &Row, estimate: &Estimate) -> String {
        let figure = |value| figure(value, row.unit, self.currency);
        match estimate.lo.zip(estimate.hi) {
            Some((lo, hi)) => format!("{} (95 % interval {} to {})", figure(estimate.value), figure(lo), figure(hi)),
            None => figure(estimate.value),
        }
    }

    /// The value of a row with its interval, with the other sign if `is_turned`: "2 less", and not "-2 more".
    fn turned(&self, row: &Row, is_turned: bool) -> String {
        let turned = |known: Estimate| self.value(row, &if is_turned { known.negated() } else { known });
        row.estimate.map_or_else(String::new, turned)
    }

    /// The sentence about a row with a value, or that there is no value and why. Nothing is said where the lake lacks
    /// the source.
    fn said(&self, row: Option<&Row>, name: &str, sentence: impl FnOnce(String) -> String) -> Option<String> {
        let row = row.filter(|row| row.status != Status::NotApplicable)?;
        let sentence = match &row.estimate {
            Some(estimate) => sentence(self.value(row, estimate)),
            None => format!("{name} is not known: {}.", reason(row.status)),
        };
        Some(if row.flags.contains(&"incomplete") {
            format!("{sentence} The month is not complete.")
        } else {
            sentence
        })
    }

    pub(crate) fn nps(&self) -> Option<String> {
        self.said(self.one("kpi", "nps", "cluster", Some("T3M")), "Net promoter score", |value| {
            let change = self.one("kpi", "nps_change", "cluster", Some("T3M"));
            let change = change.and_then(|row| Some((row, row.estimate.as_ref()?)));
            let Some((row, estimate)) = change else { return format!("Net promoter score is {value}.") };
            let change = self.value(row, estimate);
            let unclear = if proven(estimate) { "" } else { ", which is not clearly other than 0" };
            format!("Net promoter score is {value}. Against the three months before it changed by {change}{unclear}.")
        })
    }

    pub(crate) fn growth(&self) -> Option<String> {
        let year = self.one("kpi", "revenue_growth", "census_yoy", Some("T3M"));
        let year = year.filter(|row| row.estimate.is_some());
        let (row, against) = match year {
            Some(row) => (row, "the same months a year before"),
            None => (self.one("kpi", "revenue_growth", "census", Some("T3M"))?, "the three months before"),
        };
        self.said(Some(row), "Revenue growth", |_| {
            let season = if year.is_none() { "; seasons are in that" } else { "" };
            let (size, side) = (self.turned(row, is_negative(row)), if is_negative(row) { "below" } else { "above" });
            format!("Revenue of three months is {size} {side} that of {against}{season}.")
        })
    }

    /// Only where the month does not tie out.
    pub(crate) fn ledger(&self) -> Option<String> {
        let row = self.one("quality", "revenue_reconciliation", "census", Some("MONTH"))?;
        row.estimate.filter(|_| row.flags.contains(&NOT_RECONCILED))?;
        let (size, side) = (self.turned(row, is_negative(row)), if is_negative(row) { "below" } else { "above" });
        Some(format!("Revenue of the month is {size} {side} finance's ledger: it does not tie out."))
    }

    /// Only where many rows of sales repeat others, and no id says whether they are copies.
    pub(crate) fn copies(&self) -> Option<String> {
        let rows = self.all("quality", "indistinct_rows", "census").filter(|row| row.flags.contains(&MAY_BE_TWICE));
        let rows = rows.filter(|row| row.outcome == Some("sales"));
        let count = figure(rows.filter_map(|row| row.estimate).next()?.value, "rows", self.currency);
        Some(format!(
            "{count} rows of sales have no id and repeat another in every column: if they were delivered twice, revenue has them twice."
        ))
    }

    /// From the revenue of the half-year before to that of the last.
    pub(crate) fn bridge(&self) -> Option<String> {
        let amount = |metric: &str| {
            let row = self.one("bridge", metric, "census", Some("T6M"))?;
            Some(figure(row.estimate?.value, row.unit, self.currency))
        };
        self.said(self.one("bridge", "current", "census", Some("T6M")), "The bridge of revenue", |now| {
            let Some(before) = amount("base") else { return format!("Revenue of six months is {now}.") };
            // Any of them may be withheld, so the verb goes to the first that is told.
            let told = |verb: &str, preposition: &str, parts: &[(&str, &str)]| -> Vec<String> {
                let told = parts.iter().filter_map(|(metric, who)| Some((amount(metric)?, who)));
                let verbs = std::iter::once(format!("{verb} ")).chain(std::iter::repeat(String::new()));
                told.zip(verbs).map(|((amount, who), verb)| format!("{amount} {verb}{preposition} {who}")).collect()
            };
            let lost =
                told("went", "with", &[("churned", "customers who left"), ("contraction", "those who spend less")]);
            let won = [
                ("expansion", "customers who spend more"),
                ("new", "new ones"),
                ("reactivated", "those who came back"),
            ];
            let won = told("came", "from", &won);
            let few = amount(MERGED).map(|amount| format!("{amount} net is in parts of few customers, told together"));
            let parts: Vec<String> = lost.into_iter().chain(won).chain(few).collect();
            let colon = if parts.is_empty() { "" } else { ": " };
            format!("Revenue of six months went from {before} to {now}{colon}{}.", parts.join(", "))
        })
    }

    pub(crate) fn retention(&self) -> Option<String> {
        self.said(self.one("kpi", "retention", "wilson", Some("T3M")), "Retention", |value| {
            format!("Of the customers who bought in the three months before, {value} bought again.")
        })
    }

    /// The adjusted slope, the placebo and what is left, and what that proves.
    pub(crate) fn association(&self) -> Option<String> {
        let (placebo, excess) = (self.outcome("placebo")?, self.outcome("excess")?);
        let row = self.outcome("revenue_6m")?;
        self.said(Some(row), "What a point of NPS goes with in revenue", |_| {
            let is_less = is_negative(row);
            let (size, than) = (self.turned(row, is_less), more_or_less(is_less));
            let mut text =
                format!("One point more in a customer's NPS answer {} {size} {than} revenue a month in the six months after it, all else equal{}", verb(row.grade), unclear(Some(row)));
            if let (Some(before), Some(left)) = (&placebo.estimate, &excess.estimate) {
                text.push_str(&if is_less == is_negative(placebo) {
                    format!("; {} of it was there before the answer", self.turned(placebo, is_less))
                } else {
                    format!("; before the answer it was {} {}", self.turned(placebo, !is_less), more_or_less(!is_less))
                });
                let left_over = self.turned(excess, is_less);
                text.push_str(&match (proven(before), proven(left)) {
                    (false, _) => format!(", and {left_over} is beyond that"),
                    (true, true) => format!(": lasting differences between customers, and {left_over} is beyond them"),
                    (true, false) => {
                        format!(": lasting differences between customers; what is beyond them, {left_over}, is not proven")
                    }
                });
            }
            text.push('.');
            text
        })
    }

    /// Whether scores change before revenue does.
    pub(crate) fn order(&self) -> Option<String> {
        self.order_of("nps", ["NPS", "NPS answers", "answers"])
    }

    /// Whether service contacts change before revenue does.
    pub(crate) fn order_of_contacts(&self) -> Option<String> {
        self.order_of(CONTACTS, ["service contacts", "service contacts", "contacts"])
    }

    fn order_of(&self, score: &str, [name, what, short]: [&str; 3]) -> Option<String> {
        let lags = self.rows.iter().filter(|row| row.segment == ALL && row.score == Some(score));
        let lags: Vec<&Row> =
            lags.filter(|row| (row.metric, row.method) == ("slope", "first_difference_gap5")).collect();
        let flagged = |flag: &str| lags.iter().find(|row| row.flags.contains(&flag));
        self.said(lags.first().copied(), &format!("Whether {name} or revenue changes first"), |_| {
            if flagged("revenue_moves_first").is_some() {
                return format!("Revenue changes before {what} do: {short} may follow what customers bought.");
            }
            match flagged("score_moves_first") {
                Some(row) => format!(
                    "A customer's {what} change before revenue does, by {}: this is an order in time, not a cause.",
                    match row.lag.unwrap_or_default() {
                        1 => "1 month".to_owned(),
                        months => format!("{months} months"),
                    }
                ),
                None => format!("Whether {what} or revenue change first is not shown."),
            }
        })
    }

    pub(crate) fn asymmetry(&self) -> Option<String> {
        let (penalty, reward) =
            (self.one("asymmetry", "penalty", "ancova", None)?, self.one("asymmetry", "reward", "ancova", None)?);
        let ratio = self.one("asymmetry", "slope_ratio", "fieller", None)?;
        self.said(Some(penalty), "What missed expectations go with", |_| {
            // A penalty is what is lost.
            let (is_less, is_more) = (!is_negative(penalty), !is_negative(reward));
            let verdict = match ratio.flags.first().copied() {
                Some("consistent_with_twice") => "that is consistent with losses twice the gains",
                Some("no_asymmetry_shown") => "no difference between losses and gains is shown",
                Some("different_from_both") => "losses are neither as large as the gains nor twice as large",
                _ => "whether losses are twice the gains cannot be told",
            };
            format!(
                "Being a detractor instead of a passive {} {} {} revenue a month{}, being a promoter {} {}{}; {verdict}.",
                verb(penalty.grade),
                self.turned(penalty, !is_less),
                more_or_less(is_less),
                unclear(Some(penalty)),
                self.turned(reward, !is_more),
                more_or_less(!is_more),
                unclear(Some(reward))
            )
        })
    }

    /// Only if the comparison of promoters with detractors turns round once the mix of customers is the same.
    fn bands(&self) -> Option<String> {
        let mut contrasts = self.all("association", "band_contrast", "standardised");
        contrasts.find(|row| row.flags.contains(&"simpson")).map(|_| {
            "Promoters against detractors look the other way round once the mix of segments and earlier spend is the same: plain means mislead here."
                .to_owned()
        })
    }

    pub(crate) fn point(&self) -> Option<String> {
        let row = self.one("value", "nps_point_value_total", "mean", None)?;
        let raw = self.one("value", "nps_point_value_total_raw", "mean", None);
        self.said(Some(row), "The value of one point of NPS", |_| {
            let is_less = is_negative(row);
            let raw = raw.filter(|raw| raw.estimate.is_some()).map(|raw| self.turned(raw, is_less));
            let raw = raw.map_or_else(String::new, |raw| format!("; without caps on large amounts {raw}"));
            let (size, than, grade) = (self.turned(row, is_less), more_or_less(is_less), row.grade);
            let (verb, unclear) = (verb(grade), unclear(Some(row)));
            format!(
                "One point more of NPS {verb} {size} {than} net value in twelve months over all active customers{unclear}{raw}. Grade {grade}."
            )
        })
    }

    pub(crate) fn at_risk(&self) -> Option<String> {
        let row = self.one("value", "net_value_at_risk_total", "standardised", None);
        self.said(row, "Net value at risk", |value| {
            if row.is_some_and(|row| row.flags.contains(&"no_value_gap")) {
                return "Detractors are worth no less than passives: no net value is at risk.".to_owned();
            }
            let grade = row.map_or("E", |row| row.grade);
            let (verb, unclear) = (verb(grade), unclear(row));
            format!(
                "That customers are detractors and not passives {verb} {value} less net value in twelve months{unclear}. Grade {grade}."
            )
        })
    }

    /// The driver with the largest share of what the channels, stages or touchpoints explain of revenue.
    pub(crate) fn driver(&self) -> Option<String> {
        let shares = self.all("driver", "lmg", "lmg").filter(|row| row.outcome == Some("revenue"));
        let strongest = shares.filter_map(|row| Some((row, row.estimate.as_ref()?)));
        let strongest = strongest.max_by(|(_, one), (_, other)| one.value.total_cmp(&other.value));
        let row = match strongest {
            Some((row, _)) => row,
            None => self.all("driver", "driver_r2", "lmg").find(|row| row.outcome == Some("revenue"))?,
        };
        self.said(Some(row), "The strongest driver", |value| {
            let driver = row.driver.clone().unwrap_or_default().replace(':', " ");
            format!(
                "Of all drivers, NPS at {driver} goes with the largest part of the differences in revenue between customers: {value} of their variance. Importance is no promise of what a change would bring."
            )
        })
    }

    pub(crate) fn stay(&self) -> Option<String> {
        let row = self.one("survival", "logrank", "logrank", None)?;
        self.said(Some(row), "Whether detractors, passives and promoters stop buying at different rates", |_| match row
            .estimate
            .and_then(|estimate| estimate.p)
        {
            Some(p) if p < 0.05 => {
                let p = if p < 0.001 { "< 0.001".to_owned() } else { format!("= {p:.3}") };
                format!("Detractors, passives and promoters stop buying at different rates (log-rank p {p}).")
            }
            _ => "That detractors, passives and promoters stop buying at different rates is not shown.".to_owned(),
        })
    }

    /// What each programme brought against its cost, how good the evidence is, and what keeps it from being better.
    pub(crate) fn programmes(&self) -> Vec<String> {
        let values = self.rows.iter().filter(|row| row.metric == "initiative_value");
        let said = values.map(|row| {
            let programme = Programme { report: self, name: row.initiative.as_deref().unwrap_or_default() };
            self.said(Some(row), &format!("What programme {} brought", programme.name), |value| {
                programme.said(row, &value)
            })
        });
        said.flatten().collect()
    }
}

/// The rows of one programme.
struct Programme<'a> {
    report: &'a Report<'a>,
    name: &'a str,
}

impl Programme<'_> {
    fn row(&self, metric: &str, method: &str) -> Option<(&Row, &Estimate)> {
        let is_it =
            |row: &&Row| (row.metric, row.method) == (metric, method) && row.initiative.as_deref() == Some(self.name);
        let row = self.report.rows.iter().find(is_it)?;
        Some((row, row.estimate.as_ref()?))
    }

    fn figure(&self, metric: &str, method: &str) -> String {
        let found = self.row(metric, method);
        found.map_or_else(String::new, |(row, found)| figure(found.value, row.unit, self.report.currency))
    }

    /// As "175 customers are".
    fn customers_are(&self, metric: &str) -> String {
        let Some((_, found)) = self.row(metric, "census") else { return String::new() };
        format!("{} {}", self.figure(metric, "census"), plural(found.value, "customer is", "customers are"))
    }

    fn p(&self, metric: &str, method: &str) -> String {
        let p = self.row(metric, method).and_then(|(_, found)| found.p);
        p.map_or_else(|| "not known".to_owned(), |p| format!("p = {p:.3}"))
    }

    fn said(&self, row: &Row, value: &str) -> String {
        let name = self.name;
        let mut text = match row.grade {
            "A" | "D" => format!("Programme {name} {} {value} of net value", verb(row.grade)),
            grade => format!("What followed programme {name} {} {value} of net value", verb(grade)),
        };
        if let Some((row, cost)) = self.row("initiative_cost", "census") {
            text.push_str(&format!(" against a cost of {}", figure(cost.value, row.unit, self.report.currency)));
        }
        let roi = self.row("roi", "stratified");
        if let Some((row, found)) = roi {
            text.push_str(&format!(": ROI {}", self.report.value(row, found)));
            if self.row("roi_confidence", "stratified").is_some() {
                // Nothing is certain.
                let confidence = match self.figure("roi_confidence", "stratified").as_str() {
                    "100.0 %" => "more than 99.9 %".to_owned(),
                    "0.0 %" => "less than 0.1 %".to_owned(),
                    confidence => confidence.to_owned(),
                };
                text.push_str(&format!(", above 0 with a one-sided confidence of {confidence}"));
            }
        }
        text.push('.');
        let flags = roi.or_else(|| self.row("did_net_value", "stratified")).map(|(row, _)| row.flags.clone());
        let reasons: Vec<String> = flags.iter().flatten().filter_map(|flag| self.reason(flag)).collect();
        if reasons.is_empty() {
            text.push_str(&format!(" Grade {}.", row.grade));
        } else {
            text.push_str(&format!(" Grade {}: {}.", row.grade, reasons.join("; ")));
        }
        text
    }

    /// A check that failed, with its number.
    fn reason(&self, flag: &str) -> Option<String> {
        Some(match flag {
            "whole_segment" => "it is for a whole segment, channel or touchpoint".to_owned(),
            "contaminated" => "more than half of those treated were in other programmes meanwhile".to_owned(),
            "fewer_than_200_treated" => format!("{} treated, 200 are needed", self.customers_are("treated_customers")),
            "fewer_than_200_controls" => {
                format!("{} there to compare with, 200 are needed", self.customers_are("control_customers"))
            }
            "fewer_than_3_months_before" => "fewer than three months before the start are known".to_owned(),
            "arms_differed_before" => {
                format!("the two groups differed before the start ({})", self.p("pretrend_joint", "wald"))
            }
            "arms_drifted_before" => {
                format!("the two groups drifted apart before the start ({})", self.p("pretrend_slope", "welch"))
            }
            "strata_without_controls" => format!(
                "{} of those treated have customers alike to compare with, 80 % are needed",
                self.figure("treated_share_kept", "stratified")
            ),
            "strata_move_effect" => format!(
                "comparing customers who are alike moves the effect from {} to {} a customer and month",
                self.figure("did_net_value", "welch"),
                self.figure("did_net_value", "stratified")
            ),
            "trend_turns_effect" => format!(
                "the trend before the start would make it {} a customer and month",
                self.figure("did_net_value_trend_adjusted", "welch")
            ),
            "sample_ratio_not_as_planned" => {
                format!(
                    "that the arms are as large as planned is not shown ({})",
                    self.p("sample_ratio", "chi_squared")
                )
            }
            "measured_on_part" => format!(
                "the value is that of {} of those treated, the cost that of all",
                self.figure("measured_share", "stratified")
            ),
            "tail_sensitive" => "few large amounts decide".to_owned(),
            _ => return None,
        })
    }
}

fn is_negative(row: &Row) -> bool {
    row.estimate.is_some_and(|known| known.value < 0.0)
}

fn more_or_less(is_less: bool) -> &'static str {
    if is_less { "less" } else { "more" }
}

/// What is added where an interval holds 0.
fn unclear(row: Option<&Row>) -> &'static str {
    let holds_0 = |estimate: Estimate| estimate.lo.zip(estimate.hi).is_some_and(|(lo, hi)| lo <= 0.0 && 0.0 <= hi);
    if row.and_then(|row| row.estimate).is_some_and(holds_0) { ", which is not clearly other than 0" } else { "" }
}

/// Whether the interval leaves out zero.
fn proven(estimate: &Estimate) -> bool {
    estimate.lo.zip(estimate.hi).is_some_and(|(lo, hi)| lo > 0.0 || hi < 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_as_people_write_them() {
        assert_eq!(figure(1_234_567.891, "money", "EUR"), "1,234,567.89 EUR");
        assert_eq!(figure(-0.004, "money/customer-month", "EUR"), "0.00 EUR");
        assert_eq!(figure(-999.5, "money", "EUR"), "-999.50 EUR");
        assert_eq!(figure(-0.0002, "share", "EUR"), "0.0 %");
        assert_eq!(figure(0.8052, "share", "EUR"), "80.5 %");
        assert_eq!(figure(1000.0, "count", "EUR"), "1,000");
        assert_eq!(figure(2.068, "ratio", "EUR"), "2.07");
    }

    #[test]
    fn a_bridge_is_a_sentence_whatever_of_it_is_withheld() {
        let rows = |told: &[&'static str]| -> Vec<Row> {
            let part = |metric| Row::new("bridge", metric, "money", "census").window("T6M").census(1.0);
            told.iter().map(|metric| part(*metric)).collect()
        };
        let said = |told: &[&'static str]| Report { rows: &rows(told), currency: "EUR" }.bridge().unwrap();
        assert_eq!(
            said(&["base", "churned", "contraction", "expansion", "new", "current"]),
            "Revenue of six months went from 1.00 EUR to 1.00 EUR: 1.00 EUR went with customers who left, 1.00 EUR with those who \
             spend less, 1.00 EUR came from customers who spend more, 1.00 EUR from new ones."
        );
        assert_eq!(
            said(&["base", "contraction", "new", MERGED, "current"]),
            "Revenue of six months went from 1.00 EUR to 1.00 EUR: 1.00 EUR went with those who spend less, 1.00 EUR came from new \
             ones, 1.00 EUR net is in parts of few customers, told together."
        );
        assert_eq!(said(&["base", "current"]), "Revenue of six months went from 1.00 EUR to 1.00 EUR.");
    }

    fn estimate(value: f64, half: f64) -> Estimate {
        Estimate { lo: Some(value - half), hi: Some(value + half), p: Some(0.01), ..Estimate::census(value) }
    }

    fn row(section: &'static str, metric: &'static str, unit: &'static str, method: &'static str) -> Row {
        Row::new(section, metric, unit, method).score("nps").graded("E")
    }

    fn slope(outcome: &'static str, value: f64, half: f64) -> Row {
        let row = row("association", "slope", "money/customer-month", "ancova");
        Row { outcome: Some(outcome), estimate: Some(estimate(value, half)), status: Status::Ok, ..row }
    }

    fn with(row: Row, value: f64, half: f64) -> Row {
        Row { estimate: Some(estimate(value, half)), status: Status::Ok, ..row }
    }

    /// Every headline, with values.
    fn all() -> Vec<Row> {
        let kpi = |metric, unit, method, window| Row::new("kpi", metric, unit, method).window(window);
        let lag = |lag| Row {
            lag: Some(lag),
            ..row("association", "slope", "money/customer-month", "first_difference_gap5")
        };
        let share = |driver: &str| Row {
            outcome: Some("revenue"),
            ..row("driver", "lmg", "share", "lmg").driver(driver.to_owned())
        };
        vec![
            with(kpi("nps", "points", "cluster", "T3M").score("nps"), 12.3, 4.0),
            with(kpi("nps_change", "points", "cluster", "T3M").score("nps"), 5.0, 6.0),
            with(kpi("revenue_growth", "share", "census_yoy", "T3M"), 0.07, 0.01),
            with(kpi("retention", "share", "wilson", "T3M"), 0.8, 0.01),
            slope("revenue_6m", 2.0, 0.5),
            slope("placebo", 1.2, 0.5),
            slope("excess", 0.8, 1.3),
            with(lag(0), 0.1, 1.0),
            with(lag(1), 2.0, 1.0).flag("score_moves_first"),
            with(row("asymmetry", "penalty", "money/customer-month", "ancova"), 5.0, 1.0),
            with(row("asymmetry", "reward", "money/customer-month", "ancova"), 3.0, 1.0),
            row("asymmetry", "slope_ratio", "ratio", "fieller").without(Status::Unbounded),
            with(row("association", "band_contrast", "money/customer-month", "standardised"), 5.0, 1.0).flag("simpson"),
            with(row("value", "nps_point_value_total", "money", "mean"), 2000.0, 500.0),
            with(row("value", "nps_point_value_total_raw", "money", "mean"), 2500.0, 900.0),
            with(row("value", "net_value_at_risk_total", "money", "standardised"), 9000.0, 1000.0),
            with(share("channel:phone"), 0.01, 0.01),
            with(share("touchpoint:desk"), 0.04, 0.01),
            with(row("survival", "logrank", "chi2", "logrank"), 17.0, 1.0),
        ]
    }

    #[test]
    fn headlines_say_what_is_known_and_how_well() {
        let want = [
            "Net promoter score is 12.3 (95 % interval 8.3 to 16.3). Against the three months before it changed by 5.0 (95 % interval -1.0 to 11.0), which is not clearly other than 0.",
            "Revenue of three months is 7.0 % (95 % interval 6.0 % to 8.0 %) above that of the same months a year before.",
            "Of the customers who bought in the three months before, 80.0 % (95 % interval 79.0 % to 81.0 %) bought again.",
            "One point more in a customer's NPS answer is associated with 2.00 EUR (95 % interval 1.50 EUR to 2.50 EUR) more revenue a month in the six months after it, all else equal; 1.20 EUR (95 % interval 0.70 EUR to 1.70 EUR) of it was there before the answer: lasting differences between customers; what is beyond them, 0.80 EUR (95 % interval -0.50 EUR to 2.10 EUR), is not proven.",
            "A customer's NPS answers change before revenue does, by 1 month: this is an order in time, not a cause.",
            "Being a detractor instead of a passive is associated with 5.00 EUR (95 % interval 4.00 EUR to 6.00 EUR) less revenue a month, being a promoter 3.00 EUR (95 % interval 2.00 EUR to 4.00 EUR) more; whether losses are twice the gains cannot be told.",
            "Promoters against detractors look the other way round once the mix of segments and earlier spend is the same: plain means mislead here.",
            "One point more of NPS is associated with 2,000.00 EUR (95 % interval 1,500.00 EUR to 2,500.00 EUR) more net value in twelve months over all active customers; without caps on large amounts 2,500.00 EUR (95 % interval 1,600.00 EUR to 3,400.00 EUR). Grade E.",
            "That customers are detractors and not passives is associated with 9,000.00 EUR (95 % interval 8,000.00 EUR to 10,000.00 EUR) less net value in twelve months. Grade E.",
            "Of all drivers, NPS at touchpoint desk goes with the largest part of the differences in revenue between customers: 4.0 % (95 % interval 3.0 % to 5.0 %) of their variance. Importance is no promise of what a change would bring.",
            "Detractors, passives and promoters stop buying at different rates (log-rank p = 0.010).",
        ];
        assert_eq!(headlines(&all(), "EUR"), want);
    }

    #[test]
    fn a_change_of_nps_that_is_clear_is_not_doubted() {
        let kpi = |metric| Row::new("kpi", metric, "points", "cluster").window("T3M").score("nps");
        let rows = [with(kpi("nps"), 12.3, 4.0), with(kpi("nps_change"), -9.0, 6.0)];
        assert_eq!(
            headlines(&rows, "EUR"),
            [
                "Net promoter score is 12.3 (95 % interval 8.3 to 16.3). Against the three months before it changed by -9.0 (95 % interval -15.0 to -3.0)."
            ]
        );
        assert_eq!(headlines(&rows[..1], "EUR"), ["Net promoter score is 12.3 (95 % interval 8.3 to 16.3)."]);
    }

    #[test]
    fn what_is_less_is_not_more_by_a_number_below_0() {
        let of = |rows: Vec<Row>| headlines(&rows, "EUR").remove(0);
        let excess = || slope("excess", -1.0, 0.5);
        assert_eq!(
            of(vec![slope("revenue_6m", -2.0, 0.5), slope("placebo", -1.0, 0.25), excess()]),
            "One point more in a customer's NPS answer is associated with 2.00 EUR (95 % interval 1.50 EUR to 2.50 EUR) less revenue a month in the six months after it, all else equal; 1.00 EUR (95 % interval 0.75 EUR to 1.25 EUR) of it was there before the answer: lasting differences between customers, and 1.00 EUR (95 % interval 0.50 EUR to 1.50 EUR) is beyond them."
        );
        assert_eq!(
            of(vec![slope("revenue_6m", 2.0, 0.5), slope("placebo", -1.0, 1.5), slope("excess", 3.0, 0.5)]),
            "One point more in a customer's NPS answer is associated with 2.00 EUR (95 % interval 1.50 EUR to 2.50 EUR) more revenue a month in the six months after it, all else equal; before the answer it was 1.00 EUR (95 % interval -0.50 EUR to 2.50 EUR) less, and 3.00 EUR (95 % interval 2.50 EUR to 3.50 EUR) is beyond that."
        );
        let asymmetry = |metric, value| with(row("asymmetry", metric, "money/customer-month", "ancova"), value, 0.5);
        let ratio = row("asymmetry", "slope_ratio", "ratio", "fieller").without(Status::Unbounded);
        assert_eq!(
            of(vec![asymmetry("penalty", -2.0), asymmetry("reward", -1.0), ratio]),
            "Being a detractor instead of a passive is associated with 2.00 EUR (95 % interval 1.50 EUR to 2.50 EUR) more revenue a month, being a promoter 1.00 EUR (95 % interval 0.50 EUR to 1.50 EUR) less; whether losses are twice the gains cannot be told."
        );
        let point = with(row("value", "nps_point_value_total", "money", "mean"), -2000.0, 500.0);
        assert_eq!(
            of(vec![point]),
            "One point more of NPS is associated with 2,000.00 EUR (95 % interval 1,500.00 EUR to 2,500.00 EUR) less net value in twelve months over all active customers. Grade E."
        );
    }

    #[test]
    fn contacts_move_first_in_words_of_their_own() {
        let said = |flag: &'static str| {
            let lag = with(row("association", "slope", "money/customer-month", "first_difference_gap5"), -2.0, 1.0);
            let rows = [Row { lag: Some(2), ..lag }.score(CONTACTS).flag(flag)];
            let report = Report { rows: &rows, currency: "EUR" };
            assert_eq!(report.order(), None, "nothing is known of NPS");
            report.order_of_contacts().unwrap()
        };
        assert_eq!(
            said("score_moves_first"),
            "A customer's service contacts change before revenue does, by 2 months: this is an order in time, not a cause."
        );
        assert_eq!(
            said("revenue_moves_first"),
            "Revenue changes before service contacts do: contacts may follow what customers bought."
        );
        assert_eq!(said("interval_withheld"), "Whether service contacts or revenue change first is not shown.");
    }

    fn programme(grade: &'static str, flags: &[&'static str]) -> Vec<Row> {
        let row = |metric, unit, method| {
            let row = Row::new("initiative", metric, unit, method).graded(grade);
            Row { initiative: Some("calls".to_owned()), ..row }
        };
        let roi = with(row("roi", "ratio", "stratified"), 0.89, 1.08);
        vec![
            row("treated_customers", "count", "census").census(175.0),
            row("control_customers", "count", "census").census(199.0),
            row("initiative_cost", "money", "census").census(2_400.0),
            with(row("did_net_value", "money/customer-month", "welch"), 4.1, 2.0),
            with(row("did_net_value", "money/customer-month", "stratified"), 9.0, 2.0),
            with(row("did_net_value_trend_adjusted", "money/customer-month", "welch"), -1.6, 6.5),
            with(row("pretrend_joint", "chi2", "wald"), 8.0, 1.0),
            with(row("pretrend_slope", "money/customer-month", "welch"), 0.4, 1.0),
            with(row("sample_ratio", "chi2", "chi_squared"), 0.4, 1.0),
            row("treated_share_kept", "share", "stratified").census(0.7),
            row("measured_share", "share", "stratified").census(0.381),
            with(row("initiative_value", "money", "stratified"), 4_528.0, 2_592.0),
            flags.iter().fold(roi, |row, flag| row.flag(flag)),
            row("roi_confidence", "share", "stratified").census(0.946),
        ]
    }

    #[test]
    fn a_programme_is_spoken_of_as_its_grade_allows() {
        let value = "4,528.00 EUR (95 % interval 1,936.00 EUR to 7,120.00 EUR) of net value against a cost of 2,400.00 EUR: \
            ROI 0.89 (95 % interval -0.19 to 1.97), above 0 with a one-sided confidence of 94.6 %.";
        for (grade, verb) in [
            ("A", "Programme calls caused"),
            ("B", "What followed programme calls is evidence of"),
            ("C", "What followed programme calls suggests"),
            ("D", "Programme calls coincided with"),
        ] {
            assert_eq!(headlines(&programme(grade, &[]), "EUR"), [format!("{verb} {value} Grade {grade}.")]);
        }
        for (flag, words) in [
            ("whole_segment", "it is for a whole segment, channel or touchpoint"),
            ("contaminated", "more than half of those treated were in other programmes meanwhile"),
            ("fewer_than_200_treated", "175 customers are treated, 200 are needed"),
            ("fewer_than_200_controls", "199 customers are there to compare with, 200 are needed"),
            ("fewer_than_3_months_before", "fewer than three months before the start are known"),
            ("arms_differed_before", "the two groups differed before the start (p = 0.010)"),
            ("arms_drifted_before", "the two groups drifted apart before the start (p = 0.010)"),
            (
                "strata_without_controls",
                "70.0 % of those treated have customers alike to compare with, 80 % are needed",
            ),
            (
                "strata_move_effect",
                "comparing customers who are alike moves the effect from 4.10 EUR to 9.00 EUR a customer and month",
            ),
            ("trend_turns_effect", "the trend before the start would make it -1.60 EUR a customer and month"),
            ("sample_ratio_not_as_planned", "that the arms are as large as planned is not shown (p = 0.010)"),
            ("measured_on_part", "the value is that of 38.1 % of those treated, the cost that of all"),
            ("tail_sensitive", "few large amounts decide"),
        ] {
            let said = headlines(&programme("C", &[flag]), "EUR").remove(0);
            assert!(said.ends_with(&format!(" Grade C: {words}.")), "{said}");
            assert!(!said.contains("caused") && !said.contains("evidence"), "{said}");
        }
        let unknown: Vec<Row> =
            programme("C", &[]).into_iter().map(|row| row.without(Status::InsufficientHistory)).collect();
        assert_eq!(headlines(&unknown, "EUR"), ["What programme calls brought is not known: history is too short."]);
    }

    #[test]
    fn nothing_of_grade_e_says_that_one_thing_made_another() {
        let said = headlines(&all(), "EUR").join(" ");
        for word in
            ["caused", "causes", "drives", "drove", "impact", "because", "due to", "leads to", "thanks to", "evidence"]
        {
            assert!(!said.contains(word), "{word}: {said}");
        }
        let verbs = ["A", "B", "C", "D", "E"].map(verb);
        assert_eq!(verbs, ["caused", "is evidence of", "suggests", "coincided with", "is associated with"]);
    }

    #[test]
    fn what_is_not_known_is_said_to_be_unknown() {
        for status in [
            Status::InsufficientN,
            Status::InsufficientHistory,
            Status::Suppressed,
            Status::Collinear,
            Status::Degenerate,
        ] {
            let rows: Vec<Row> = all().into_iter().map(|row| row.without(status)).collect();
            let said = headlines(&rows, "EUR");
            assert!(said.len() >= 7, "{said:?}");
            for sentence in said {
                assert!(sentence.ends_with(&format!("is not known: {}.", reason(status))), "{sentence}");
            }
        }
        let rows: Vec<Row> = all().into_iter().map(|row| row.without(Status::NotApplicable)).collect();
        assert_eq!(headlines(&rows, "EUR"), [""; 0]);
        let mut rows = all();
        rows[0].flags.push("incomplete");
        assert!(headlines(&rows, "EUR")[0].ends_with("The month is not complete."));
    }
}
