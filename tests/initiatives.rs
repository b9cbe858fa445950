//! What is said of programmes, and what is refused.

use std::fmt::Write;

use serde_json::{Value, json};
use tests::{Lake, instant};

const CONFIG: &str = r#"
currency = "EUR"
[lake]
sales = "sales/"
customers = "customers.csv"
initiatives = "initiatives.csv"
assignments = "assignments.csv"
[output]
url = "out/"
"#;
const HEADER: &str = "initiative,starts_on,ends_on,cost_per_month,one_off_cost,target_segment,target_channel,target_touchpoint,randomised,holdout_share,expected_net_value\n";
const CUSTOMERS: usize = 480;

/// A number that looks like chance, from 0 to 999.
fn chance(customer: usize, month: i32) -> i64 {
    let mixed = (customer as u64 * 2_654_435_761 + month as u64 * 40_503 + 97).wrapping_mul(6_364_136_223_846_793_005);
    ((mixed >> 33) % 1_000) as i64
}

/// A company from January 2023 on. Every customer but the newest buys in most months; from 2024 on `raised` says who buys for so many
/// cents more.
async fn company(months: std::ops::Range<i32>, raised: impl Fn(usize, i32) -> i64) -> Lake {
    let lake = Lake::default();
    for month in months {
        let (year, of_year) = (2023 + month / 12, month % 12 + 1);
        let names: Vec<(String, String)> =
            (0..CUSTOMERS).map(|customer| (format!("c{customer:03}"), format!("o{customer}-{month}"))).collect();
        let last = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month as usize % 12];
        let at = format!("{year}-{of_year:02}-{last}T10:00:00Z");
        let lines: Vec<_> = (0..CUSTOMERS)
            .filter(|customer| chance(*customer, month) >= 200)
            .map(|customer| {
                let cents = 2_000 + chance(customer + 7_919, month) + raised(customer, month);
                (Some(names[customer].0.as_str()), names[customer].1.as_str(), at.as_str(), cents)
            })
            .collect();
        lake.sales(&format!("sales/{year}-{of_year:02}.parquet"), &lines).await;
    }
    let mut customers = "customer_id,segment,acquired_at\n".to_owned();
    for customer in 0..CUSTOMERS {
        writeln!(customers, "c{customer:03},{},2022-05-01", if customer % 2 == 0 { "home" } else { "work" }).unwrap();
    }
    lake.put("customers.csv", customers).await;
    lake
}

/// Each of these customers in one arm of a programme.
fn assigned(initiative: &str, arm: &str, customers: impl Iterator<Item = usize>) -> String {
    customers.map(|customer| format!("{initiative},c{customer:03},{arm}\n")).collect()
}

async fn programmes(lake: &Lake, initiatives: &str, assignments: &str) {
    lake.put("initiatives.csv", format!("{HEADER}{initiatives}")).await;
    lake.put("assignments.csv", format!("initiative,customer_id,arm\n{assignments}")).await;
}

async fn summary(lake: &Lake, period: &str) -> Value {
    let now = instant("2025-06-20T12:00:00Z");
    lake.open(CONFIG).await.unwrap().run(Some(period.parse().unwrap()), now, &|_| {}).await.unwrap();
    let summary = lake.get(&format!("out/summaries/files/{period}/summary.json")).await.expect("a summary");
    serde_json::from_slice(&summary).expect("valid JSON")
}

/// The rows about programmes.
fn rows(summary: &Value) -> Vec<Value> {
    let rows = summary["estimates"].as_array().unwrap().iter();
    rows.filter(|row| row["section"] == "initiative").cloned().collect()
}

fn find<'a>(rows: &'a [Value], initiative: &str, metric: &str, method: &str) -> &'a Value {
    let is_it = |row: &&Value| row["initiative"] == initiative && row["metric"] == metric && row["method"] == method;
    rows.iter().find(is_it).unwrap_or_else(|| panic!("no {metric} ({method}) of {initiative}"))
}

fn number(row: &Value, field: &str) -> f64 {
    row[field].as_f64().unwrap_or_else(|| panic!("no {field} in {row}"))
}

