//! What metrics, statuses, grades and flags are called among people. The formulas are in `sql/measures.md`.

use crate::estimates::Status;

/// A metric's name and what it is, in plain words.
pub(crate) struct Term {
    pub(crate) metric: &'static str,
    pub(crate) name: &'static str,
    pub(crate) meaning: &'static str,
}

const fn term(metric: &'static str, name: &'static str, meaning: &'static str) -> Term {
    Term { metric, name, meaning }
}

/// Every metric, in the order of the report.
pub(crate) const TERMS: &[Term] = &[
    term("nps", "Net promoter score (NPS)", "promoters (9, 10) less detractors (0 to 6) in a hundred answers"),
    term("nps_change", "Change of NPS", "against the three months before, customers who answered twice counted once"),
    term("csat_top2", "Customer satisfaction (CSAT)", "share of answers 4 and 5 of 5"),
    term("ces_mean", "Customer effort score (CES)", "mean answer"),
    term("ces_top3", "Customer effort, top three", "share of the three best answers of 7"),
    term("design_effect", "Design effect of CSAT", "how many answers say as much as one, as customers answer alike"),
    term("response_rate", "Response rate", "customers who answered any survey, of those in touch"),
    term("revenue", "Revenue", "net of refunds"),
    term("revenue_growth", "Revenue growth", "of three or twelve months; against what is said with each row"),
    term("nrr", "Net revenue retention", "what last half-year's customers spend now, of what they spent then"),
    term("grr", "Gross revenue retention", "the same without what any of them spends more"),
    term(
        "constant_customer_growth",
        "Growth of constant customers",
        "of customers who bought in both half-years: survivors only",
    ),
    term("retention", "Retention", "customers who bought again, of those of the three months before"),
    term("churn", "Churn", "customers who did not buy again, of those of the three months before"),
    term("retained_customers", "Retained customers", "bought in these three months and in those before"),
    term("churned_customers", "Churned customers", "bought in the three months before and not in these"),
    term("new_customers", "New customers", "bought for the first time"),
    term("reactivated_customers", "Reactivated customers", "bought again, and not in the three months before"),
    term("cross_sell_rate", "Cross-sell rate", "retained customers who bought a category that they never had before"),
    term("active_customers", "Active customers", "with an order in twelve months"),
    term("repeat_rate", "Repeat rate", "customers with two orders or more, of all with one"),
    term(
        "multi_category_rate",
        "Multi-category rate",
        "customers who ever bought a category beside that of their first order",
    ),
    term("aov", "Average order value", "net revenue an order"),
    term("cost_per_contact", "Cost per contact", "service cost a service contact"),
    term("cost_to_serve", "Cost to serve", "service cost a customer served"),
    term("conversion", "Conversion", "sessions that led to an order"),
    term("pages_per_session", "Pages per session", "mean"),
    term("seconds_per_session", "Seconds per session", "mean"),
    term(
        "first_contact_resolution",
        "First-contact resolution",
        "first contacts that no other followed within seven days",
    ),
    term("task_success", "Task success", "tasks that customers completed"),
    term("task_error", "Task errors", "tasks in which an error occurred"),
    term("task_abandonment", "Task abandonment", "tasks that customers gave up"),
    term("task_seconds", "Time on task", "mean seconds"),
    term("response_seconds", "Response time", "mean seconds to an answer of ours"),
    term("escalation_rate", "Escalation rate", "contacts that were escalated"),
    term("earned_growth", "Earned growth", "growth from keeping customers and from their referrals"),
    term("cac", "Customer acquisition cost", "mean of customers acquired in twelve months"),
    term("ltv_to_cac", "Lifetime value to acquisition cost", "value of twelve months by what acquiring cost"),
    term(
        "acquisition_to_retention_cost",
        "Acquisition to retention cost",
        "what a new customer costs by what keeping one costs",
    ),
    term("base", "Revenue before", "of the six months before"),
    term("churned", "Lost with customers who left", "their revenue before"),
    term("expansion", "More from customers who stayed", "those who spend more"),
    term("contraction", "Less from customers who stayed", "those who spend less"),
    term("new", "From new customers", "their revenue now"),
    term("reactivated", "From customers who came back", "their revenue now"),
    term("residual", "Refunds and the rest", "of customers without an order in the window"),
    term(
        "merged",
        "Parts of few customers together",
        "withheld one by one, so that nobody finds a customer's amounts by subtraction",
    ),
    term("current", "Revenue now", "of the last six months"),
    term("cross_sell", "Cross-sell", "categories that customers never bought before"),
    term("category_return", "Categories that came back", "bought before, not in the months before, and now"),
    term("category_lapse", "Categories that lapsed", "bought in the months before and not now"),
    term("up_sell", "Up-sell", "more an order in the same categories"),
    term("down_sell", "Down-sell", "less an order in the same categories"),
    term("frequency", "Frequency", "more or fewer orders in the same categories"),
    term("delta", "Change of retained revenue", "of customers who bought in both half-years"),
    term(
        "slope",
        "Slope on a score",
        "how much more goes with one more point of a score, or one more service contact, all else equal",
    ),
    term("slope_prior_spend", "Slope on earlier spend", "what is held equal beside it"),
    term("spend_split", "Median of earlier spend", "what parts customers into those who spent little and much"),
    term("pearson", "Correlation by value", "of a first answer with the revenue after it"),
    term("spearman", "Correlation by rank", "of a first answer with the revenue after it"),
    term("band_mean", "Mean of a band", "spend a month in the six after the first answer"),
    term("band_contrast", "Difference of bands", "with the same mix of segments and earlier spend"),
    term("band_coverage", "Covered by the mix", "customers in strata that have every band"),
    term("model_columns", "Columns of the model", "what is held equal"),
    term("model_rank", "Rank of the model", "columns that can be told apart"),
    term("slope_below", "Slope below expectations", "what goes with a point more, below the expected score"),
    term("slope_above", "Slope above expectations", "what goes with a point more, above the expected score"),
    term("slope_cov", "Covariance of the two slopes", "for tests of their ratio"),
    term("slope_ratio", "Losses by gains", "slope below by slope above expectations"),
    term("slope_ratio_test_1", "Test of equal slopes", "t"),
    term("slope_ratio_test_2", "Test of twice the slope", "t"),
    term("penalty", "Penalty", "what detractors spend less than passives a month"),
    term("reward", "Reward", "what promoters spend more than passives a month"),
    term("band_ratio_test_2", "Test of penalty twice the reward", "t"),
    term("driver_mean", "Score of a driver", "mean answer at a channel, touchpoint or stage"),
    term("driver_outcome_corr", "Correlation of a driver with an outcome", "over customers who have both"),
    term("driver_corr", "Correlation of two drivers", "over customers who have both"),
    term(
        "lmg",
        "Importance of a driver",
        "share of the differences in an outcome that goes with it; no effect of a change",
    ),
    term("driver_r2", "Explained by all drivers of a kind", "share of the differences in an outcome"),
    term("treated_customers", "Customers treated", "who were in the programme and can be compared"),
    term("control_customers", "Customers to compare with", "who were alike and in no programme"),
    term("treated_share_kept", "Treated with somebody alike", "share of those treated whom the headline compares"),
    term("overlapping_share", "In other programmes meanwhile", "share of those treated"),
    term("sample_ratio", "Arms as planned", "test whether the lot drew as many as planned"),
    term("did_net_value", "Effect on net value", "margin less service cost, a customer and month"),
    term("did_revenue", "Effect on revenue", "a customer and month"),
    term("did_service_saving", "Effect on service cost", "saved a customer and month"),
    term("did_active", "Effect on activity", "share of customers who order"),
    term("did_nps", "Effect on NPS", "points"),
    term("did_net_value_trend_adjusted", "Effect if the earlier trend had gone on", "a customer and month"),
    term("event_study", "Effect by month", "from the start of the programme"),
    term("pretrend_joint", "Test of months before the start", "whether the groups differed already"),
    term("pretrend_slope", "Trend before the start", "whether the groups drifted apart already"),
    term(
        "expected_regression_to_mean",
        "Expected to come back by itself",
        "of a score that was low when customers were chosen",
    ),
    term("initiative_value", "Value of a programme", "net value over its months, all customers treated"),
    term("initiative_cost", "Cost of a programme", "as the list of programmes says"),
    term("initiative_net", "Net of a programme", "value less cost"),
    term("measured_share", "Measured of a programme", "share of customer-months treated that are known"),
    term("roi", "Return on investment (ROI)", "value less cost, by cost: 0 is break-even"),
    term("roi_measured", "ROI of the measured part", "with the cost of that part alone"),
    term("roi_confidence", "Confidence of ROI above 0", "one minus the one-sided p-value; no probability"),
    term("breakeven_effect", "Effect to break even", "a customer and month"),
    term("mde80", "Smallest detectable effect", "found four times of five; a customer and month"),
    term("npv", "Net present value", "discounted to the start"),
    term("cumulative_net", "Cumulative net", "value less cost, up to a month from the start"),
    term("payback_month", "Payback month", "the first by which the cumulative net is not below 0"),
    term("cost_per_retained_customer", "Cost per retained customer", "cost by customers kept"),
    term("its_level", "Level before the start", "of the series that goes on"),
    term("its_effect", "Break at the start", "of a series without anybody to compare with"),
    term("its_hac_lag", "Months that errors go together", "in the series"),
    term("portfolio_programmes", "Programmes measured", "in the portfolio"),
    term("portfolio_cost", "Cost of the portfolio", "of programmes that are measured"),
    term("portfolio_cost_not_measured", "Cost not measured", "of programmes whose effect is not known"),
    term("portfolio_value", "Value of the portfolio", "sum over programmes"),
    term("portfolio_net", "Net of the portfolio", "value less cost"),
    term("portfolio_roi", "ROI of the portfolio", "net by cost"),
    term("clv_12m", "Customer lifetime value, 12 months", "net value after the first answer, by its band"),
    term("clv_coverage", "Covered by the mix", "customers in strata that have every band"),
    term("nps_point_value", "Value of an NPS point", "in 12 months, for 10,000 customers; associated, not caused"),
    term(
        "nps_point_value_total",
        "Value of an NPS point, all",
        "in 12 months, over the active customers; associated, not caused",
    ),
    term(
        "net_value_at_risk",
        "Net value at risk",
        "what detractors are worth less than passives, for 10,000 customers",
    ),
    term(
        "net_value_at_risk_total",
        "Net value at risk, all",
        "what detractors are worth less than passives, over the active customers",
    ),
    term(
        "gross_exposure",
        "Gross exposure",
        "all that customers who answered as detractors spent in twelve months: not what would be lost",
    ),
    term("detractor_share", "Share of detractors", "answers of 6 or less"),
    term("km", "Survival", "customers who still buy so many months after their first answer"),
    term("logrank", "Test of equal survival", "log-rank"),
    term("churn_events", "Customers lost", "since their first answer"),
    term("history_months", "History", "months from the first sale to the reported month"),
    term("cap_p99", "Cap of large amounts", "by customer and month, for everything that has an interval"),
    term("invalid_nps", "NPS answers outside the scale", "left out"),
    term("invalid_csat", "CSAT answers outside the scale", "left out"),
    term("invalid_ces", "CES answers outside the scale", "left out"),
    term("rejected_rows", "Rejected rows", "could not be used"),
    term("duplicate_rows", "Duplicate rows", "second copies, left out"),
    term("indistinct_rows", "Rows that repeat another", "the same in every column, without an id: they count"),
    term("late_rows", "Late rows", "came after the first publication, in all months up to the reported one"),
    term("unknown_assignments", "Unknown customers of programmes", "left out"),
    term("revenue_reconciliation", "Revenue less ledger", "as analysed, less finance's"),
    term("customer_coverage", "Customers who answered", "of the active ones"),
    term("revenue_coverage", "Revenue of those who answered", "of all"),
];