#[tokio::test]
async fn a_planted_effect_is_found_and_priced() {
    // Those treated buy for 10.00 more from January 2024 on, where they buy: 0.8 × 10.00 × margin 0.35.
    let lake = company(0..24, |customer, month| if customer < 220 && month >= 12 { 1_000 } else { 0 }).await;
    programmes(&lake, "calls,2024-01-01,2024-06-30,100,50,,,,,,500\n", &assigned("calls", "treated", 0..220)).await;
    let summary = summary(&lake, "2024-12").await;
    let rows = rows(&summary);
    let effect = find(&rows, "calls", "did_net_value", "stratified");
    assert!((number(effect, "value") - 2.8).abs() < 3.0 * number(effect, "se"), "{effect}");
    assert!(number(effect, "lo") > 2.0 && number(effect, "hi") < 3.6, "{effect}");
    // The lake's sales do not say their margin, of which revenue knows nothing.
    assert_eq!((&effect["grade"], &effect["flags"]), (&"B".into(), &json!(["assumed_margin"])), "{effect}");
    assert_eq!(find(&rows, "calls", "did_revenue", "welch")["flags"], Value::Null);
    let assumed = json!(["assumed_margin", "assumed_discount_rate"]);
    assert_eq!(find(&rows, "calls", "npv", "stratified")["flags"], assumed);
    // Six months of 220 customers against 650.
    let (roi, value) = (find(&rows, "calls", "roi", "stratified"), number(effect, "value") * 6.0 * 220.0);
    assert!((number(roi, "value") - (value / 650.0 - 1.0)).abs() < 1e-9, "{roi}");
    assert!(
        (number(find(&rows, "calls", "net_beyond_expected", "stratified"), "value") - (value - 1_150.0)).abs() < 1e-6
    );
    assert_eq!(find(&rows, "calls", "initiative_cost", "census")["amount"], "650.0000");
    // What would make it pay is found out by a fifth of the customers.
    assert!(number(find(&rows, "calls", "mde80", "stratified"), "value") < number(effect, "value"));
    let by_month: Vec<f64> =
        rows.iter().filter(|row| row["metric"] == "cumulative_net").map(|row| number(row, "value")).collect();
    assert_eq!(by_month.len(), 6);
    assert!((by_month[5] - number(find(&rows, "calls", "npv", "stratified"), "value")).abs() < 1e-6, "{by_month:?}");
    let payback = by_month.iter().position(|net| *net >= 0.0).unwrap() as f64 + 1.0;
    assert_eq!(number(find(&rows, "calls", "payback_month", "stratified"), "value"), payback);
    let headlines = summary["headlines"].to_string();
    assert!(
        headlines.contains("calls") && headlines.contains("evidence") && !headlines.contains("caused"),
        "{headlines}"
    );
}

#[tokio::test]
async fn those_who_start_later_are_measured_from_their_own_start() {
    // Three waves, two months apart; who is treated buys for 10.00 more from the own start on: 0.8 × 10.00 × margin 0.35.
    let start = |customer: usize| 12 + 2 * (customer / 80) as i32;
    let lake =
        company(0..24, |customer, month| if customer < 240 && month >= start(customer) { 1_000 } else { 0 }).await;
    let waves = (0..240).map(|customer| match start(customer) {
        12 => format!("waves,c{customer:03},treated,\n"),
        month => format!("waves,c{customer:03},treated,2024-{:02}-01\n", month - 11),
    });
    lake.put("initiatives.csv", format!("{HEADER}waves,2024-01-01,2024-08-31,100,,,,,,,\n")).await;
    let assignments: String = waves.collect();
    lake.put("assignments.csv", format!("initiative,customer_id,arm,starts_on\n{assignments}")).await;
    let summary = summary(&lake, "2024-12").await;
    let rows = rows(&summary);
    let effect = find(&rows, "waves", "did_net_value", "staggered");
    assert!((number(effect, "value") - 2.8).abs() < 3.0 * number(effect, "se"), "{effect}");
    assert!(number(effect, "lo") > 2.0 && number(effect, "hi") < 3.6, "{effect}");
    // Counted from the programme's own start, months without an effect are among those after it: 1/8 and 2/8 of two waves, of three.
    let diluted = number(find(&rows, "waves", "did_net_value", "stratified"), "value") / number(effect, "value");
    assert!((0.68..0.82).contains(&diluted), "{diluted}");
    let by_lag = |lag: i64| {
        let is_it = |row: &&Value| row["metric"] == "event_study" && row["method"] == "staggered" && row["lag"] == lag;
        rows.iter().find(is_it)
    };
    for (lags, least, most) in [(-10..=-2, -1.5, 1.5), (0..=7, 1.3, 4.3)] {
        for lag in lags {
            let found = number(by_lag(lag).unwrap_or_else(|| panic!("no lag {lag}")), "value");
            assert!((least..most).contains(&found), "{lag}: {found}");
        }
    }
    for lag in [-11, -1, 8] {
        assert!(by_lag(lag).is_none(), "nobody has a month {lag} after the start");
    }
}