/// A metric's name among people; that of a value without caps on large amounts says so.
pub(crate) fn name(metric: &str) -> String {
    let of = |metric: &str| TERMS.iter().find(|term| term.metric == metric).map(|term| term.name.to_owned());
    let raw = || Some(format!("{}, without caps", of(metric.strip_suffix("_raw")?)?));
    of(metric).or_else(raw).unwrap_or_else(|| metric.replace('_', " "))
}

/// What a change is measured against, where numbers of one name differ in that.
fn against(metric: &str, window: &str, method: &str) -> Option<&'static str> {
    Some(match (metric, window, method) {
        ("revenue_growth", _, "census_yoy") => "against a year before",
        ("revenue_growth", "T3M", _) | ("nps_change", ..) => "against the three months before",
        ("constant_customer_growth", ..) => "against the six months before",
        ("revenue_growth" | "earned_growth", ..) => "against the twelve months before",
        _ => return None,
    })
}

/// How a number is computed, where others of its name are computed in another way.
fn computed(metric: &str, method: &str) -> Option<&'static str> {
    let is_effect = metric.starts_with("did_");
    Some(match (metric, method) {
        ("first_contact_resolution", "wilson") => "as if each contact were another customer's",
        ("first_contact_resolution", "wilson_cluster") => "contacts of one customer taken together",
        ("slope", "ancova") => "between customers",
        ("slope", "ancova_hc1") => "between customers, as if each answer were another customer's",
        (_, "first_difference") => "within customers, from answer to answer",
        (_, "first_difference_gap5") => "within customers, answers five months apart",
        (_, "crude") => "customers as they are",
        (_, "standardised") => "with the same mix of customers",
        ("event_study", "welch") => "from the programme's start",
        (_, "staggered") => "from each customer's own start",
        (_, "stratified") if is_effect => "against customers alike",
        (_, "welch") if is_effect => "against all others at once",
        (_, "cuped") => "against all others, less what was known before",
        (_, "newey_west") => "least squares",
        (_, "gls_ar1") => "as months go together",
        (_, "detractor_to_passive") => "from detractor to passive",
        (_, "passive_to_promoter") => "from passive to promoter",
        (metric, "mean") if metric.starts_with("nps_point_value") => "half of the way from detractor to promoter",
        _ => return None,
    })
}