#[tokio::test]
async fn a_finished_programme_keeps_its_figures_whatever_comes_later() {
    let raised = |customer: usize, month: i32| {
        let treated = if customer < 220 && (12..18).contains(&month) { 700 } else { 0 };
        // Later months are another world, and would move every cap.
        treated + if month >= 24 { 90_000 } else { 0 }
    };
    let lake = company(0..27, raised).await;
    let later = "later,2025-01-01,,10,,,,,,,\n";
    programmes(
        &lake,
        &format!("calls,2024-01-15,2024-06-30,100,50,,,,,,\n{later}"),
        &(assigned("calls", "treated", 0..220) + &assigned("later", "treated", 100..300)),
    )
    .await;
    let first = rows(&summary(&lake, "2024-12").await);
    assert!(first.iter().all(|row| row["initiative"] != "later"), "what has not begun is none of the month's business");
    let of_calls = |rows: &[Value]| -> Vec<Value> {
        // The family of tests is another where another programme is measured.
        let without_q = |mut row: Value| {
            row.as_object_mut().unwrap().remove("q");
            row
        };
        rows.iter().filter(|row| row["initiative"] == "calls").cloned().map(without_q).collect()
    };
    let again = rows(&summary(&lake, "2025-03").await);
    assert_eq!(of_calls(&first), of_calls(&again));
    assert!(again.iter().any(|row| row["initiative"] == "later"));
}

#[tokio::test]
async fn what_cannot_be_known_of_a_programme_is_a_status() {
    let lake = company(0..24, |_, _| 0).await;
    programmes(
        &lake,
        "free,2024-01-01,2024-06-30,0,,,,,,,\n\
         no-cost,2024-01-01,2024-06-30,,,,,,,,\n\
         nobody,2024-01-01,2024-06-30,100,,nowhere,,,,,\n\
         few,2024-01-01,2024-06-30,100,,,,,,,\n\
         late,2024-12-01,,100,,,,,,,\n\
         early,2023-02-01,2023-06-30,100,,,,,,,\n\
         before,2022-05-01,2022-06-30,100,,work,,,,,\n\
         desk,2024-01-01,2024-06-30,100,,,,desk,,,\n",
        &[
            assigned("free", "treated", 0..100),
            assigned("no-cost", "treated", 100..200),
            assigned("few", "treated", 200..220),
            assigned("late", "treated", 220..300),
            assigned("early", "treated", 300..400),
            "few,ghost,treated\nfew,shade,holdout\n".to_owned(),
        ]
        .concat(),
    )
    .await;
    let summary = summary(&lake, "2024-12").await;
    let rows = rows(&summary);
    let status = |initiative: &str, metric: &str, method: &str| {
        let row = find(&rows, initiative, metric, method);
        assert_eq!(row["value"].is_null(), row["status"] != "ok", "{row}");
        row["status"].as_str().unwrap().to_owned()
    };
    for (initiative, effect, roi) in [
        ("free", "ok", "degenerate"),
        ("no-cost", "ok", "not_applicable"),
        ("nobody", "insufficient_n", "insufficient_n"),
        ("few", "insufficient_n", "insufficient_n"),
        ("late", "insufficient_history", "insufficient_history"),
        ("early", "insufficient_history", "insufficient_history"),
        ("before", "insufficient_history", "insufficient_history"),
        // Nobody was in touch at the desk.
        ("desk", "insufficient_n", "insufficient_n"),
    ] {
        assert_eq!(status(initiative, "did_net_value", "stratified"), effect, "{initiative}");
        assert_eq!(status(initiative, "roi", "stratified"), roi, "{initiative}");
        assert_eq!(status(initiative, "initiative_value", "stratified"), effect, "{initiative}");
    }
    assert_eq!(status("no-cost", "initiative_cost", "census"), "not_applicable");
    assert_eq!(status("before", "its_effect", "gls_ar1"), "insufficient_history");
    assert_eq!(number(find(&rows, "nobody", "treated_customers", "census"), "value"), 0.0);
    let unknown = summary["estimates"].as_array().unwrap().iter().find(|row| row["metric"] == "unknown_assignments");
    assert_eq!(number(unknown.unwrap(), "value"), 2.0);
}

#[tokio::test]
async fn programmes_add_up_to_what_was_measured_of_them() {
    let lake = company(0..24, |customer, month| if customer < 200 && month >= 12 { 800 } else { 0 }).await;
    let programme = |name: &str, from: usize, to: usize| assigned(name, "treated", from..to);
    programmes(
        &lake,
        "one,2024-01-01,2024-06-30,100,,,,,,,\ntwo,2024-02-01,2024-08-31,50,10,,,,,,\n\
         both,2024-03-01,2024-06-30,70,,,,,,,\nunpaid,2024-03-01,2024-06-30,,,,,,,,\n",
        &[
            programme("one", 0, 140),
            programme("two", 120, 240),
            programme("both", 240, 280),
            programme("both", 0, 45),
            programme("unpaid", 300, 400),
        ]
        .concat(),
    )
    .await;
    let rows = rows(&summary(&lake, "2024-12").await);
    // The twenty that are in `one` and `two` are in neither, and the 45 that `both` shares with `one` are not in `one`; of `both` they are most.
    for (name, treated) in [("one", 75.0), ("two", 100.0), ("both", 85.0), ("unpaid", 100.0)] {
        assert_eq!(number(find(&rows, name, "treated_customers", "census"), "value"), treated, "{name}");
    }
    let total = |metric: &str| rows.iter().find(|row| row["metric"] == metric && row["initiative"].is_null()).unwrap();
    let both = find(&rows, "both", "did_net_value", "stratified");
    assert!(both["flags"].as_array().unwrap().contains(&"contaminated".into()), "{both}");
    assert_eq!(number(total("portfolio_programmes"), "value"), 2.0);
    let added = |field: &str| -> f64 {
        ["one", "two"].map(|name| number(find(&rows, name, "initiative_value", "stratified"), field)).iter().sum()
    };
    for field in ["value", "lo", "hi"] {
        assert!((number(total("portfolio_value"), field) - added(field)).abs() < 1e-6, "{field}");
    }
    assert_eq!(total("portfolio_cost")["amount"], "960.0000");
    assert_eq!(total("portfolio_cost_not_measured")["amount"], "280.0000");
    let roi = number(total("portfolio_roi"), "value");
    assert!((roi - (added("value") / 960.0 - 1.0)).abs() < 1e-9, "{roi}");
}

#[tokio::test]
async fn a_lottery_is_analysed_as_it_was_drawn() {
    let lake = company(0..24, |customer, month| if customer < 240 && month >= 12 { 500 } else { 0 }).await;
    let drawn = [assigned("lottery", "treated", 0..240), assigned("lottery", "holdout", 240..450)].concat();
    let others = assigned("other", "treated", 0..480);
    for (share, grade, reasons) in [
        ("0.45", "A", json!(["assumed_margin"])),
        ("", "B", json!(["sample_ratio_not_as_planned", "assumed_margin"])),
        ("0.2", "B", json!(["sample_ratio_not_as_planned", "assumed_margin"])),
    ] {
        let programme = format!("lottery,2024-01-01,2024-12-31,10,,,,,true,{share},\nother,2024-01-01,,1,,,,,,,\n");
        programmes(&lake, &programme, &format!("{drawn}{others}")).await;
        let rows = rows(&summary(&lake, "2024-12").await);
        let effect = find(&rows, "lottery", "did_net_value", "stratified");
        assert_eq!((&effect["grade"], &effect["flags"]), (&grade.into(), &reasons), "{effect}");
        // Nobody else is a control, and nobody leaves for the other programme.
        assert_eq!(effect["n"], 450);
        let adjusted = find(&rows, "lottery", "did_net_value", "cuped");
        assert!((number(adjusted, "value") - 1.4).abs() < 3.0 * number(adjusted, "se"), "{adjusted}");
        assert!(number(adjusted, "se") < number(effect, "se"), "{adjusted}");
        let ratio = find(&rows, "lottery", "sample_ratio", "chi_squared");
        assert_eq!(ratio["status"], if share.is_empty() { "not_applicable" } else { "ok" });
        // Of the other, everybody is treated, so there is nobody to compare with but the time before.
        assert_eq!(find(&rows, "other", "did_net_value", "stratified")["status"], "insufficient_n");
        assert_eq!(find(&rows, "other", "its_effect", "gls_ar1")["status"], "ok");
    }
}