/// What tells a number from others of its metric and window, in plain words: what it is measured against, or how it is
/// computed.
pub fn apart(metric: &str, window: &str, method: &str) -> Option<&'static str> {
    against(metric, window, method).or_else(|| computed(metric, method))
}

/// A row's name where rows of the same metric stand beside it that are measured against something else.
pub(crate) fn named(metric: &str, window: &str, method: &str) -> String {
    with(name(metric), against(metric, window, method))
}

/// A row's name where all rows of its metric stand beside it.
pub(crate) fn named_apart(metric: &str, window: &str, method: &str) -> String {
    with(name(metric), apart(metric, window, method))
}

fn with(name: String, words: Option<&str>) -> String {
    match words {
        Some(words) => format!("{name}, {words}"),
        None => name,
    }
}

/// Why there is no number, in a cell.
pub(crate) fn status(status: Status) -> &'static str {
    match status {
        Status::Ok => "known",
        Status::InsufficientN => "too few cases",
        Status::InsufficientHistory => "history too short",
        Status::Suppressed => "withheld",
        Status::Degenerate => "not defined",
        Status::Collinear => "cannot be told apart",
        Status::Unbounded => "any value possible",
        Status::NotApplicable => "not in this lake",
    }
}

/// What a grade of the evidence means.
pub(crate) const GRADES: [(&str, &str); 6] = [
    ("A", "caused: customers were drawn by lot, and every check holds"),
    ("B", "evidence of an effect: compared with customers alike, and every check holds"),
    ("C", "suggests an effect: compared with customers alike, and a check fails"),
    ("D", "coincided: nobody was alike, or another programme had the same customers"),
    ("E", "associated: goes together, which says nothing about what would follow from a change"),
    ("descriptive", "counted: says what is, and nothing of why"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_metrics_and_told_apart() {
        let mut metrics: Vec<&str> = TERMS.iter().map(|term| term.metric).collect();
        metrics.sort_unstable();
        metrics.dedup();
        assert_eq!(metrics.len(), TERMS.len());
        assert_eq!(name("roi_raw"), "Return on investment (ROI), without caps");
        assert_eq!(name("another_metric"), "another metric");
    }

    #[test]
    fn growth_says_against_what() {
        for (metric, window, method, want) in [
            ("revenue_growth", "T3M", "census", "Revenue growth, against the three months before"),
            ("revenue_growth", "T3M", "census_yoy", "Revenue growth, against a year before"),
            ("revenue_growth", "T12M", "census", "Revenue growth, against the twelve months before"),
            ("earned_growth", "T12M", "census", "Earned growth, against the twelve months before"),
            ("constant_customer_growth", "T6M", "ratio", "Growth of constant customers, against the six months before"),
            ("nps_change", "T3M", "cluster", "Change of NPS, against the three months before"),
            ("revenue", "T3M", "census", "Revenue"),
        ] {
            assert_eq!(named(metric, window, method), want);
        }
    }

    #[test]
    fn what_is_computed_in_several_ways_says_how() {
        for (metric, methods) in [
            ("first_contact_resolution", vec!["wilson", "wilson_cluster"]),
            ("slope", vec!["ancova", "ancova_hc1", "first_difference", "first_difference_gap5"]),
            ("model_rank", vec!["first_difference", "first_difference_gap5"]),
            ("band_mean", vec!["crude", "standardised"]),
            ("clv_12m_raw", vec!["crude", "standardised"]),
            ("did_net_value", vec!["stratified", "welch", "cuped", "staggered"]),
            ("event_study", vec!["welch", "staggered"]),
            ("its_effect", vec!["newey_west", "gls_ar1"]),
            ("nps_point_value_total", vec!["mean", "detractor_to_passive", "passive_to_promoter"]),
        ] {
            let mut names: Vec<String> = methods.iter().map(|method| named_apart(metric, "", method)).collect();
            names.dedup();
            assert_eq!(names.len(), methods.len(), "{names:?}");
            assert!(names.iter().all(|said| *said != name(metric)), "{names:?}");
        }
        assert_eq!(named_apart("roi", "", "stratified"), "Return on investment (ROI)");
    }
}