#[tokio::test]
async fn of_programmes_that_do_nothing_one_in_twenty_seems_to() {
    let lake = company(0..24, |_, _| 0).await;
    let mut chance = fastrand::Rng::with_seed(20);
    let (mut initiatives, mut assignments) = (String::new(), String::new());
    for draw in 0..200 {
        let mut customers: Vec<usize> = (0..CUSTOMERS).collect();
        chance.shuffle(&mut customers);
        writeln!(initiatives, "draw-{draw},2024-01-01,2024-06-30,10,,,,,true,0.5,").unwrap();
        for (arm, customers) in ["treated", "holdout"].into_iter().zip(customers.chunks(CUSTOMERS / 2)) {
            assignments += &assigned(&format!("draw-{draw}"), arm, customers.iter().copied());
        }
    }
    programmes(&lake, &initiatives, &assignments).await;
    let rows = rows(&summary(&lake, "2024-12").await);
    for (metric, method) in [
        ("did_net_value", "welch"),
        ("did_net_value", "stratified"),
        ("did_net_value", "cuped"),
        ("did_active", "welch"),
        ("pretrend_slope", "welch"),
        ("pretrend_joint", "wald"),
    ] {
        let found = (0..200).map(|draw| find(&rows, &format!("draw-{draw}"), metric, method));
        let rejected = found.filter(|row| number(row, "p") < 0.05).count();
        assert!((2..=20).contains(&rejected), "{metric} ({method}): {rejected} of 200");
    }
    let discovered = (0..200).map(|draw| find(&rows, &format!("draw-{draw}"), "did_net_value", "stratified"));
    assert_eq!(discovered.filter(|row| number(row, "q") < 0.05).count(), 0, "false discoveries");
}

async fn refusal(lake: &Lake) -> String {
    let now = instant("2023-04-20T12:00:00Z");
    lake.open(CONFIG).await.unwrap().run(None, now, &|_| {}).await.unwrap_err().to_string()
}

#[tokio::test]
async fn programmes_that_contradict_themselves_are_refused() {
    let lake = company(0..3, |_, _| 0).await;
    let one = "a,2023-02-01,,1,,,,,,,\n";
    for (initiatives, assignments, message) in [
        ("a,2023-02-01,2023-01-31,1,,,,,,,\n", "", "initiatives: `a` ends before it starts"),
        ("a,2023-02-01,,-1,,,,,,,\n", "", "initiatives: `a` costs less than nothing"),
        ("a,2023-02-01,,1,-5,,,,,,\n", "", "initiatives: `a` costs less than nothing"),
        ("a,2023-02-01,,1,,home,phone,,,,\n", "", "initiatives: `a` is for more than one of"),
        ("a,2023-02-01,,1,,,phone,desk,,,\n", "", "initiatives: `a` is for more than one of"),
        ("a,2023-02-01,,1,,home,,,true,0.1,\n", "", "initiatives: `a` is drawn by lot and for all of a segment"),
        ("a,2023-02-01,,1,,,,,true,1,\n", "", "initiatives: `a` has a hold-out share that is not between 0 and 1"),
        (one, "a,c001,both\n", "assignments: `both` is no arm"),
        (one, "b,c001,treated\n", "assignments: `b` is none of the initiatives"),
        (
            "a,2023-02-01,,1,,home,,,,,\n",
            "a,c001,treated\n",
            "assignments: `a` is for all of a segment, channel or touchpoint",
        ),
        (
            one,
            "a,c001,treated\na,c001,holdout\n",
            "1 row repeats the initiative and customer_id of another with different content",
        ),
        (
            "a,2023-02-01,,1,,,,,,,\na,2023-03-01,,1,,,,,,,\n",
            "",
            "1 row repeats the initiative of another with different content",
        ),
    ] {
        programmes(&lake, initiatives, assignments).await;
        let error = refusal(&lake).await;
        assert!(error.contains(message), "{error} does not say {message}");
        assert!(!error.contains('\n') || error.len() < 400, "{error}");
    }
    for own_start in ["2023-01-31", "2023-03-01"] {
        lake.put("initiatives.csv", format!("{HEADER}a,2023-02-01,2023-02-28,1,,,,,,,\n")).await;
        let assignment = format!("initiative,customer_id,arm,starts_on\na,c001,treated,{own_start}\n");
        lake.put("assignments.csv", assignment).await;
        let error = refusal(&lake).await;
        assert!(error.contains("assignments: `a` lists a customer whose own start is not within it"), "{error}");
    }
}
